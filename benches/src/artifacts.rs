//! What the benches run: installed binaries, composed recipes, and the peer.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::build;

/// A folder with its own home, in which `wadoo` makes its development key.
#[derive(Debug)]
pub struct Workshop {
    folder: tempfile::TempDir,
    wadoo: PathBuf,
}

impl Workshop {
    /// Builds `wadoo`.
    ///
    /// # Panics
    ///
    /// Something cannot be built or written, here and below: a bench without its parts has no figures.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        std::fs::create_dir(folder.path().join("home")).expect("a folder can be made");
        Self { folder, wadoo: build::release("wadoo", "wadoo") }
    }

    /// The home of the user whose key signs.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Composes a recipe of the workspace with `more` at its end, and gives the artifact; the component lies beside it.
    ///
    /// # Panics
    ///
    /// `wadoo` refuses.
    pub fn compose(&self, recipe: &str, more: &str) -> PathBuf {
        let name = format!("{recipe}-{}", more.bytes().map(u32::from).sum::<u32>());
        let folder = self.folder.path().join(name);
        let source = build::workspace().join("recipes").join(recipe);
        std::fs::create_dir_all(folder.join("guests")).expect("a folder can be made");
        let text = std::fs::read_to_string(source.join("recipe.toml")).expect("the recipe is there");
        std::fs::write(folder.join("recipe.toml"), text + more).expect("there is room");
        for entry in std::fs::read_dir(source.join("guests")).expect("the guests are there").flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "wasm") {
                copy(&entry.path(), &folder.join("guests").join(entry.file_name()));
            }
        }
        self.run(&folder);
        folder.join(recipe).with_extension("cwasm")
    }

    /// Composes one guest, which lies anywhere, with `more` at the end of its part, and gives the artifact.
    ///
    /// # Panics
    ///
    /// `wadoo` refuses.
    pub fn compose_guest(&self, guest: &Path, more: &str) -> PathBuf {
        let name = guest.file_stem().and_then(|name| name.to_str()).expect("a guest has a name");
        let folder = self.folder.path().join(format!("{name}-{}", more.len()));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let head = format!("recipe = 1\n[app]\nname = \"{name}\"\nversion = \"1.0.0\"\n");
        let part = format!("[components.{name}]\npath = \"{}\"\n{more}\n", guest.display());
        std::fs::write(folder.join("recipe.toml"), head + &part).expect("there is room");
        self.run(&folder);
        folder.join(name).with_extension("cwasm")
    }

    fn run(&self, folder: &Path) {
        let status = Command::new(&self.wadoo)
            .args(["--quiet", "compose", "recipe.toml", "--emit", "both"])
            .current_dir(folder)
            .env("HOME", self.home())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("CI")
            .env_remove("WADOO_TRUST")
            .stdout(Stdio::null())
            .status()
            .expect("wadoo starts");
        assert!(status.success(), "wadoo cannot compose {}", folder.display());
    }

    /// An artifact of some 33 MiB: the guest of a language runtime, `js` or `py`, which a script builds into `cache`.
    /// `None`, and why on stderr, if its tools are not there.
    pub fn compose_large(&self, language: &str, cache: &Path) -> Option<PathBuf> {
        let guest = cache.join(language).with_extension("wasm");
        if !guest.exists() {
            let script = build::workspace().join("benches/guests/build");
            let status = Command::new(script).arg(language).arg(cache).status().expect("the script starts");
            if !status.success() {
                return None;
            }
        }
        // Runtimes import these whether their guests use them or not.
        let deny = match language {
            "js" => "deny = [\"wasi:http/outgoing-handler\"]",
            _ => "deny = [\"wasi:sockets/*\"]",
        };
        Some(self.compose_guest(&guest, deny))
    }

    /// Builds a binary as it ships and installs it here.
    ///
    /// # Panics
    ///
    /// It cannot be built.
    pub fn install(&self, package: &str, binary: &str, linkage: build::Linkage) -> PathBuf {
        copy(
            &build::dist(package, binary, linkage),
            &self.folder.path().join(format!("{binary}-{linkage:?}")),
        )
    }

    /// The peer, if it is on the path, and `component` compiled by it.
    pub fn wasmtime(&self, component: &Path) -> Option<(PathBuf, PathBuf)> {
        let output = component.with_extension("peer.cwasm");
        let status = Command::new("wasmtime")
            .args(["compile", "-o"])
            .arg(&output)
            .arg(component)
            .stdout(Stdio::null())
            .status()
            .ok()?;
        let folders = std::env::var_os("PATH")?;
        let found = std::env::split_paths(&folders)
            .map(|folder| folder.join("wasmtime"))
            .find(|path| path.is_file())?;
        status.success().then(|| (copy(&found, &self.folder.path().join("wasmtime")), output))
    }
}

impl Default for Workshop {
    fn default() -> Self {
        Self::new()
    }
}

/// Every binary is started as installed: copied. What a linker wrote lies in single pages of the page cache, what was
/// copied in larger pieces, and starts sooner.
fn copy(from: &Path, to: &Path) -> PathBuf {
    std::fs::copy(from, to).expect("there is room for a copy");
    to.to_owned()
}
