#!/usr/bin/env bash
# build.sh [OUT_DIR]: builds the Go guests to OUT_DIR/NAME.wasm (default: target/guests/go in the repository).
#
# Nothing is built again while nothing has changed. Ends with 3 where something is missing on this machine, with 1 where the
# build has failed.
SCRIPT=guest-examples/go/build.sh
# shellcheck source=../tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
# shellcheck source=tools.sh
source "$EXAMPLES/go/tools.sh"

GUESTS=(counter notes short-links)
HERE=$EXAMPLES/go
MODULE=stash.example/guests
OUT=${1:-$ROOT/target/guests/go}

main() {
  mkdir -p "$OUT"
  OUT=$(cd "$OUT" && pwd)
  find_wit_tool
  find_go
  cd "$HERE"
  lock "$HERE/.build.lock"
  local inputs
  inputs="$("$GO" version) $WIT_TOOL $(checksum build.sh tools.sh ../tools.sh wit/*.wit "$ROOT"/wit/*.wit "$ROOT"/wit/deps/*.wit go.mod \
    $(find . -name '*.go' -not -path './internal/bindings/*' | sort))"
  if current "$inputs"; then
    say "nothing to do: $OUT"
    return
  fi
  rm -f "$OUT/.inputs"
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
  wit_folder "$WORK/wit" wit/guests.wit
  bindings
  for guest in "${GUESTS[@]}"; do
    say "building $guest"
    # -checklinkname=0: the bindings reach into the runtime for memory before that has begun.
    GOOS=wasip1 GOARCH=wasm GOWORK=off GOTOOLCHAIN=local GOPROXY=off GOFLAGS='' "$GO" build -buildmode=c-shared -trimpath -buildvcs=false \
      -ldflags='-checklinkname=0 -s -w' -o "$WORK/$guest.wasm" "./$guest"
    "$WIT_TOOL" component "$WORK/$guest.wasm" "$WORK/wit" "$guest" "$OUT/$guest.wasm"
  done
  echo "$inputs" >"$OUT/.inputs"
  say "the guests are in $OUT"
}

# Whether what is in OUT was made of these inputs.
current() {
  [ "$(cat "$OUT/.inputs" 2>/dev/null)" = "$1" ] && [ -e internal/bindings ] || return 1
  local guest
  for guest in "${GUESTS[@]}"; do
    [ -e "$OUT/$guest.wasm" ] || return 1
  done
}

# Writes the packages that are made of WIT, and beside them the module that these import. They are not in the repository:
# twenty thousand lines that nobody reads, and that this line makes.
bindings() {
  say "writing the bindings"
  local new=internal/.bindings
  rm -rf "$new"
  PATH=$(dirname "$GO"):$PATH "$WIT_TOOL" go "$WORK/wit" bindings "$new" "$MODULE/internal/bindings" "$MODULE/internal"
  "$WIT_TOOL" go-module "$new/pkg" >/dev/null
  rm -rf internal/bindings
  mv "$new" internal/bindings
}

main
