//! Provides `wasi:filesystem` of WASI 0.2 with the files of one part, which a generated component has, and `wasi:io` with the streams
//! that they are read by. Whatever would write is refused.

wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.2", "../wit", "wit"],
    world: "wadoo:files-02/provider",
    generate_all,
});

mod io;

use std::cell::RefCell;
use std::sync::OnceLock;
use std::vec::IntoIter;

use exports::wasi::filesystem::preopens;
use exports::wasi::filesystem::types::{
    self, Advice, DescriptorBorrow, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    ErrorBorrow, ErrorCode, Filesize, GuestDescriptor, GuestDirectoryEntryStream, InputStream,
    MetadataHashValue, NewTimestamp, OpenFlags, OutputStream, PathFlags,
};
use tree::{Error, File, MOST, Node, Opening, Tree};
use wadoo::files::tree as baked;

struct Provider;

export!(Provider);

/// The files, which never change.
fn tree() -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        let mounts = baked::mounts().into_iter().map(|mount| (mount.path, mount.files));
        let file = |file: baked::File| File { path: file.path, offset: file.offset, length: file.length };
        Tree::new(mounts, baked::files().into_iter().map(file).collect())
    })
}

impl preopens::Guest for Provider {
    fn get_directories() -> Vec<(preopens::Descriptor, String)> {
        let mounts = tree().mounts();
        mounts.map(|(node, path)| (types::Descriptor::new(Descriptor(node)), path.to_owned())).collect()
    }
}

impl types::Guest for Provider {
    type Descriptor = Descriptor;
    type DirectoryEntryStream = Entries;

    /// No stream of files fails.
    fn filesystem_error_code(_: ErrorBorrow<'_>) -> Option<ErrorCode> {
        None
    }
}

struct Descriptor(Node);

impl Descriptor {
    fn at(&self, path: &str) -> Result<Node, ErrorCode> {
        Ok(tree().resolve(self.0, path)?)
    }

    /// The answer to what would change something in a folder.
    fn change<T>(&self) -> Result<T, ErrorCode> {
        self.0.folder()?;
        Err(ErrorCode::ReadOnly)
    }

    /// The answer to what would change a file.
    fn write<T>(&self) -> Result<T, ErrorCode> {
        self.0.file()?;
        Err(ErrorCode::ReadOnly)
    }
}

impl GuestDescriptor for Descriptor {
    fn read_via_stream(&self, offset: Filesize) -> Result<InputStream, ErrorCode> {
        let file = self.0.file().map_err(|_| ErrorCode::IsDirectory)?;
        let (at, left) = tree().rest(file, offset);
        Ok(InputStream::new(io::Input::new(at, left)))
    }

    fn write_via_stream(&self, _: Filesize) -> Result<OutputStream, ErrorCode> {
        self.write()
    }

    fn append_via_stream(&self) -> Result<OutputStream, ErrorCode> {
        self.write()
    }

    fn advise(&self, _: Filesize, _: Filesize, _: Advice) -> Result<(), ErrorCode> {
        self.0.file()?;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), ErrorCode> {
        Ok(())
    }

    fn get_flags(&self) -> Result<DescriptorFlags, ErrorCode> {
        Ok(DescriptorFlags::READ)
    }

    fn get_type(&self) -> Result<DescriptorType, ErrorCode> {
        Ok(kind(self.0))
    }

    fn set_size(&self, _: Filesize) -> Result<(), ErrorCode> {
        self.write()
    }

    fn set_times(&self, _: NewTimestamp, _: NewTimestamp) -> Result<(), ErrorCode> {
        Err(ErrorCode::ReadOnly)
    }

    fn read(&self, length: Filesize, offset: Filesize) -> Result<(Vec<u8>, bool), ErrorCode> {
        let (at, left) = tree().rest(self.0.file()?, offset);
        let length = length.min(left).min(MOST);
        Ok((baked::read(at, length as u32), length == 0))
    }

    fn write(&self, _: Vec<u8>, _: Filesize) -> Result<Filesize, ErrorCode> {
        self.write()
    }

    fn read_directory(&self) -> Result<types::DirectoryEntryStream, ErrorCode> {
        let entries = tree().list(self.0)?.into_iter();
        Ok(types::DirectoryEntryStream::new(Entries(RefCell::new(entries))))
    }

    fn sync(&self) -> Result<(), ErrorCode> {
        Ok(())
    }

