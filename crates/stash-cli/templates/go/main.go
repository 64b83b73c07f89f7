// A component has no main that is run: the host calls what it exports. See export_wasi_http_incoming_handler.
package main

import _ "example.com/{{name}}/bindings/wit_exports"

func main() {}
