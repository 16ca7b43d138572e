//! Does in a preopened folder what it is told, `VERB FOLDER PATH`, and answers what came of it or the name of the error; on
//! WASI 0.3. It needs nothing of its host but files.

wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.3", "wit"],
    world: "test:walk/walk",
    generate_all,
});

use wasi::filesystem::preopens;
use wasi::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorType, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};
use wit_bindgen::StreamReader;

const FOLLOW: PathFlags = PathFlags::SYMLINK_FOLLOW;

struct Walk;

export!(Walk);

impl Guest for Walk {
    async fn walk(what: String) -> String {
        let mut words = what.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (verb, mount, path) = (word(), word(), word());
        act(verb, mount, path).await.unwrap_or_else(|error| name(&error))
    }
}

async fn act(verb: &str, mount: &str, path: &str) -> Result<String, ErrorCode> {
    if verb == "mounts" {
        let mounts: Vec<_> = preopens::get_directories().into_iter().map(|(_, path)| path).collect();
        return Ok(mounts.join(" "));
    }
    let folders = preopens::get_directories();
    let (folder, _) = folders.iter().find(|(_, at)| at == mount).ok_or(ErrorCode::NoDevice)?;
    let open = |open, flags| folder.open_at(FOLLOW, path.to_owned(), open, flags);
    let opened = || open(OpenFlags::empty(), DescriptorFlags::READ);
    let done = |()| "done".to_owned();
    Ok(match verb {
        "read" => String::from_utf8_lossy(&read(&opened().await?, 0).await?).into_owned(),
        "skip" => String::from_utf8_lossy(&read(&opened().await?, 3).await?).into_owned(),
        "end" => format!("{:?}", read(&opened().await?, 1 << 40).await?),
        "length" => read(&opened().await?, 0).await?.len().to_string(),
        // Whoever has read enough goes.
        "begin" => {
            let (mut bytes, end) = opened().await?.read_via_stream(0);
            let (_, begin) = bytes.read(Vec::with_capacity(3)).await;
            drop(bytes);
            end.await?;
            String::from_utf8_lossy(&begin).into_owned()
        }
        // The first is begun, and has to wait until all of the second is read.
        "twice" => {
            let (first, second) = (opened().await?, opened().await?);
            let ((one, end), (two, _)) = (first.read_via_stream(0), second.read_via_stream(1));
            let (two, one) = (two.collect().await.len(), one.collect().await.len());
            end.await?;
            format!("{one} {two}")
        }
        "list" => list(&opened().await?).await?,
        "stat" => {
            let by_path = folder.stat_at(FOLLOW, path.to_owned()).await?;
            let stat = opened().await?.stat().await?;
            assert_eq!((kind(by_path.type_), by_path.size), (kind(stat.type_.clone()), stat.size));
            format!("{} {}", kind(stat.type_), stat.size)
        }
        "flags" => format!("{:?}", opened().await?.get_flags().await?.bits()),
        "hash" => {
            let by_path = folder.metadata_hash_at(FOLLOW, path.to_owned()).await?;
            let hash = opened().await?.metadata_hash().await?;
            assert_eq!((by_path.lower, by_path.upper), (hash.lower, hash.upper));
            format!("{:x} {:x}", hash.lower, hash.upper)
        }
        "same" => {
            let (file, others) = (opened().await?, preopens::get_directories());
            let (open, flags) = (OpenFlags::empty(), DescriptorFlags::READ);
            let again = others[0].0.open_at(FOLLOW, path.to_owned(), open, flags).await?;
            format!("{} {}", file.is_same_object(&again).await, file.is_same_object(folder).await)
        }
        "directory" => opened_kind(open(OpenFlags::DIRECTORY, DescriptorFlags::READ).await?).await?,
        "invalid" => {
            let flags = OpenFlags::DIRECTORY | OpenFlags::TRUNCATE;
            opened_kind(open(flags, DescriptorFlags::READ).await?).await?
        }
        "write" => opened_kind(open(OpenFlags::empty(), DescriptorFlags::WRITE).await?).await?,
        "create" => opened_kind(open(OpenFlags::CREATE, DescriptorFlags::READ).await?).await?,
        "truncate" => opened_kind(open(OpenFlags::TRUNCATE, DescriptorFlags::READ).await?).await?,
        "synchronous" => {
            opened_kind(open(OpenFlags::empty(), DescriptorFlags::DATA_INTEGRITY_SYNC).await?).await?
        }
        "write-stream" => opened().await?.write_via_stream(text(), 0).await.map(done)?,
        "append-stream" => opened().await?.append_via_stream(text()).await.map(done)?,
        "resize" => opened().await?.set_size(0).await.map(done)?,
        "touch" => opened().await?.set_times(NewTimestamp::Now, NewTimestamp::Now).await.map(done)?,
        "touch-at" => {
            let (at, path) = (NewTimestamp::Now, path.to_owned());
            folder.set_times_at(FOLLOW, path, at, at).await.map(done)?
        }
        "sync" => opened().await?.sync().await.map(done)?,
        "make" => folder.create_directory_at(path.to_owned()).await.map(done)?,
        "remove" => folder.remove_directory_at(path.to_owned()).await.map(done)?,
        "delete" => folder.unlink_file_at(path.to_owned()).await.map(done)?,
        "rename" => folder.rename_at(path.to_owned(), folder, "new".to_owned()).await.map(done)?,
        "link" => {
            let flags = PathFlags::empty();
            folder.link_at(flags, path.to_owned(), folder, "new".to_owned()).await.map(done)?
        }
        "symlink" => folder.symlink_at("old".to_owned(), path.to_owned()).await.map(done)?,
        "readlink" => folder.readlink_at(path.to_owned()).await?,
        _ => "what?".to_owned(),
    })
}

async fn read(file: &Descriptor, offset: u64) -> Result<Vec<u8>, ErrorCode> {
    let (bytes, end) = file.read_via_stream(offset);
    let bytes = bytes.collect().await;
    end.await?;
    Ok(bytes)
}

async fn list(folder: &Descriptor) -> Result<String, ErrorCode> {
    let (entries, end) = folder.read_directory();
    let entries = entries.collect().await;
    end.await?;
    let lines = entries.into_iter().map(|entry| format!("{} {}", kind(entry.type_), entry.name));
    Ok(lines.collect::<Vec<_>>().join(", "))
}

async fn opened_kind(node: Descriptor) -> Result<String, ErrorCode> {
    Ok(kind(node.get_type().await?))
}

/// Nothing of it is taken.
fn text() -> StreamReader<u8> {
    let (_, reader) = wit_stream::new();
    reader
}

/// As 0.2 writes it.
fn name(error: &ErrorCode) -> String {
    let mut name = String::new();
    for letter in mischief::variant(&format!("{error:?}")).chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

fn kind(kind: DescriptorType) -> String {
    match kind {
        DescriptorType::Directory => "folder".to_owned(),
        DescriptorType::RegularFile => "file".to_owned(),
        other => format!("{other:?}"),
    }
}
