//! The line programs of one core module: rows of code offset, file and line.
//!
//! Owns everything that speaks DWARF. Its bytes are a guest's, and may say anything: each program and each table of
//! abbreviations is read once and ends where the next begins, and what is kept of them has limits, so that reading takes
//! time and memory by the length of the sections, whatever they say.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use gimli::{
    AttributeValue, DebugAbbrev, DebugAbbrevOffset, DebugInfo, DebugLine, DebugLineOffset, EndianSlice,
    LineProgramHeader, LittleEndian, UnitHeader,
};
use wadoo_signing::lines::{LineTableError, MAX_FILES, MAX_PATH, MAX_ROWS};

use super::path;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Addresses of WebAssembly with 32-bit memories.
const ADDRESS_SIZE: u8 = 4;

/// Attributes of a unit: compilers write about a dozen.
const MAX_ATTRIBUTES: usize = 64;

/// The sections of a module that lines are read from; those that it does not have are empty.
#[derive(Debug, Default)]
pub(super) struct Sections<'a> {
    pub(super) abbrev: &'a [u8],
    pub(super) info: &'a [u8],
    pub(super) line: &'a [u8],
    pub(super) line_str: &'a [u8],
    pub(super) str: &'a [u8],
}

/// What holds from an offset on in the code section; nothing is known where there is no line.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) offset: u64,
    pub(super) place: Option<(Rc<str>, u32)>,
}

/// Rows without a gap. The last one is the end, and says nothing.
pub(super) type Sequence = Vec<Row>;

/// What a module's sections say, as far as they can be read.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sequences: Vec<Sequence>,
    /// Why some of it could not be read.
    pub(super) broken: Option<String>,
    /// Rows of all sequences.
    rows: usize,
    /// The paths that they name.
    paths: HashSet<Rc<str>>,
}

/// Reads every line program, and keeps the sequences that `wanted` says yes to by where they begin and end.
pub(super) fn read(sections: &Sections<'_>, wanted: impl Fn(Range<u64>) -> bool) -> Found {
    let mut found = Found::default();
    let folders = folders(sections).unwrap_or_else(|error| {
        found.broken = Some(error.to_string());
        BTreeMap::new()
    });
    let mut at = 0;
    while let Some(end) = end_of_unit(sections.line, at) {
        let folder = folders.get(&at).copied().unwrap_or_default();
        if let Err(error) = found.program(sections, at..end, folder, &wanted) {
            found.broken = Some(error.to_string());
        }
        if found.rows > MAX_ROWS {
            // No table would hold them, and memory might not.
            found.broken = Some(LineTableError::TooMany { what: "rows", most: MAX_ROWS }.to_string());
            return found;
        }
        at = end;
    }
    if at < sections.line.len() && found.broken.is_none() {
        found.broken = Some(gimli::Error::UnexpectedEof(gimli::ReaderOffsetId(at as u64)).to_string());
    }
    found
}

/// Where the unit that begins at `at` ends, by its first field.
fn end_of_unit(section: &[u8], at: usize) -> Option<usize> {
    let word = u32::from_le_bytes(section.get(at..at.checked_add(4)?)?.try_into().ok()?);
    let (length, head) = match word {
        // 64-bit DWARF, which no compiler writes for WebAssembly: only skipped.
        0xffff_ffff => (u64::from_le_bytes(section.get(at + 4..at + 12)?.try_into().ok()?), 12),
        word => (word.into(), 4),
    };
    let end = (at + head).checked_add(usize::try_from(length).ok()?)?;
    (end <= section.len()).then_some(end)
}

/// The folders that units were compiled in, by the offset of their line programs.
fn folders<'a>(sections: &Sections<'a>) -> gimli::Result<BTreeMap<usize, Slice<'a>>> {
    let info = DebugInfo::new(sections.info, LittleEndian);
    let (mut units, mut headers) = (info.units(), Vec::new());
    while let Some(header) = units.next()? {
        headers.push(header);
    }
    let tables: BTreeSet<usize> = headers.iter().map(|header| header.debug_abbrev_offset().0).collect();
    let mut abbreviations = HashMap::new();
    for (&at, end) in tables.iter().zip(tables.iter().skip(1).chain([&sections.abbrev.len()])) {
        let bytes = sections.abbrev.get(at..*end).unwrap_or_default();
        // One that is broken costs its units their folder.
        if let Ok(table) = DebugAbbrev::new(bytes, LittleEndian).abbreviations(DebugAbbrevOffset(0)) {
            abbreviations.insert(at, table);
        }
    }
    let folder = |header: &UnitHeader<Slice<'a>>| {
        let table = abbreviations.get(&header.debug_abbrev_offset().0)?;
        let abbreviation = header.entries_raw(table, None).ok()?.read_abbreviation().ok()??;
        if abbreviation.attributes().len() > MAX_ATTRIBUTES {
            return None;
        }
        let mut entries = header.entries(table);
        let root = entries.next_dfs().ok()??;
        let AttributeValue::DebugLineRef(program) = root.attr_value(gimli::DW_AT_stmt_list)? else {
            return None;
        };
        Some((program.0, text(sections, root.attr_value(gimli::DW_AT_comp_dir)?)?))
    };
    Ok(headers.iter().filter_map(folder).collect())
}

