//! The parts of an artifact's file, for the commands that take one apart or add a signature.
//!
//! Nothing here decides whether the artifact may be run: that is the launcher's reader, by its own rules.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use wadoo_signing::envelope::Envelope;
use wadoo_signing::framing::{Attachment, Layout};
use wadoo_signing::manifest::PayloadDigests;
use wadoo_signing::report::{Exit, Report};
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
        let unreadable = |error: &dyn std::fmt::Display| {
            Report::new(Exit::CouldNot, format!("cannot read `{}`", path.display()))
                .because(error.to_string())
        };
        let refused = |error: &dyn std::fmt::Display| {
            Report::new(Exit::NotTrusted, format!("cannot take `{}` apart", path.display()))
                .because(error.to_string())
                .hint("name an artifact that `wadoo compose` wrote")
        };
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        let metadata = file.metadata().map_err(|error| unreadable(&error))?;
        if !metadata.is_file() {
            return Err(unreadable(&"it is not a regular file"));
        }
        let layout = Layout::read(&file, metadata.len()).map_err(|error| refused(&error))?;
        let read = |offset: u64, length: u64| -> Result<Vec<u8>, Report> {
            let mut bytes = vec![0; length as usize];
            file.read_exact_at(&mut bytes, offset).map_err(|error| unreadable(&error))?;
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
