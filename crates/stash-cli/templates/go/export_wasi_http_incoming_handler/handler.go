// Package export_wasi_http_incoming_handler is what the component exports; the bindings want this name. It says hello over
// HTTP, and how often it did.
package export_wasi_http_incoming_handler

import (
	"fmt"
	"runtime/debug"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	store "{{name}}/bindings/stash_storage_store"
	http "{{name}}/bindings/wasi_http_types"
)

// A garbage collection that begins while the host hands over a result would end the component. Each request has a component
// of its own, with its own memory, so it does without.
func init() { debug.SetGCPercent(-1) }

// Handle answers a request.
func Handle(request *http.IncomingRequest, out *http.ResponseOutparam) {
	request.Drop()
	response := http.MakeOutgoingResponse(http.MakeFields())
	body := response.Body().Ok()
	http.ResponseOutparamSet(out, witTypes.Ok[*http.OutgoingResponse, http.ErrorCode](response))
	stream := body.Write().Ok()
	// Up to 4096 bytes in one call. Where the client has left, there is nobody to tell.
	stream.BlockingWriteAndFlush([]byte(greeting()))
	stream.Drop()
	http.OutgoingBodyFinish(body, witTypes.None[*http.Fields]())
}

// greeting counts in the component's own store: nobody else can, and it is on disk before this returns.
func greeting() string {
	visits := store.Increment("visits", 1)
	if visits.IsErr() {
		return fmt.Sprintf("The store says no: %+v\n", visits.Err())
	}
	return fmt.Sprintf("Hello! This is visit %d.\n", visits.Ok())
}