    fn create_directory_at(&self, _: String) -> Result<(), ErrorCode> {
        self.change()
    }

    fn stat(&self) -> Result<DescriptorStat, ErrorCode> {
        Ok(stat(self.0))
    }

    fn stat_at(&self, _: PathFlags, path: String) -> Result<DescriptorStat, ErrorCode> {
        Ok(stat(self.at(&path)?))
    }

    fn set_times_at(
        &self,
        _: PathFlags,
        _: String,
        _: NewTimestamp,
        _: NewTimestamp,
    ) -> Result<(), ErrorCode> {
        self.change()
    }

    fn link_at(
        &self,
        _: PathFlags,
        _: String,
        other: DescriptorBorrow<'_>,
        _: String,
    ) -> Result<(), ErrorCode> {
        self.0.folder()?;
        other.get::<Self>().change()
    }

    fn open_at(
        &self,
        _: PathFlags,
        path: String,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<types::Descriptor, ErrorCode> {
        let synchronous = DescriptorFlags::FILE_INTEGRITY_SYNC
            | DescriptorFlags::DATA_INTEGRITY_SYNC
            | DescriptorFlags::REQUESTED_WRITE_SYNC;
        let asked = |flag| open & flag != OpenFlags::empty();
        let opening = Opening {
            create: asked(OpenFlags::CREATE),
            directory: asked(OpenFlags::DIRECTORY),
            exclusive: asked(OpenFlags::EXCLUSIVE),
            truncate: asked(OpenFlags::TRUNCATE),
            write: flags & DescriptorFlags::WRITE != DescriptorFlags::empty(),
            synchronous: flags & synchronous != DescriptorFlags::empty(),
        };
        Ok(types::Descriptor::new(Self(tree().open(self.0, &path, &opening)?)))
    }

    fn readlink_at(&self, path: String) -> Result<String, ErrorCode> {
        Err(tree().read_link(self.0, &path).into())
    }

    fn remove_directory_at(&self, _: String) -> Result<(), ErrorCode> {
        self.change()
    }

    fn rename_at(&self, _: String, other: DescriptorBorrow<'_>, _: String) -> Result<(), ErrorCode> {
        self.0.folder()?;
        other.get::<Self>().change()
    }

    fn symlink_at(&self, _: String, _: String) -> Result<(), ErrorCode> {
        self.change()
    }

    fn unlink_file_at(&self, _: String) -> Result<(), ErrorCode> {
        self.change()
    }

    fn is_same_object(&self, other: DescriptorBorrow<'_>) -> bool {
        self.0 == other.get::<Self>().0
    }

    fn metadata_hash(&self) -> Result<MetadataHashValue, ErrorCode> {
        Ok(hash(self.0))
    }

    fn metadata_hash_at(&self, _: PathFlags, path: String) -> Result<MetadataHashValue, ErrorCode> {
        Ok(hash(self.at(&path)?))
    }
}

/// What is left to tell of a folder.
struct Entries(RefCell<IntoIter<(Node, &'static str)>>);

impl GuestDirectoryEntryStream for Entries {
    fn read_directory_entry(&self) -> Result<Option<DirectoryEntry>, ErrorCode> {
        let entry = self.0.borrow_mut().next();
        Ok(entry.map(|(node, name)| DirectoryEntry { type_: kind(node), name: name.to_owned() }))
    }
}

fn kind(node: Node) -> DescriptorType {
    match node {
        Node::Folder(_) => DescriptorType::Directory,
        Node::File(_) => DescriptorType::RegularFile,
    }
}

fn stat(node: Node) -> DescriptorStat {
    DescriptorStat {
        type_: kind(node),
        link_count: 1,
        size: tree().length(node),
        data_access_timestamp: None,
        data_modification_timestamp: None,
        status_change_timestamp: None,
    }
}

fn hash(node: Node) -> MetadataHashValue {
    let [lower, upper] = tree().hash(node);
    MetadataHashValue { lower, upper }
}

impl From<Error> for ErrorCode {
    fn from(error: Error) -> Self {
        match error {
            Error::BadDescriptor => Self::BadDescriptor,
            Error::Invalid => Self::Invalid,
            Error::IsDirectory => Self::IsDirectory,
            Error::NoEntry => Self::NoEntry,
            Error::NotDirectory => Self::NotDirectory,
            Error::NotPermitted => Self::NotPermitted,
            Error::ReadOnly => Self::ReadOnly,
            Error::Unsupported => Self::Unsupported,
        }
    }
}
