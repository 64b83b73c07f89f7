#!/usr/bin/env bash
# build.sh [OUT_DIR]: builds the TypeScript guests to OUT_DIR/NAME.wasm (default: target/guests/typescript in the repository).
#
# Nothing is built again while nothing has changed. Ends with 3 where something is missing on this machine, with 1 where the
# build has failed.
SCRIPT=guest-examples/typescript/build.sh
# shellcheck source=../tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
# shellcheck source=tools.sh
source "$EXAMPLES/typescript/tools.sh"

HERE=$EXAMPLES/typescript
OUT=${1:-$ROOT/target/guests/typescript}

main() {
  mkdir -p "$OUT/.build"
  OUT=$(cd "$OUT" && pwd)
  find_jco
  cd "$HERE"
  lock "$OUT/.build/lock"
  local world
  for world in */wit/world.wit; do
    build "${world%%/*}"
  done
}

build() {
  local name=$1 work=$OUT/.build/$1 bin=$JCO/node_modules/.bin inputs without=()
  inputs=$(checksum build.sh tools.sh ../tools.sh tsconfig.json bundle.mjs package.json package-lock.json "$name"/*.ts \
    "$name/wit/world.wit" "$ROOT"/wit/*.wit "$ROOT"/wit/deps/*.wit)
  if [ -e "$OUT/$name.wasm" ] && [ "$(cat "$work/inputs" 2>/dev/null)" = "$inputs" ]; then
    say "nothing to do: $OUT/$name.wasm"
    return
  fi
  say "building $name (10 to 30 s)"
  rm -rf "$work"
  wit_files "$name" "$work/wit"
  "$bin/jco" guest-types "$work/wit" --world-name "$name" --out-dir "$work/types" --quiet >&2 || broken "$name"
  printf '{ "extends": "%s", "include": ["%s", "%s"] }\n' \
    "$HERE/tsconfig.json" "$HERE/$name/*.ts" "$work/types/**/*.d.ts" >"$work/tsconfig.json"
  "$bin/tsc" --project "$work/tsconfig.json" >&2 || broken "$name"
  # A command has no use for the engine's HTTP, and `stash run` has none to give.
  grep -q wasi:http "$name/wit/world.wit" || without=(--disable http --disable fetch-event)
  "$bin/jco" componentize "$HERE/$name/$name.ts" --wit "$work/wit" --world-name "$name" ${without[@]+"${without[@]}"} \
    --bundle-config "$HERE/bundle.mjs" --out "$work/$name.wasm" >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    broken "$name"
  }
  mv "$work/$name.wasm" "$OUT/$name.wasm"
  echo "$inputs" >"$work/inputs"
}

# wit_files NAME DIR: the guest's world, and the packages that it may name. The JavaScript engine has WASI of 0.2.10; of the
# packages only the interfaces are needed.
wit_files() {
  mkdir -p "$2/deps"
  cp "$1/wit/world.wit" "$2"
  cp "$ROOT/wit/storage.wit" "$2/deps"
  local package
  for package in cli clocks http io keyvalue-draft; do
    sed -e 's/@0\.2\.12/@0.2.10/g' -e '/^world /,/^}/d' "$ROOT/wit/deps/$package.wit" >"$2/deps/$package.wit"
  done
}

broken() { say "$* does not build: see above"; exit 1; }

main
