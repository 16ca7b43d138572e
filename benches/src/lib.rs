//! What the process benches share: builds of what ships, runs, and figures.

pub mod artifacts;
pub mod build;
pub mod chain;
pub mod cores;
pub mod figures;
pub mod load;
pub mod process;
