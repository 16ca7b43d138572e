(module (import "env" "curl_easy_init" (func (result i32))) (memory (export "memory") 1) (func (export "_start")))
