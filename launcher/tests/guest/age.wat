;; A guest that answers with 200 if its instance was made half a second or longer before the request, and traps if not.
(module
  (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
  (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[static]response-outparam.set"
    (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))

  (memory (export "memory") 1)
  (global $made (mut i64) (i64.const 0))

  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))

  (func $start (global.set $made (call $now)))
  (start $start)

  (func (export "wasi:http/incoming-handler@0.2.0#handle") (param $request i32) (param $out i32)
    (if (i64.lt_u (i64.sub (call $now) (global.get $made)) (i64.const 500000000)) (then (unreachable)))
    (call $set (local.get $out) (i32.const 0) (call $response (call $fields))
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
