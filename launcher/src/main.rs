//! `launcher`: verifies a signed artifact and serves or runs it.

mod cli;
mod launch;
mod timings;

use std::env;
use std::io::{self, Write as _};
use std::panic::{self, PanicHookInfo};
use std::process::{self, ExitCode};
use std::time::Instant;

use wadoo_launcher::log;
use wadoo_signing::report::{Exit, Report};

use crate::cli::Request;
use crate::timings::Timings;

fn main() -> ExitCode {
    let start = Instant::now();
    panic::set_hook(Box::new(die));
    let request = match cli::parse(env::args_os().skip(1)) {
        Ok(request) => request,
        Err(error) => {
            // What was asked for is not understood, but that this is part of it is clear.
            log::write_as(cli::log_format(env::args_os().skip(1)));
            return refuse(&error.into());
        }
    };
    if let Request::Check(options) | Request::Run(options, _) = &request {
        log::write_as(options.log);
    }
    let outcome = match &request {
        Request::Help => return tell(cli::HELP),
        Request::Version => return tell(&cli::version()),
        Request::Check(options) => launch::check(options, Timings::new(start)),
        Request::Run(options, arguments) => launch::run(options, arguments, Timings::new(start)),
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

/// Ends the process on a panic of any thread: a launcher without its ticker, for example, must not go on. One
/// report and no backtrace, whether panics unwind or abort.
#[expect(clippy::exit, reason = "the process ends here, and a hook has no other way to say how")]
fn die(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text =
        text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a text");
    let mut report = Report::new(Exit::Bug, "the launcher met a bug of its own").because(text);
    if let Some(location) = panic.location() {
        report = report.because(format!("at {location}"));
    }
    log::report(&report);
    log::flush(log::FLUSH_TIME);
    process::exit(Exit::Bug as i32);
}

/// Says what is wrong.
fn refuse(report: &Report) -> ExitCode {
    log::report(report);
    log::flush(log::FLUSH_TIME);
    let code: Exit = report.exit;
    ExitCode::from(code as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not a test: what the process of the test below does.
    #[test]
    #[ignore = "it ends its process"]
    fn panics() {
        panic::set_hook(Box::new(die));
        panic!("expected {} found nothing", 1);
    }

    #[test]
    fn a_panic_is_one_report_and_exit_70() {
        let this = env::current_exe().unwrap();
        let arguments = ["--exact", "tests::panics", "--ignored", "--nocapture"];
        let output = process::Command::new(this).args(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(70), "{stderr}");
        assert!(stderr.starts_with("launcher: error: the launcher met a bug of its own\n"), "{stderr}");
        assert!(stderr.contains("expected 1 found nothing"), "{stderr}");
        assert!(!stderr.contains("backtrace"), "{stderr}");
    }
}
