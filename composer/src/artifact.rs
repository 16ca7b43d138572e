//! The parts of an artifact's file, for the commands that take one apart or add a signature.
//!
//! Nothing here decides whether the artifact may be run: that is the launcher's reader, by its own rules.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use wadoo_launcher::open::{SPLIT_ENVELOPE, SPLIT_PAYLOAD, split_attachment};
use wadoo_signing::envelope::{Envelope, MAX_ENVELOPE_SIZE};
use wadoo_signing::framing::{Attachment, Layout, MAX_ATTACHMENTS, MAX_ATTACHMENTS_SIZE, MAX_FILE_SIZE};
use wadoo_signing::manifest::PayloadDigests;
use wadoo_signing::regular;
use wadoo_signing::report::{Exit, Report, system_words};
use wadoo_signing::statement::Statement;

/// What stands in an artifact's file.
#[derive(Debug)]
pub struct Parts {
    /// The native code.
    pub payload: Vec<u8>,
    /// The envelope.
    pub envelope: Envelope,
    /// The attachments, in file order.
    pub attachments: Vec<Attachment>,
}

impl Parts {
    /// Reads an artifact's framing and copies its parts. No signature is checked.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is no artifact.
    pub fn read(path: &Path) -> Result<Self, Report> {
        if path.is_dir() {
            return Self::read_split(path);
        }
        let (file, _) = regular::open(path).map_err(|error| unreadable(path, &error))?;
        Self::of(&file, path)
    }

    /// The same of an open file, that was found at `path`.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn of(file: &File, path: &Path) -> Result<Self, Report> {
        let refused = |error: &dyn std::fmt::Display| {
            Report::new(Exit::NotTrusted, format!("cannot take `{}` apart", path.display()))
                .because(error.to_string())
                .hint("name an artifact that `wadoo compose` wrote")
        };
        let length = file.metadata().map_err(|error| unreadable(path, &error))?.len();
        let layout = Layout::read(file, length).map_err(|error| refused(&error))?;
        let read = |offset: u64, length: u64| -> Result<Vec<u8>, Report> {
            let mut bytes = vec![0; length as usize];
            file.read_exact_at(&mut bytes, offset).map_err(|error| unreadable(path, &error))?;
            Ok(bytes)
        };
        let envelope = Envelope::decode(&read(layout.envelope_offset, layout.envelope)?)
            .map_err(|error| refused(&error))?;
        let attachments = layout
            .attachments
            .iter()
            .map(|span| Ok(Attachment { kind: span.kind, bytes: read(span.offset, span.length)? }))
            .collect::<Result<_, Report>>()?;
        Ok(Self { payload: read(0, layout.payload)?, envelope, attachments })
    }

    /// The split form: a folder with the payload, the envelope and the attachments.
    fn read_split(folder: &Path) -> Result<Self, Report> {
        let refused = |error: &dyn std::fmt::Display| {
            Report::new(Exit::NotTrusted, format!("cannot take `{}` apart", folder.display()))
                .because(error.to_string())
        };
        let envelope = Envelope::decode(&read_part(folder, SPLIT_ENVELOPE, MAX_ENVELOPE_SIZE)?)
            .map_err(|error| refused(&error))?;
        let mut attachments = Vec::new();
        if folder.join(split_attachment(0)).exists() {
            // What each is, only the statement says.
            let statement = Statement::decode(envelope.statement()).map_err(|error| refused(&error))?;
            for (index, info) in statement.manifest.attachments.iter().enumerate().take(MAX_ATTACHMENTS) {
                let bytes = read_part(folder, &split_attachment(index), MAX_ATTACHMENTS_SIZE)?;
                attachments.push(Attachment { kind: info.kind, bytes });
            }
        }
        Ok(Self { payload: read_part(folder, SPLIT_PAYLOAD, MAX_FILE_SIZE)?, envelope, attachments })
    }

    /// Whether the payload is the one that the statement describes.
    ///
    /// # Errors
    ///
    /// It is not, in words.
    pub fn check_payload(&self, statement: &Statement) -> Result<(), &'static str> {
        match PayloadDigests::of(&self.payload) == statement.payload {
            true => Ok(()),
            false => Err("its payload is not the one that its statement describes"),
        }
    }
}

/// A file of the split form.
fn read_part(folder: &Path, name: &str, limit: u64) -> Result<Vec<u8>, Report> {
    let path = folder.join(name);
    let failed = |because: String| {
        Report::new(Exit::CouldNot, format!("cannot read `{}`", path.display()))
            .because(because)
            .hint("name an artifact, or a folder that `wadoo extract --split` wrote")
    };
    let (mut file, metadata) = regular::open(&path).map_err(|error| failed(system_words(&error)))?;
    if metadata.len() > limit {
        return Err(failed(format!("it has {} bytes, more than the limit of {limit}", metadata.len())));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| failed(system_words(&error)))?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &io::Error) -> Report {
    let report =
        Report::new(Exit::CouldNot, format!("cannot read `{}`", path.display())).because(system_words(error));
    match error.kind() {
        io::ErrorKind::NotFound => report.hint("`wadoo compose recipe.toml` writes an artifact"),
        _ => report,
    }
}
