//! Files that wadoo writes: whole or not at all.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use wadoo_signing::report::{Exit, Report};

/// Permissions of what is written: the launcher refuses files that others may write, whatever the umask.
const MODE: u32 = 0o644;

/// Writes `bytes` to `folder/name` under a temporary name and renames it, so that no reader ever sees a
/// half-written file and a failure leaves nothing behind.
///
/// # Errors
///
/// The folder is missing or not writable, or the file system is full.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, Report> {
    let path = folder.join(name);
    let failed = |error: std::io::Error| failure(folder, &path, &error);
    if !folder.is_dir() {
        let report = Report::new(Exit::CouldNot, format!("cannot write `{}`", path.display()));
        return Err(if folder.exists() {
            report.because(format!("`{}` is not a folder", folder.display())).hint("name a folder with `-o`")
        } else {
            report
                .because(format!("the folder `{}` does not exist", folder.display()))
                .hint(format!("make it: `mkdir -p {}`", folder.display()))
        });
    }
    let mut file = tempfile::Builder::new().prefix(".wadoo-").tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    fs::set_permissions(file.path(), Permissions::from_mode(MODE)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(path)
}

fn failure(folder: &Path, path: &Path, error: &std::io::Error) -> Report {
    use std::io::ErrorKind;
    let exit = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Exit::HostResource,
        _ => Exit::CouldNot,
    };
    let report = Report::new(exit, format!("cannot write `{}`", path.display())).because(error.to_string());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            report.hint(format!("make room in `{}`, or name another folder with `-o`", folder.display()))
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            report.hint("name a folder that you may write with `-o`")
        }
        _ => report,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_is_named_and_nothing_is_made() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("absent");
        let report = write(&folder, "a.cwasm", b"x").unwrap_err();
        assert!(report.because[0].contains("does not exist"), "{report}");
        assert!(!folder.exists());
    }

    #[test]
    fn a_file_is_replaced_whole_and_readable_by_all() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "a", b"first").unwrap();
        let path = write(root.path(), "a", b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_name_that_cannot_be_written_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &"n".repeat(300), b"x").unwrap_err();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
