//! A command that greets each of its arguments, on WASI 0.2.
//!
//! `-` stands for the lines of stdin. The variable `GREETING`, where it is granted, replaces `Hello`.

wit_bindgen::generate!({
    path: "../../../../wit/wasi-0.2",
    world: "wadoo:guest/command",
    generate_all,
});

use exports::wasi::cli::run::Guest;
use wasi::cli::{environment, stdin, stdout};
use wasi::io::streams::{InputStream, OutputStream, StreamError};

/// What one call reads from stdin at most.
const CHUNK: u64 = 64 * 1024;

/// What one call may write: the limit of `blocking-write-and-flush`.
const MAX_WRITE: usize = 4096;

struct HelloCli;

export!(HelloCli);

impl Guest for HelloCli {
    fn run() -> Result<(), ()> {
        let greeting = environment::get_environment()
            .into_iter()
            .find_map(|(name, value)| (name == "GREETING").then_some(value))
            .unwrap_or_else(|| "Hello".to_owned());
        // The first argument is the name of the program.
        let mut names: Vec<String> = environment::get_arguments().into_iter().skip(1).collect();
        if names.is_empty() {
            names.push("world".to_owned());
        }

        let output = stdout::get_stdout();
        for name in &names {
            if name == "-" {
                for line in read_to_end(&stdin::get_stdin())?.lines() {
                    greet(&output, &greeting, line)?;
                }
            } else {
                greet(&output, &greeting, name)?;
            }
        }
        Ok(())
    }
}

fn greet(output: &OutputStream, greeting: &str, name: &str) -> Result<(), ()> {
    for chunk in format!("{greeting}, {name}!\n").as_bytes().chunks(MAX_WRITE) {
        output.blocking_write_and_flush(chunk).map_err(drop)?;
    }
    Ok(())
}

/// Fails on a read error, and on input that is not text.
fn read_to_end(input: &InputStream) -> Result<String, ()> {
    let mut bytes = Vec::new();
    loop {
        match input.blocking_read(CHUNK) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return String::from_utf8(bytes).map_err(drop),
            Err(StreamError::LastOperationFailed(_)) => return Err(()),
        }
    }
}
