//! Does in a preopened folder what it is told, `VERB FOLDER PATH`, and answers what came of it or the name of the error; on
//! WASI 0.2. It needs nothing of its host but files.

wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.2", "wit"],
    world: "test:walk/walk",
    generate_all,
});

use wasi::filesystem::preopens;
use wasi::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorType, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};
use wasi::io::streams::{InputStream, StreamError};

const FOLLOW: PathFlags = PathFlags::SYMLINK_FOLLOW;

struct Walk;

export!(Walk);

impl Guest for Walk {
    fn walk(what: String) -> String {
        let mut words = what.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (verb, mount, path) = (word(), word(), word());
        act(verb, mount, path).unwrap_or_else(|error| error.name().to_owned())
    }
}

fn act(verb: &str, mount: &str, path: &str) -> Result<String, ErrorCode> {
    if verb == "mounts" {
        let mounts: Vec<_> = preopens::get_directories().into_iter().map(|(_, path)| path).collect();
        return Ok(mounts.join(" "));
    }
    let folders = preopens::get_directories();
    let (folder, _) = folders.iter().find(|(_, at)| at == mount).ok_or(ErrorCode::NoDevice)?;
    let open = |open, flags| folder.open_at(FOLLOW, path, open, flags);
    let opened = || open(OpenFlags::empty(), DescriptorFlags::READ);
    let done = |()| "done".to_owned();
    Ok(match verb {
        "read" => read(&opened()?.read_via_stream(0)?)?,
        "skip" => {
            let stream = opened()?.read_via_stream(1)?;
            stream.subscribe().block();
            let skipped = stream.skip(2).map_err(|_| ErrorCode::Io)?;
            format!("{skipped} {}", read(&stream)?)
        }
        "middle" => {
            let (bytes, end) = opened()?.read(3, 1)?;
            format!("{} {end}", String::from_utf8_lossy(&bytes))
        }
        "end" => format!("{:?}", opened()?.read(3, 1 << 40)?),
        "length" => opened()?.read_via_stream(0).and_then(|stream| length(&stream))?.to_string(),
        "list" => list(&opened()?)?,
        "stat" => {
            let (by_path, stat) = (folder.stat_at(FOLLOW, path)?, opened()?.stat()?);
            assert_eq!((by_path.type_, by_path.size), (stat.type_, stat.size));
            format!("{} {}", kind(stat.type_), stat.size)
        }
        "flags" => format!("{:?}", opened()?.get_flags()?.bits()),
        "hash" => {
            let (by_path, hash) = (folder.metadata_hash_at(FOLLOW, path)?, opened()?.metadata_hash()?);
            assert_eq!((by_path.lower, by_path.upper), (hash.lower, hash.upper));
            format!("{:x} {:x}", hash.lower, hash.upper)
        }
        "same" => {
            let (file, others) = (opened()?, preopens::get_directories());
            let again = others[0].0.open_at(FOLLOW, path, OpenFlags::empty(), DescriptorFlags::READ)?;
            format!("{} {}", file.is_same_object(&again), file.is_same_object(folder))
        }
        "directory" => kind(open(OpenFlags::DIRECTORY, DescriptorFlags::READ)?.get_type()?),
        "invalid" => {
            kind(open(OpenFlags::DIRECTORY | OpenFlags::TRUNCATE, DescriptorFlags::READ)?.get_type()?)
        }
        "write" => kind(open(OpenFlags::empty(), DescriptorFlags::WRITE)?.get_type()?),
        "create" => kind(open(OpenFlags::CREATE, DescriptorFlags::READ)?.get_type()?),
        "truncate" => kind(open(OpenFlags::TRUNCATE, DescriptorFlags::READ)?.get_type()?),
        "synchronous" => kind(open(OpenFlags::empty(), DescriptorFlags::DATA_INTEGRITY_SYNC)?.get_type()?),
        "overwrite" => opened()?.write(b"text", 0)?.to_string(),
        "write-stream" => opened()?.write_via_stream(0).map(|_| "a stream".to_owned())?,
        "append-stream" => opened()?.append_via_stream().map(|_| "a stream".to_owned())?,
        "resize" => opened()?.set_size(0).map(done)?,
        "touch" => opened()?.set_times(NewTimestamp::Now, NewTimestamp::Now).map(done)?,
        "touch-at" => folder.set_times_at(FOLLOW, path, NewTimestamp::Now, NewTimestamp::Now).map(done)?,
        "sync" => opened()?.sync().map(done)?,
        "make" => folder.create_directory_at(path).map(done)?,
        "remove" => folder.remove_directory_at(path).map(done)?,
        "delete" => folder.unlink_file_at(path).map(done)?,
        "rename" => folder.rename_at(path, folder, "new").map(done)?,
        "link" => folder.link_at(PathFlags::empty(), path, folder, "new").map(done)?,
        "symlink" => folder.symlink_at("old", path).map(done)?,
        "readlink" => folder.readlink_at(path)?,
        _ => "what?".to_owned(),
    })
}

fn read(stream: &InputStream) -> Result<String, ErrorCode> {
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(4) {
            Ok(more) => bytes.extend(more),
            Err(StreamError::Closed) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(_) => return Err(ErrorCode::Io),
        }
    }
}

fn length(stream: &InputStream) -> Result<usize, ErrorCode> {
    let mut length = 0;
    loop {
        match stream.read(u64::MAX) {
            Ok(more) => length += more.len(),
            Err(StreamError::Closed) => return Ok(length),
            Err(_) => return Err(ErrorCode::Io),
        }
    }
}

fn list(folder: &Descriptor) -> Result<String, ErrorCode> {
    let (stream, mut lines) = (folder.read_directory()?, Vec::new());
    while let Some(entry) = stream.read_directory_entry()? {
        lines.push(format!("{} {}", kind(entry.type_), entry.name));
    }
    Ok(lines.join(", "))
}

fn kind(kind: DescriptorType) -> String {
    match kind {
        DescriptorType::Directory => "folder".to_owned(),
        DescriptorType::RegularFile => "file".to_owned(),
        other => format!("{other:?}"),
    }
}
