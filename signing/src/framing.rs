//! The framing of `app.cwasm`: where the payload, the envelope and the attachments stand.
//!
//! ```text
//! 0             payload, length P
//! P..align4096  zeros
//! T             envelope, length L
//! T+L           attachments, each { u32 kind, u32 flags, u64 length, bytes }
//! end-64        footer: magic, u32 flags, u32 reserved, u64 P, u64 T, u64 L, u64 file length, zeros
//! ```
//!
//! All numbers are little-endian. Invariant: what [`Layout::read`] accepts has no gap, no overlap and nothing
//! behind the footer, and every byte that is neither payload, envelope nor attachment has one possible value.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::digest::Sha256Digest;
use crate::elf;
use crate::envelope::MAX_ENVELOPE_SIZE;
use crate::manifest::AttachmentInfo;
use crate::report::system_words;

/// First bytes of the footer.
pub const MAGIC: [u8; 8] = *b"WADOOv1\0";
/// Length of the footer.
pub const FOOTER_SIZE: u64 = 64;
/// The envelope begins at a multiple of this.
pub const ALIGNMENT: u64 = 4096;
/// Greatest length of an artifact.
pub const MAX_FILE_SIZE: u64 = 1 << 30;
/// Greatest number of attachments.
pub const MAX_ATTACHMENTS: usize = 16;
/// Greatest length of all attachments together, their headers included.
pub const MAX_ATTACHMENTS_SIZE: u64 = 16 << 20;
/// Length of the header of an attachment.
pub const ATTACHMENT_HEADER_SIZE: u64 = 16;

/// Bytes that can be read at any place.
pub trait ReadAt {
    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// The bytes are not there or cannot be read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from =
            usize::try_from(offset).ok().and_then(|from| self.get(from..from.checked_add(buffer.len())?));
        buffer.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_at(buffer, offset)
    }
}

/// Why bytes are not an artifact.
#[derive(Debug, thiserror::Error)]
pub enum FramingError {
    /// Reading failed.
    #[error("it cannot be read: {}", system_words(.0))]
    Io(#[from] io::Error),
    /// A WebAssembly binary instead of an artifact.
    #[error("it is a WebAssembly {0}, not a signed artifact")]
    Wasm(&'static str),
    /// Native code without signature, or an artifact that lost its end.
    #[error("it begins with native code and does not end with the footer of an artifact")]
    Unsigned,
    /// Nothing that wadoo writes.
    #[error("it does not end with the footer of an artifact")]
    NoFooter,
    /// Longer than [`MAX_FILE_SIZE`].
    #[error("it has {found} bytes, more than the limit of {MAX_FILE_SIZE}")]
    TooLarge {
        /// Its length.
        found: u64,
    },
    /// The footer says another length than the file has: truncated, or something was added.
    #[error("it has {found} bytes, its footer says {stated}")]
    Length {
        /// The file's length.
        found: u64,
        /// The footer's.
        stated: u64,
    },
    /// A part of the framing has a value that no writer gives it.
    #[error("its {0} is damaged")]
    Damaged(&'static str),
    /// The envelope is longer than is read.
    #[error("its envelope has {found} bytes, more than the limit of {MAX_ENVELOPE_SIZE}")]
    EnvelopeSize {
        /// The envelope's length.
        found: u64,
    },
    /// More attachments, or more bytes of them, than are read.
    #[error("its attachments are more than {MAX_ATTACHMENTS}, or longer than {MAX_ATTACHMENTS_SIZE} bytes")]
    Attachments,
    /// The payload is not an ELF file that ends where the footer says.
    #[error("its payload {0}")]
    Elf(&'static str),
}

/// One attachment of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachmentSpan {
    /// What it is.
    pub kind: u32,
    /// Where its bytes begin.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
}

/// Where everything stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Length of the payload, which begins at 0.
    pub payload: u64,
    /// Where the envelope begins.
    pub envelope_offset: u64,
    /// Length of the envelope.
    pub envelope: u64,
    /// The attachments, in file order.
    pub attachments: Vec<AttachmentSpan>,
    /// Length of the file.
    pub file: u64,
}

/// An attachment to be written.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// What it is.
    pub kind: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Attachment {
    /// What the manifest says of it.
    pub fn info(&self) -> AttachmentInfo {
        AttachmentInfo {
            kind: self.kind,
            length: self.bytes.len() as u64,
            sha256: Sha256Digest::of(&self.bytes),
        }
    }
}

impl Layout {
    /// Reads the framing of a file of `length` bytes: the footer, the padding, the headers of the attachments
    /// and of the ELF. Nothing else is touched.
    ///
    /// # Errors
    ///
    /// See [`FramingError`].
    pub fn read(file: &impl ReadAt, length: u64) -> Result<Self, FramingError> {
        if length > MAX_FILE_SIZE {
            return Err(FramingError::TooLarge { found: length });
        }
        let mut footer = [0; FOOTER_SIZE as usize];
        let offset = length.checked_sub(FOOTER_SIZE).ok_or_else(|| unframed(file, length))?;
        file.read_at(&mut footer, offset)?;
        if !footer.starts_with(&MAGIC) {
            return Err(unframed(file, length));
        }
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| footer[at + index]));
        let (payload, envelope_offset, envelope, stated) = (number(16), number(24), number(32), number(40));
        if stated != length {
            return Err(FramingError::Length { found: length, stated });
        }
        if envelope > MAX_ENVELOPE_SIZE {
            return Err(FramingError::EnvelopeSize { found: envelope });
        }
        if payload > length || payload.next_multiple_of(ALIGNMENT) != envelope_offset {
            return Err(FramingError::Damaged("footer"));
        }
        let end = envelope_offset.checked_add(envelope).filter(|&end| end <= offset);
        let end = end.ok_or(FramingError::Damaged("footer"))?;
        let attachments = read_attachments(file, end, offset)?;
        let layout = Self { payload, envelope_offset, envelope, attachments, file: length };
        if layout.footer() != footer {
            return Err(FramingError::Damaged("footer"));
        }
        check_padding(file, payload, envelope_offset)?;
        elf::check(file, payload)?;
        Ok(layout)
    }

