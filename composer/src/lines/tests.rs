//! Modules that were compiled from text with line tables, at places where nothing else stands.

use wadoo_signing::lines::LineTable;
use wat::GenerateDwarf;

use super::*;

/// Two functions, of which each traps; the first is the second's caller.
const SOURCE: &str = r#"(module
  (func $outer (export "outer") (param i32)
    local.get 0
    call $inner
    drop)
  (func $inner (param i32) (result i32)
    local.get 0
    i32.load ;; marked
    ))
"#;

fn module() -> Vec<u8> {
    wat::Parser::new()
        .generate_dwarf(GenerateDwarf::Lines)
        .parse_str(Some("/home/ada/cart/src/a.wat".as_ref()), SOURCE)
        .expect("it is a module")
}

/// A component with `modules` behind `padding` bytes that are none.
fn component(padding: usize, modules: &[&[u8]]) -> Vec<u8> {
    let mut component = wasm_encoder::Component::new();
    let data = vec![0; padding];
    component.section(&wasm_encoder::CustomSection { name: "padding".into(), data: data.into() });
    for module in modules {
        component.section(&wasm_encoder::RawSection { id: 1, data: module });
    }
    component.finish()
}

fn part(name: &str, span: Range<u64>) -> PartSpan {
    PartSpan { start: span.start, end: span.end, names: [name.to_owned()].into() }
}

/// Where each instruction of the component stands that reads memory.
fn loads(component: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::CodeSectionEntry(body) = payload.expect("it is valid") {
            for operator in body.get_operators_reader().expect("operators").into_iter_with_offsets() {
                if let (wasmparser::Operator::I32Load { .. }, offset) = operator.expect("an operator") {
                    found.push(offset);
                }
            }
        }
    }
    found
}

fn marked() -> u32 {
    1 + SOURCE.lines().position(|line| line.contains("marked")).expect("the mark is there") as u32
}

#[test]
fn an_instruction_is_found_wherever_its_module_stands() {
    let module = module();
    for padding in [0, 1, 130, 20_000] {
        let component = component(padding, &[&module, &module]);
        let lines = read(&component, &[part("cart", 0..component.len() as u64)]);
        assert_eq!(lines.notes, [""; 0]);
        let table = LineTable::decode(&lines.table.expect("a table")).expect("it is one");
        let places = loads(&component);
        assert_eq!(places.len(), 2);
        for place in places {
            let found = table.find(place).expect("a line");
            assert_eq!((found.file, found.line), ("a.wat", marked()), "{padding}");
        }
        assert_eq!(table.find(0), None);
        assert_eq!(table.find(component.len() as u64), None, "behind the last function nothing is known");
    }
}

#[test]
fn what_has_no_line_tables_has_no_attachment() {
    let module = wat::parse_str(SOURCE).expect("it is a module");
    assert_eq!(read(&component(0, &[&module]), &[]), Lines::default());
    assert_eq!(read(&component(0, &[]), &[]), Lines::default());
}

/// Each section of DWARF in a module, by name: where its content stands.
fn sections(module: &[u8]) -> Vec<Range<usize>> {
    Parser::new(0)
        .parse_all(module)
        .filter_map(|payload| match payload.expect("it is valid") {
            Payload::CustomSection(custom) if custom.name().starts_with(".debug_") => {
                let start = custom.data().as_ptr() as usize - module.as_ptr() as usize;
                Some(start..start + custom.data().len())
            }
            _ => None,
        })
        .collect()
}

/// Steele and Vigna's splitmix64: the same changes in every run.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn whatever_a_guest_says_of_its_lines_nothing_fails() {
    let sound = module();
    let sections = sections(&sound);
    assert!(sections.len() >= 3, "{sections:?}");
    let (mut state, mut noted, mut changed) = (7, 0, 0);
    let expected = read(&component(0, &[&sound]), &[]);
    let mut check = |module: &[u8]| {
        let component = component(0, &[module]);
        let lines = read(&component, &[part("cart", 0..component.len() as u64)]);
        if let Some(table) = &lines.table {
            LineTable::decode(table).expect("what is written can be read");
        }
        assert!(lines.notes.iter().all(|note| note.contains("`cart`")), "{:?}", lines.notes);
        noted += usize::from(!lines.notes.is_empty());
        changed += usize::from(lines.table != expected.table);
    };
    for section in &sections {
        for at in section.clone() {
            for value in [0, 1, 0x7f, 0x80, 0xff, sound[at] ^ 1, sound[at] ^ 0x80] {
                let mut module = sound.clone();
                module[at] = value;
                check(&module);
            }
        }
    }
    for _ in 0..3_000 {
        let mut module = sound.clone();
        for _ in 0..1 + random(&mut state) % 6 {
            let section = &sections[random(&mut state) as usize % sections.len()];
            let at = section.start + random(&mut state) as usize % section.len();
            module[at] = random(&mut state) as u8;
        }
        check(&module);
    }
    assert!(noted > 100 && changed > noted, "{noted} noted, {changed} changed");
}

#[test]
fn a_function_that_the_linker_took_away_has_no_lines() {
    let module = Module { code: 100..200, functions: vec![110, 150], ..Module::default() };
    // At 1 and 2 bytes: the number of functions, and the first one's length.
    for range in [1..10, 2..10, 2..9, 11..50] {
        assert!(module.is_function(range.clone()), "{range:?}");
    }
    for range in [0..10, 0..5, 2..11, 9..50, 50..60, 11..51, 0xffff_ffff..0xffff_ffff, 5..u64::MAX] {
        assert!(!module.is_function(range.clone()), "{range:?}");
    }
}

#[test]
fn of_two_sequences_for_one_function_the_first_counts() {
    let module = Module { code: 100..200, ..Module::default() };
    let row = |offset, line: Option<u32>| Row { offset, place: line.map(|line| ("a".into(), line)) };
    let sequences = vec![
        vec![row(30, Some(3)), row(40, None)],
        vec![row(10, Some(1)), row(20, Some(2)), row(30, None)],
        vec![row(15, Some(9)), row(25, None)],
        vec![row(50, Some(5)), row(60, None)],
    ];
    let rows = module.rows(sequences);
    let told: Vec<_> = rows.iter().map(|row| (row.offset, row.place.as_ref().map(|place| place.1))).collect();
    let expected = [(110, Some(1)), (120, Some(2)), (130, Some(3)), (140, None), (150, Some(5)), (160, None)];
    assert_eq!(told, expected);
}
