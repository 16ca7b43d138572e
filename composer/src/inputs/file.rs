//! Reading one file under a limit.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::error::InputError;
use crate::interfaces::nearest;

/// The largest component that is read. Language runtimes bring 20 MB; ten times that is a mistake.
pub const MAX_COMPONENT_SIZE: u64 = 256 << 20;

/// Entries of a folder that are looked at to guess what a missing file's name should have been.
const MAX_GUESSES: usize = 1000;

/// `errno` of a path with too many symbolic links; `std` has no stable kind for it.
#[cfg(target_os = "linux")]
const ELOOP: i32 = 40;
#[cfg(not(target_os = "linux"))]
const ELOOP: i32 = 62;

/// Checks that `path`, relative to `folder`, is a regular file, and gives its length.
pub(super) fn check(folder: &Path, path: &Path) -> Result<u64, InputError> {
    let file_path = folder.join(path);
    let found = fs::metadata(&file_path).map_err(|error| explain(error, &file_path, path))?;
    if found.is_dir() {
        return Err(InputError::Directory);
    }
    if !found.is_file() {
        return Err(InputError::NotRegular);
    }
    Ok(found.len())
}

/// Reads `path` relative to `folder`.
pub(super) fn read(folder: &Path, path: &Path) -> Result<Vec<u8>, InputError> {
    // Before opening: a pipe would block the open.
    let size = check(folder, path)?;
    if size > MAX_COMPONENT_SIZE {
        return Err(InputError::TooLarge { size });
    }
    let file_path = folder.join(path);
    let mut bytes = Vec::with_capacity(size as usize);
    let file = File::open(&file_path).map_err(|error| explain(error, &file_path, path))?;
    // The file may grow while it is read.
    file.take(MAX_COMPONENT_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| explain(error, &file_path, path))?;
    if bytes.len() as u64 > MAX_COMPONENT_SIZE {
        return Err(InputError::TooLarge { size: bytes.len() as u64 });
    }
    Ok(bytes)
}

/// Why `file`, which the recipe calls `written`, cannot be read.
pub(super) fn explain(error: io::Error, file: &Path, written: &Path) -> InputError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            let folder = file.parent().unwrap_or(Path::new("."));
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            InputError::Missing { near: near(folder, written), folder_missing: !folder.is_dir() }
        }
        ErrorKind::PermissionDenied => InputError::Permission,
        _ if error.raw_os_error() == Some(ELOOP) => InputError::SymlinkLoop,
        _ => InputError::Io(error),
    }
}

/// The path, as the recipe would write it, of the file beside the missing one whose name is nearest.
fn near(folder: &Path, written: &Path) -> Option<String> {
    let word = written.file_name()?.to_str()?;
    let of_its_kind = |name: &String| Path::new(name).extension() == written.extension();
    let mut names: Vec<String> = fs::read_dir(folder)
        .ok()?
        .take(MAX_GUESSES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(of_its_kind)
        .collect();
    names.sort();
    let name = nearest(word, names.iter().map(String::as_str))?;
    Some(written.with_file_name(name).display().to_string())
}
