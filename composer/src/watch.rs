//! Waiting for a change of the files that a composition was made from.
//!
//! Folders are watched, not files: editors and compilers replace a file by a rename, and a watched inode would
//! be the one that went away. A file behind a link is watched in both places.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};
use wadoo_signing::report::{Exit, Report};

use crate::inputs::Watched;

/// A change is over when nothing more happened to the files for so long: a compiler writes one in many pieces.
const QUIET: Duration = Duration::from_millis(80);
/// A change is taken up after so long even if it does not end.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// A watch over some files.
pub struct Watch {
    watcher: RecommendedWatcher,
    events: Receiver<notify::Result<notify::Event>>,
    /// What the system watches.
    folders: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
    /// Folders of which every file counts that is not hidden.
    whole: BTreeSet<PathBuf>,
    /// Folders of which every file counts.
    carried: BTreeSet<PathBuf>,
}

impl Watch {
    /// Starts to watch `inputs`.
    ///
    /// # Errors
    ///
    /// The system watches no more files.
    pub fn start(inputs: &Watched) -> Result<Self, Report> {
        let (sender, events) = mpsc::channel();
        let watcher = notify::recommended_watcher(sender).map_err(|error| failed(&error))?;
        let none = BTreeSet::new;
        let mut watch =
            Self { watcher, events, folders: none(), files: none(), whole: none(), carried: none() };
        watch.follow(inputs)?;
        Ok(watch)
    }

    /// Watches `inputs` from now on, and nothing else. A file whose folder is missing is waited for where that
    /// folder would be.
    ///
    /// # Errors
    ///
    /// The system watches no more files; those that it does are watched.
    pub fn follow(&mut self, inputs: &Watched) -> Result<(), Report> {
        // A folder is a file of the folder that it is in: it may be made or replaced itself.
        let named = inputs.files.iter().chain(&inputs.folders).chain(&inputs.carried);
        self.files = named.flat_map(|file| watched(file)).collect();
        self.whole = inputs.folders.iter().filter_map(|folder| whole(folder)).collect();
        self.carried = inputs.carried.iter().filter_map(|folder| whole(folder)).collect();
        let parents = self.files.iter().filter_map(|file| file.parent());
        let folders: BTreeSet<PathBuf> =
            parents.map(Path::to_owned).chain(self.whole.union(&self.carried).cloned()).collect();
        for gone in self.folders.difference(&folders).cloned().collect::<Vec<_>>() {
            // A folder that was removed is not watched any more anyway.
            let _ = self.watcher.unwatch(&gone);
            self.folders.remove(&gone);
        }
        let mut result = Ok(());
        for new in folders {
            if self.folders.contains(&new) {
                continue;
            }
            match self.watcher.watch(&new, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(new)),
                Err(error) => result = Err(failed(&error)),
            }
        }
        result
    }

    /// Waits until one of the files changed and is quiet again. `false` if nothing will ever change any more.
    pub fn changed(&self) -> bool {
        loop {
            let Ok(event) = self.events.recv() else { return false };
            if self.concerns(&event) {
                break;
            }
        }
        let begin = Instant::now();
        let mut last = begin;
        loop {
            let quiet = QUIET.saturating_sub(last.elapsed()).min(MAX_WAIT.saturating_sub(begin.elapsed()));
            match self.events.recv_timeout(quiet) {
                Ok(event) if self.concerns(&event) => last = Instant::now(),
                Ok(_) if last.elapsed() < QUIET && begin.elapsed() < MAX_WAIT => {}
                Ok(_) | Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn is_in_whole(&self, path: &Path) -> bool {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        path.parent()
            .is_some_and(|folder| self.carried.contains(folder) || !hidden && self.whole.contains(folder))
    }

    fn concerns(&self, event: &notify::Result<notify::Event>) -> bool {
        match event {
            Ok(event) if event.kind.is_access() => false,
            Ok(event) => event.paths.iter().any(|path| self.files.contains(path) || self.is_in_whole(path)),
            // What was lost may have been ours.
            Err(_) => true,
        }
    }
}

/// A folder as events name it, if it is there.
fn whole(folder: &Path) -> Option<PathBuf> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    folder.canonicalize().ok().filter(|folder| folder.is_dir())
}

/// The paths whose events concern a file, as events name them: itself in its folder, what it is a link to, and,
/// where its folder is missing, the missing folder.
fn watched(file: &Path) -> Vec<PathBuf> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut paths: Vec<PathBuf> = file
        .ancestors()
        .find_map(|path| {
            let folder = path.parent()?.canonicalize().ok()?;
            Some(folder.join(path.file_name()?))
        })
        .into_iter()
        .collect();
    paths.extend(file.canonicalize().ok());
    paths
}

fn failed(error: &notify::Error) -> Report {
    let report =
        Report::new(Exit::HostResource, "cannot watch the inputs for changes").because(error.to_string());
    match error.kind {
        ErrorKind::MaxFilesWatch => {
            report.hint("raise the limit: `sysctl -w fs.inotify.max_user_watches=524288`")
        }
        _ => report,
    }
}
