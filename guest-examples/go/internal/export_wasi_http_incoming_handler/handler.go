// Package export_wasi_http_incoming_handler has its name and its Handle from the generated bindings, which call it for
// each request. What to do is said with wasihttp.Serve.
package export_wasi_http_incoming_handler

import types "stash.example/guests/internal/bindings/wasi_http_types"

// Handler answers a request.
var Handler func(*types.IncomingRequest, *types.ResponseOutparam)

// Handle is the component's export wasi:http/incoming-handler.
func Handle(request *types.IncomingRequest, out *types.ResponseOutparam) {
	Handler(request, out)
}
