(component (import "a" (implements "acme:log/sink") (instance)))
