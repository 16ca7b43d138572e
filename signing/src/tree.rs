//! BLAKE3 on several threads.
//!
//! Owns how a payload is divided and how the halves of the tree come together again; the hashing itself is the `blake3`
//! crate's. Deliberately absent: a pool of threads. `rayon` starts one for the call, and the caller waits beside it; here
//! the caller is one of the threads, which a start of the launcher feels.
//!
//! Invariant: the result is `blake3::hash` of the same bytes, whatever the number of threads.

use std::sync::{Mutex, PoisonError};
use std::thread;

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

/// What a thread takes at a time. A power of two of BLAKE3's chunks, so that every piece is a subtree; small enough
/// that the threads finish together.
pub(crate) const PIECE: usize = 1 << 20;

/// The hash of `bytes`, made by at most so many threads, this one included. Where no thread can be started, this one
/// must do.
pub(crate) fn hash(bytes: &[u8], threads: usize) -> [u8; 32] {
    let count = bytes.len().div_ceil(PIECE);
    // A single piece is no subtree but the root.
    if count < 2 || threads < 2 {
        return *blake3::hash(bytes).as_bytes();
    }
    let mut nodes = vec![[0; 32]; count];
    let pieces = Mutex::new(bytes.chunks(PIECE).zip(&mut nodes).enumerate());
    let take = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((index, (piece, node))) = take() {
            *node = subtree(piece, (index * PIECE) as u64);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(count) {
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    let (left, right) = halves(&nodes, bytes.len() as u64);
    *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
}

fn subtree(piece: &[u8], offset: u64) -> ChainingValue {
    Hasher::new().set_input_offset(offset).update(piece).finalize_non_root()
}

/// The two nodes below the one that stands for `length` bytes, `nodes` being their pieces.
fn halves(nodes: &[ChainingValue], length: u64) -> (ChainingValue, ChainingValue) {
    let left = left_subtree_len(length);
    // Whole pieces: the left part is the largest power of two that leaves something on the right.
    let (first, rest) = nodes.split_at((left / PIECE as u64) as usize);
    (node(first, left), node(rest, length - left))
}

fn node(nodes: &[ChainingValue], length: u64) -> ChainingValue {
    match nodes {
        [single] => *single,
        _ => {
            let (left, right) = halves(nodes, length);
            merge_subtrees_non_root(&left, &right, Mode::Hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_do_not_change_the_hash() {
        let bytes: Vec<u8> = (0..7 * PIECE + 5).map(|index| (index % 251) as u8).collect();
        let lengths = (0..=7).flat_map(|pieces| [0, 1, 1023, 1024, 1025].map(|more| pieces * PIECE + more));
        let lengths = lengths.chain((1..=7).map(|pieces| pieces * PIECE - 1));
        for length in lengths.filter(|length| *length <= bytes.len()) {
            let bytes = &bytes[..length];
            for threads in [1, 2, 3, 8] {
                assert_eq!(hash(bytes, threads), *blake3::hash(bytes).as_bytes(), "{length} bytes");
            }
        }
    }
}
