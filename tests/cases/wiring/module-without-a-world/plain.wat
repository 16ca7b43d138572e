(module (func (export "run")) (func (export "stop")))
