//! The line table: which source line each instruction of the linked component was compiled from.
//!
//! Owns the attachment's one format, for the composer that writes it and the launcher that looks a trap up in it.
//! Deliberately absent: where lines come from (DWARF, which only the composer reads) and whether the bytes may be
//! believed: they are decoded after their digest was compared with the signed one.
//!
//! ```text
//! "lines\0\0\x01"                  name and version
//! number of files, each            length, UTF-8
//! number of rows, each             offset − the offset before, greater than 0 but for the first
//!                                  0: nothing is known from here on
//!                                  1 + 4 × zigzag(line − the line before): in the file before
//!                                  2 + 4 × zigzag(line − the line before), number of the file
//! ```
//!
//! Numbers are unsigned LEB128. A row holds from its offset to the next row's; the first file and line are 0. Invariant:
//! what [`LineTable::decode`] gives is sorted, and names only files that it has.

use std::collections::HashMap;

/// The kind of the attachment.
pub const SOURCE_LINES: u32 = 3;
/// Greatest length of an encoded table.
pub const MAX_TABLE_SIZE: usize = 4 << 20;
/// Most rows of a table: with 16 bytes each, what a launcher holds once a trap was told.
pub const MAX_ROWS: usize = 1 << 20;
/// Most files of a table.
pub const MAX_FILES: usize = 1 << 16;
/// Greatest length of a file's path.
pub const MAX_PATH: usize = 1 << 10;

const MAGIC: [u8; 8] = *b"lines\0\0\x01";
const UNKNOWN: u64 = 0;
const SAME_FILE: u64 = 1;
const OTHER_FILE: u64 = 2;

/// A line of a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLine<'a> {
    /// The file's path, as the composer shortened it.
    pub file: &'a str,
    /// Counted from 1.
    pub line: u32,
}

/// Lines by offset in the linked component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineTable {
    files: Vec<String>,
    rows: Vec<Row>,
}

/// What is known from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    offset: u32,
    place: Option<Place>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    file: u32,
    line: u32,
}

/// Why there is no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineTableError {
    /// It is longer than is read.
    #[error("it has {found} bytes, more than the limit of {MAX_TABLE_SIZE}")]
    Size {
        /// Its length.
        found: usize,
    },
    /// It has more of something than is read.
    #[error("it has more than {most} {what}")]
    TooMany {
        /// What.
        what: &'static str,
        /// The limit.
        most: usize,
    },
    /// It is no table, or of another version.
    #[error("it does not begin as a table of source lines of version 1 does")]
    Magic,
    /// It ends early, has more behind its end, or says what it cannot mean.
    #[error("it is damaged at byte {at}")]
    Damaged {
        /// Where that was seen.
        at: usize,
    },
}

impl LineTable {
    /// A table of `rows`: what is known from each offset on. Rows that say what the one before says are left out.
    ///
    /// # Errors
    ///
    /// Offsets do not grow, or there is more of something than a reader accepts.
    pub fn new<'a>(
        rows: impl IntoIterator<Item = (u32, Option<SourceLine<'a>>)>,
    ) -> Result<Self, LineTableError> {
        let mut table = Self { files: Vec::new(), rows: Vec::new() };
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        for (offset, line) in rows {
            let place = line.map(|SourceLine { file, line }| {
                let file = *numbers.entry(file).or_insert_with(|| {
                    table.files.push(file.to_owned());
                    table.files.len() as u32 - 1
                });
                Place { file, line }
            });
            if table.rows.last().is_some_and(|last| last.offset >= offset) {
                return Err(LineTableError::Damaged { at: table.rows.len() });
            }
            if table.rows.last().is_some_and(|last| last.place == place) {
                continue;
            }
            table.rows.push(Row { offset, place });
            check(table.rows.len(), MAX_ROWS, "rows")?;
            check(table.files.len(), MAX_FILES, "files")?;
        }
        match table.files.iter().all(|file| file.len() <= MAX_PATH) {
            true => Ok(table),
            false => Err(LineTableError::TooMany { what: "bytes in a path", most: MAX_PATH }),
        }
    }

