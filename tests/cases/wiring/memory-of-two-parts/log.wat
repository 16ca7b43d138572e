;; A memory of one page without a maximum, in a module of a component in this one.
(component
  (component $inner
    (core module $m (memory (export "memory") 1) (func (export "write") (param i32)))
    (core instance $i (instantiate $m))
    (func $write (param "level" u32) (canon lift (core func $i "write")))
    (instance $sink (export "write" (func $write)))
    (export "sink" (instance $sink)))
  (instance $inner (instantiate $inner))
  (alias export $inner "sink" (instance $sink))
  (export "acme:log/sink@1.0.0" (instance $sink)))
