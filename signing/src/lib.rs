//! What the composer and the launcher must agree on: the manifest and its statement, the envelope and its
//! signatures, the framing of `app.cwasm`, the table of source lines, trees of files, keys, trust and policy, and how errors are told.
//!
//! Deliberately absent: wasmtime, clap, async, and any opinion on how a payload is produced or run.

pub mod destination;
pub mod digest;
pub mod elf;
pub mod envelope;
pub mod files;
pub mod framing;
pub mod json;
pub mod key;
pub mod lines;
pub mod manifest;
pub mod mount;
pub mod ownership;
pub mod policy;
pub mod regular;
pub mod report;
pub mod statement;
mod tree;
pub mod trust;