    /// The bytes of the attachment.
    ///
    /// # Errors
    ///
    /// They are more than a reader accepts.
    pub fn encode(&self) -> Result<Vec<u8>, LineTableError> {
        let mut bytes = MAGIC.to_vec();
        write(&mut bytes, self.files.len() as u64);
        for file in &self.files {
            write(&mut bytes, file.len() as u64);
            bytes.extend_from_slice(file.as_bytes());
        }
        write(&mut bytes, self.rows.len() as u64);
        let (mut offset, mut before) = (0, Place::default());
        for row in &self.rows {
            write(&mut bytes, u64::from(row.offset - offset));
            offset = row.offset;
            let Some(place) = row.place else {
                write(&mut bytes, UNKNOWN);
                continue;
            };
            let line = zigzag(i64::from(place.line) - i64::from(before.line)) << 2;
            if place.file == before.file {
                write(&mut bytes, line | SAME_FILE);
            } else {
                write(&mut bytes, line | OTHER_FILE);
                write(&mut bytes, place.file.into());
            }
            before = place;
        }
        match bytes.len() {
            found if found > MAX_TABLE_SIZE => Err(LineTableError::Size { found }),
            _ => Ok(bytes),
        }
    }

    /// Reads the bytes of an attachment.
    ///
    /// # Errors
    ///
    /// See [`LineTableError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, LineTableError> {
        if bytes.len() > MAX_TABLE_SIZE {
            return Err(LineTableError::Size { found: bytes.len() });
        }
        if !bytes.starts_with(&MAGIC) {
            return Err(LineTableError::Magic);
        }
        let mut reader = Reader { bytes, at: MAGIC.len() };
        let files =
            (0..reader.count(MAX_FILES, "files")?).map(|_| reader.path()).collect::<Result<_, _>>()?;
        let mut table = Self { files, rows: Vec::new() };
        let (mut offset, mut before) = (0_u32, Place::default());
        for index in 0..reader.count(MAX_ROWS, "rows")? {
            let step = reader.narrow()?;
            offset = offset.checked_add(step).filter(|_| index == 0 || step > 0).ok_or(reader.damaged())?;
            let place = reader.place(before, table.files.len())?;
            before = place.unwrap_or(before);
            table.rows.push(Row { offset, place });
        }
        if reader.at == bytes.len() { Ok(table) } else { Err(reader.damaged()) }
    }

    /// The line of the instruction at `offset` in the linked component.
    pub fn find(&self, offset: u64) -> Option<SourceLine<'_>> {
        let behind = self.rows.partition_point(|row| u64::from(row.offset) <= offset);
        let Place { file, line } = self.rows.get(behind.checked_sub(1)?)?.place?;
        Some(SourceLine { file: self.files.get(file as usize)?, line })
    }

    /// Nothing is known of any offset.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

fn check(found: usize, most: usize, what: &'static str) -> Result<(), LineTableError> {
    if found > most { Err(LineTableError::TooMany { what, most }) } else { Ok(()) }
}

