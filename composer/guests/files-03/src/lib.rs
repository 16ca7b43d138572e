//! Provides `wasi:filesystem` of WASI 0.3 with the files of one part, which a generated component has. Whatever would write is refused.
//!
//! No call waits for anything, so all are synchronous, and another instance writes the streams: see `streams` in `wit/files.wit`.

wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.3", "../wit", "wit"],
    world: "wadoo:files-03/provider",
    generate_all,
    // What is told of by `streams` is what WASI says.
    merge_structurally_equal_types: true,
    sync: [
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.advise",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.sync-data",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.get-flags",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.get-type",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.set-size",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.set-times",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.sync",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.create-directory-at",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.stat",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.stat-at",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.set-times-at",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.link-at",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.open-at",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.readlink-at",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.remove-directory-at",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.rename-at",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.symlink-at",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.unlink-file-at",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.is-same-object",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.metadata-hash",
        "export:wasi:filesystem/types@0.3.0#[method]descriptor.metadata-hash-at",
    ],
});

use std::sync::OnceLock;

use exports::wasi::filesystem::preopens;
use exports::wasi::filesystem::types::{
    self, Advice, DescriptorBorrow, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    ErrorCode, Filesize, GuestDescriptor, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use tree::{Error, File, Node, Opening, Tree};
use wadoo::files::{streams, tree as baked};
use wit_bindgen::{FutureReader, StreamReader, block_on};

type Outcome = Result<(), ErrorCode>;

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
    fn read_via_stream(&self, offset: Filesize) -> (StreamReader<u8>, FutureReader<Outcome>) {
        let (at, left, failure) = match self.0.file() {
            Ok(file) => {
                let (at, left) = tree().rest(file, offset);
                (at, left, None)
            }
            Err(_) => (0, 0, Some(ErrorCode::IsDirectory)),
        };
        block_on(streams::bytes(at, left, failure))
    }

    fn write_via_stream(&self, data: StreamReader<u8>, _: Filesize) -> FutureReader<Outcome> {
        self.append_via_stream(data)
    }

    fn append_via_stream(&self, data: StreamReader<u8>) -> FutureReader<Outcome> {
        let failure = self.0.file().map_or_else(ErrorCode::from, |_| ErrorCode::ReadOnly);
        block_on(streams::refused(data, failure))
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

    fn read_directory(&self) -> (StreamReader<DirectoryEntry>, FutureReader<Outcome>) {
        let (entries, failure) = match tree().list(self.0) {
            Ok(entries) => (entries, None),
            Err(error) => (Vec::new(), Some(error.into())),
        };
        let entry = |(node, name): (Node, &str)| DirectoryEntry { type_: kind(node), name: name.to_owned() };
        block_on(streams::entries(entries.into_iter().map(entry).collect(), failure))
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
