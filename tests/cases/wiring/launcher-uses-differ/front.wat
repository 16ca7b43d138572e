(component
  (import "acme:plugin/plug@1.0.0" (instance (export "plug" (func))))
  (import "wasi:io/error@0.2.12" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $e))
  (import "wasi:io/streams@0.2.12" (instance
    (alias outer 1 $e (type $used))
    (export "error" (type (eq $used)))))
  (core module $code (func (export "run") (result i32) i32.const 0))
  (core instance $core (instantiate $code))
  (func $run (result (result)) (canon lift (core func $core "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.12" (instance $exported)))
