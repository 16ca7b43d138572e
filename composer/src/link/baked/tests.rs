//! Generated providers, run by the engine with a host that has variables and arguments of its own.

use std::collections::BTreeSet;

use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder};

use super::{Baked, generate};
use crate::plan::DEVICE;
use crate::recipe::{Open, Spanned, Values};

const STORE: &str = "wasi:config/store@0.2.0-rc.1";
const ENVIRONMENT: &str = "wasi:cli/environment@0.3.0";

/// A component that imports both.
const IMPORTER: &str = r#"(component
  (type $store (instance
    (type $errors (variant (case "upstream" string) (case "io" string)))
    (export "error" (type $error (eq $errors)))
    (export "get" (func (param "key" string) (result (result (option string) (error $error)))))
    (export "get-all" (func (result (result (list (tuple string string)) (error $error)))))))
  (import "wasi:config/store@0.2.0-rc.1" (instance (type $store)))
  (type $environment (instance
    (export "get-environment" (func (result (list (tuple string string)))))
    (export "get-arguments" (func (result (list string))))
    (export "get-initial-cwd" (func (result (option string))))))
  (import "wasi:cli/environment@0.3.0" (instance (type $environment))))"#;

fn values(config: &[(&str, &str)], env: &[(&str, &str)], args: Option<&[&str]>) -> Values {
    let owned = |entries: &[(&str, &str)]| {
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Some(Spanned { value: entries.collect(), span: 0..0 })
    };
    let args =
        args.map(|args| Spanned { value: args.iter().map(|text| (*text).to_owned()).collect(), span: 0..0 });
    Values { config: owned(config), env: owned(env), args, open: Open::new() }
}

/// A provider that runs, with little memory.
struct Running {
    store: Store<StoreLimits>,
    instance: wasmtime::component::Instance,
}

