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

/// Reads `path` relative to `folder`.
pub(super) fn read(folder: &Path, path: &Path) -> Result<Vec<u8>, InputError> {
    let file_path = folder.join(path);
    // Before opening: a pipe would block the open.
    let found = fs::metadata(&file_path).map_err(|error| explain(error, &file_path, path))?;
    if found.is_dir() {
        return Err(InputError::Directory);
    }
    if !found.is_file() {
        return Err(InputError::NotRegular);
    }
    if found.len() > MAX_COMPONENT_SIZE {
        return Err(InputError::TooLarge { size: found.len() });
    }
    let mut bytes = Vec::with_capacity(found.len() as usize);
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

fn explain(error: io::Error, file: &Path, written: &Path) -> InputError {
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
    let mut names: Vec<String> = fs::read_dir(folder)
        .ok()?
        .take(MAX_GUESSES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".wasm"))
        .collect();
    names.sort();
    let name = nearest(word, names.iter().map(String::as_str))?;
    Some(written.with_file_name(name).display().to_string())
}
