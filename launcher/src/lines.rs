//! The source lines of an application, for the traps that are told.
//!
//! Owns when the attachment is read: not before the first trap, so that a start pays nothing for it. Deliberately absent:
//! its format (`wadoo_signing::lines`), its digest (see `verify`), and DWARF, which only the composer reads.
//!
//! Invariants: the bytes are compared with the signed digest before they are decoded. What cannot be had costs the lines of
//! traps and nothing else, and is told once. It is held by its application, and goes with it.

use std::sync::{Arc, OnceLock};

use wadoo_signing::lines::{LineTable, LineTableError, MAX_TABLE_SIZE};
use wadoo_signing::report::system_words;

use crate::log;
use crate::verify::{SignedAttachment, VerifiedArtifact, VerifyError};

/// The source lines of one artifact, which may have none. Clones share what was read.
#[derive(Clone, Debug, Default)]
pub struct SourceLines(Option<Arc<Attached>>);

#[derive(Debug)]
struct Attached {
    attachment: SignedAttachment,
    table: OnceLock<Option<LineTable>>,
}

/// A line of a source file, in words of its own.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct SourcePlace {
    pub(crate) file: String,
    pub(crate) line: u32,
}

impl SourcePlace {
    /// Whether it is one of Rust's standard library, by the path that the composer gives those.
    pub(crate) fn is_standard(&self) -> bool {
        self.file.starts_with("library/")
    }
}

impl SourceLines {
    /// Those of `artifact`. They are not read yet; its file is kept open for it.
    pub fn of(artifact: &VerifiedArtifact) -> Self {
        let attached = |attachment: &SignedAttachment| {
            Arc::new(Attached { attachment: attachment.clone(), table: OnceLock::new() })
        };
        Self(artifact.lines().map(attached))
    }

    /// The line that the instruction at `offset` in the linked component was compiled from, if that is known. The first
    /// call waits for the file, of which it reads and hashes at most `MAX_TABLE_SIZE` bytes.
    pub(crate) fn find(&self, offset: u64) -> Option<SourcePlace> {
        let Attached { attachment, table } = self.0.as_deref()?;
        let line = table.get_or_init(|| read(attachment)).as_ref()?.find(offset)?;
        Some(SourcePlace { file: line.file.to_owned(), line: line.line })
    }
}

/// Reads the table, or says why traps go without.
fn read(attachment: &SignedAttachment) -> Option<LineTable> {
    let table = match attachment.length() {
        // Before memory is taken for it.
        found if found > MAX_TABLE_SIZE as u64 => {
            Err(LineTableError::Size { found: found as usize }.to_string())
        }
        _ => match attachment.read() {
            Ok(bytes) => LineTable::decode(&bytes).map_err(|error| error.to_string()),
            Err(VerifyError::Read { source, .. }) => Err(system_words(&source)),
            Err(_) => Err("it is not what was signed".to_owned()),
        },
    };
    table
        .inspect_err(|because| {
            log::line!(NoLines: "traps are told without source lines, whose table cannot be used: {because}");
        })
        .ok()
}