impl Running {
    fn new(values: &Values, open: &[&'static str], has_host: bool) -> Self {
        let open = open.iter().copied().collect();
        let baked = [
            Baked { import: STORE, open: BTreeSet::new(), host: None },
            Baked { import: ENVIRONMENT, open, host: has_host.then_some(ENVIRONMENT) },
        ];
        Self::of(IMPORTER, values, &baked)
    }

    /// The configuration alone, of which the host has some.
    fn open(importer: &str, entries: &[(&str, &str)], open: &[&'static str]) -> Self {
        let open = open.iter().copied().collect();
        Self::of(importer, &values(entries, &[], None), &[Baked { import: STORE, open, host: Some(DEVICE) }])
    }

    fn of(importer: &str, values: &Values, baked: &[Baked]) -> Self {
        let importer = wat::parse_str(importer).expect("text");
        let bytes = generate(&importer, "shop", values, baked).expect("a provider");
        let engine = Engine::default();
        let component = Component::new(&engine, &bytes).expect("compiled");
        let mut linker = Linker::new(&engine);
        for host in baked.iter().filter_map(|baked| baked.host) {
            let mut host = linker.instance(host).expect("an instance");
            let pairs = [("SECRET", "1"), ("HOME", "/root"), ("LOG", "host"), ("HOME", "twice")];
            let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
            host.func_wrap("get-environment", move |_, (): ()| Ok((pairs.clone(),))).expect("a function");
            let arguments = vec!["host".to_owned(), "argument".to_owned()];
            host.func_wrap("get-arguments", move |_, (): ()| Ok((arguments.clone(),))).expect("a function");
        }
        let mut store = Store::new(&engine, StoreLimitsBuilder::new().memory_size(1 << 20).build());
        store.limiter(|limits| limits);
        let instance = linker.instantiate(&mut store, &component).expect("an instance");
        Self { store, instance }
    }

    fn call(&mut self, interface: &str, function: &str, arguments: &[Val]) -> Val {
        let interface =
            self.instance.get_export_index(&mut self.store, None, interface).expect("an interface");
        let function =
            self.instance.get_export_index(&mut self.store, Some(&interface), function).expect("a function");
        let function = self.instance.get_func(&mut self.store, function).expect("a function");
        let mut results = [Val::Bool(false)];
        function.call(&mut self.store, arguments, &mut results).expect("no trap");
        let [result] = results;
        result
    }

    fn get(&mut self, key: &str) -> Val {
        self.call(STORE, "get", &[text(key)])
    }

    fn get_all(&mut self) -> Val {
        self.call(STORE, "get-all", &[])
    }
}

fn text(text: &str) -> Val {
    Val::String(text.to_owned())
}

fn pairs(pairs: &[(&str, &str)]) -> Val {
    Val::List(pairs.iter().map(|(key, value)| Val::Tuple(vec![text(key), text(value)])).collect())
}

fn ok(value: Val) -> Val {
    Val::Result(Ok(Some(Box::new(value))))
}

fn some(value: &str) -> Val {
    ok(Val::Option(Some(Box::new(text(value)))))
}

#[test]
fn the_configuration_is_what_was_baked() {
    let entries = [("currency", "EUR"), ("currency-long", "€"), ("empty", "")];
    let mut running = Running::new(&values(&entries, &[], Some(&["-v"])), &[], false);
    for (key, value) in entries {
        assert_eq!(running.get(key), some(value), "{key}");
    }
    for key in ["", "c", "currencies", "Currency", "EUR"] {
        assert_eq!(running.get(key), ok(Val::Option(None)), "{key}");
    }
    assert_eq!(running.call(STORE, "get-all", &[]), ok(pairs(&entries)));
    assert_eq!(running.call(ENVIRONMENT, "get-environment", &[]), pairs(&[]));
    assert_eq!(running.call(ENVIRONMENT, "get-arguments", &[]), Val::List(vec![text("shop"), text("-v")]));
    assert_eq!(running.call(ENVIRONMENT, "get-initial-cwd", &[]), Val::Option(None));
}

#[test]
fn memory_for_what_is_passed_in_is_given_back() {
    let mut running = Running::new(&values(&[("key", "value")], &[], None), &["HOME"], true);
    // Each is a good part of all the memory there is.
    let long = "k".repeat(300_000);
    for _ in 0..100 {
        assert_eq!(running.get(&long), ok(Val::Option(None)));
        assert_eq!(running.get("key"), some("value"));
        running.call(ENVIRONMENT, "get-environment", &[]);
        running.call(ENVIRONMENT, "get-arguments", &[]);
    }
}

#[test]
fn of_the_host_only_what_is_open_is_let_through() {
    let baked = [("LOG", "info"), ("MODE", "")];
    let mut running = Running::new(&values(&[], &baked, None), &["HOME", "UNSET"], true);
    for _ in 0..3 {
        let expected = [("LOG", "info"), ("MODE", ""), ("HOME", "/root")];
        assert_eq!(running.call(ENVIRONMENT, "get-environment", &[]), pairs(&expected));
        let arguments = Val::List(vec![text("host"), text("argument")]);
        assert_eq!(running.call(ENVIRONMENT, "get-arguments", &[]), arguments);
    }
    let mut none = Running::new(&values(&[], &baked, None), &[], true);
    assert_eq!(none.call(ENVIRONMENT, "get-environment", &[]), pairs(&baked));
}

/// The host has `SECRET`, `HOME` twice, and `LOG`.
#[test]
fn open_keys_of_a_configuration_are_what_the_host_has_of_them() {
    let baked = [("LOG", "info"), ("currency", "EUR")];
    let mut running = Running::open(IMPORTER, &baked, &["HOME", "UNSET"]);
    for _ in 0..3 {
        assert_eq!(running.get("HOME"), some("/root"));
        // What is baked is not the host's to change.
        assert_eq!(running.get("LOG"), some("info"));
        assert_eq!(running.get("currency"), some("EUR"));
        for key in ["SECRET", "UNSET", "HOM", "HOME=", "home", ""] {
            assert_eq!(running.get(key), ok(Val::Option(None)), "{key}");
        }
        let expected = [("LOG", "info"), ("currency", "EUR"), ("HOME", "/root")];
        assert_eq!(running.get_all(), ok(pairs(&expected)));
    }
}

#[test]
fn a_configuration_can_be_all_open() {
    let mut running = Running::open(IMPORTER, &[], &["HOME", "SECRET"]);
    assert_eq!(running.get_all(), ok(pairs(&[("HOME", "/root"), ("SECRET", "1")])));
    assert_eq!(running.get("SECRET"), some("1"));
    let mut unset = Running::open(IMPORTER, &[], &["UNSET"]);
    assert_eq!(unset.get_all(), ok(pairs(&[])));
}

#[test]
fn memory_for_open_keys_is_given_back() {
    let mut running = Running::open(IMPORTER, &[("key", "value")], &["HOME"]);
    let long = "k".repeat(300_000);
    for _ in 0..100 {
        assert_eq!(running.get(&long), ok(Val::Option(None)));
        assert_eq!(running.get("HOME"), some("/root"));
        assert_eq!(running.get_all(), ok(pairs(&[("key", "value"), ("HOME", "/root")])));
    }
}

/// The part has a package of the name by which the host is asked, and in it what cannot be asked.
#[test]
fn the_host_is_asked_by_a_name_that_the_part_may_have_for_less() {
    let less = IMPORTER
        .replace("environment@0.3.0", "environment@0.2.0")
        .replace("(export \"get-environment\" (func (result (list (tuple string string)))))\n", "");
    assert!(less.contains(DEVICE) && !less.contains("get-environment"));
    let mut running = Running::open(&less, &[], &["HOME"]);
    assert_eq!(running.get("HOME"), some("/root"));
}
