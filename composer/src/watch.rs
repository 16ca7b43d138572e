//! Waiting for a change of the files that a composition was made from.
//!
//! Folders are watched, not files: editors and compilers replace a file by a rename, and a watched inode would
//! be the one that went away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use wadoo_signing::report::{Exit, Report};

/// A change is over when nothing more happened for so long: a compiler writes a file in many pieces.
const QUIET: Duration = Duration::from_millis(80);

/// A watch over some files.
pub struct Watch {
    watcher: RecommendedWatcher,
    events: Receiver<notify::Result<notify::Event>>,
    folders: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
}

impl Watch {
    /// Starts to watch `files`.
    ///
    /// # Errors
    ///
    /// The system watches no more files.
    pub fn start(files: &[PathBuf]) -> Result<Self, Report> {
        let (sender, events) = mpsc::channel();
        let watcher = notify::recommended_watcher(sender).map_err(|error| failed(&error))?;
        let mut watch = Self { watcher, events, folders: BTreeSet::new(), files: BTreeSet::new() };
        watch.follow(files)?;
        Ok(watch)
    }

    /// Watches `files` from now on, and no others.
    ///
    /// # Errors
    ///
    /// The system watches no more files.
    pub fn follow(&mut self, files: &[PathBuf]) -> Result<(), Report> {
        self.files = files.iter().map(|file| absolute(file)).collect();
        let folders: BTreeSet<PathBuf> =
            self.files.iter().filter_map(|file| file.parent()).map(Path::to_owned).collect();
        for gone in self.folders.difference(&folders) {
            // A folder that was removed is not watched any more anyway.
            let _ = self.watcher.unwatch(gone);
        }
        for new in folders.difference(&self.folders) {
            self.watcher.watch(new, RecursiveMode::NonRecursive).map_err(|error| failed(&error))?;
        }
        self.folders = folders;
        Ok(())
    }

    /// Waits until one of the files changed and all is quiet again. `false` if nothing will ever change any
    /// more.
    pub fn changed(&self) -> bool {
        loop {
            let Ok(event) = self.events.recv() else { return false };
            if self.concerns(&event) {
                break;
            }
        }
        loop {
            match self.events.recv_timeout(QUIET) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn concerns(&self, event: &notify::Result<notify::Event>) -> bool {
        match event {
            Ok(event) if event.kind.is_access() => false,
            Ok(event) => event.paths.iter().any(|path| self.files.contains(path)),
            // What was lost may have been ours.
            Err(_) => true,
        }
    }
}

/// The path that events name: absolute, through no link.
fn absolute(file: &Path) -> PathBuf {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    file.file_name().map_or(folder.clone(), |name| folder.join(name))
}

fn failed(error: &notify::Error) -> Report {
    Report::new(Exit::HostResource, "cannot watch the inputs for changes")
        .because(error.to_string())
        .hint("raise the limit: `sysctl fs.inotify.max_user_watches`")
}
