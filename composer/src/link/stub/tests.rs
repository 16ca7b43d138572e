//! What calls of a stub meet, asked by an engine that knows nothing of how it was made.

use wasmtime::component::{Component, Instance, Linker, Val};
use wasmtime::{Engine, Store};

use super::generate;

const API: &str = "test:deny/api@1.0.0";
const USER: &str = r#"(component
  (type (instance
    (type $codes (enum "unknown" "access" "not-permitted"))
    (export "code" (type $code (eq $codes)))
    (type $errors (variant (case "denied" u32) (case "other" (option string)) (case "access-denied" (option string))))
    (export "error" (type $error (eq $errors)))
    (type $silent (enum "unknown" "timeout"))
    (export "silence" (type $silence (eq $silent)))
    (type $text string)
    (export "message" (type $message (eq $text)))
    (export "item" (type $item (sub resource)))
    (export "coded" (func (param "path" string) (param "more" (list string)) (result (result u64 (error $code)))))
    (export "varied" (func (param "n" u64) (result (result (list u8) (error $error)))))
    (export "told" (func (result (result (error string)))))
    (export "told-more" (func (result (result u64 (error $message)))))
    (export "make" (func (result (own $item))))
    (export "keep" (func (param "some" (option (tuple u64 (own $item)))) (result (result (error $code)))))
    (export "silent" (func (result (result u32 (error $silence)))))
    (export "unreasoned" (func (result (result u32))))
    (export "number" (func (result u32)))))
  (import "test:deny/api@1.0.0" (instance (type 0))))"#;

struct Stub {
    store: Store<()>,
    instance: Instance,
}

impl Stub {
    fn new() -> Self {
        let user = wat::parse_str(USER).expect("text");
        let stub = generate(&user, &[API]).expect("generated");
        let engine = Engine::default();
        let component = Component::new(&engine, stub).expect("valid");
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component).expect("instantiated");
        Self { store, instance }
    }

    fn call(&mut self, function: &str, arguments: &[Val]) -> Result<Val, String> {
        let api = self.instance.get_export_index(&mut self.store, None, API).expect("exported");
        let index = self.instance.get_export_index(&mut self.store, Some(&api), function).expect(function);
        let function = self.instance.get_func(&mut self.store, index).expect("a function");
        let mut results = [Val::Bool(false)];
        match function.call(&mut self.store, arguments, &mut results) {
            Ok(()) => Ok(results[0].clone()),
            Err(error) => Err(format!("{error:?}")),
        }
    }
}

fn error(value: Val) -> Val {
    Val::Result(Err(Some(Box::new(value))))
}

#[test]
fn what_can_say_that_it_is_denied_does() {
    let mut stub = Stub::new();
    let long = || Val::String("x".repeat(100_000));
    let code = error(Val::Enum("not-permitted".to_owned()));
    assert_eq!(stub.call("coded", &[long(), Val::List(vec![long(), long()])]), Ok(code.clone()));
    let denied = Val::Variant("access-denied".to_owned(), Some(Box::new(Val::Option(None))));
    assert_eq!(stub.call("varied", &[Val::U64(7)]), Ok(error(denied)));
    assert_eq!(stub.call("told", &[]), Ok(error(Val::String("denied".to_owned()))));
    assert_eq!(stub.call("told-more", &[]), Ok(error(Val::String("denied".to_owned()))));
    // The answers of before are still there.
    assert_eq!(stub.call("coded", &[long(), Val::List(vec![])]), Ok(code));
}

#[test]
fn what_is_passed_is_given_back() {
    let mut stub = Stub::new();
    let code = Ok(error(Val::Enum("not-permitted".to_owned())));
    assert_eq!(stub.call("keep", &[Val::Option(None)]), code);
    for _ in 0..3 {
        let item = stub.call("make", &[]).expect("a resource");
        let some = Val::Option(Some(Box::new(Val::Tuple(vec![Val::U64(1), item]))));
        assert_eq!(stub.call("keep", &[some]), code);
    }
}

#[test]
fn what_cannot_say_it_traps_by_its_name() {
    for function in ["silent", "unreasoned", "number"] {
        let trap = Stub::new().call(function, &[]).expect_err("a trap");
        assert!(trap.contains(&format!("{API}#{function}")) && trap.contains("unreachable"), "{trap}");
    }
}
