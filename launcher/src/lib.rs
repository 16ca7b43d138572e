//! The launcher as a library: open, verify and load a signed artifact (feature `load`), and serve or run
//! it (feature `serve`).
//!
//! Invariants kept here: wasmtime never sees an unverified byte, the bytes verified are the bytes executed,
//! and there is no compiler in the tree of this package.

#[cfg(feature = "load")]
pub mod compat;
#[cfg(feature = "load")]
pub mod engine;
#[cfg(feature = "load")]
pub mod load;
#[cfg(feature = "load")]
pub mod open;
#[cfg(feature = "load")]
pub mod place;
#[cfg(feature = "load")]
pub mod trusting;
#[cfg(feature = "load")]
pub mod verify;

#[cfg(feature = "serve")]
pub mod activation;
#[cfg(feature = "serve")]
mod address;
#[cfg(feature = "serve")]
mod again;
#[cfg(feature = "serve")]
pub mod app;
#[cfg(feature = "serve")]
pub mod authorities;
#[cfg(feature = "serve")]
mod body;
#[cfg(feature = "serve")]
mod clients;
#[cfg(feature = "serve")]
pub mod command;
#[cfg(feature = "serve")]
mod connection;
#[cfg(feature = "serve")]
mod egress;
#[cfg(feature = "serve")]
mod exchange;
#[cfg(feature = "serve")]
pub mod files;
#[cfg(feature = "serve")]
mod frames;
#[cfg(feature = "serve")]
mod guest;
#[cfg(feature = "serve")]
mod instances;
#[cfg(feature = "serve")]
pub mod limits;
#[cfg(feature = "serve")]
pub mod lines;
#[cfg(feature = "serve")]
pub mod linker;
#[cfg(feature = "serve")]
pub mod listen;
#[cfg(feature = "serve")]
pub mod log;
#[cfg(feature = "serve")]
pub mod mounts;
#[cfg(feature = "serve")]
mod outgoing;
#[cfg(feature = "serve")]
mod output;
#[cfg(feature = "serve")]
pub mod pool;
#[cfg(feature = "serve")]
mod problem;
#[cfg(feature = "serve")]
mod quota;
pub mod reach;
#[cfg(feature = "serve")]
mod request_id;
#[cfg(feature = "serve")]
mod seat;
#[cfg(feature = "serve")]
mod sending;
#[cfg(feature = "serve")]
pub mod server;
#[cfg(feature = "serve")]
mod shared;
#[cfg(feature = "serve")]
mod socket;
#[cfg(feature = "serve")]
mod target;
#[cfg(feature = "serve")]
mod ticker;
#[cfg(feature = "serve")]
mod title;
#[cfg(feature = "serve")]
pub mod tls;
#[cfg(feature = "serve")]
mod upstream;
#[cfg(feature = "serve")]
pub mod workers;
