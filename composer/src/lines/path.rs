//! A source file's path without the machine that it was compiled on.
//!
//! Deliberately absent: any look at a file system. What is left is decided by the text alone, so the same guest gives the
//! same paths wherever it is composed.

/// Folders at the beginning of an absolute path that are never told: `/home/ada`, `/root/shop`, `/Users/ada`.
const LEFT_OUT: usize = 2;

/// Names that are told of an absolute path at most, the file's included.
const TOLD: usize = 3;

/// The crates of Rust's standard library, by which its folder is known wherever it lies.
const STANDARD: [&str; 5] = ["alloc", "core", "panic_abort", "proc_macro", "std"];

/// The path that is told: `file` as the compiler wrote it, which is relative to `directory` unless it is absolute, as
/// that is to `compiled_in`.
///
/// - What lies in Rust's standard library begins with `library`, what lies in a crate from a registry or repository with
///   the crate's folder: `library/core/src/num/mod.rs`, `serde-1.0.219/src/de/mod.rs`.
/// - A path that is relative to where the compiler ran stays so: `src/lib.rs`.
/// - Any other loses its first two folders, and all but the last three names of what is left.
pub(super) fn told(compiled_in: &str, directory: &str, file: &str) -> String {
    let relative = if is_absolute(file) { vec![file] } else { vec![directory, file] };
    let absolute = relative.iter().rposition(|path| is_absolute(path));
    let written = names(&relative[absolute.unwrap_or(0)..]);
    let whole = match absolute {
        Some(_) => written.clone(),
        None => names(&[&[compiled_in], &relative[..]].concat()),
    };
    let told = match (known(&whole), absolute) {
        (Some(known), _) => known,
        (None, None) => &written,
        (None, Some(_)) => {
            let behind = whole.len().saturating_sub(1).min(LEFT_OUT);
            let last = whole.len().saturating_sub(TOLD);
            &whole[behind.max(last)..]
        }
    };
    told.join("/")
}

fn is_absolute(path: &str) -> bool {
    path.starts_with(['/', '\\']) || drive(path).is_some()
}

/// What follows `C:`.
fn drive(path: &str) -> Option<&str> {
    path.strip_prefix(|letter: char| letter.is_ascii_alphabetic())?.strip_prefix(':')
}

/// The names in joined paths, of Unix or of Windows.
fn names<'a>(paths: &[&'a str]) -> Vec<&'a str> {
    let mut names = Vec::new();
    for path in paths {
        for name in drive(path).unwrap_or(path).split(['/', '\\']) {
            match name {
                "" | "." => {}
                ".." if names.last().is_some_and(|last| *last != "..") => drop(names.pop()),
                name => names.push(name),
            }
        }
    }
    names
}

/// The end of a path that is the same on every machine.
fn known<'a, 'n>(names: &'a [&'n str]) -> Option<&'a [&'n str]> {
    let from = |length: usize, fits: fn(&[&str]) -> Option<usize>| {
        names.windows(length).enumerate().rev().find_map(|(at, window)| Some(at + fits(window)?))
    };
    let at = from(3, |window| match window {
        ["library", name, "src"] if STANDARD.contains(name) => Some(0),
        _ => None,
    });
    let at = at.or_else(|| {
        from(4, |window| match window {
            // `registry/src/index.crates.io-1949cf8c6b5b557f/serde-1.0.219`
            ["registry", "src", _, _] => Some(3),
            // `git/checkouts/wit-bindgen-e0b1c6e1f7d3f5a9/4a1b2c3`
            ["git", "checkouts", _, _] => Some(2),
            _ => None,
        })
    });
    names.get(at?..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_path_says_nothing_of_the_machine() {
        for (compiled_in, directory, file, expected) in [
            ("/home/ada/shop", "", "src/lib.rs", "src/lib.rs"),
            ("/home/ada/shop", "src", "lib.rs", "src/lib.rs"),
            ("/home/ada/shop", "./crates/cart//src/", "lib.rs", "crates/cart/src/lib.rs"),
            ("/home/ada/shop", "src/a/..", "./lib.rs", "src/lib.rs"),
            ("/home/ada/shop", "..", "common/a.c", "../common/a.c"),
            ("", "", "a.c", "a.c"),
            // Rust's own library, and crates of others: their own code, and what was put into another's.
            ("/x", "/rustc/0123abc/library/core/src/num", "mod.rs", "library/core/src/num/mod.rs"),
            (
                "/x",
                "/home/ada/.rustup/toolchains/stable/lib/rustlib/src/rust/library/std/src",
                "io.rs",
                "library/std/src/io.rs",
            ),
            (
                "/x",
                "/home/ada/.cargo/registry/src/index-1/serde-1.0.0",
                "src/de/mod.rs",
                "serde-1.0.0/src/de/mod.rs",
            ),
            ("/home/ada/.cargo/registry/src/index-1/serde-1.0.0", "src", "lib.rs", "serde-1.0.0/src/lib.rs"),
            ("/home/ada/.cargo/git/checkouts/wit-12ab/34cd", "src", "lib.rs", "wit-12ab/34cd/src/lib.rs"),
            // Any other absolute one.
            ("/x", "", "/home/ada/shop/guests/cart/src/main.c", "cart/src/main.c"),
            ("/x", "/home/ada/shop/src", "main.c", "shop/src/main.c"),
            ("/x", "/home/ada/shop", "main.c", "shop/main.c"),
            ("/x", "/home/ada", "main.c", "main.c"),
            ("/x", "/build", "main.c", "main.c"),
            ("/x", "", "/main.c", "main.c"),
            ("/x", "/", "", ""),
            (r"C:\Users\ada", r"C:\Users\ada\shop\src", "lib.rs", "shop/src/lib.rs"),
            (r"C:\Users\ada\shop", "src", r"pay\lib.rs", "src/pay/lib.rs"),
            ("/x", "/y", "C:/Users/ada/shop/lib.rs", "shop/lib.rs"),
        ] {
            assert_eq!(told(compiled_in, directory, file), expected, "{compiled_in} {directory} {file}");
        }
    }
}
