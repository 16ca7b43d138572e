//! Generated implementations of `wasi:config` and `wasi:cli/environment` that have the values of one part.
//!
//! Everything that is baked lies in the memory of the generated module as the canonical ABI lays it out, so that its functions
//! return addresses. Allocated is only what callers and the host pass in: a key, arguments, variables; each function gives
//! all of it back when its caller has the answer. Which types are known is decided in `plan`, not here.

mod code;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, FunctionSection,
    GlobalSection, GlobalType, ImportSection, MemorySection, MemoryType, Module, NameMap, NameSection,
    TypeSection, ValType,
};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding, embed_component_metadata};
use wit_parser::{PackageName, Resolve, WorldItem, WorldKey};

use code::{Append, Body, List, Lookup, OpenKeys, PAGE, PAIR, TEXT};

use super::stub::{escaped, line};
use crate::plan::DEVICE;
use crate::recipe::Values;

/// One import of a part, which is generated.
pub(super) struct Baked<'a> {
    /// Its full name.
    pub(super) import: &'a str,
    /// The variables of the host that it has beside what is baked.
    pub(super) open: BTreeSet<&'a str>,
    /// The import of the host for what is not baked: the same, or [`DEVICE`] for a configuration.
    pub(super) host: Option<&'a str>,
}

impl Baked<'_> {
    /// Whether it is a configuration of which the device gives some keys.
    pub(super) fn is_open_configuration(&self) -> bool {
        self.host.is_some_and(|host| host != self.import)
    }
}

/// Makes the provider of `imports` of `component`. The application's name is the first of its arguments. Errors are one line
/// of text.
pub(super) fn generate(
    component: &[u8],
    app: &str,
    values: &Values,
    imports: &[Baked],
) -> Result<Vec<u8>, String> {
    let DecodedWasm::Component(mut resolve, part) = wit_component::decode(component).map_err(line)? else {
        return Err("its bytes are a WIT package".to_owned());
    };
    let mut builder = Builder::new(app, values);
    for baked in imports {
        let functions = functions(&resolve, &resolve.worlds[part].imports, baked.import);
        functions.iter().try_for_each(|function| builder.add(baked, function))?;
    }
    let mut text = String::from("package wadoo:generated;\nworld baked {\n");
    for baked in imports {
        if baked.host == Some(baked.import) {
            text.push_str(&format!("  import {};\n", escaped(baked.import)));
        }
        text.push_str(&format!("  export {};\n", escaped(baked.import)));
    }
    let asks_device = imports.iter().any(Baked::is_open_configuration);
    text.push_str(if asks_device { ASKING_DEVICE } else { "}" });
    let package = resolve.push_source("baked.wit", &text).map_err(line)?;
    let world = resolve.select_world(&[package], Some("baked")).map_err(line)?;
    if asks_device {
        name_device(&mut resolve)?;
    }
    let mut module = builder.finish();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(line)?;
    let mut encoder = ComponentEncoder::default();
    encoder.merge_imports_based_on_semver(false).module(&module).map_err(line)?;
    encoder.encode().map_err(line)
}

/// The end of a world that asks the device for variables. The part may have a package of the name of [`DEVICE`] itself, without the
/// interface or the function.
const ASKING_DEVICE: &str = "  import wadoo:device/environment@0.2.0;
}
package wadoo:device@0.2.0 {
  interface environment {
    get-environment: func() -> list<tuple<string, string>>;
  }
}";

/// Gives what [`ASKING_DEVICE`] imports the name that it has for the host: names are only what is encoded, and lead nowhere.
fn name_device(resolve: &mut Resolve) -> Result<(), String> {
    let named = |name: &str| {
        let (id, version) = name.split_once('@')?;
        let (namespace, package) = id.split('/').next()?.split_once(':')?;
        let (namespace, name) = (namespace.to_owned(), package.to_owned());
        Some(PackageName { namespace, name, version: Some(version.parse().ok()?) })
    };
    let ours = named("wadoo:device/environment@0.2.0");
    let package = ours.and_then(|ours| resolve.package_names.get(&ours).copied());
    let (Some(package), Some(name)) = (package, named(DEVICE)) else {
        return Err(format!("nothing is known of `{DEVICE}`"));
    };
    resolve.packages[package].name = name;
    Ok(())
}

/// The names of the functions of an import.
fn functions<'a>(
    resolve: &Resolve,
    imports: impl IntoIterator<Item = (&'a WorldKey, &'a WorldItem)>,
    import: &str,
) -> Vec<String> {
    for (key, item) in imports {
        if let WorldItem::Interface { id, .. } = item
            && resolve.name_world_key(key) == import
        {
            return resolve.interfaces[*id].functions.keys().cloned().collect();
        }
    }
    Vec::new()
}

