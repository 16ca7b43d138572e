//! A read-only tree of files: what is where, and what a path leads to. It answers as wasmtime does for a folder of the
//! system, apart from writing.
//!
//! There are files alone. A folder is what files have in common at the beginning of their paths, so all of a folder's stand
//! behind each other where paths are in byte order.

/// More is given by no single read, whatever is asked for.
pub const MOST: u64 = 64 * 1024;

/// Why something cannot be done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Error {
    BadDescriptor,
    Invalid,
    IsDirectory,
    NoEntry,
    NotDirectory,
    NotPermitted,
    ReadOnly,
    Unsupported,
}

/// A file, its path below its mount.
pub struct File {
    pub path: String,
    pub offset: u64,
    pub length: u64,
}

/// All files of a part. Those of a mount stand behind each other, in byte order of their paths.
pub struct Tree {
    mounts: Vec<(String, Folder)>,
    files: Vec<File>,
}

/// What a descriptor stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Node {
    Folder(Folder),
    /// Its place among the files.
    File(usize),
}

/// The files of a mount, those from `first` to `end`, whose paths begin with the same `depth` bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Folder {
    mount: usize,
    first: usize,
    end: usize,
    depth: usize,
}

/// What `open-at` is asked for, apart from the path.
pub struct Opening {
    pub create: bool,
    pub directory: bool,
    pub exclusive: bool,
    pub truncate: bool,
    pub write: bool,
    /// One of the flags that ask for reads or writes to be synchronous.
    pub synchronous: bool,
}

impl Tree {
    /// `mounts` are paths with the number of their files.
    pub fn new(mounts: impl IntoIterator<Item = (String, u32)>, files: Vec<File>) -> Self {
        let mut end = 0;
        let mounts = mounts.into_iter().enumerate().map(|(mount, (path, count))| {
            let first = end;
            end += count as usize;
            (path, Folder { mount, first, end, depth: 0 })
        });
        Self { mounts: mounts.collect(), files }
    }

    /// The folders that the part is given, each with where it sees it.
    pub fn mounts(&self) -> impl Iterator<Item = (Node, &str)> {
        self.mounts.iter().map(|(path, folder)| (Node::Folder(*folder), path.as_str()))
    }

    pub fn open(&self, base: Node, path: &str, opening: &Opening) -> Result<Node, Error> {
        base.folder()?;
        if opening.synchronous {
            return Err(Error::Unsupported);
        }
        if opening.directory && (opening.create || opening.exclusive || opening.truncate) {
            return Err(Error::Invalid);
        }
        if opening.create || opening.truncate || opening.write {
            return Err(Error::ReadOnly);
        }
        let node = self.resolve(base, path)?;
        if opening.directory {
            node.folder()?;
        }
        Ok(node)
    }

    /// What `path` leads to. It never leads out of `base`.
    pub fn resolve(&self, base: Node, path: &str) -> Result<Node, Error> {
        let mut at = Node::Folder(base.folder()?);
        if path.is_empty() {
            return Err(Error::NoEntry);
        }
        if path.contains('\0') {
            return Err(Error::Invalid);
        }
        if path.starts_with('/') {
            return Err(Error::NotPermitted);
        }
        let mut above = Vec::new();
        for name in path.split('/') {
            let folder = at.folder()?;
            match name {
                "" | "." => {}
                ".." => at = Node::Folder(above.pop().ok_or(Error::NotPermitted)?),
                _ => {
                    at = self.child(folder, name).ok_or(Error::NoEntry)?;
                    above.push(folder);
                }
            }
        }
        Ok(at)
    }

    /// A path that is there is no link.
    pub fn read_link(&self, base: Node, path: &str) -> Error {
        self.resolve(base, path).err().unwrap_or(Error::Invalid)
    }

    /// What is directly in a folder, by name.
    pub fn list(&self, node: Node) -> Result<Vec<(Node, &str)>, Error> {
        let folder = node.folder()?;
        let (mut entries, mut at) = (Vec::new(), folder.first);
        while at < folder.end {
            let rest = &self.files[at].path[folder.depth..];
            let (child, name) = match rest.split_once('/') {
                None => (Node::File(at), rest),
                Some((name, _)) => (Node::Folder(self.below(folder, name)), name),
            };
            entries.push((child, name));
            at = match child {
                Node::File(at) => at + 1,
                Node::Folder(child) => child.end,
            };
        }
        Ok(entries)
    }

    pub fn length(&self, node: Node) -> u64 {
        match node {
            Node::Folder(_) => 0,
            Node::File(index) => self.files[index].length,
        }
    }

    /// Where the bytes of a file are from `offset` on, and how many there are.
    pub fn rest(&self, file: usize, offset: u64) -> (u64, u64) {
        let file = &self.files[file];
        let offset = offset.min(file.length);
        (file.offset + offset, file.length - offset)
    }

    /// 128 bits that differ between what is not the same: of the path as the part sees it, and the length.
    pub fn hash(&self, node: Node) -> [u64; 2] {
        let (mount, path) = match node {
            Node::Folder(folder) => {
                // A mount without files has nothing that a path could be read from.
                let path = self.files.get(folder.first).map_or("", |file| &file.path[..folder.depth]);
                (folder.mount, path)
            }
            Node::File(index) => {
                let mount = self.mounts.iter().position(|(_, folder)| index < folder.end);
                (mount.unwrap_or_default(), self.files[index].path.as_str())
            }
        };
        let length = self.length(node).to_le_bytes();
        // Two of FNV-1a, which begin differently.
        [0xcbf2_9ce4_8422_2325, 0x6c62_272e_07bb_0142].map(|start| {
            let bytes = self.mounts[mount].0.bytes().chain([0]).chain(path.bytes()).chain(length);
            bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        })
    }

    fn child(&self, folder: Folder, name: &str) -> Option<Node> {
        let files = &self.files[folder.first..folder.end];
        if let Ok(at) = files.binary_search_by(|file| file.path[folder.depth..].cmp(name)) {
            return Some(Node::File(folder.first + at));
        }
        let below = self.below(folder, name);
        (below.first < below.end).then_some(Node::Folder(below))
    }

    /// The files whose paths go on with `name/`.
    fn below(&self, folder: Folder, name: &str) -> Folder {
        let files = &self.files[folder.first..folder.end];
        // `0` is what follows the slash.
        let before = |file: &File, next: u8| {
            let rest = &file.path.as_bytes()[folder.depth..];
            rest.iter().copied().lt(name.bytes().chain([next]))
        };
        Folder {
            first: folder.first + files.partition_point(|file| before(file, b'/')),
            end: folder.first + files.partition_point(|file| before(file, b'/' + 1)),
            depth: folder.depth + name.len() + 1,
            ..folder
        }
    }
}

impl Node {
    pub fn folder(self) -> Result<Folder, Error> {
        match self {
            Self::Folder(folder) => Ok(folder),
            Self::File(_) => Err(Error::NotDirectory),
        }
    }

    /// The place of a file, where only a file can be meant.
    pub fn file(self) -> Result<usize, Error> {
        match self {
            Self::Folder(_) => Err(Error::BadDescriptor),
            Self::File(index) => Ok(index),
        }
    }
}
