//! Files that wadoo writes: whole or not at all, and only after everything that can refuse them has not.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use tempfile::NamedTempFile;
use wadoo_signing::report::{Exit, Report, shell, system_words};

/// Permissions of what is written: the launcher refuses files that others may write, whatever the umask.
const MODE: u32 = 0o644;

/// A complete file that does not have its name yet. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Staged {
    file: NamedTempFile,
    path: PathBuf,
}

/// Checks that `folder` is one, and that this user may write to it.
///
/// # Errors
///
/// It is missing, or something else, or not writable.
pub fn check_folder(folder: &Path) -> Result<(), Report> {
    if folder.is_dir() {
        return access(folder, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| failure(folder, &error.into()));
    }
    let report = Report::new(Exit::CouldNot, format!("cannot write to `{}`", folder.display()));
    Err(if folder.exists() {
        report.because("it is not a folder").hint("name a folder")
    } else {
        report
            .because(format!("the folder `{}` does not exist", folder.display()))
            .hint(format!("make it: `mkdir -p {}`", shell(folder)))
    })
}

/// Writes `bytes` beside where they will be, `folder/name`, under a temporary name.
///
/// # Errors
///
/// The folder is missing or not writable, or the file system is full.
pub fn stage(folder: &Path, name: impl AsRef<OsStr>, bytes: &[u8]) -> Result<Staged, Report> {
    check_folder(folder)?;
    let path = folder.join(name.as_ref());
    let written = tempfile::Builder::new().prefix(".wadoo-").tempfile_in(folder).and_then(|mut file| {
        file.write_all(bytes)?;
        file.as_file().set_permissions(Permissions::from_mode(MODE))?;
        Ok(file)
    });
    match written {
        Ok(file) => Ok(Staged { file, path }),
        Err(error) => Err(failure(&path, &error)),
    }
}

impl Staged {
    /// Where the bytes are now.
    pub fn file(&self) -> &Path {
        self.file.path()
    }

    /// Waits until the disk has the bytes, which [`commit`](Self::commit) does as well: for one who has something else to do
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// The file system is full, or the disk fails.
    pub fn flush(&self) -> Result<(), Report> {
        self.file.as_file().sync_all().map_err(|error| failure(&self.path, &error))
    }

    /// Gives the file its name, in place of one that had it, when the disk has its bytes, and returns it.
    ///
    /// # Errors
    ///
    /// Those of [`flush`](Self::flush), or the name cannot be given: a folder has it, or it is too long.
    pub fn commit(self) -> Result<PathBuf, Report> {
        self.flush()?;
        let Self { file, path } = self;
        match file.persist(&path) {
            Ok(_) => Ok(path),
            Err(error) => Err(failure(&path, &error.error)),
        }
    }
}

/// Writes a file at once.
///
/// # Errors
///
/// Those of [`stage`] and [`Staged::commit`].
pub fn write(folder: &Path, name: impl AsRef<OsStr>, bytes: &[u8]) -> Result<PathBuf, Report> {
    stage(folder, name, bytes)?.commit()
}

fn failure(path: &Path, error: &io::Error) -> Report {
    let full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let exit = if full { Exit::HostResource } else { Exit::CouldNot };
    let report = Report::new(exit, format!("cannot write `{}`", path.display())).because(system_words(error));
    match error.kind() {
        _ if full => report.hint("make room, or choose another folder"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            report.hint("choose a folder that you may write to")
        }
        ErrorKind::IsADirectory => report.hint("remove that folder, or choose another one to write to"),
        _ => report,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
    fn what_is_not_committed_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        drop(stage(root.path(), "a", b"x").unwrap());
        write(root.path(), "n".repeat(300), b"x").unwrap_err();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
