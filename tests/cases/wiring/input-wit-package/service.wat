(component (type (component (export "test:a/b" (instance)))) (export "b" (type 0)))
