;; 17 pages from the start.
(component
  (core module $m (memory (export "memory") 17 40) (func (export "write") (param i32)))
  (core instance $i (instantiate $m))
  (func $write (param "level" u32) (canon lift (core func $i "write")))
  (instance $sink (export "write" (func $write)))
  (export "acme:log/sink@1.0.0" (instance $sink)))