    /// The one footer of this layout.
    fn footer(&self) -> [u8; FOOTER_SIZE as usize] {
        let mut footer = [0; FOOTER_SIZE as usize];
        footer[..8].copy_from_slice(&MAGIC);
        // Flags and reserved stay zero in format 1.
        for (at, number) in
            [(16, self.payload), (24, self.envelope_offset), (32, self.envelope), (40, self.file)]
        {
            footer[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        footer
    }
}

/// What a file without footer is, so that the reader can be told what to do with it.
fn unframed(file: &impl ReadAt, length: u64) -> FramingError {
    let mut start = [0; 8];
    if length < 8 || file.read_at(&mut start, 0).is_err() {
        return FramingError::NoFooter;
    }
    match &start {
        b"\0asm\x0d\0\x01\0" => FramingError::Wasm("component"),
        b"\0asm\x01\0\0\0" => FramingError::Wasm("core module"),
        [0x7f, b'E', b'L', b'F', ..] => FramingError::Unsigned,
        _ => FramingError::NoFooter,
    }
}

fn check_padding(file: &impl ReadAt, from: u64, to: u64) -> Result<(), FramingError> {
    let mut padding = [0; ALIGNMENT as usize];
    // Less than one alignment, by the footer's check.
    let padding = &mut padding[..(to - from) as usize];
    file.read_at(padding, from)?;
    if padding.iter().all(|&byte| byte == 0) { Ok(()) } else { Err(FramingError::Damaged("padding")) }
}

fn read_attachments(file: &impl ReadAt, from: u64, to: u64) -> Result<Vec<AttachmentSpan>, FramingError> {
    if to - from > MAX_ATTACHMENTS_SIZE {
        return Err(FramingError::Attachments);
    }
    let mut attachments = Vec::new();
    let mut at = from;
    while at < to {
        if attachments.len() == MAX_ATTACHMENTS {
            return Err(FramingError::Attachments);
        }
        let mut header = [0; ATTACHMENT_HEADER_SIZE as usize];
        if to - at < ATTACHMENT_HEADER_SIZE {
            return Err(FramingError::Damaged("attachment header"));
        }
        file.read_at(&mut header, at)?;
        let kind = u32::from_le_bytes(std::array::from_fn(|index| header[index]));
        let flags = u32::from_le_bytes(std::array::from_fn(|index| header[4 + index]));
        let length = u64::from_le_bytes(std::array::from_fn(|index| header[8 + index]));
        let offset = at + ATTACHMENT_HEADER_SIZE;
        let end = offset.checked_add(length).filter(|&end| flags == 0 && end <= to);
        at = end.ok_or(FramingError::Damaged("attachment header"))?;
        attachments.push(AttachmentSpan { kind, offset, length });
    }
    Ok(attachments)
}

/// Frames a payload, its encoded envelope and its attachments.
///
/// # Errors
///
/// Something is longer than a reader accepts.
pub fn package(payload: &[u8], envelope: &[u8], attachments: &[Attachment]) -> Result<Vec<u8>, FramingError> {
    let mut bytes = Vec::with_capacity(payload.len() + envelope.len() + 2 * ALIGNMENT as usize);
    bytes.extend_from_slice(payload);
    bytes.resize(payload.len().next_multiple_of(ALIGNMENT as usize), 0);
    let envelope_offset = bytes.len() as u64;
    bytes.extend_from_slice(envelope);
    let mut spans = Vec::new();
    for attachment in attachments {
        bytes.extend_from_slice(&attachment.kind.to_le_bytes());
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        bytes.extend_from_slice(&(attachment.bytes.len() as u64).to_le_bytes());
        spans.push(AttachmentSpan {
            kind: attachment.kind,
            offset: bytes.len() as u64,
            length: attachment.bytes.len() as u64,
        });
        bytes.extend_from_slice(&attachment.bytes);
    }
    let layout = Layout {
        payload: payload.len() as u64,
        envelope_offset,
        envelope: envelope.len() as u64,
        attachments: spans,
        file: bytes.len() as u64 + FOOTER_SIZE,
    };
    bytes.extend_from_slice(&layout.footer());
    // A writer that a reader refuses must not write.
    match Layout::read(&bytes.as_slice(), layout.file)? == layout {
        true => Ok(bytes),
        false => Err(FramingError::Damaged("framing")),
    }
}