impl Found {
    /// Reads one program, of a unit that was compiled in `folder`.
    fn program<'a>(
        &mut self,
        sections: &Sections<'a>,
        range: Range<usize>,
        folder: Slice<'a>,
        wanted: &impl Fn(Range<u64>) -> bool,
    ) -> gimli::Result<()> {
        let lines = DebugLine::new(&sections.line[..range.end], LittleEndian);
        let program = lines.program(DebugLineOffset(range.start), ADDRESS_SIZE, Some(folder), None)?;
        let mut files: HashMap<u64, Option<Rc<str>>> = HashMap::new();
        let mut sequence = Sequence::new();
        let mut rows = program.rows();
        while let Some((header, row)) = rows.next_row()? {
            let offset = row.address();
            // What is left of a sequence whose end was taken away with its function, or of one that nobody could hold.
            if sequence.last().is_some_and(|last| last.offset > offset) || sequence.len() > MAX_ROWS {
                sequence.clear();
            }
            let place = row.line().filter(|_| !row.end_sequence()).and_then(|line| {
                let number = row.file_index();
                let file = files.entry(number).or_insert_with(|| self.path(file(sections, header, number)?));
                Some((file.clone()?, u32::try_from(line.get()).ok()?))
            });
            match sequence.last_mut() {
                // Of several rows for one place, the last counts.
                Some(last) if last.offset == offset => last.place = place,
                Some(last) if last.place == place && !row.end_sequence() => {}
                _ => sequence.push(Row { offset, place }),
            }
            if row.end_sequence() {
                let whole = std::mem::take(&mut sequence);
                if whole.first().is_some_and(|first| wanted(first.offset..offset)) {
                    self.rows += whole.len();
                    self.sequences.push(whole);
                }
                if self.rows > MAX_ROWS {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// One and the same text for the same path; none for more of them than a table may name.
    fn path(&mut self, path: String) -> Option<Rc<str>> {
        if let Some(known) = self.paths.get(path.as_str()) {
            return Some(Rc::clone(known));
        }
        let path: Rc<str> = path.into();
        (self.paths.len() < MAX_FILES && self.paths.insert(Rc::clone(&path))).then_some(path)
    }
}

/// The path of a file, by its number in a program.
fn file<'a>(sections: &Sections<'a>, header: &LineProgramHeader<Slice<'a>>, number: u64) -> Option<String> {
    let file = header.file(number)?;
    let part = |value| Some(text(sections, value)?.to_string_lossy().into_owned());
    let name = part(file.path_name())?;
    let compiled_in = header.directory(0).and_then(part).unwrap_or_default();
    let directory = match file.directory_index() {
        0 => String::new(),
        index => part(header.directory(index)?)?,
    };
    let told = path::told(&compiled_in, &directory, &name);
    (!told.is_empty() && told.len() <= MAX_PATH).then_some(told)
}

/// A text where it stands, up to its end; `None` where it is longer than any path.
fn text<'a>(sections: &Sections<'a>, value: AttributeValue<Slice<'a>>) -> Option<Slice<'a>> {
    let (section, at) = match value {
        AttributeValue::String(text) => return (text.len() <= MAX_PATH).then_some(text),
        AttributeValue::DebugStrRef(at) => (sections.str, at.0),
        AttributeValue::DebugLineStrRef(at) => (sections.line_str, at.0),
        _ => return None,
    };
    let rest = section.get(at..)?;
    let end = rest.iter().take(MAX_PATH + 1).position(|&byte| byte == 0)?;
    Some(EndianSlice::new(&rest[..end], LittleEndian))
}
