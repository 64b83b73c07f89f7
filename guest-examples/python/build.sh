#!/usr/bin/env bash
# build.sh [OUT_DIR]: builds the Python guests to OUT_DIR/NAME.wasm (default: target/guests/python in the repository).
#
# Nothing is built again while nothing has changed. Ends with 3 where something is missing on this machine, with 1 where the
# build has failed.
SCRIPT=guest-examples/python/build.sh
# shellcheck source=../tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
# shellcheck source=tools.sh
source "$EXAMPLES/python/tools.sh"

OUT=${1:-$ROOT/target/guests/python}

main() {
  mkdir -p "$OUT/.build"
  OUT=$(cd "$OUT" && pwd)
  find_componentize_py
  cd "$EXAMPLES/python"
  lock "$OUT/.build/lock"
  local world
  for world in */wit/world.wit; do
    build "${world%%/*}"
  done
}

build() {
  local name=$1 work=$OUT/.build/$1 inputs
  inputs=$(checksum build.sh tools.sh ../tools.sh requirements.txt "$name"/*.py "$name/wit/world.wit" "$ROOT"/wit/*.wit \
    "$ROOT"/wit/deps/*.wit)
  if [ -e "$OUT/$name.wasm" ] && [ "$(cat "$work/inputs" 2>/dev/null)" = "$inputs" ]; then
    say "nothing to do: $OUT/$name.wasm"
    return
  fi
  say "building $name (10 to 30 s)"
  rm -rf "$work"
  wit_folder "$work/wit" "$name/wit/world.wit"
  # A copy, for Python leaves its caches beside what it reads.
  mkdir "$work/app"
  cp "$name"/*.py "$work/app"
  componentize_py --quiet --wit-path "$work/wit" --world "$name" componentize app --python-path "$work/app" \
    --output "$work/$name.wasm" >&2 || { say "$name does not build: see above"; exit 1; }
  mv "$work/$name.wasm" "$OUT/$name.wasm"
  echo "$inputs" >"$work/inputs"
}

main
