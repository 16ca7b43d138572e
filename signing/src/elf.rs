//! How far the ELF of a payload reaches.
//!
//! wasmtime ignores what follows the ELF and trusts what its headers say; a header that points behind the
//! payload would reach bytes that no signature covers. Only the fields that place something are read.

use crate::framing::{FramingError, ReadAt};

/// Length of an ELF64 header.
const HEADER_SIZE: u64 = 64;
/// Length of an ELF64 section header.
const SECTION_HEADER_SIZE: u64 = 64;
/// `sh_type` of a section without bytes in the file.
const SHT_NOBITS: u32 = 8;
/// Greatest number of sections. wasmtime writes about twenty.
pub const MAX_SECTIONS: u16 = 256;

/// Checks that every section, and the table of sections, ends within the first `length` bytes.
///
/// Refused as well is what no engine writes and what would need rules of its own: program headers, and the
/// escape values that move a count out of the header (`e_shnum` of zero, `e_shstrndx` of `SHN_XINDEX`).
///
/// # Errors
///
/// It is no ELF64 file of a known byte order, or reaches further.
pub fn check(file: &impl ReadAt, length: u64) -> Result<(), FramingError> {
    let mut header = [0; HEADER_SIZE as usize];
    if length < HEADER_SIZE {
        return Err(FramingError::Elf("is shorter than an ELF header"));
    }
    file.read_at(&mut header, 0)?;
    if !header.starts_with(b"\x7fELF\x02") {
        return Err(FramingError::Elf("is no ELF64 file"));
    }
    let big = match header[5] {
        1 => false,
        2 => true,
        _ => return Err(FramingError::Elf("has an unknown byte order")),
    };
    let table = read_u64(&header, 0x28, big);
    let (size, count) = (read_u16(&header, 0x3a, big), read_u16(&header, 0x3c, big));
    let (segments, names) = (read_u16(&header, 0x38, big), read_u16(&header, 0x3e, big));
    if segments != 0 {
        return Err(FramingError::Elf("has program headers, which no engine writes"));
    }
    if u64::from(size) != SECTION_HEADER_SIZE || !(1..=MAX_SECTIONS).contains(&count) || names >= count {
        return Err(FramingError::Elf("has a table of sections that no engine writes"));
    }
    let end = u64::from(count).checked_mul(SECTION_HEADER_SIZE).and_then(|bytes| table.checked_add(bytes));
    if end.is_none_or(|end| end > length) {
        return Err(FramingError::Elf("has a table of sections that reaches behind its end"));
    }
    let mut sections = vec![[0; SECTION_HEADER_SIZE as usize]; usize::from(count)];
    file.read_at(sections.as_flattened_mut(), table)?;
    for section in &sections {
        if read_u32(section, 0x04, big) == SHT_NOBITS {
            continue;
        }
        let end = read_u64(section, 0x18, big).checked_add(read_u64(section, 0x20, big));
        if end.is_none_or(|end| end > length) {
            return Err(FramingError::Elf("has a section that reaches behind its end"));
        }
    }
    Ok(())
}

fn field<const N: usize>(bytes: &[u8; 64], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}

fn read_u16(bytes: &[u8; 64], at: usize, big: bool) -> u16 {
    if big { u16::from_be_bytes(field(bytes, at)) } else { u16::from_le_bytes(field(bytes, at)) }
}

fn read_u32(bytes: &[u8; 64], at: usize, big: bool) -> u32 {
    if big { u32::from_be_bytes(field(bytes, at)) } else { u32::from_le_bytes(field(bytes, at)) }
}

fn read_u64(bytes: &[u8; 64], at: usize, big: bool) -> u64 {
    if big { u64::from_be_bytes(field(bytes, at)) } else { u64::from_le_bytes(field(bytes, at)) }
}
