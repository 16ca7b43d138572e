(component
  (type (;0;)
    (instance
      (type (;0;) (tuple string string))
      (type (;1;) (list 0))
      (type (;2;) (func (result 1)))
      (export (;0;) "get-environment" (func (type 2)))
    )
  )
  (import "wasi:cli/environment@0.2.0" (instance (;0;) (type 0)))
  (component (;0;)
    (type $ty-wasi:cli/environment@0.2.0 (;0;)
      (instance
        (type (;0;) (tuple string string))
        (type (;1;) (list 0))
        (type (;2;) (func (result 1)))
        (export (;0;) "get-environment" (func (type 2)))
      )
    )
    (import "wasi:cli/environment@0.2.0" (instance $wasi:cli/environment@0.2.0 (;0;) (type $ty-wasi:cli/environment@0.2.0)))
    (core module $main (;0;)
      (type (;0;) (func (result i32)))
      (type (;1;) (func (param i32 i32) (result i32)))
      (type (;2;) (func (param i32)))
      (type (;3;) (func (param i32 i32 i32 i32) (result i32)))
      (import "wasi:cli/environment@0.2.0" "get-environment" (func (;0;) (type 2)))
      (memory (;0;) 1)
      (global (;0;) (mut i32) i32.const 224)
      (export "wasi:config/store@0.2.0-rc.1#get" (func $wasi:config/store@0.2.0-rc.1#get))
      (export "cabi_post_wasi:config/store@0.2.0-rc.1#get" (func $release))
      (export "wasi:config/store@0.2.0-rc.1#get-all" (func $wasi:config/store@0.2.0-rc.1#get-all))
      (export "cabi_post_wasi:config/store@0.2.0-rc.1#get-all" (func $release))
      (export "cabi_realloc" (func $cabi_realloc))
      (export "memory" (memory 0))
      (func $wasi:config/store@0.2.0-rc.1#get (;1;) (type 1) (param i32 i32) (result i32)
        (local i32 i32)
        i32.const 0
        local.set 2
        block ;; label = @1
          loop ;; label = @2
            local.get 2
            i32.const 1
            i32.ge_u
            br_if 1 (;@1;)
            local.get 0
            local.get 1
            local.get 2
            i32.const 16
            i32.mul
            i32.const 32
            i32.add
            i32.load
            local.get 2
            i32.const 16
            i32.mul
            i32.const 32
            i32.add
            i32.load offset=4
            call $equal
            if ;; label = @3
              local.get 2
              i32.const 16
              i32.mul
              i32.const 96
              i32.add
              return
            end
            local.get 2
            i32.const 1
            i32.add
            local.set 2
            br 0 (;@2;)
          end
        end
        i32.const 0
        local.set 2
        block ;; label = @1
          loop ;; label = @2
            local.get 2
            i32.const 1
            i32.ge_u
            br_if 1 (;@1;)
            local.get 0
            local.get 1
            local.get 2
            i32.const 8
            i32.mul
            i32.const 64
            i32.add
            i32.load
            local.get 2
            i32.const 8
            i32.mul
            i32.const 64
            i32.add
            i32.load offset=4
            call $equal
            if ;; label = @3
              i32.const 48
              call 0
              i32.const 0
              local.set 3
              block ;; label = @4
                loop ;; label = @5
                  local.get 3
                  i32.const 48
                  i32.load offset=4
                  i32.ge_u
                  br_if 1 (;@4;)
                  local.get 0
                  local.get 1
                  local.get 3
                  i32.const 16
                  i32.mul
                  i32.const 48
                  i32.load
                  i32.add
                  i32.load
                  local.get 3
                  i32.const 16
                  i32.mul
                  i32.const 48
                  i32.load
                  i32.add
                  i32.load offset=4
                  call $equal
                  if ;; label = @6
                    i32.const 88
                    local.get 3
                    i32.const 16
                    i32.mul
                    i32.const 48
                    i32.load
                    i32.add
                    i32.const 8
                    i32.add
                    i32.const 8
                    memory.copy
                    i32.const 80
                    return
                  end
                  local.get 3
                  i32.const 1
                  i32.add
                  local.set 3
                  br 0 (;@5;)
                end
              end
            end
            local.get 2
            i32.const 1
            i32.add
            local.set 2
            br 0 (;@2;)
          end
        end
        i32.const 112
      )
      (func $wasi:config/store@0.2.0-rc.1#get-all (;2;) (type 0) (result i32)
        (local i32 i32 i32)
        i32.const 208
        call 0
        i32.const 1
        local.set 2
        i32.const 0
        local.set 0
        block ;; label = @1
          loop ;; label = @2
            local.get 0
            i32.const 1
            i32.ge_u
            br_if 1 (;@1;)
            i32.const 0
            local.set 1
            block ;; label = @3
              loop ;; label = @4
                local.get 1
                i32.const 208
                i32.load offset=4
                i32.ge_u
                br_if 1 (;@3;)
                local.get 0
                i32.const 8
                i32.mul
                i32.const 144
                i32.add
                i32.load
                local.get 0
                i32.const 8
                i32.mul
                i32.const 144
                i32.add
                i32.load offset=4
                local.get 1
                i32.const 16
                i32.mul
                i32.const 208
                i32.load
                i32.add
                i32.load
                local.get 1
                i32.const 16
                i32.mul
                i32.const 208
                i32.load
                i32.add
                i32.load offset=4
                call $equal
                if ;; label = @5
                  local.get 2
                  i32.const 16
                  i32.mul
                  i32.const 160
                  i32.add
                  local.get 1
                  i32.const 16
                  i32.mul
                  i32.const 208
                  i32.load
                  i32.add
                  i32.const 16
                  memory.copy
                  local.get 2
                  i32.const 1
                  i32.add
                  local.set 2
                  i32.const 208
                  i32.load offset=4
                  local.set 1
                end
                local.get 1
                i32.const 1
                i32.add
                local.set 1
                br 0 (;@4;)
              end
            end
            local.get 0
            i32.const 1
            i32.add
            local.set 0
            br 0 (;@2;)
          end
        end
        i32.const 196
        local.get 2
        i32.store offset=4
        i32.const 192
      )
      (func $cabi_realloc (;3;) (type 3) (param i32 i32 i32 i32) (result i32)
        (local i64 i64)
        global.get 0
        i64.extend_i32_u
        local.get 2
        i64.extend_i32_u
        i64.add
        i64.const 1
        i64.sub
        i64.const 0
        local.get 2
        i64.extend_i32_u
        i64.sub
        i64.and
        local.tee 4
        local.get 3
        i64.extend_i32_u
        i64.add
        local.set 5
        local.get 5
        i64.const 32
        i64.shr_u
        i64.eqz
        i32.eqz
        if ;; label = @1
          unreachable
        end
        local.get 5
        i64.const 65535
        i64.add
        i64.const 16
        i64.shr_u
        i32.wrap_i64
        memory.size
        i32.gt_u
        if ;; label = @1
          local.get 5
          i64.const 65535
          i64.add
          i64.const 16
          i64.shr_u
          i32.wrap_i64
          memory.size
          i32.sub
          memory.grow
          i32.const -1
          i32.eq
          if ;; label = @2
            unreachable
          end
        end
        local.get 5
        i32.wrap_i64
        global.set 0
        local.get 4
        i32.wrap_i64
        local.get 0
        local.get 1
        local.get 3
        local.get 1
        local.get 3
        i32.lt_u
        select
        memory.copy
        local.get 4
        i32.wrap_i64
      )
      (func $equal (;4;) (type 3) (param i32 i32 i32 i32) (result i32)
        (local i32)
        local.get 1
        local.get 3
        i32.ne
        if ;; label = @1
          i32.const 0
          return
        end
        i32.const 0
        local.set 4
        block ;; label = @1
          loop ;; label = @2
            local.get 4
            local.get 1
            i32.ge_u
            br_if 1 (;@1;)
            local.get 0
            local.get 4
            i32.add
            i32.load8_u
            local.get 2
            local.get 4
            i32.add
            i32.load8_u
            i32.ne
            if ;; label = @3
              i32.const 0
              return
            end
            local.get 4
            i32.const 1
            i32.add
            local.set 4
            br 0 (;@2;)
          end
        end
        i32.const 1
      )
      (func $release (;5;) (type 2) (param i32)
        i32.const 224
        global.set 0
      )
      (data (;0;) (i32.const 16) "currencyEUR\00\00\00\00\00\10\00\00\00\08\00\00\00\18\00\00\00\03\00\00\00\00\00\00\00\00\00\00\00region\00\008\00\00\00\06\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00\18\00\00\00\03\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00region\00\00\00\00\00\00\00\00\00\00\80\00\00\00\06\00\00\00\00\00\00\00\00\00\00\00\10\00\00\00\08\00\00\00\18\00\00\00\03\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\a0\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
      (@producers
        (processed-by "wit-component" "0.258.3")
      )
    )
    (core module $wit-component-shim-module (;1;)
      (type (;0;) (func (param i32)))
      (table (;0;) 1 1 funcref)
      (export "0" (func 0))
      (export "$imports" (table 0))
      (func (;0;) (type 0) (param i32)
        local.get 0
        i32.const 0
        call_indirect (type 0)
      )
      (@producers
        (processed-by "wit-component" "0.258.3")
      )
    )
    (core instance $wit-component-shim-instance (;0;) (instantiate $wit-component-shim-module))
    (type (;1;) (variant (case "upstream" string) (case "io" string)))
    (alias core export $wit-component-shim-instance "0" (core func $indirect-wasi:cli/environment@0.2.0-get-environment (;0;)))
    (core instance $wasi:cli/environment@0.2.0 (;1;)
      (export "get-environment" (func $indirect-wasi:cli/environment@0.2.0-get-environment))
    )
    (core instance $main (;2;) (instantiate $main
        (with "wasi:cli/environment@0.2.0" (instance $wasi:cli/environment@0.2.0))
      )
    )
    (alias core export $main "memory" (core memory $memory (;0;)))
    (core module $wit-component-fixup (;2;)
      (type (;0;) (func (param i32)))
      (import "actual" "0" (func (;0;) (type 0)))
      (import "shim" "$imports" (table (;0;) 1 1 funcref))
      (elem (;0;) (i32.const 0) func 0)
      (@producers
        (processed-by "wit-component" "0.258.3")
      )
    )
    (alias export $wasi:cli/environment@0.2.0 "get-environment" (func $get-environment (;0;)))
    (alias core export $main "cabi_realloc" (core func $cabi_realloc (;1;)))
    (core func $"#core-func2 indirect-wasi:cli/environment@0.2.0-get-environment" (@name "indirect-wasi:cli/environment@0.2.0-get-environment") (;2;) (canon lower (func $get-environment) (memory $memory) (realloc $cabi_realloc) string-encoding=utf8))
    (core instance $actual (;3;)
      (export "0" (func $"#core-func2 indirect-wasi:cli/environment@0.2.0-get-environment"))
    )
    (core instance $fixup (;4;) (instantiate $wit-component-fixup
        (with "actual" (instance $actual))
        (with "shim" (instance $wit-component-shim-instance))
      )
    )
    (type (;2;) (option string))
    (type (;3;) (result 2 (error 1)))
    (type (;4;) (func (param "key" string) (result 3)))
    (alias core export $main "wasi:config/store@0.2.0-rc.1#get" (core func $wasi:config/store@0.2.0-rc.1#get (;3;)))
    (alias core export $main "cabi_post_wasi:config/store@0.2.0-rc.1#get" (core func $cabi_post_wasi:config/store@0.2.0-rc.1#get (;4;)))
    (func $get (;1;) (type 4) (canon lift (core func $wasi:config/store@0.2.0-rc.1#get) (memory $memory) (realloc $cabi_realloc) string-encoding=utf8 (post-return $cabi_post_wasi:config/store@0.2.0-rc.1#get)))
    (type (;5;) (tuple string string))
    (type (;6;) (list 5))
    (type (;7;) (result 6 (error 1)))
    (type (;8;) (func (result 7)))
    (alias core export $main "wasi:config/store@0.2.0-rc.1#get-all" (core func $wasi:config/store@0.2.0-rc.1#get-all (;5;)))
    (alias core export $main "cabi_post_wasi:config/store@0.2.0-rc.1#get-all" (core func $cabi_post_wasi:config/store@0.2.0-rc.1#get-all (;6;)))
    (func $get-all (;2;) (type 8) (canon lift (core func $wasi:config/store@0.2.0-rc.1#get-all) (memory $memory) string-encoding=utf8 (post-return $cabi_post_wasi:config/store@0.2.0-rc.1#get-all)))
    (component $wasi:config/store@0.2.0-rc.1-shim-component (;0;)
      (type (;0;) (option string))
      (type (;1;) (variant (case "upstream" string) (case "io" string)))
      (import "import-type-error" (type (;2;) (eq 1)))
      (type (;3;) (result 0 (error 2)))
      (type (;4;) (func (param "key" string) (result 3)))
      (import "import-func-get" (func (;0;) (type 4)))
      (type (;5;) (tuple string string))
      (type (;6;) (list 5))
      (type (;7;) (result 6 (error 2)))
      (type (;8;) (func (result 7)))
      (import "import-func-get-all" (func (;1;) (type 8)))
      (type (;9;) (variant (case "upstream" string) (case "io" string)))
      (export (;10;) "error" (type 9))
      (type (;11;) (option string))
      (type (;12;) (result 11 (error 10)))
      (type (;13;) (func (param "key" string) (result 12)))
      (export (;2;) "get" (func 0) (func (type 13)))
      (type (;14;) (tuple string string))
      (type (;15;) (list 14))
      (type (;16;) (result 15 (error 10)))
      (type (;17;) (func (result 16)))
      (export (;3;) "get-all" (func 1) (func (type 17)))
    )
    (instance $wasi:config/store@0.2.0-rc.1-shim-instance (;1;) (instantiate $wasi:config/store@0.2.0-rc.1-shim-component
        (with "import-func-get" (func $get))
        (with "import-func-get-all" (func $get-all))
        (with "import-type-error" (type 1))
      )
    )
    (export $wasi:config/store@0.2.0-rc.1 (;2;) "wasi:config/store@0.2.0-rc.1" (instance $wasi:config/store@0.2.0-rc.1-shim-instance))
    (@producers
      (processed-by "wit-component" "0.258.3")
    )
  )
  (instance $main/open (;1;) (instantiate 0
      (with "wasi:cli/environment@0.2.0" (instance 0))
    )
  )
  (alias export $main/open "wasi:config/store@0.2.0-rc.1" (instance (;2;)))
  (component (;1;)
    (type $ty-wasi:config/store@0.2.0-rc.1 (;0;)
      (instance
        (type (;0;) (variant (case "upstream" string) (case "io" string)))
        (export (;1;) "error" (type (eq 0)))
        (type (;2;) (option string))
        (type (;3;) (result 2 (error 1)))
        (type (;4;) (func (param "key" string) (result 3)))
        (export (;0;) "get" (func (type 4)))
        (type (;5;) (tuple string string))
        (type (;6;) (list 5))
        (type (;7;) (result 6 (error 1)))
        (type (;8;) (func (result 7)))
        (export (;1;) "get-all" (func (type 8)))
      )
    )
    (import "wasi:config/store@0.2.0-rc.1" (instance $wasi:config/store@0.2.0-rc.1 (;0;) (type $ty-wasi:config/store@0.2.0-rc.1)))
    (core module $main (;0;)
      (type (;0;) (func (param i32 i32 i32)))
      (type (;1;) (func (param i32)))
      (type (;2;) (func (result i32)))
      (type (;3;) (func (param i32 i32 i32 i32) (result i32)))
      (type (;4;) (func))
      (import "wasi:config/store@0.2.0-rc.1" "get" (func (;0;) (type 0)))
      (import "wasi:config/store@0.2.0-rc.1" "get-all" (func (;1;) (type 1)))
      (memory (;0;) 0)
      (export "wasi:cli/run@0.2.12#run" (func 2))
      (export "cabi_post_wasi:cli/run@0.2.12#run" (func 3))
      (export "memory" (memory 0))
      (export "cabi_realloc" (func 4))
      (export "_initialize" (func 5))
      (func (;2;) (type 2) (result i32)
        unreachable
      )
      (func (;3;) (type 1) (param i32))
      (func (;4;) (type 3) (param i32 i32 i32 i32) (result i32)
        unreachable
      )
      (func (;5;) (type 4))
      (@producers
        (processed-by "wit-component" "0.258.3")
      )
    )
    (core module $wit-component-shim-module (;1;)
      (type (;0;) (func (param i32 i32 i32)))
      (type (;1;) (func (param i32)))
      (table (;0;) 2 2 funcref)
      (export "0" (func 0))
      (export "1" (func 1))
      (export "$imports" (table 0))
      (func (;0;) (type 0) (param i32 i32 i32)
        local.get 0
        local.get 1
        local.get 2
        i32.const 0
        call_indirect (type 0)
      )
      (func (;1;) (type 1) (param i32)
        local.get 0
        i32.const 1
        call_indirect (type 1)
      )
      (@producers
        (processed-by "wit-component" "0.258.3")
      )
    )
    (core instance $wit-component-shim-instance (;0;) (instantiate $wit-component-shim-module))
    (alias core export $wit-component-shim-instance "0" (core func $indirect-wasi:config/store@0.2.0-rc.1-get (;0;)))
    (alias core export $wit-component-shim-instance "1" (core func $indirect-wasi:config/store@0.2.0-rc.1-get-all (;1;)))
    (core instance $wasi:config/store@0.2.0-rc.1 (;1;)
      (export "get" (func $indirect-wasi:config/store@0.2.0-rc.1-get))
      (export "get-all" (func $indirect-wasi:config/store@0.2.0-rc.1-get-all))
    )
    (core instance $main (;2;) (instantiate $main
        (with "wasi:config/store@0.2.0-rc.1" (instance $wasi:config/store@0.2.0-rc.1))
      )
    )
    (alias core export $main "memory" (core memory $memory (;0;)))
    (core module $wit-component-fixup (;2;)
      (type (;0;) (func (param i32 i32 i32)))
      (type (;1;) (func (param i32)))
      (type (;2;) (func))
      (import "actual" "0" (func (;0;) (type 0)))
      (import "actual" "1" (func (;1;) (type 1)))
      (import "main" "_initialize" (func (;2;) (type 2)))
      (import "shim" "$imports" (table (;0;) 2 2 funcref))
      (start 2)
      (elem (;0;) (i32.const 0) func 0 1)
      (@producers
        (processed-by "wit-component" "0.258.3")
      )
    )
    (alias export $wasi:config/store@0.2.0-rc.1 "get" (func $get (;0;)))
    (alias core export $main "cabi_realloc" (core func $cabi_realloc (;2;)))
    (core func $"#core-func3 indirect-wasi:config/store@0.2.0-rc.1-get" (@name "indirect-wasi:config/store@0.2.0-rc.1-get") (;3;) (canon lower (func $get) (memory $memory) (realloc $cabi_realloc) string-encoding=utf8))
    (alias export $wasi:config/store@0.2.0-rc.1 "get-all" (func $get-all (;1;)))
    (core func $"#core-func4 indirect-wasi:config/store@0.2.0-rc.1-get-all" (@name "indirect-wasi:config/store@0.2.0-rc.1-get-all") (;4;) (canon lower (func $get-all) (memory $memory) (realloc $cabi_realloc) string-encoding=utf8))
    (core instance $actual (;3;)
      (export "0" (func $"#core-func3 indirect-wasi:config/store@0.2.0-rc.1-get"))
      (export "1" (func $"#core-func4 indirect-wasi:config/store@0.2.0-rc.1-get-all"))
    )
    (core instance $fixup (;4;) (instantiate $wit-component-fixup
        (with "actual" (instance $actual))
        (with "main" (instance $main))
        (with "shim" (instance $wit-component-shim-instance))
      )
    )
    (type (;1;) (result))
    (type (;2;) (func (result 1)))
    (alias core export $main "wasi:cli/run@0.2.12#run" (core func $wasi:cli/run@0.2.12#run (;5;)))
    (alias core export $main "cabi_post_wasi:cli/run@0.2.12#run" (core func $cabi_post_wasi:cli/run@0.2.12#run (;6;)))
    (func $run (;2;) (type 2) (canon lift (core func $wasi:cli/run@0.2.12#run) (post-return $cabi_post_wasi:cli/run@0.2.12#run)))
    (component $wasi:cli/run@0.2.12-shim-component (;0;)
      (type (;0;) (result))
      (type (;1;) (func (result 0)))
      (import "import-func-run" (func (;0;) (type 1)))
      (type (;2;) (result))
      (type (;3;) (func (result 2)))
      (export (;1;) "run" (func 0) (func (type 3)))
    )
    (instance $wasi:cli/run@0.2.12-shim-instance (;1;) (instantiate $wasi:cli/run@0.2.12-shim-component
        (with "import-func-run" (func $run))
      )
    )
    (export $wasi:cli/run@0.2.12 (;2;) "wasi:cli/run@0.2.12" (instance $wasi:cli/run@0.2.12-shim-instance))
    (@producers
      (processed-by "wit-component" "0.258.3")
    )
  )
  (instance $main (;3;) (instantiate 1
      (with "wasi:config/store@0.2.0-rc.1" (instance 2))
    )
  )
  (alias export $main "wasi:cli/run@0.2.12" (instance (;4;)))
  (export (;5;) "wasi:cli/run@0.2.12" (instance 4))
)
