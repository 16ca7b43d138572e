//! `memory` of a part: the most that each of its linear memories may have.
//!
//! Deliberately absent: the memories themselves, and how their maximum is lowered (see `inputs`).
//!
//! Invariant: a [`MemorySize`] is a whole number of pages, since a memory has nothing smaller.

use std::fmt;

use toml::Spanned as Node;
use toml::de::DeValue;

use super::Spanned;
use super::problems::{Problems, Table};
use super::{quantity, settings};

/// Bytes of a page, in which WebAssembly counts memory.
const PAGE: u64 = 64 << 10;

/// Least and most that `memory` may be: one page, and all that 32 bits address.
const BOUNDS: (u64, u64) = (PAGE, 4 << 30);

/// A size of a linear memory, in whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemorySize {
    pages: u64,
}

impl MemorySize {
    /// So many pages.
    pub fn of_pages(pages: u64) -> Self {
        Self { pages }
    }

    /// How many pages it is.
    pub fn pages(self) -> u64 {
        self.pages
    }

    /// How many bytes it is; a hostile module can declare more than there are numbers for.
    pub fn bytes(self) -> u64 {
        self.pages.saturating_mul(PAGE)
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quantity::written(self.bytes()))
    }
}

/// What `table` says of `memory`; the outer `None` is a problem that was added.
pub(super) fn read(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Option<Spanned<MemorySize>>> {
    let Some(value) = table.entries.get("memory") else { return Some(None) };
    let bytes = settings::size(problems, "`memory`", value, BOUNDS)?;
    if !bytes.is_multiple_of(PAGE) {
        refuse(bytes, value, problems);
        return None;
    }
    Some(Some(Spanned { value: MemorySize::of_pages(bytes / PAGE), span: value.span() }))
}

fn refuse(bytes: u64, value: &Node<DeValue<'_>>, problems: &mut Problems<'_>) {
    let because =
        format!("expected a multiple of `{}`, a page of WebAssembly memory", quantity::written(PAGE));
    let meant = quantity::written(bytes.next_multiple_of(PAGE));
    problems.refuse("`memory`", &quantity::written(bytes), because, Some(meant), &value.span());
}