/// Small numbers for small differences, whatever their sign.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn damaged(&self) -> LineTableError {
        LineTableError::Damaged { at: self.at }
    }

    fn number(&mut self) -> Result<u64, LineTableError> {
        let mut number = 0;
        // Nothing here needs more than 36 bits.
        for shift in (0..42).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(self.damaged())?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.damaged())
    }

    fn narrow(&mut self) -> Result<u32, LineTableError> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| self.damaged())
    }

    fn count(&mut self, most: usize, what: &'static str) -> Result<usize, LineTableError> {
        let count = self.narrow()? as usize;
        check(count, most, what)?;
        Ok(count)
    }

    fn path(&mut self) -> Result<String, LineTableError> {
        let length = self.count(MAX_PATH, "bytes in a path")?;
        let bytes = self.bytes.get(self.at..self.at + length).ok_or(self.damaged())?;
        let path = std::str::from_utf8(bytes).map_err(|_| self.damaged())?;
        self.at += length;
        Ok(path.to_owned())
    }

    fn place(&mut self, before: Place, files: usize) -> Result<Option<Place>, LineTableError> {
        let tag = self.number()?;
        let file = match tag & 3 {
            _ if tag == UNKNOWN => return Ok(None),
            SAME_FILE => before.file,
            OTHER_FILE => self.narrow()?,
            _ => return Err(self.damaged()),
        };
        let line = u32::try_from(i64::from(before.line) + unzigzag(tag >> 2)).map_err(|_| self.damaged())?;
        if file as usize >= files {
            return Err(self.damaged());
        }
        Ok(Some(Place { file, line }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, line: u32) -> Option<SourceLine<'_>> {
        Some(SourceLine { file, line })
    }

    fn table() -> LineTable {
        LineTable::new([
            (10, at("src/lib.rs", 7)),
            (12, at("src/lib.rs", 7)),
            (20, at("src/lib.rs", 6)),
            (1000, None),
            (70_000, at("b.c", 100_000)),
            (70_001, at("src/lib.rs", u32::MAX)),
            (u32::MAX, at("src/lib.rs", 1)),
        ])
        .expect("it is small")
    }

    #[test]
    fn a_line_holds_up_to_the_next_row() {
        let table = LineTable::decode(&table().encode().expect("it is small")).expect("it was encoded");
        assert_eq!(table, self::table());
        for (offset, line) in [
            (0, None),
            (9, None),
            (10, at("src/lib.rs", 7)),
            (19, at("src/lib.rs", 7)),
            (20, at("src/lib.rs", 6)),
            (999, at("src/lib.rs", 6)),
            (1000, None),
            (70_000, at("b.c", 100_000)),
            (70_001, at("src/lib.rs", u32::MAX)),
            (u64::from(u32::MAX) + 1, at("src/lib.rs", 1)),
        ] {
            assert_eq!(table.find(offset), line, "{offset}");
        }
        assert_eq!(table.rows.len(), 6, "a row that adds nothing is left out");
        let empty = LineTable::new([]).expect("it is small");
        assert!(empty.is_empty() && empty.find(0).is_none());
        assert_eq!(LineTable::decode(&empty.encode().expect("it is small")), Ok(empty));
    }

    #[test]
    fn a_row_takes_two_bytes_where_little_changes() {
        let rows = (0..1000).map(|n| (n * 5, at("a", 10 + n % 9)));
        let bytes = LineTable::new(rows).and_then(|table| table.encode()).expect("it is small");
        assert!(bytes.len() < 2 * 1000 + 20, "{}", bytes.len());
    }

    #[test]
    fn what_is_damaged_is_refused_or_means_something_else_and_never_more_than_it_may() {
        let sound = table().encode().expect("it is small");
        for length in 0..sound.len() {
            LineTable::decode(&sound[..length]).expect_err("an end is missing");
        }
        LineTable::decode(&[&sound[..], b"\0"].concat()).expect_err("something follows");
        let mut refused = 0;
        for (at, bit) in (0..sound.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << bit;
            match LineTable::decode(&bytes) {
                Ok(table) => {
                    assert!(table.rows.windows(2).all(|pair| pair[0].offset < pair[1].offset));
                    let known = |place: &Place| (place.file as usize) < table.files.len();
                    assert!(table.rows.iter().filter_map(|row| row.place.as_ref()).all(known));
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 100, "{refused}");
    }

    #[test]
    fn each_limit_is_told_by_its_number() {
        let head = |rest: &[u8]| [&MAGIC[..], rest].concat();
        let error = |bytes: &[u8]| LineTable::decode(bytes).expect_err("it is refused").to_string();
        assert_eq!(error(b"lines\0\0\x02"), LineTableError::Magic.to_string());
        assert_eq!(error(&head(&[0x81, 0x80, 0x04])), "it has more than 65536 files");
        assert_eq!(error(&head(&[0, 0x81, 0x80, 0x40])), "it has more than 1048576 rows");
        assert_eq!(error(&head(&[1, 0x81, 0x08])), "it has more than 1024 bytes in a path");
        assert_eq!(error(&head(&[0xff; 20])), "it is damaged at byte 14");
        let long = vec![0; MAX_TABLE_SIZE + 1];
        assert_eq!(error(&long), "it has 4194305 bytes, more than the limit of 4194304");

        let rows = |count: usize| LineTable::new((0..count as u32).map(|n| (n, at("a", n))));
        assert_eq!(rows(MAX_ROWS + 1).expect_err("too many").to_string(), "it has more than 1048576 rows");
        rows(MAX_ROWS).expect("as many as there may be");
        LineTable::new([(1, None), (1, at("a", 1))]).expect_err("offsets grow");
        let path = "x".repeat(MAX_PATH + 1);
        LineTable::new([(0, at(&path, 1))]).expect_err("the path is too long");
    }
}
