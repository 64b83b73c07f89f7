// Short links over HTTP: PUT /NAME with a URL makes one, GET /NAME leads there, GET /NAME/hits tells how often it did,
// GET / lists all, DELETE /NAME removes one. Stored with wasi:keyvalue, which other hosts have too.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	atomics "stash.example/guests/internal/bindings/wasi_keyvalue_atomics"
	batch "stash.example/guests/internal/bindings/wasi_keyvalue_batch"
	store "stash.example/guests/internal/bindings/wasi_keyvalue_store"
	"stash.example/guests/internal/wasihttp"
)

func init() { wasihttp.Serve(http.HandlerFunc(serve)) }

// A component that only serves is started without main; Go wants one all the same.
func main() {}

var names = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

const maxURL = 2048

func serve(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	name, hits := path, false
	switch r.Method {
	case http.MethodGet:
		name, hits = strings.CutSuffix(path, "/hits")
	case http.MethodPut, http.MethodDelete:
	default:
		w.Header().Set("Allow", "GET, PUT, DELETE")
		answer(w, http.StatusMethodNotAllowed, "use GET, PUT or DELETE")
		return
	}
	list := r.Method == http.MethodGet && path == ""
	if !list && !names.MatchString(name) {
		answer(w, http.StatusBadRequest, "a name has 1 to 64 letters, digits, '-' and '_'")
		return
	}

	s, err := open()
	if err != nil {
		answer(w, http.StatusInternalServerError, err.Error())
		return
	}
	defer s.close()
	switch {
	case r.Method == http.MethodPut:
		err = s.put(w, name, r.Body)
	case r.Method == http.MethodDelete:
		err = s.remove(w, name)
	case list:
		err = s.list(w)
	case hits:
		err = s.count(w, name)
	default:
		err = s.follow(w, name)
	}
	if err != nil {
		answer(w, http.StatusInternalServerError, err.Error())
	}
}

// stores are the buckets: NAME to URL, and NAME to how often it was followed.
type stores struct{ links, hits *store.Bucket }

func open() (stores, error) {
	links, err := try(store.Open("links"))
	if err != nil {
		return stores{}, err
	}
	hits, err := try(store.Open("hits"))
	if err != nil {
		links.Drop()
		return stores{}, err
	}
	return stores{links, hits}, nil
}

func (s stores) close() {
	s.links.Drop()
	s.hits.Drop()
}

// What answers only when all calls have gone well: an error is then answered by serve.

func (s stores) put(w http.ResponseWriter, name string, body io.Reader) error {
	// White space around it is nobody's fault, but not without end.
	text, err := io.ReadAll(io.LimitReader(body, 2*maxURL+1))
	link := strings.Trim(string(text), " \t\r\n")
	if err != nil || len(text) > 2*maxURL || !valid(link) {
		answer(w, http.StatusBadRequest, "a link is a URL that begins with http:// or https://")
		return nil
	}
	existed, err := try(s.links.Exists(name))
	if err != nil {
		return err
	}
	if _, err := try(s.links.Set(name, []byte(link))); err != nil {
		return err
	}
	if existed {
		w.WriteHeader(http.StatusNoContent)
	} else {
		w.WriteHeader(http.StatusCreated)
	}
	return nil
}

func valid(link string) bool {
	return len(link) <= maxURL &&
		(strings.HasPrefix(link, "http://") || strings.HasPrefix(link, "https://")) &&
		!strings.ContainsFunc(link, func(r rune) bool { return r == ' ' || unicode.IsControl(r) })
}

func (s stores) follow(w http.ResponseWriter, name string) error {
	link, err := try(s.links.Get(name))
	if err != nil {
		return err
	}
	if link.IsNone() {
		answer(w, http.StatusNotFound, "no such link")
		return nil
	}
	// Adds inside the store, so that no hit is lost, however many follow the link at once.
	if _, err := try(atomics.Increment(s.hits, name, 1)); err != nil {
		return err
	}
	w.Header().Set("Location", string(link.Some()))
	w.WriteHeader(http.StatusFound)
	return nil
}

func (s stores) count(w http.ResponseWriter, name string) error {
	exists, err := try(s.links.Exists(name))
	if err != nil {
		return err
	}
	if !exists {
		answer(w, http.StatusNotFound, "no such link")
		return nil
	}
	hits, err := try(s.hits.Get(name))
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, string(hits.SomeOr([]byte("0"))))
	return nil
}

func (s stores) remove(w http.ResponseWriter, name string) error {
	if _, err := try(s.links.Delete(name)); err != nil {
		return err
	}
	if _, err := try(s.hits.Delete(name)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s stores) list(w http.ResponseWriter) error {
	var names []string
	var cursor witTypes.Option[uint64]
	for {
		page, err := try(s.links.ListKeys(cursor))
		if err != nil {
			return err
		}
		names = append(names, page.Keys...)
		if cursor = page.Cursor; cursor.IsNone() {
			break
		}
	}
	slices.Sort(names)
	var lines strings.Builder
	for some := range slices.Chunk(names, 1000) {
		links, err := try(batch.GetMany(s.links, some))
		if err != nil {
			return err
		}
		for _, link := range links {
			// One that was removed meanwhile is none.
			if link.IsSome() {
				fmt.Fprintf(&lines, "%s %s\n", link.Some().F0, link.Some().F1)
			}
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := io.WriteString(w, lines.String())
	return err
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// try takes a call's result apart.
func try[T any](result witTypes.Result[T, store.Error]) (T, error) {
	if result.IsOk() {
		return result.Ok(), nil
	}
	var none T
	switch e := result.Err(); e.Tag() {
	case store.ErrorNoSuchStore:
		return none, errors.New("no-such-store")
	case store.ErrorAccessDenied:
		return none, errors.New("access-denied")
	default:
		return none, errors.New(e.Other())
	}
}
