//! A tree of files: what a recipe gives a part to read, and the artifact carries.
//!
//! Owns the attachment's one format and which paths there may be, for the composer that writes it and the launcher that serves
//! it. Deliberately absent: where the part sees it (the manifest says so) and whether the bytes may be believed: they are
//! decoded after their digest was compared with the signed one.
//!
//! ```text
//! "files\0\0\x01"                  name and version
//! u32                              number of files
//! each: u16, path; u64             length of the path, UTF-8; length of the file
//! the files                        one after the other
//! ```
//!
//! Numbers are little-endian. Invariant: a [`FileTree`] has its files in the byte order of their paths, each path is relative and in
//! its shortest form, and none is both a file and a folder; folders are there where files are, and nowhere else.

use std::collections::BTreeMap;

use thiserror::Error;

/// The kind of the attachment.
pub const FILES: u32 = 4;
/// Most files of a tree.
pub const MAX_FILES: usize = 10_000;
/// Greatest length of a file's path below the root of its tree, in bytes.
pub const MAX_FILE_PATH: usize = 1024;
/// Greatest length of one name in a path, in bytes: what file systems take.
pub const MAX_FILE_NAME: usize = 255;
/// Most names in a path.
pub const MAX_FILE_DEPTH: usize = 32;

const MAGIC: [u8; 8] = *b"files\0\0\x01";

/// Files by their paths, `css/site.css`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTree<'a> {
    files: BTreeMap<&'a str, &'a [u8]>,
}

/// Why there is no tree.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FileTreeError {
    /// It has more files than are read.
    #[error("it has {found} files, expected at most {MAX_FILES}")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// A path that no file may have.
    #[error("`{}` is no path of a file: {because}", path.escape_debug())]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        because: String,
    },
    /// It is no tree, or of another version.
    #[error("it does not begin as a tree of files of version 1 does")]
    Magic,
    /// It ends early, has more behind its end, or its files are not in order.
    #[error("it is damaged at byte {at}")]
    Damaged {
        /// Where that was seen.
        at: usize,
    },
}

impl<'a> FileTree<'a> {
    /// The tree of `files`.
    ///
    /// # Errors
    ///
    /// There are too many, or a path is none. See [`FileTreeError`].
    pub fn new(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, FileTreeError> {
        let files: BTreeMap<_, _> = files.into_iter().collect();
        if files.len() > MAX_FILES {
            return Err(FileTreeError::TooMany { found: files.len() });
        }
        for path in files.keys() {
            let wrong = |because| FileTreeError::Path { path: (*path).to_owned(), because };
            check_path(path).map_err(wrong)?;
            let mut folders = path.match_indices('/').map(|(at, _)| &path[..at]);
            if let Some(file) = folders.find(|folder| files.contains_key(folder)) {
                return Err(wrong(format!("`{file}` is a file")));
            }
        }
        Ok(Self { files })
    }

    /// The files in the byte order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.files.iter().map(|(path, bytes)| (*path, *bytes))
    }

    /// The bytes of the attachment.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((self.files.len() as u32).to_le_bytes());
        for (path, file) in self.files() {
            bytes.extend((path.len() as u16).to_le_bytes());
            bytes.extend(path.as_bytes());
            bytes.extend((file.len() as u64).to_le_bytes());
        }
        self.files.values().for_each(|file| bytes.extend_from_slice(file));
        bytes
    }

    /// Reads the bytes of an attachment. There is one encoding of a tree, and no other is accepted.
    ///
    /// # Errors
    ///
    /// See [`FileTreeError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FileTreeError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(FileTreeError::Magic);
        }
        let mut reader = Reader { bytes, at: MAGIC.len() };
        let count = u32::from_le_bytes(reader.array()?) as usize;
        if count > MAX_FILES {
            return Err(FileTreeError::TooMany { found: count });
        }
        let mut lengths: Vec<(&str, usize)> = Vec::new();
        for _ in 0..count {
            let length = u16::from_le_bytes(reader.array()?).into();
            let path = str::from_utf8(reader.take(length)?).map_err(|_| reader.damaged())?;
            if lengths.last().is_some_and(|(before, _)| *before >= path) {
                return Err(reader.damaged());
            }
            let length = u64::from_le_bytes(reader.array()?);
            lengths.push((path, usize::try_from(length).map_err(|_| reader.damaged())?));
        }
        let files = lengths.into_iter().map(|(path, length)| Ok((path, reader.take(length)?)));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        match reader.at == bytes.len() {
            true => Self::new(files),
            false => Err(reader.damaged()),
        }
    }
}

