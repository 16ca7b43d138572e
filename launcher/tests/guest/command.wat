;; A command: prints how many arguments and variables it sees as two digits, then does what the second
;; letter of its first real argument says.
(module
  (import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))
  (import "wasi:cli/environment@0.2.0" "get-arguments" (func $arguments (param i32)))
  (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
    (func $send (param i32 i32 i32 i32)))
  (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))

  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 4096))

  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (global.set $free
      (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 7)) (i32.const -8)))
    (local.get $at))

  (func (export "wasi:cli/run@0.2.0#run") (result i32)
    (local $letter i32)
    (call $environment (i32.const 0))
    (i32.store8 (i32.const 65) (i32.add (i32.const 48) (i32.load (i32.const 4))))
    (call $arguments (i32.const 0))
    (i32.store8 (i32.const 64) (i32.add (i32.const 48) (i32.load (i32.const 4))))
    (i32.store8 (i32.const 66) (i32.const 10))
    (if (i32.gt_u (i32.load (i32.const 4)) (i32.const 1))
      (then (local.set $letter (i32.load8_u (i32.load offset=8 (i32.load (i32.const 0)))))))
    (call $send (call $stdout) (i32.const 64) (i32.const 3) (i32.const 16))
    (if (i32.eq (local.get $letter) (i32.const 115)) (then (loop $for-ever (br $for-ever))))
    (if (i32.eq (local.get $letter) (i32.const 116)) (then (unreachable)))
    (if (i32.eq (local.get $letter) (i32.const 101)) (then (call $exit (i32.const 1))))
    (i32.eq (local.get $letter) (i32.const 102))))