/// The first address that is used; none is zero.
pub(super) const BASE: u32 = 16;

/// Values in memory: texts, and lists of them as pairs of address and length.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) bytes: Vec<u8>,
}

impl Memory {
    /// Reserves zeros and gives their address.
    fn zeros(&mut self, length: u32) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(16), 0);
        let at = BASE + self.bytes.len() as u32;
        self.bytes.resize(self.bytes.len() + length as usize, 0);
        at
    }

    pub(super) fn text(&mut self, text: &str) -> [u32; 2] {
        let at = BASE + self.bytes.len() as u32;
        self.bytes.extend_from_slice(text.as_bytes());
        [at, text.len() as u32]
    }

    pub(super) fn words(&mut self, words: &[u32]) -> u32 {
        let at = self.zeros(4 * words.len() as u32);
        let start = (at - BASE) as usize;
        for (word, place) in words.iter().zip(self.bytes[start..].chunks_exact_mut(4)) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        at
    }

    fn word(&self, at: u32) -> u32 {
        let start = (at - BASE) as usize;
        self.bytes[start..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// A list of texts, `list<string>`.
    fn list<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) -> List {
        let words: Vec<u32> = texts.into_iter().flat_map(|text| self.text(text)).collect();
        List { at: self.words(&words), length: words.len() as u32 / 2 }
    }

    /// A list of pairs, `list<tuple<string, string>>`.
    fn pairs(&mut self, entries: &BTreeMap<String, String>) -> List {
        let texts = entries.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
        let List { at, length } = self.list(texts);
        List { at, length: length / 2 }
    }
}

// Types of functions, by index.
const RETURNS: u32 = 0;
const TAKES_TEXT: u32 = 1;
const TAKES_ADDRESS: u32 = 2;
const FOUR: u32 = 3;

/// A module in the making. What its functions call is known by number only when all imports are, so bodies are kept as
/// what they do.
struct Builder<'a> {
    app: &'a str,
    values: &'a Values,
    memory: Memory,
    config: Option<List>,
    /// Imported functions: module and name.
    imported: Vec<(String, String)>,
    /// Exported functions by name.
    exported: Vec<(String, Body)>,
}

impl<'a> Builder<'a> {
    fn new(app: &'a str, values: &'a Values) -> Self {
        Self {
            app,
            values,
            memory: Memory::default(),
            config: None,
            imported: Vec::new(),
            exported: Vec::new(),
        }
    }

    fn add(&mut self, baked: &Baked, function: &str) -> Result<(), String> {
        let body = match function {
            "get" => self.lookup(baked),
            "get-all" => self.entries(baked),
            "get-environment" => self.variables(baked),
            "get-arguments" => self.arguments(baked),
            // `none`: where nobody says in which folder it runs, a guest takes the root.
            "initial-cwd" | "get-initial-cwd" => Body::Constant(self.memory.words(&[0; 4])),
            other => return Err(format!("nothing is known of the function `{other}`")),
        };
        self.exported.push((format!("{}#{function}", baked.import), body));
        Ok(())
    }

    /// The configuration, which stands in memory once.
    fn config(&mut self) -> List {
        let values = self.values;
        *self.config.get_or_insert_with(|| match &values.config {
            Some(config) => self.memory.pairs(&config.value),
            None => List { at: BASE, length: 0 },
        })
    }

    /// All of the configuration, as `ok` and the list.
    fn entries(&mut self, baked: &Baked) -> Body {
        let config = self.config();
        match baked.host {
            Some(host) => {
                let (all, open) = self.room_for(config, baked);
                let result = self.memory.words(&[0, all.at, 0, 0]);
                self.append(host, all, open, result + 4, result)
            }
            None => Body::Constant(self.memory.words(&[0, config.at, config.length, 0])),
        }
    }

    fn lookup(&mut self, baked: &Baked) -> Body {
        let pairs = self.config();
        // `ok`, `some`, and the text, which is the second of its pair.
        let texts = (0..pairs.length).map(|i| pairs.at + i * PAIR + TEXT);
        let results: Vec<u32> =
            texts.flat_map(|at| [0, 1, self.memory.word(at), self.memory.word(at + 4)]).collect();
        let open = baked.host.map(|host| OpenKeys {
            imported: self.import(host, "get-environment"),
            scratch: self.memory.words(&[0; 2]),
            names: self.memory.list(baked.open.iter().copied()),
            // `ok`, `some`, and the text.
            found: self.memory.words(&[0, 1, 0, 0]),
        });
        let (results, none) = (self.memory.words(&results), self.memory.words(&[0; 4]));
        Body::Lookup(Lookup { pairs, results, none, open })
    }