/// Lets through what is a path everywhere, and means the same everywhere.
fn check_path(path: &str) -> Result<(), String> {
    if path.len() > MAX_FILE_PATH {
        return Err(format!("it has {} bytes, expected at most {MAX_FILE_PATH}", path.len()));
    }
    let names = || path.split('/');
    if names().count() > MAX_FILE_DEPTH {
        return Err(format!("it has {} names, expected at most {MAX_FILE_DEPTH}", names().count()));
    }
    if let Some(long) = names().find(|name| name.len() > MAX_FILE_NAME) {
        return Err(format!("a name has {} bytes, expected at most {MAX_FILE_NAME}", long.len()));
    }
    if names().any(|name| matches!(name, "" | "." | "..")) {
        return Err("expected names between slashes, none of them `.` or `..`".to_owned());
    }
    match path.find(|c: char| c == '\\' || c.is_control()) {
        Some(_) => Err("expected no backslash and no control character".to_owned()),
        None => Ok(()),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn damaged(&self) -> FileTreeError {
        FileTreeError::Damaged { at: self.at }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FileTreeError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or(self.damaged())?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FileTreeError> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| self.damaged())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> FileTree<'static> {
        FileTree::new([
            ("index.html", &b"<p>"[..]),
            ("css/site.css", b"p {}"),
            ("css/empty", b""),
            ("css-of-old", b"x"),
        ])
        .expect("it is a tree")
    }

    #[test]
    fn a_tree_is_read_as_it_was_written() {
        let bytes = tree().encode();
        assert_eq!(FileTree::decode(&bytes), Ok(tree()));
        let paths: Vec<_> = tree().files().map(|(path, _)| path).collect();
        assert_eq!(paths, ["css-of-old", "css/empty", "css/site.css", "index.html"]);
        let empty = FileTree::default();
        assert_eq!(FileTree::decode(&empty.encode()), Ok(empty));
    }

    #[test]
    fn a_path_leads_to_a_file_below_the_root_and_has_one_spelling() {
        let refused = |path: &str| FileTree::new([(path, &b""[..])]).expect_err(path).to_string();
        let (long, deep) = (format!("{}/a", "a".repeat(256)), vec!["a"; 33].join("/"));
        let longer = vec!["a".repeat(255); 5].join("/");
        for path in
            ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a\\b", "a\0", "a\nb", &long, &deep, &longer]
        {
            assert!(refused(path).contains("is no path of a file: "), "{path}");
        }
        assert_eq!(
            refused("a/../b").split(": ").nth(1),
            Some("expected names between slashes, none of them `.` or `..`")
        );
        let both = FileTree::new([("a", &b""[..]), ("a.b", b""), ("a/b/c", b"")]).expect_err("a is both");
        assert_eq!(both.to_string(), "`a/b/c` is no path of a file: `a` is a file");
        let many: Vec<String> = (0..=MAX_FILES).map(|n| n.to_string()).collect();
        let many = FileTree::new(many.iter().map(|path| (path.as_str(), &b""[..])));
        assert_eq!(many.expect_err("too many").to_string(), "it has 10001 files, expected at most 10000");
    }

    #[test]
    fn there_is_one_encoding_of_a_tree() {
        let sound = tree().encode();
        for length in 0..sound.len() {
            FileTree::decode(&sound[..length]).expect_err("an end is missing");
        }
        FileTree::decode(&[&sound[..], b"\0"].concat()).expect_err("something follows");
        for (at, bit) in (0..sound.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << bit;
            if let Ok(other) = FileTree::decode(&bytes) {
                assert_eq!(other.encode(), bytes, "bit {bit} of byte {at}");
            }
        }
    }
}
