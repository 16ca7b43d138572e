(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "acme:env/vars@1.0.0" "has" (func $has (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "acme:plugin/decode@1.0.0#decode") (param i32) (result i32)
    (drop (call $random (i32.const 0) (i32.const 4)))
    (call $has (i32.load (i32.const 0))))
  (func (export "acme:plugin/decode@1.0.0#reset")))
