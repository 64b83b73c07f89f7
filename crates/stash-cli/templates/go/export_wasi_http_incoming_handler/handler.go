// Package export_wasi_http_incoming_handler is what the component exports; the bindings want this name. It greets over HTTP,
// and counts who it has greeted.
package export_wasi_http_incoming_handler

import (
	"fmt"
	"runtime/debug"
	"strings"

	store "example.com/{{name}}/bindings/stash_storage_store"
	http "example.com/{{name}}/bindings/wasi_http_types"
	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

// A garbage collection that begins while the host hands over a result would end the component. Each request has a component
// of its own, with its own memory, so it does without.
func init() { debug.SetGCPercent(-1) }

// Handle answers a request.
func Handle(request *http.IncomingRequest, out *http.ResponseOutparam) {
	status, text := answer(request.PathWithQuery().SomeOr("/"))
	request.Drop()
	response := http.MakeOutgoingResponse(http.MakeFields())
	response.SetStatusCode(status)
	body := response.Body().Ok()
	http.ResponseOutparamSet(out, witTypes.Ok[*http.OutgoingResponse, http.ErrorCode](response))
	stream := body.Write().Ok()
	// Up to 4096 bytes in one call. Where the client has left, there is nobody to tell.
	stream.BlockingWriteAndFlush([]byte(text))
	stream.Drop()
	http.OutgoingBodyFinish(body, witTypes.None[*http.Fields]())
}

func answer(target string) (uint16, string) {
	if path, _, _ := strings.Cut(target, "?"); path != "/" {
		return 404, "there is nothing here\n"
	}
	// It adds inside the store: no visit is lost, however many come at once.
	visits := store.Increment("visits", 1)
	if visits.IsErr() {
		return 500, fmt.Sprintf("%+v\n", visits.Err())
	}
	return 200, fmt.Sprintf("Hello from {{name}}! You are visitor %d.\n", visits.Ok())
}
