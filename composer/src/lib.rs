//! `wadoo`, the composer, as a library: recipe → inputs → plan → linked → precompiled → signed → packaged.
//!
//! Each arrow is one function that consumes the noun on its left. Only the edges do I/O (`inputs`, `output`,
//! `keys`, the commands); `recipe`, `plan`, `link`, `describe`, `package` take values and return values.

pub mod artifact;
pub mod cli;
pub mod compile;
pub mod describe;
pub mod features;
pub mod inputs;
pub mod interfaces;
pub mod keys;
pub mod lines;
pub mod link;
pub mod lock;
pub mod output;
pub mod pipeline;
pub mod plan;
pub mod recipe;
pub mod signature;
pub mod target;
pub mod watch;
