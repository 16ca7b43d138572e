;; As `hostile.wat`, for WASI 0.3. It waits in blocking calls instead of its callback: that holds a stack,
;; which is the harder case for the launcher. 0..63 are results of calls, 64.. texts, 128.. zeros that stand
;; for `ok(none)`, 4096 is what the host hands over, 8192 filler for bodies.
(module
  (import "wasi:clocks/monotonic-clock@0.3.0" "[async-lower]wait-for" (func $wait-for (param i64) (result i32)))
  (import "wasi:http/types@0.3.0" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.3.0" "[method]request.get-path-with-query" (func $path (param i32 i32)))
  (import "wasi:http/types@0.3.0" "[static]request.consume-body" (func $consume (param i32 i32 i32)))
  (import "wasi:http/types@0.3.0" "[future-new-0][static]request.consume-body" (func $received-new (result i64)))
  (import "wasi:http/types@0.3.0" "[async-lower][future-write-0][static]request.consume-body"
    (func $received-write (param i32 i32) (result i32)))
  (import "wasi:http/types@0.3.0" "[future-drop-writable-0][static]request.consume-body"
    (func $received-drop (param i32)))
  (import "wasi:http/types@0.3.0" "[async-lower][stream-read-1][static]request.consume-body"
    (func $read (param i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.3.0" "[stream-drop-readable-1][static]request.consume-body"
    (func $read-drop (param i32)))
  (import "wasi:http/types@0.3.0" "[future-drop-readable-2][static]request.consume-body"
    (func $request-trailers-drop (param i32)))
  (import "wasi:http/types@0.3.0" "[static]response.new" (func $response (param i32 i32 i32 i32 i32)))
  (import "wasi:http/types@0.3.0" "[stream-new-0][static]response.new" (func $stream-new (result i64)))
  (import "wasi:http/types@0.3.0" "[async-lower][stream-write-0][static]response.new"
    (func $stream-write (param i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.3.0" "[stream-drop-writable-0][static]response.new" (func $stream-drop (param i32)))
  (import "wasi:http/types@0.3.0" "[future-new-1][static]response.new" (func $trailers-new (result i64)))
  (import "wasi:http/types@0.3.0" "[async-lower][future-write-1][static]response.new"
    (func $trailers-write (param i32 i32) (result i32)))
  (import "wasi:http/types@0.3.0" "[future-drop-writable-1][static]response.new" (func $trailers-drop (param i32)))
  (import "wasi:http/types@0.3.0" "[future-drop-readable-2][static]response.new" (func $sent-drop (param i32)))
  (import "$root" "[waitable-set-new]" (func $set-new (result i32)))
  (import "$root" "[waitable-set-wait]" (func $set-wait (param i32 i32) (result i32)))
  (import "$root" "[waitable-set-drop]" (func $set-drop (param i32)))
  (import "$root" "[waitable-join]" (func $join (param i32 i32)))
  (import "$root" "[subtask-drop]" (func $subtask-drop (param i32)))
  (import "[export]wasi:http/handler@0.3.0" "[task-return]handle"
    (func $return (param i32 i32 i32 i64 i32 i32 i32 i32)))

  (memory (export "memory") 1)
  (data (i32.const 64) "ok\0agranted\0adenied\0a")
  (global $stream (mut i32) (i32.const 0))
  (global $trailers (mut i32) (i32.const 0))

  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))

  ;; Waits for one waitable and returns the payload of its event.
  (func $wait (param $waitable i32) (result i32)
    (local $set i32)
    (local.set $set (call $set-new))
    (call $join (local.get $waitable) (local.get $set))
    (drop (call $set-wait (local.get $set) (i32.const 32)))
    (call $join (local.get $waitable) (i32.const 0))
    (call $set-drop (local.get $set))
    (i32.load (i32.const 36)))

  (func $sleep (param $nanoseconds i64)
    (local $status i32)
    (local.set $status (call $wait-for (local.get $nanoseconds)))
    (if (i32.ne (i32.and (local.get $status) (i32.const 15)) (i32.const 2))
      (then
        (drop (call $wait (i32.shr_u (local.get $status) (i32.const 4))))
        (call $subtask-drop (i32.shr_u (local.get $status) (i32.const 4))))))
  (func $sleep-for-ever (call $sleep (i64.const 1000000000000000)))

  ;; Returns a response over the two readable ends.
  (func $respond (param $contents i32) (param $trailers i32)
    (call $response (call $fields) (i32.const 1) (local.get $contents) (local.get $trailers) (i32.const 0))
    (call $sent-drop (i32.load (i32.const 4)))
    (call $return (i32.const 0) (i32.load (i32.const 0)) (i32.const 0) (i64.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))

  ;; Returns a response whose body this guest writes.
  (func $begin
    (local $stream i64) (local $trailers i64)
    (local.set $stream (call $stream-new))
    (local.set $trailers (call $trailers-new))
    (global.set $stream (i32.wrap_i64 (i64.shr_u (local.get $stream) (i64.const 32))))
    (global.set $trailers (i32.wrap_i64 (i64.shr_u (local.get $trailers) (i64.const 32))))
    (call $respond (i32.wrap_i64 (local.get $stream)) (i32.wrap_i64 (local.get $trailers))))

  ;; Writes all of it; returns whether the other end is gone.
  (func $write (param $at i32) (param $left i32) (result i32)
    (local $result i32)
    (loop $more
      (local.set $result (call $stream-write (global.get $stream) (local.get $at) (local.get $left)))
      (if (i32.eq (local.get $result) (i32.const -1))
        (then (local.set $result (call $wait (global.get $stream)))))
      (if (i32.and (local.get $result) (i32.const 15)) (then (return (i32.const 1))))
      (local.set $at (i32.add (local.get $at) (i32.shr_u (local.get $result) (i32.const 4))))
      (local.set $left (i32.sub (local.get $left) (i32.shr_u (local.get $result) (i32.const 4))))
      (br_if $more (local.get $left)))
    (i32.const 0))

  (func $end
    (call $stream-drop (global.get $stream))
    (if (i32.eq (call $trailers-write (global.get $trailers) (i32.const 128)) (i32.const -1))
      (then (drop (call $wait (global.get $trailers)))))
    (call $trailers-drop (global.get $trailers)))

  (func $reply (param $text i32) (param $length i32)
    (call $begin)
    (drop (call $write (local.get $text) (local.get $length)))
    (call $end))
  (func $ok (call $reply (i32.const 64) (i32.const 3)))

  ;; The head, and a part of the body.
  (func $half (call $begin) (drop (call $write (i32.const 64) (i32.const 3))))

  ;; Takes the request's body: its stream is then at 0, the future of its trailers at 4. Returns the end that
  ;; tells the host how it went.
  (func $take (param $request i32) (result i32)
    (local $received i64)
    (local.set $received (call $received-new))
    (call $consume (local.get $request) (i32.wrap_i64 (local.get $received)) (i32.const 0))
    (i32.wrap_i64 (i64.shr_u (local.get $received) (i64.const 32))))

  (func $received (param $end i32)
    (if (i32.eq (call $received-write (local.get $end) (i32.const 128)) (i32.const -1))
      (then (drop (call $wait (local.get $end)))))
    (call $received-drop (local.get $end)))

  (func $read-all (param $request i32)
    (local $stream i32) (local $trailers i32) (local $end i32) (local $result i32)
    (local.set $end (call $take (local.get $request)))
    (local.set $stream (i32.load (i32.const 0)))
    (local.set $trailers (i32.load (i32.const 4)))
    (loop $more
      (local.set $result (call $read (local.get $stream) (i32.const 4096) (i32.const 4096)))
      (if (i32.eq (local.get $result) (i32.const -1))
        (then (local.set $result (call $wait (local.get $stream)))))
      (br_if $more (i32.eqz (i32.and (local.get $result) (i32.const 15)))))
    (call $read-drop (local.get $stream))
    (call $request-trailers-drop (local.get $trailers))
    (call $received (local.get $end)))

  ;; Answers with the request's own body: from here on only the host moves it.
  (func $copy (param $request i32)
    (local $end i32)
    (local.set $end (call $take (local.get $request)))
    (call $respond (i32.load (i32.const 0)) (i32.load (i32.const 4)))
    (call $received (local.get $end)))

  (func $flood
    (local $left i32)
    (call $begin)
    (local.set $left (i32.const 65536))
    (loop $more
      (if (call $write (i32.const 8192) (i32.const 4096)) (then (return)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $more (local.get $left)))
    (call $end))

  (func $handle (param $request i32)
    (local $letter i32)
    (call $path (local.get $request) (i32.const 0))
    (local.set $letter (i32.load8_u offset=1 (i32.load (i32.const 4))))
    ;; The letters of `hostile.wat`, and c: copies the body.
    (if (i32.eq (local.get $letter) (i32.const 115)) (then (loop $for-ever (br $for-ever))))
    (if (i32.eq (local.get $letter) (i32.const 122)) (then (call $sleep-for-ever)))
    (if (i32.eq (local.get $letter) (i32.const 109)) (then (call $half) (call $sleep-for-ever)))
    (if (i32.eq (local.get $letter) (i32.const 120)) (then (call $half) (loop $for-ever (br $for-ever))))
    (if (i32.eq (local.get $letter) (i32.const 117))
      (then (call $half) (call $sleep (i64.const 50000000)) (unreachable)))
    (if (i32.eq (local.get $letter) (i32.const 97)) (then (call $begin) (unreachable)))
    (if (i32.eq (local.get $letter) (i32.const 104))
      (then
        (if (i32.eq (memory.grow (i32.const 1024)) (i32.const -1))
          (then (call $reply (i32.const 75) (i32.const 7)))
          (else (call $reply (i32.const 67) (i32.const 8))))
        (return)))
    (if (i32.eq (local.get $letter) (i32.const 116)) (then (unreachable)))
    (if (i32.eq (local.get $letter) (i32.const 101)) (then (unreachable)))
    (if (i32.eq (local.get $letter) (i32.const 110))
      (then
        ;; `destination-not-found`
        (call $return (i32.const 1) (i32.const 2) (i32.const 0) (i64.const 0)
          (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        (return)))
    (if (i32.eq (local.get $letter) (i32.const 114)) (then (call $read-all (local.get $request))))
    (if (i32.eq (local.get $letter) (i32.const 99)) (then (call $copy (local.get $request)) (return)))
    (if (i32.eq (local.get $letter) (i32.const 98)) (then (call $flood) (return)))
    (if (i32.eq (local.get $letter) (i32.const 113)) (then (call $sleep (i64.const 300000000))))
    (if (i32.eq (local.get $letter) (i32.const 112))
      (then (call $ok) (call $sleep (i64.const 300000000)) (return)))
    ;; l: spins, long after its answer.
    (if (i32.eq (local.get $letter) (i32.const 108))
      (then (call $ok) (call $sleep (i64.const 300000000)) (loop $for-ever (br $for-ever))))
    (call $ok))

  (func (export "[async-lift]wasi:http/handler@0.3.0#handle") (param $request i32) (result i32)
    (call $handle (local.get $request))
    (i32.const 0))
  (func (export "[callback][async-lift]wasi:http/handler@0.3.0#handle") (param i32 i32 i32) (result i32)
    (unreachable)))
