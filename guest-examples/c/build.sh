#!/usr/bin/env bash
# build.sh [OUT_DIR]: builds the C guests to OUT_DIR/NAME.wasm (default: target/guests/c in the repository).
#
# Nothing is built again while nothing has changed. Ends with 3 where something is missing on this machine, with 1 where the
# build has failed.
SCRIPT=guest-examples/c/build.sh
# shellcheck source=../tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
# shellcheck source=tools.sh
source "$EXAMPLES/c/tools.sh"

HERE=$EXAMPLES/c
OUT=${1:-$ROOT/target/guests/c}
FLAGS=(--target=wasm32-wasip2 -std=gnu11 -Os -Wl,--strip-all)
# Without a main: the host calls what the component exports.
REACTOR=(-mexec-model=reactor -Ihttp http/http.c)

main() {
  mkdir -p "$OUT"
  OUT=$(cd "$OUT" && pwd)
  find_wit_tool
  find_clang
  cd "$HERE"
  lock "$HERE/.build.lock"
  local inputs
  inputs="$("$CLANG" --version | head -n 1) $CLANG $WIT_TOOL $(checksum build.sh tools.sh ../tools.sh "$ROOT"/wit/*.wit \
    "$ROOT"/wit/deps/*.wit */*.wit */*.[ch])"
  if [ "$(cat "$OUT/.inputs" 2>/dev/null)" = "$inputs" ] &&
    [ -e "$OUT/counter.wasm" ] && [ -e "$OUT/notes.wasm" ] && [ -e "$OUT/short-links.wasm" ]; then
    say "nothing to do: $OUT"
    return
  fi
  rm -f "$OUT/.inputs"
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
  build counter "${REACTOR[@]}" counter/counter.c
  build notes notes/notes.c notes/moment.c
  build short-links "${REACTOR[@]}" short-links/short-links.c
  echo "$inputs" >"$OUT/.inputs"
  say "the guests are in $OUT"
}

# build NAME ARGUMENT..: writes the guest's bindings to NAME/bindings, and compiles it with these arguments.
build() {
  local name=$1 bindings=$1/bindings
  shift
  say "building $name"
  wit_folder "$WORK/wit" "$name/guest.wit"
  rm -rf "$bindings"
  "$WIT_TOOL" c "$WORK/wit" guest "$bindings"
  # What is generated has warnings of its own.
  "$CLANG" "${FLAGS[@]}" -w -c "$bindings/guest.c" -o "$WORK/guest.o"
  # The object with the component's type tells the linker which world it is.
  "$CLANG" "${FLAGS[@]}" -Wall -Wextra -Werror -I"$bindings" "$@" "$WORK/guest.o" "$bindings/guest_component_type.o" \
    -o "$WORK/$name.wasm"
  mv "$WORK/$name.wasm" "$OUT/.$name.part"
  mv "$OUT/.$name.part" "$OUT/$name.wasm"
}

main
