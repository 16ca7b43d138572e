//! Writes the streams of WASI 0.3 that the files of one part are read by. See `streams` in `wit/files.wit`.

wit_bindgen::generate!({
    path: "../wit",
    world: "writer",
    generate_all,
});

use exports::wadoo::files::streams::{DirectoryEntry, ErrorCode, Guest};
use wadoo::files::tree;
use wit_bindgen::{FutureReader, StreamReader};

/// What is read of the files at once.
const PIECE: u64 = 64 * 1024;

type Outcome = Result<(), ErrorCode>;

struct Writer;

export!(Writer);

impl Guest for Writer {
    async fn bytes(
        offset: u64,
        length: u64,
        failure: Option<ErrorCode>,
    ) -> (StreamReader<u8>, FutureReader<Outcome>) {
        let (mut writer, reader) = wit_stream::new();
        let (outcome, told) = wit_future::new(|| Ok(()));
        wit_bindgen::spawn_local(async move {
            let (mut at, end) = (offset, offset + length);
            while at < end {
                let piece = tree::read(at, PIECE.min(end - at) as u32);
                at += piece.len() as u64;
                // What is not taken is left by a reader that is gone.
                if !writer.write_all(piece).await.is_empty() {
                    break;
                }
            }
            drop(writer);
            tell(outcome, failure).await;
        });
        (reader, told)
    }

    async fn entries(
        entries: Vec<DirectoryEntry>,
        failure: Option<ErrorCode>,
    ) -> (StreamReader<DirectoryEntry>, FutureReader<Outcome>) {
        let (mut writer, reader) = wit_stream::new();
        let (outcome, told) = wit_future::new(|| Ok(()));
        wit_bindgen::spawn_local(async move {
            writer.write_all(entries).await;
            drop(writer);
            tell(outcome, failure).await;
        });
        (reader, told)
    }

    async fn refused(data: StreamReader<u8>, failure: ErrorCode) -> FutureReader<Outcome> {
        drop(data);
        let (outcome, told) = wit_future::new(|| Ok(()));
        wit_bindgen::spawn_local(tell(outcome, Some(failure)));
        told
    }
}

/// Whoever does not want to know is not told.
async fn tell(outcome: wit_bindgen::FutureWriter<Outcome>, failure: Option<ErrorCode>) {
    let _ = outcome.write(failure.map_or(Ok(()), Err)).await;
}
