// Counters over HTTP: GET /NAME reads one, POST /NAME adds 1 or ?by=N, DELETE /NAME forgets it.
// It must never lose a count: it adds inside the store, so that any number of instances may count at once.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	store "stash.example/guests/internal/bindings/stash_storage_store"
	types "stash.example/guests/internal/bindings/stash_storage_types"
	"stash.example/guests/internal/storage"
	"stash.example/guests/internal/wasihttp"
)

func init() { wasihttp.Serve(http.HandlerFunc(serve)) }

// A component that only serves is started without main; Go wants one all the same.
func main() {}

var names = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func serve(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	if name == "" {
		name = "count"
	}
	if !names.MatchString(name) {
		answer(w, http.StatusBadRequest, "a name has 1 to 64 letters, digits, '-' and '_'")
		return
	}
	switch r.Method {
	case http.MethodGet:
		read(w, name)
	case http.MethodPost:
		add(w, name, r.URL.RawQuery)
	case http.MethodDelete:
		if _, err := storage.Try(store.Delete(name)); err != nil {
			fail(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		answer(w, http.StatusMethodNotAllowed, "use GET, POST or DELETE")
	}
}

func read(w http.ResponseWriter, name string) {
	value, err := storage.Try(store.Get(name))
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, string(value.SomeOr([]byte("0"))))
}

func add(w http.ResponseWriter, name, query string) {
	by := int64(1)
	values, err := url.ParseQuery(query)
	if text, given := values["by"]; given && err == nil {
		by, err = strconv.ParseInt(text[0], 10, 64)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, "by: not a whole number")
		return
	}
	count, err := storage.Try(store.Increment(name, by))
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, strconv.FormatInt(count, 10))
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if e := (storage.Error{}); errors.As(err, &e) && e.Case.Tag() == types.ErrorInvalidNumber {
		status = http.StatusConflict
	}
	answer(w, status, err.Error())
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}
