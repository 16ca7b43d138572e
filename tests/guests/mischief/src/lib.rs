//! What the hostile guests of both versions of WASI share: reading a target, and the deeds that need no host.

use std::hint::black_box;

const MIB: usize = 1 << 20;

/// At most the size of a page of the machine.
const PAGE: usize = 4096;

/// `/path?name=value&…`
pub struct Target<'a> {
    /// Up to the `?`.
    pub path: &'a str,
    query: &'a str,
}

impl<'a> Target<'a> {
    /// Reads what follows the authority in a URL.
    pub fn new(text: &'a str) -> Self {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        Self { path, query }
    }

    /// A parameter as it was written.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// A number, or `otherwise`.
    pub fn number(&self, name: &str, otherwise: u64) -> u64 {
        self.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    }
}

/// `http://authority/path`, in parts.
pub struct Url<'a> {
    /// `https`, not `http`.
    pub https: bool,
    /// `host:port`
    pub authority: &'a str,
    /// With its query.
    pub path: &'a str,
}

impl<'a> Url<'a> {
    /// Reads an absolute URL; `None` where it has no scheme that HTTP knows.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (https, rest) = match text.split_once("://")? {
            ("http", rest) => (false, rest),
            ("https", rest) => (true, rest),
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Some(Self { https, authority, path: if path.is_empty() { "/" } else { path } })
    }
}

/// The name of an error code without its values, from its debug text `ErrorCode::Name(…)`.
pub fn variant(debug: &str) -> &str {
    let name = debug.strip_prefix("ErrorCode::").unwrap_or(debug);
    &name[..name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len())]
}

/// Never returns and never calls the host.
pub fn spin() -> ! {
    let mut turns: u64 = 0;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Overflows the stack.
#[inline(never)]
#[expect(unconditional_recursion, reason = "this is the deed")]
pub fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 8]);
    black_box(recurse(depth + 1)) + frame[0]
}

/// Traps.
pub fn trap() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    std::process::abort();
}

/// Takes so much memory and touches each page of it, and says how it went.
pub fn hog(mib: u64) -> String {
    let mut memory: Vec<u8> = Vec::new();
    let size = usize::try_from(mib).ok().and_then(|mib| mib.checked_mul(MIB));
    match size.map(|size| memory.try_reserve_exact(size)) {
        Some(Ok(())) => {}
        _ => return format!("denied {mib} MiB\n"),
    }
    memory.resize(memory.capacity(), 0);
    for page in memory.chunks_mut(PAGE) {
        page[0] = black_box(1);
    }
    black_box(&memory);
    format!("touched {mib} MiB\n")
}

/// So many KiB of lines of text.
pub fn lines(kib: u64) -> String {
    const LINE: &str = "a line that says nothing, of which there are very many: 64 byte\n";
    LINE.repeat(usize::try_from(kib).unwrap_or(0).saturating_mul(1024 / LINE.len()))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
