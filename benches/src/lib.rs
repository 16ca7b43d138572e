//! What the process benches share: builds of what ships, runs, and figures.

pub mod build;
pub mod figures;
pub mod process;
