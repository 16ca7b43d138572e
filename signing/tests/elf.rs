//! How far the ELF of a payload may reach.

mod sample;

use sample::elf;
use wadoo_signing::elf::check;

fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = elf(300);
    change(&mut bytes);
    let length = bytes.len() as u64;
    check(&bytes.as_slice(), length).expect_err("it is refused").to_string()
}

fn set(at: usize, value: impl AsRef<[u8]>) -> impl FnOnce(&mut Vec<u8>) {
    move |bytes| bytes[at..at + value.as_ref().len()].copy_from_slice(value.as_ref())
}

#[test]
fn a_section_up_to_the_end_is_accepted() {
    let bytes = elf(300);
    check(&bytes.as_slice(), 300).expect("the last section ends with the payload");
}

#[test]
fn a_shorter_payload_cuts_something_off() {
    let bytes = elf(300);
    for length in 0..300 {
        check(&bytes.as_slice(), length).expect_err("something reaches behind the end");
    }
}

#[test]
fn every_field_that_places_something_is_bounded() {
    let behind = "its payload has a section that reaches behind its end";
    let table = "its payload has a table of sections that reaches behind its end";
    assert_eq!(refusal(set(128 + 0x20, 109_u64.to_le_bytes())), behind);
    assert_eq!(refusal(set(128 + 0x20, u64::MAX.to_le_bytes())), behind);
    assert_eq!(refusal(set(128 + 0x18, u64::MAX.to_le_bytes())), behind);
    assert_eq!(refusal(set(0x28, u64::MAX.to_le_bytes())), table);
    assert_eq!(refusal(set(0x28, 173_u64.to_le_bytes())), table);
    assert_eq!(refusal(set(0x3c, 200_u16.to_le_bytes())), table);
}

#[test]
fn escape_values_and_segments_are_refused() {
    let odd = "its payload has a table of sections that no engine writes";
    assert_eq!(refusal(set(0x3c, [0, 0])), odd);
    assert_eq!(refusal(set(0x3c, u16::MAX.to_le_bytes())), odd);
    assert_eq!(refusal(set(0x3e, u16::MAX.to_le_bytes())), odd);
    assert_eq!(refusal(set(0x3a, [0, 0])), odd);
    assert_eq!(refusal(set(0x38, [1, 0])), "its payload has program headers, which no engine writes");
}

#[test]
fn what_is_no_elf64_is_refused() {
    assert_eq!(refusal(set(0, [0])), "its payload is no ELF64 file");
    assert_eq!(refusal(set(4, [1])), "its payload is no ELF64 file");
    assert_eq!(refusal(set(5, [3])), "its payload has an unknown byte order");
}

#[test]
fn the_other_byte_order_is_read_by_its_rules() {
    let mut bytes = vec![0; 64 + 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x02");
    bytes[0x28..0x30].copy_from_slice(&64_u64.to_be_bytes());
    bytes[0x3a..0x3c].copy_from_slice(&64_u16.to_be_bytes());
    bytes[0x3c..0x3e].copy_from_slice(&1_u16.to_be_bytes());
    check(&bytes.as_slice(), 128).expect("its one section is empty");
    check(&bytes.as_slice(), 127).expect_err("its table is cut off");
}
