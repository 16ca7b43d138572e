//! A command that misbehaves as its first argument says, on WASI 0.3. `docs/guests.md` lists them.

wit_bindgen::generate!({
    path: "../../../wit/wasi-0.3",
    world: "wadoo:guest/command",
    generate_all,
});

use exports::wasi::cli::run::Guest;
use wasi::cli::{environment, exit, stdin, stdout};
use wasi::clocks::monotonic_clock;

struct Command;

export!(Command);

impl Guest for Command {
    async fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let number = || arguments.get(2).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        match arguments.get(1).map(String::as_str) {
            None | Some("ok") => print("ok\n").await,
            Some("fail") => Err(()),
            Some("exit") => {
                exit::exit_with_code(u8::try_from(number()).unwrap_or(u8::MAX));
                Ok(())
            }
            Some("spin") => mischief::spin(),
            Some("sleep") => {
                monotonic_clock::wait_for(number().saturating_mul(1_000_000)).await;
                print("slept\n").await
            }
            Some("trap") => mischief::trap(),
            Some("recurse") => print(&mischief::recurse(0).to_string()).await,
            Some("hog") => print(&mischief::hog(number())).await,
            Some("arguments") => print(&arguments.join("\n")).await,
            Some("env") => {
                for (name, value) in environment::get_environment() {
                    print(&format!("{name}={value}\n")).await?;
                }
                Ok(())
            }
            Some("stdin") => copy().await,
            Some(_) => Err(()),
        }
    }
}

async fn print(text: &str) -> Result<(), ()> {
    let (mut writer, reader) = wit_stream::new();
    let written = stdout::write_via_stream(reader);
    writer.write_all(text.as_bytes().to_vec()).await;
    drop(writer);
    written.await.map_err(drop)
}

/// The host moves the bytes.
async fn copy() -> Result<(), ()> {
    let (input, read) = stdin::read_via_stream();
    stdout::write_via_stream(input).await.map_err(drop)?;
    read.await.map_err(drop)
}
