//! Reading a recipe's file: the only I/O of this module.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use wadoo_signing::report::{Exit, Report};

use super::source::SourceText;
use super::{Recipe, parse};

/// Greatest length of a recipe, in bytes.
pub const MAX_RECIPE_SIZE: u64 = 1 << 20;

/// Reads and parses the recipe in `path`.
///
/// # Errors
///
/// The file cannot be read, or everything that is wrong with it.
pub fn read(path: &Path) -> Result<Recipe, Vec<Report>> {
    let text = read_text(path).map_err(|report| vec![report])?;
    parse(&path.display().to_string(), text)
}

fn read_text(path: &Path) -> Result<String, Report> {
    let failed = |because: &str| {
        Report::new(Exit::CouldNot, format!("cannot read the recipe `{}`", path.display())).because(because)
    };
    let io_failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => failed("there is no such file")
            .hint("name the recipe's file, or the folder in which it is called `recipe.toml`"),
        io::ErrorKind::PermissionDenied => failed("this user may not read it"),
        _ => failed(&error.to_string()),
    };
    let metadata = fs::metadata(path).map_err(io_failed)?;
    if metadata.is_dir() {
        return Err(failed("it is a folder, expected a file")
            .hint(format!("name the file in it: `{}`", path.join("recipe.toml").display())));
    }
    // A pipe would wait for its writer, and a device may never end.
    if !metadata.is_file() {
        return Err(failed("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io_failed)?;
    file.take(MAX_RECIPE_SIZE + 1).read_to_end(&mut bytes).map_err(io_failed)?;
    if bytes.len() as u64 > MAX_RECIPE_SIZE {
        return Err(failed(&format!(
            "it is longer than {MAX_RECIPE_SIZE} bytes, the most that a recipe may have"
        )));
    }
    if bytes.starts_with(b"\0asm") {
        return Err(failed("it is WebAssembly, expected a recipe in TOML")
            .hint("write a recipe that names it: `[components.NAME]` with `path = \"….wasm\"`"));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(failed("it is UTF-16, expected UTF-8").hint("save it as UTF-8"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let place = SourceText::new(path.display().to_string(), text).place(&(at..at + 1));
        failed("it is not UTF-8").at(place).hint("save it as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> Report {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("recipe.toml");
        fs::write(&path, bytes).expect("written");
        let mut reports = read(&path).expect_err("refused");
        assert_eq!(reports.len(), 1, "{reports:?}");
        reports.remove(0)
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(refusal(b"\0asm\x0d\0\x01\0").because, ["it is WebAssembly, expected a recipe in TOML"]);
        assert_eq!(refusal(b"\xff\xfer\0").because, ["it is UTF-16, expected UTF-8"]);
        let broken = refusal(b"recipe = 1\na = \"\xe4\"\n");
        assert_eq!(broken.because, ["it is not UTF-8"]);
        assert_eq!(broken.place.map(|place| (place.line, place.column)), Some((2, 6)));
        let marked = refusal(b"\xef\xbb\xbfrecipe = 1\n");
        assert_eq!(marked.what, "the recipe begins with a byte order mark");
    }

    #[test]
    fn what_is_no_file_or_too_long_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let because = |path: &Path| read(path).expect_err("refused")[0].because.clone();
        assert_eq!(because(folder.path()), ["it is a folder, expected a file"]);
        assert_eq!(because(&folder.path().join("none.toml")), ["there is no such file"]);
        let long = vec![b' '; MAX_RECIPE_SIZE as usize + 1];
        assert!(refusal(&long).because[0].starts_with("it is longer than 1048576 bytes"));
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_is_refused_unread() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("recipe.toml");
        let _listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        assert_eq!(read(&path).expect_err("refused")[0].because, ["it is not a regular file"]);
    }
}
