;; A guest that misbehaves in the way that the first letter of the path names. One page of memory for
;; everything: 0..64 results of calls, 64.. texts, 4096 what the host hands over, 8192 filler for bodies.
(module
  (import "wasi:http/types@0.2.0" "[method]incoming-request.path-with-query" (func $path (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.consume" (func $consume (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $stream (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.body" (func $body (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-body.write" (func $write (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]outgoing-body.finish" (func $finish (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]response-outparam.set"
    (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
    (func $send (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop-output (param i32)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
  (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))

  (memory (export "memory") 1)
  ;; Without a maximum of its own.
  (table $spare 10 funcref)
  (data (i32.const 64) "ok\0agranted\0adenied\0a")

  ;; Two lines, of which the first wants to be more, and a third without an end.
  (data (i32.const 128) "a\1b[2J\c2\85\e2\80\a8\ff\22}\0d\0alauncher: error: forged\0alast")

  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))

  ;; Sends the head and returns the stream of the body and, at 60, the body itself.
  (func $begin (param $out i32) (result i32)
    (local $reply i32)
    (local.set $reply (call $response (call $fields)))
    (call $body (local.get $reply) (i32.const 0))
    (call $set (local.get $out) (i32.const 0) (local.get $reply)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (i32.store (i32.const 60) (i32.load (i32.const 4)))
    (call $write (i32.load (i32.const 60)) (i32.const 0))
    (i32.load (i32.const 4)))

  (func $end (param $stream i32)
    (call $drop-output (local.get $stream))
    (call $finish (i32.load (i32.const 60)) (i32.const 0) (i32.const 0) (i32.const 0)))

  (func $reply (param $out i32) (param $text i32) (param $length i32)
    (local $stream i32)
    (local.set $stream (call $begin (local.get $out)))
    (call $send (local.get $stream) (local.get $text) (local.get $length) (i32.const 0))
    (call $end (local.get $stream)))

  (func $ok (param $out i32) (call $reply (local.get $out) (i32.const 64) (i32.const 3)))

  (func $print (param $text i32) (param $length i32)
    (call $send (call $stdout) (local.get $text) (local.get $length) (i32.const 0)))

  ;; Prints 1000 lines of 4 KiB.
  (func $print-much
    (local $left i32)
    (memory.fill (i32.const 8192) (i32.const 120) (i32.const 4095))
    (i32.store8 (i32.const 12287) (i32.const 10))
    (local.set $left (i32.const 1000))
    (loop $more
      (call $print (i32.const 8192) (i32.const 4096))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $more (local.get $left))))

  (func $sleep (param $nanoseconds i64) (call $block (call $subscribe (local.get $nanoseconds))))
  (func $sleep-for-ever (call $sleep (i64.const 1000000000000000)))

  ;; Reads the request's body until it ends, well or badly.
  (func $read-all (param $request i32)
    (local $stream i32)
    (call $consume (local.get $request) (i32.const 0))
    (call $stream (i32.load (i32.const 4)) (i32.const 0))
    (local.set $stream (i32.load (i32.const 4)))
    (loop $more
      (call $read (local.get $stream) (i64.const 4096) (i32.const 0))
      (br_if $more (i32.eqz (i32.load8_u (i32.const 0))))))

  ;; Writes 256 MiB, as long as anyone takes it.
  (func $flood (param $out i32)
    (local $stream i32) (local $left i32)
    (local.set $stream (call $begin (local.get $out)))
    (local.set $left (i32.const 65536))
    (loop $more
      (call $send (local.get $stream) (i32.const 8192) (i32.const 4096) (i32.const 0))
      (if (i32.load8_u (i32.const 0)) (then (return)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $more (local.get $left)))
    (call $end (local.get $stream)))

  (func (export "wasi:http/incoming-handler@0.2.0#handle") (param $request i32) (param $out i32)
    (local $letter i32)
    (call $path (local.get $request) (i32.const 0))
    (local.set $letter (i32.load8_u offset=1 (i32.load (i32.const 4))))
    ;; s: spins.
    (if (i32.eq (local.get $letter) (i32.const 115)) (then (loop $for-ever (br $for-ever))))
    ;; z: sleeps in a host call.
    (if (i32.eq (local.get $letter) (i32.const 122)) (then (call $sleep-for-ever)))
    ;; m: stops in mid-body.
    (if (i32.eq (local.get $letter) (i32.const 109))
      (then
        (call $send (call $begin (local.get $out)) (i32.const 64) (i32.const 3) (i32.const 0))
        (call $sleep-for-ever)))
    ;; x: spins in mid-body.
    (if (i32.eq (local.get $letter) (i32.const 120))
      (then
        (call $send (call $begin (local.get $out)) (i32.const 64) (i32.const 3) (i32.const 0))
        (loop $for-ever (br $for-ever))))
    ;; u: traps in mid-body, when the client has had time to see its beginning.
    (if (i32.eq (local.get $letter) (i32.const 117))
      (then
        (call $send (call $begin (local.get $out)) (i32.const 64) (i32.const 3) (i32.const 0))
        (call $sleep (i64.const 50000000))
        (unreachable)))
    ;; a: traps at once after its answer.
    (if (i32.eq (local.get $letter) (i32.const 97)) (then (call $ok (local.get $out)) (unreachable)))
    ;; h: asks for 64 MiB of memory and says whether it got them.
    (if (i32.eq (local.get $letter) (i32.const 104))
      (then
        (if (i32.eq (memory.grow (i32.const 1024)) (i32.const -1))
          (then (call $reply (local.get $out) (i32.const 75) (i32.const 7)))
          (else (call $reply (local.get $out) (i32.const 67) (i32.const 8))))
        (return)))
    ;; g, i: grows a table by 500 elements, or by 5000, and says whether it got them.
    (if (i32.or (i32.eq (local.get $letter) (i32.const 103)) (i32.eq (local.get $letter) (i32.const 105)))
      (then
        (if (i32.eq
              (table.grow $spare (ref.null func)
                (select (i32.const 500) (i32.const 5000) (i32.eq (local.get $letter) (i32.const 103))))
              (i32.const -1))
          (then (call $reply (local.get $out) (i32.const 75) (i32.const 7)))
          (else (call $reply (local.get $out) (i32.const 67) (i32.const 8))))
        (return)))
    ;; t: traps.
    (if (i32.eq (local.get $letter) (i32.const 116)) (then (unreachable)))
    ;; n: returns without an answer.
    (if (i32.eq (local.get $letter) (i32.const 110)) (then (return)))
    ;; v: answers without a body.
    (if (i32.eq (local.get $letter) (i32.const 118))
      (then
        (call $set (local.get $out) (i32.const 0) (call $response (call $fields))
          (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        (return)))
    ;; e: exits.
    (if (i32.eq (local.get $letter) (i32.const 101)) (then (call $exit (i32.const 0))))
    ;; r: reads the body first.
    (if (i32.eq (local.get $letter) (i32.const 114)) (then (call $read-all (local.get $request))))
    ;; b: a big body.
    (if (i32.eq (local.get $letter) (i32.const 98)) (then (call $flood (local.get $out)) (return)))
    ;; q: answers after 300 ms.
    (if (i32.eq (local.get $letter) (i32.const 113)) (then (call $sleep (i64.const 300000000))))
    ;; p: goes on for 300 ms after its answer.
    (if (i32.eq (local.get $letter) (i32.const 112))
      (then (call $ok (local.get $out)) (call $sleep (i64.const 300000000)) (return)))
    ;; l: prints the rest of the path, without an end.
    (if (i32.eq (local.get $letter) (i32.const 108))
      (then (call $print (i32.add (i32.load (i32.const 4)) (i32.const 2)) (i32.sub (i32.load (i32.const 8)) (i32.const 2)))))
    ;; k: prints what a log must not believe, and traps.
    (if (i32.eq (local.get $letter) (i32.const 107))
      (then (call $print (i32.const 128) (i32.const 43)) (unreachable)))
    ;; f: prints more than a log takes.
    (if (i32.eq (local.get $letter) (i32.const 102)) (then (call $print-much)))
    (call $ok (local.get $out))))
