//! An application of many parts: middleware before middleware, before the service of the sample application.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::build;

/// What the middleware of a number is called: in `wac` no word of a name begins with a digit.
fn middleware(number: usize) -> String {
    format!("log-{}", char::from(b'a' + number as u8))
}

/// The parts in a folder, and what `wadoo` and `wac` read to put them together.
#[derive(Debug)]
pub struct Chain {
    folder: PathBuf,
    middlewares: usize,
}

impl Chain {
    /// Writes one of so many parts to `folder`: middlewares, a service, and its plugin. No two have the same bytes, so that
    /// none is embedded twice.
    ///
    /// # Panics
    ///
    /// Something cannot be read or written, here and below. There are fewer than three parts, or more than 28.
    pub fn write(folder: &Path, parts: usize) -> Self {
        assert!((3..=28).contains(&parts), "a chain has a middleware, and a letter for each");
        let chain = Self { folder: folder.to_owned(), middlewares: parts - 2 };
        let guest = |name: &str| {
            fs::read(build::workspace().join(format!("recipes/wadoocore/guests/{name}.wasm")))
                .expect("prebuilt")
        };
        for name in ["api", "math"] {
            fs::write(folder.join(name).with_extension("wasm"), guest(name)).expect("there is room");
        }
        let log = guest("access-log");
        for number in 0..chain.middlewares {
            // A custom section of one byte, which differs.
            let section = [0, 3, 1, b'n', number as u8];
            let bytes = [&log[..], &section].concat();
            fs::write(folder.join(middleware(number) + ".wasm"), bytes).expect("there is room");
        }
        fs::write(folder.join("recipe.toml"), chain.recipe()).expect("there is room");
        fs::write(folder.join("chain.wac"), chain.wac()).expect("there is room");
        chain
    }

    /// How many parts there are, and their bytes.
    pub fn size(&self) -> (usize, u64) {
        let sizes = self.parts().map(|part| fs::metadata(self.file(&part)).expect("it is written").len());
        let sizes: Vec<u64> = sizes.collect();
        (sizes.len(), sizes.iter().sum())
    }

    /// The wiring as `wac` has it.
    fn wac(&self) -> String {
        let mut text = "package bench:chain;\n".to_owned();
        text += "let math = new bench:math { ... };\n";
        text +=
            "let api = new bench:api { \"wadoo:math/ops@1.0.0\": math[\"wadoo:math/ops@1.0.0\"], ... };\n";
        let mut next = "api".to_owned();
        for number in (0..self.middlewares).rev() {
            let name = middleware(number);
            let argument = format!("\"wasi:http/handler@0.3.0\": {next}[\"wasi:http/handler@0.3.0\"]");
            let _ = writeln!(text, "let {name} = new bench:{name} {{ {argument}, ... }};");
            next = name;
        }
        text + &format!("export {next}[\"wasi:http/handler@0.3.0\"];\n")
    }

    /// `wac compose`.
    pub fn wac_compose(&self) -> Command {
        let mut command = self.command("wac");
        command.args(["compose", "chain.wac", "-o", "chain.wasm"]);
        for part in self.parts() {
            command.arg("--dep").arg(format!("bench:{part}={part}.wasm"));
        }
        command
    }

    /// `wasmtime compile` of what `wac` made, with what a launcher needs of the code.
    pub fn wasmtime_compile(&self) -> Command {
        let mut command = self.command("wasmtime");
        command.args(["compile", "-W", "component-model-async=y,epoch-interruption=y"]);
        command.args(["chain.wasm", "-o", "chain.cwasm"]);
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdout(Stdio::null());
        command
    }

    fn file(&self, part: &str) -> PathBuf {
        self.folder.join(part).with_extension("wasm")
    }

    fn parts(&self) -> impl Iterator<Item = String> {
        let middlewares = (0..self.middlewares).map(middleware);
        ["api", "math"].map(str::to_owned).into_iter().chain(middlewares)
    }

    fn recipe(&self) -> String {
        let mut text = "recipe = 1\n[app]\nname = \"chain\"\nversion = \"1.0.0\"\n".to_owned();
        text += "[exports]\n\"wasi:http/handler\" = \"log-a\"\n";
        for part in self.parts() {
            let _ = writeln!(text, "[components.{part}]\npath = \"{part}.wasm\"");
        }
        for number in 0..self.middlewares {
            let next = match number + 1 {
                last if last == self.middlewares => "api".to_owned(),
                next => middleware(next),
            };
            let _ = writeln!(
                text,
                "[components.{}.with]\n\"wasi:http/handler\" = \"{next}\"",
                middleware(number)
            );
        }
        text
    }
}