    fn variables(&mut self, baked: &Baked) -> Body {
        let env = self.values.env.as_ref().map(|env| env.value.clone()).unwrap_or_default();
        let env = self.memory.pairs(&env);
        if baked.open.is_empty() {
            return Body::Constant(self.memory.words(&[env.at, env.length]));
        }
        let (all, open) = self.room_for(env, baked);
        let result = self.memory.words(&[all.at, 0]);
        self.append(baked.import, all, open, result, result)
    }

    /// A copy of what is baked with room behind it for what is open, and the names of that.
    fn room_for(&mut self, List { at, length }: List, baked: &Baked) -> (List, List) {
        let open = self.memory.list(baked.open.iter().copied());
        let all = self.memory.zeros((length + open.length) * PAIR);
        let (from, to) = ((at - BASE) as usize, (all - BASE) as usize);
        self.memory.bytes.copy_within(from..from + (length * PAIR) as usize, to);
        (List { at: all, length }, open)
    }

    fn append(&mut self, host: &str, baked: List, open: List, list: u32, result: u32) -> Body {
        let imported = self.import(host, "get-environment");
        Body::Append(Append { imported, scratch: self.memory.words(&[0; 2]), open, baked, list, result })
    }

    fn arguments(&mut self, baked: &Baked) -> Body {
        match &self.values.args {
            Some(args) => {
                let all = [self.app].into_iter().chain(args.value.iter().map(String::as_str));
                let List { at, length } = self.memory.list(all);
                Body::Constant(self.memory.words(&[at, length]))
            }
            None if baked.host.is_none() => Body::Constant(self.memory.words(&[0; 2])),
            None => {
                let imported = self.import(baked.import, "get-arguments");
                Body::Forward { imported, result: self.memory.words(&[0; 2]) }
            }
        }
    }

    fn import(&mut self, module: &str, function: &str) -> u32 {
        let import = (module.to_owned(), function.to_owned());
        let known = self.imported.iter().position(|known| *known == import);
        known.unwrap_or_else(|| {
            self.imported.push(import);
            self.imported.len() - 1
        }) as u32
    }

    /// The module: functions for each export and what gives back its memory, then those that they share.
    fn finish(mut self) -> Vec<u8> {
        let heap = self.memory.zeros(0);
        let first = self.imported.len() as u32;
        let shared = first + self.exported.len() as u32;
        let (allocate, equal, release) = (shared, shared + 1, shared + 2);

        let (mut functions, mut exports, mut code) =
            (FunctionSection::new(), ExportSection::new(), CodeSection::new());
        let mut names = NameMap::new();
        for (index, (name, body)) in (first..).zip(&self.exported) {
            functions.function(if matches!(body, Body::Lookup(_)) { TAKES_TEXT } else { RETURNS });
            exports.export(name, ExportKind::Func, index);
            names.append(index, name);
            code.function(&body.function(equal));
            if body.allocates() {
                exports.export(&format!("cabi_post_{name}"), ExportKind::Func, release);
            }
        }
        for (ty, name, function) in [
            (FOUR, "cabi_realloc", code::allocating()),
            (FOUR, "equal", code::comparing()),
            (TAKES_ADDRESS, "release", code::releasing(heap)),
        ] {
            names.append(first + functions.len(), name);
            functions.function(ty);
            code.function(&function);
        }
        exports.export("cabi_realloc", ExportKind::Func, allocate);
        exports.export("memory", ExportKind::Memory, 0);

        let mut imports = ImportSection::new();
        for (module, name) in &self.imported {
            imports.import(module, name, EntityType::Function(TAKES_ADDRESS));
        }
        let mut memories = MemorySection::new();
        let pages = u64::from(heap.div_ceil(PAGE));
        memories.memory(MemoryType {
            minimum: pages,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut globals = GlobalSection::new();
        let mutable = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(mutable, &ConstExpr::i32_const(heap as i32));
        let mut data = DataSection::new();
        data.active(0, &ConstExpr::i32_const(BASE as i32), self.memory.bytes.iter().copied());
        let mut naming = NameSection::new();
        naming.functions(&names);

        let mut module = Module::new();
        module.section(&types()).section(&imports).section(&functions).section(&memories).section(&globals);
        module.section(&exports).section(&code).section(&data).section(&naming);
        module.finish()
    }
}

fn types() -> TypeSection {
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I32]);
    types.ty().function([ValType::I32; 2], [ValType::I32]);
    types.ty().function([ValType::I32], []);
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    types
}
