//! The launcher as a library: open, verify and load a signed artifact (feature `load`), and serve or run
//! it (feature `serve`).
//!
//! Invariants kept here: wasmtime never sees an unverified byte, the bytes verified are the bytes executed,
//! and there is no compiler in the tree of this package.
