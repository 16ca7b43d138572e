//! The `wadoo` binary; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    wadoo::cli::main()
}
