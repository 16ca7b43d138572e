//! The source lines of a linked component, from the DWARF that its core modules carry to the attachment that a launcher
//! looks traps up in.
//!
//! Owns where a module's code stands in the component. Deliberately absent: the attachment's format (`wadoo_signing::lines`)
//! and compiling, which does not look at DWARF.
//!
//! Invariants: the result is decided by the component's bytes alone. Whatever a guest's DWARF says, nothing here fails: what
//! cannot be read is left out, and noted.

mod dwarf;
mod path;

use std::ops::Range;

use wadoo_signing::lines::{LineTable, LineTableError, MAX_ROWS, SourceLine};
use wadoo_signing::manifest::PartSpan;
use wasmparser::{Encoding, Parser, Payload};

use dwarf::{Row, Sections, Sequence};

/// What is known of a component's source lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The attachment; none where no part has lines.
    pub table: Option<Vec<u8>>,
    /// What could not be read, and of which part: each a line for the user.
    pub notes: Vec<String>,
}

/// Reads the lines of `component`, which is valid and in which `parts` stand.
pub fn read(component: &[u8], parts: &[PartSpan]) -> Lines {
    let mut notes = Vec::new();
    let mut rows = Vec::new();
    for module in modules(component) {
        let found = module.lines();
        if let Some(because) = found.broken {
            let part = parts.iter().find(|part| (part.start..part.end).contains(&module.code.start));
            let names = part.map_or("a generated part".to_owned(), |part| {
                part.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
            });
            notes.push(format!("some traps in {names} will be told without their source line: {because}"));
        }
        rows.extend(module.rows(found.sequences));
        if rows.len() > MAX_ROWS {
            // More of them would only take memory.
            break;
        }
    }
    let table = encode(&rows).unwrap_or_else(|error| {
        notes.push(format!("traps will be told without source lines: their table is left out, {error}"));
        None
    });
    Lines { table, notes }
}

/// The attachment of `rows`, by offset in the component.
fn encode(rows: &[Row]) -> Result<Option<Vec<u8>>, LineTableError> {
    if rows.len() > MAX_ROWS {
        return Err(LineTableError::TooMany { what: "rows", most: MAX_ROWS });
    }
    let rows = rows.iter().map(|Row { offset, place }| {
        let line = place.as_ref().map(|(file, line)| SourceLine { file, line: *line });
        // A component is shorter (`inputs::MAX_COMPONENT_SIZE`).
        (u32::try_from(*offset).unwrap_or(u32::MAX), line)
    });
    let table = LineTable::new(rows)?;
    if table.is_empty() { Ok(None) } else { table.encode().map(Some) }
}

/// A core module within a component.
#[derive(Debug, Default)]
struct Module<'a> {
    /// Its code section, from the number of functions on: what addresses in DWARF count from.
    code: Range<u64>,
    /// The end of each function.
    functions: Vec<u64>,
    sections: Sections<'a>,
}

/// The core modules that have code, in the order of the bytes.
fn modules(component: &[u8]) -> Vec<Module<'_>> {
    let mut modules = Vec::new();
    // What a part is nested in is never in the middle of a module.
    let mut open: Option<Module<'_>> = None;
    // It was validated: there is no error to be told.
    for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
        match (payload, &mut open) {
            (Payload::Version { encoding: Encoding::Module, .. }, open) => *open = Some(Module::default()),
            (Payload::CodeSectionStart { range, .. }, Some(module)) => module.code = range,
            (Payload::CodeSectionEntry(body), Some(module)) => module.functions.push(body.range().end),
            (Payload::CustomSection(custom), Some(Module { sections, .. })) => match custom.name() {
                ".debug_abbrev" => sections.abbrev = custom.data(),
                ".debug_info" => sections.info = custom.data(),
                ".debug_line" => sections.line = custom.data(),
                ".debug_line_str" => sections.line_str = custom.data(),
                ".debug_str" => sections.str = custom.data(),
                _ => {}
            },
            (Payload::End(_), open) => modules.extend(open.take()),
            _ => {}
        }
    }
    modules
}

impl Module<'_> {
    fn lines(&self) -> dwarf::Found {
        dwarf::read(&self.sections, |range| self.is_function(range))
    }

    /// Whether a sequence is the lines of one function. Those of functions that the linker took away keep their rows, at
    /// addresses of nothing; compilers write a sequence for each function.
    fn is_function(&self, range: Range<u64>) -> bool {
        let place = |address: u64| self.code.start.checked_add(address);
        let (Some(start), Some(end)) = (place(range.start), place(range.end)) else { return false };
        let index = self.functions.partition_point(|&function| function <= start);
        // Not at the number of functions, which is what an address of 0 is.
        start > self.code.start && self.functions.get(index).is_some_and(|&function| end <= function)
    }

    /// The rows of all sequences by offset in the component. Of two for one function the first counts.
    fn rows(&self, mut sequences: Vec<Sequence>) -> Vec<Row> {
        sequences.sort_by_key(|sequence| sequence.first().map(|row| row.offset));
        let mut rows: Vec<Row> = Vec::new();
        for sequence in sequences {
            let Some(start) = sequence.first().map(|row| row.offset + self.code.start) else { continue };
            match rows.last().map(|end| end.offset) {
                Some(end) if start < end => continue,
                // The end of the one before is no gap.
                Some(end) if start == end => drop(rows.pop()),
                _ => {}
            }
            rows.extend(sequence.into_iter().map(|row| Row { offset: row.offset + self.code.start, ..row }));
        }
        rows
    }
}

#[cfg(test)]
mod tests;
