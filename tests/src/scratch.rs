//! A temporary folder with a home of its own, in which the binaries are run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::binaries;

/// A folder that is removed at the end of the test.
#[derive(Debug)]
pub struct Scratch {
    folder: tempfile::TempDir,
}

/// What a finished command left.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; a signal counts as 128 and its number.
    pub code: i32,
    /// Its data.
    pub stdout: String,
    /// Its talk.
    pub stderr: String,
}

impl Scratch {
    /// A new, empty one.
    #[expect(clippy::new_without_default, reason = "making a folder is no default")]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("wadoo-test-").tempdir().expect("a folder can be made");
        std::fs::create_dir(folder.path().join("home")).expect("a folder can be made");
        Self { folder }
    }

    /// A path in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The home folder that the binaries see.
    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Writes a file and the folders above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
        std::fs::write(&path, content).expect("a file can be written");
        path
    }

    /// Copies a file of the workspace, `recipes/hello/recipe.toml`, to the same name here.
    pub fn copy(&self, name: &str) -> PathBuf {
        let content = std::fs::read(binaries::workspace().join(name))
            .unwrap_or_else(|error| panic!("cannot read {name}: {error}"));
        self.write(name, content)
    }

    /// Writes a recipe of one guest of `tests/guests`, which may `allow` one interface, with `more` lines.
    pub fn recipe(&self, guest: &str, allow: &str, more: &str) -> PathBuf {
        let wasm = std::fs::read(binaries::workspace().join(format!("tests/guests/{guest}.wasm")))
            .unwrap_or_else(|error| panic!("cannot read the guest {guest}: {error}"));
        self.write("guest.wasm", wasm);
        let allow = if allow.is_empty() { String::new() } else { format!("allow = [\"{allow}\"]\n") };
        let head = "recipe = 1\n\n[app]\nname = \"guest\"\nversion = \"1.0.0\"\n\n";
        let part = format!("[components.guest]\npath = \"guest.wasm\"\n{allow}\n");
        self.write("recipe.toml", format!("{head}{part}{more}"))
    }

    /// A command of `wadoo`, in this folder and with its home.
    pub fn wadoo(&self) -> Command {
        self.command(binaries::wadoo())
    }

    /// A command of `launcher`, in this folder and with its home.
    pub fn launcher(&self) -> Command {
        self.command(binaries::launcher())
    }

    fn command(&self, binary: &Path) -> Command {
        let mut command = binaries::isolated(binary, &self.home());
        command.current_dir(self.folder.path());
        command
    }

    /// Composes a recipe into `out/` here and gives the artifact's path.
    pub fn compose(&self, recipe: &Path) -> PathBuf {
        std::fs::create_dir_all(self.path("out")).expect("a folder can be made");
        let finished = run(self.wadoo().arg("compose").arg(recipe).args(["-o", "out"]));
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        std::fs::read_dir(self.path("out"))
            .expect("the folder is there")
            .map(|entry| entry.expect("the folder can be read").path())
            .find(|path| path.extension() == Some(OsStr::new("cwasm")))
            .expect("an artifact was written")
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Finished {
    finished(command.output().expect("the command starts"))
}

/// The end of a command, as text.
pub fn finished(output: Output) -> Finished {
    use std::os::unix::process::ExitStatusExt;
    Finished {
        code: output
            .status
            .code()
            .unwrap_or_else(|| 128 + output.status.signal().expect("a process ends by code or signal")),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
