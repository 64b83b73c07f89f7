#!/bin/sh
# Builds the guests in the folders beside this file with jco, which it installs for this machine if need be.
#
#   build.sh [OUT_DIR]      OUT_DIR/NAME.wasm for each; OUT_DIR is target/guests/typescript in the repository
#
# Exit code 3 where a tool is missing that it cannot install, 1 where a guest does not build.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/target/guests/typescript}
mkdir -p "$out"
out=$(cd "$out" && pwd)

say() { printf '%s\n' "$*" >&2; }
missing() { say "error: $*"; exit 3; }
broken() { say "error: $* does not build: see above"; exit 1; }

# The number of a file's, or several files', contents.
hash() { cat "$@" | cksum | tr ' ' -; }

# The shell that calls it, and what it runs, is alone with this file from now on.
exclusively() {
    if command -v flock >/dev/null; then
        exec 9>"$1"
        flock 9
    else
        # Such as on macOS: nobody waits there, so do not run it twice at once.
        say "there is no flock: going on without a lock"
    fi
}

# --- The tool: a folder with what package-lock.json says, one for each version and each lock file.

command -v node >/dev/null || missing "there is no node: install Node.js 20.19 or newer (https://nodejs.org)"
command -v npm >/dev/null || missing "there is no npm: install Node.js with npm (https://nodejs.org)"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    missing "node $(node --version) is too old: install Node.js 20.19 or newer (https://nodejs.org)"

version=$(sed -n 's/.*"@bytecodealliance\/jco": "\(.*\)".*/\1/p' "$here/package.json")
tools=${XDG_CACHE_HOME:-$HOME/.cache}/stash/tools
tool=$tools/jco-$version-$(hash "$here/package.json" "$here/package-lock.json")
if [ ! -d "$tool" ]; then
    mkdir -p "$tools"
    (
        exclusively "$tool.lock"
        [ ! -d "$tool" ] || exit 0
        say "installing jco $version in $tool (once, about half a minute, 350 MB)"
        rm -rf "$tool".part.*
        part=$tool.part.$$
        mkdir "$part"
        cp "$here/package.json" "$here/package-lock.json" "$part"
        (cd "$part" && npm ci --no-audit --no-fund --loglevel=error) >&2 || missing "npm cannot install jco: see above"
        mv "$part" "$tool"
    ) || exit $?
fi
bin=$tool/node_modules/.bin

# --- The guests.

mkdir -p "$out/.build"
exclusively "$out/.build/lock"

# WIT files for one guest: its world, and the packages that it may name. The JavaScript engine has WASI of 0.2.10; of the
# packages only the interfaces are needed.
wit_files() {
    mkdir -p "$2/deps"
    cp "$here/$1/wit/world.wit" "$2"
    cp "$root/wit/storage.wit" "$2/deps"
    for package in cli clocks http io keyvalue-draft; do
        sed -e 's/@0\.2\.12/@0.2.10/g' -e '/^world /,/^}/d' "$root/wit/deps/$package.wit" >"$2/deps/$package.wit"
    done
}

# Everything that a guest is made of, in one number.
inputs() {
    hash "$here/build.sh" "$here/tsconfig.json" "$here/bundle.mjs" "$here/package-lock.json" \
        "$here/$1"/*.ts "$here/$1/wit/world.wit" "$root/wit/storage.wit" "$root"/wit/deps/*.wit
}

build() {
    name=$1 work=$out/.build/$1
    made=$(inputs "$name")
    if [ -f "$out/$name.wasm" ] && [ "$(cat "$work/inputs" 2>/dev/null)" = "$made" ]; then
        say "$name: up to date"
        return
    fi
    say "$name: building (10 to 30 s)"
    rm -rf "$work"
    wit_files "$name" "$work/wit"
    "$bin/jco" guest-types "$work/wit" --world-name "$name" --out-dir "$work/types" --quiet >&2 || broken "$name"
    printf '{ "extends": "%s", "include": ["%s", "%s"] }\n' \
        "$here/tsconfig.json" "$here/$name/*.ts" "$work/types/**/*.d.ts" >"$work/tsconfig.json"
    "$bin/tsc" --project "$work/tsconfig.json" >&2 || broken "$name"
    # A command has no use for the engine's HTTP, and `stash run` has none to give.
    without=""
    grep -q wasi:http "$here/$name/wit/world.wit" || without="--disable http --disable fetch-event"
    # shellcheck disable=SC2086
    "$bin/jco" componentize "$here/$name/$name.ts" --wit "$work/wit" --world-name "$name" $without \
        --bundle-config "$here/bundle.mjs" --out "$work/$name.wasm" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        broken "$name"
    }
    mv "$work/$name.wasm" "$out/$name.wasm"
    printf '%s\n' "$made" >"$work/inputs"
}

for world in "$here"/*/wit/world.wit; do
    build "$(basename "$(dirname "$(dirname "$world")")")"
done
