//! What the end-to-end tests share: the binaries under test, a scratch folder, a running server.
//!
//! Nothing here knows how wadoo works inside; tests see what a user sees.

pub mod binaries;
pub mod hostile;
pub mod misdeeds;
pub mod scratch;
pub mod second_engine;
pub mod server;
pub mod tools;
pub mod victim;
