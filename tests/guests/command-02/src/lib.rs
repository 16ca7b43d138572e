//! A command that misbehaves as its first argument says, on WASI 0.2. `docs/guests.md` lists them.

wit_bindgen::generate!({
    path: "../../../wit/wasi-0.2",
    world: "wadoo:guest/command",
    generate_all,
});

use exports::wasi::cli::run::Guest;
use wasi::cli::{environment, exit, stdin, stdout};
use wasi::clocks::monotonic_clock;

/// What one call moves at most.
const CHUNK: u64 = 64 * 1024;

/// The limit of `blocking-write-and-flush`.
const MAX_WRITE: usize = 4096;

struct Command;

export!(Command);

impl Guest for Command {
    fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let number = || arguments.get(2).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        match arguments.get(1).map(String::as_str) {
            None | Some("ok") => print("ok\n"),
            Some("fail") => Err(()),
            Some("exit") => {
                exit::exit_with_code(u8::try_from(number()).unwrap_or(u8::MAX));
                Ok(())
            }
            Some("spin") => mischief::spin(),
            Some("sleep") => {
                monotonic_clock::subscribe_duration(number().saturating_mul(1_000_000)).block();
                print("slept\n")
            }
            Some("trap") => mischief::trap(),
            Some("recurse") => print(&mischief::recurse(0).to_string()),
            Some("hog") => print(&mischief::hog(number())),
            Some("arguments") => print(&arguments.join("\n")),
            Some("env") => environment::get_environment()
                .iter()
                .try_for_each(|(name, value)| print(&format!("{name}={value}\n"))),
            Some("stdin") => copy(),
            Some(_) => Err(()),
        }
    }
}

fn print(text: &str) -> Result<(), ()> {
    let output = stdout::get_stdout();
    text.as_bytes()
        .chunks(MAX_WRITE)
        .try_for_each(|chunk| output.blocking_write_and_flush(chunk).map_err(drop))
}

fn copy() -> Result<(), ()> {
    let (input, output) = (stdin::get_stdin(), stdout::get_stdout());
    while let Ok(bytes) = input.blocking_read(CHUNK) {
        for chunk in bytes.chunks(MAX_WRITE) {
            output.blocking_write_and_flush(chunk).map_err(drop)?;
        }
    }
    Ok(())
}
