// Package wasihttp serves an http.Handler as a component's wasi:http/incoming-handler. It must never hold a whole body in
// memory, and gives back every resource of the host.
package wasihttp

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	types "stash.example/guests/internal/bindings/wasi_http_types"
	streams "stash.example/guests/internal/bindings/wasi_io_streams"
	// The exports that the host calls.
	_ "stash.example/guests/internal/bindings/wit_exports"
	incoming "stash.example/guests/internal/export_wasi_http_incoming_handler"
	"stash.example/guests/internal/memory"
)

// Serve answers requests with a handler. Call it in an init function: a component that serves has no use for main.
func Serve(handler http.Handler) {
	served := 0
	incoming.Handler = func(in *types.IncomingRequest, out *types.ResponseOutparam) {
		request := newRequest(in)
		response := &response{header: http.Header{}, out: out}
		handler.ServeHTTP(response, request)
		response.finish()
		request.Body.Close()
		in.Drop()
		// `stash serve` starts a component anew for each request; another host may not.
		if served++; served%100 == 0 {
			memory.Collect()
		}
	}
}

func newRequest(in *types.IncomingRequest) *http.Request {
	target := in.PathWithQuery().SomeOr("/")
	at, err := url.ParseRequestURI(target)
	if err != nil {
		// What is wrong with it is the handler's to say.
		path, query, _ := strings.Cut(target, "?")
		at = &url.URL{Path: path, RawQuery: query}
	}
	request := &http.Request{
		Method:     method(in.Method()),
		URL:        at,
		RequestURI: target,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     http.Header{},
		Host:       in.Authority().SomeOr(""),
		Body:       http.NoBody,
	}
	headers := in.Headers()
	for _, field := range headers.Entries() {
		request.Header.Add(field.F0, string(field.F1))
	}
	headers.Drop()
	// The host gives a body once, and there is one also where it is empty.
	if body := in.Consume(); body.IsOk() {
		if stream := body.Ok().Stream(); stream.IsOk() {
			request.Body = &requestBody{body: body.Ok(), stream: stream.Ok()}
		}
	}
	return request
}

func method(m types.Method) string {
	switch m.Tag() {
	case types.MethodGet:
		return http.MethodGet
	case types.MethodHead:
		return http.MethodHead
	case types.MethodPost:
		return http.MethodPost
	case types.MethodPut:
		return http.MethodPut
	case types.MethodDelete:
		return http.MethodDelete
	case types.MethodConnect:
		return http.MethodConnect
	case types.MethodOptions:
		return http.MethodOptions
	case types.MethodTrace:
		return http.MethodTrace
	case types.MethodPatch:
		return http.MethodPatch
	default:
		return m.Other()
	}
}

type requestBody struct {
	body   *types.IncomingBody
	stream *streams.InputStream
	read   int
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.stream == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(p) == 0 {
		return 0, nil
	}
	read := b.stream.BlockingRead(uint64(len(p)))
	if read.IsErr() {
		return 0, failure(read.Err(), io.EOF)
	}
	n := copy(p, read.Ok())
	if b.read += n; b.read >= 16<<20 {
		b.read = 0
		memory.Collect()
	}
	return n, nil
}

func (b *requestBody) Close() error {
	if b.stream != nil {
		// The stream is part of the body, so it goes first.
		b.stream.Drop()
		b.body.Drop()
		b.stream = nil
	}
	return nil
}

// response is the http.ResponseWriter: headers go out with the first byte of the body, or at the end.
type response struct {
	header http.Header
	out    *types.ResponseOutparam
	body   *types.OutgoingBody
	stream *streams.OutputStream
}

func (r *response) Header() http.Header { return r.header }

func (r *response) WriteHeader(status int) {
	if r.body != nil {
		return
	}
	fields := types.MakeFields()
	for name, values := range r.header {
		for _, value := range values {
			// The host refuses what cannot be in a header; the answer then goes without it, as in net/http.
			fields.Append(strings.ToLower(name), []byte(value))
		}
	}
	answer := types.MakeOutgoingResponse(fields)
	if answer.SetStatusCode(uint16(status)).IsErr() {
		answer.SetStatusCode(http.StatusInternalServerError)
	}
	// A body and its stream can be asked for once, which is here.
	r.body = answer.Body().Ok()
	r.stream = r.body.Write().Ok()
	types.ResponseOutparamSet(r.out, witTypes.Ok[*types.OutgoingResponse, types.ErrorCode](answer))
}

func (r *response) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	written := 0
	for written < len(p) {
		// The host takes no more than this in one call.
		chunk := p[written:min(written+4096, len(p))]
		if sent := r.stream.BlockingWriteAndFlush(chunk); sent.IsErr() {
			return written, failure(sent.Err(), io.ErrClosedPipe)
		}
		written += len(chunk)
	}
	return written, nil
}

func (r *response) finish() {
	r.WriteHeader(http.StatusOK)
	r.stream.Drop()
	// Where the client has left, there is nobody to tell.
	types.OutgoingBodyFinish(r.body, witTypes.None[*types.Fields]())
}

// failure is what a stream said, as a Go error; closed stands for its end.
func failure(e streams.StreamError, closed error) error {
	if e.Tag() == streams.StreamErrorClosed {
		return closed
	}
	reason := e.LastOperationFailed()
	defer reason.Drop()
	return errors.New(reason.ToDebugString())
}
