//! `launcher`: verifies a signed artifact and serves or runs it.

mod cli;
mod launch;

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use wadoo_launcher::log::PREFIX;
use wadoo_signing::report::{Exit, Report};

use crate::cli::Request;

fn main() -> ExitCode {
    let start = Instant::now();
    let request = match cli::parse(env::args_os().skip(1)) {
        Ok(request) => request,
        Err(error) => return refuse(&error.into()),
    };
    let outcome = match &request {
        Request::Help => return tell(cli::HELP),
        Request::Version => return tell(&cli::version()),
        Request::Check(options) => launch::check(options),
        Request::Run(options, arguments) => launch::run(options, arguments, start),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(report) => refuse(&report),
    }
}

fn tell(text: &str) -> ExitCode {
    // A closed stdout leaves nobody to tell.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Says what is wrong; the prefix tells it from the words of the application.
fn refuse(report: &Report) -> ExitCode {
    let _ = write!(io::stderr(), "{PREFIX}{report}");
    let code: Exit = report.exit;
    ExitCode::from(code as u8)
}
