(component
  (import "wasi:io/poll@0.2.12" (instance $poll (export "error" (type (sub resource)))))
  (alias export $poll "error" (type $e))
  (import "wasi:io/streams@0.2.12" (instance
    (alias outer 1 $e (type $used))
    (export "error" (type (eq $used)))))
  (core module $code (func (export "plug")))
  (core instance $core (instantiate $code))
  (func $plug (canon lift (core func $core "plug")))
  (instance $exported (export "plug" (func $plug)))
  (export "acme:plugin/plug@1.0.0" (instance $exported)))
