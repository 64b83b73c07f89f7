#!/bin/sh
# Builds the guests in the folders beside this file with componentize-py, which it installs for this machine if need be.
#
#   build.sh [OUT_DIR]      OUT_DIR/NAME.wasm for each; OUT_DIR is target/guests/python in the repository
#
# Exit code 3 where a tool is missing that it cannot install, 1 where a guest does not build.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/target/guests/python}
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

# --- The tool: a virtual environment with what requirements.txt says, one for each version of it and of Python.

command -v python3 >/dev/null || missing "there is no python3: install Python 3.10 or newer (https://www.python.org)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    missing "$(python3 --version) is too old: install Python 3.10 or newer (https://www.python.org)"
python3 -c 'import ensurepip, venv' 2>/dev/null ||
    missing "Python has no venv module: install it, on Debian and Ubuntu with 'apt install python3-venv'"

version=$(sed -n 's/^componentize-py==\([^ ]*\).*/\1/p' "$here/requirements.txt")
python=$(python3 -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")')
tools=${XDG_CACHE_HOME:-$HOME/.cache}/stash/tools
tool=$tools/componentize-py-$version-python$python-$(hash "$here/requirements.txt")
# A virtual environment points to the Python that it was made with; that one may be gone.
works() { "$tool/bin/python" -c 'import componentize_py' 2>/dev/null; }
if ! works; then
    mkdir -p "$tools"
    (
        exclusively "$tool.lock"
        ! works || exit 0
        say "installing componentize-py $version in $tool (once, some seconds, 70 MB)"
        rm -rf "$tool".part.*
        part=$tool.part.$$
        python3 -m venv "$part" || missing "python3 cannot make a virtual environment: see above"
        "$part/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
            --requirement "$here/requirements.txt" >&2 || missing "pip cannot install componentize-py: see above"
        rm -rf "$tool"
        mv "$part" "$tool"
    ) || exit $?
fi
# Not by the script in its bin folder: that names the folder in which it was installed. And with no packages but its own,
# wherever else there are some.
componentize() {
    VIRTUAL_ENV=$tool "$tool/bin/python" -c 'import sys, componentize_py; sys.argv[0] = "componentize-py"; sys.exit(componentize_py.script())' "$@"
}

# --- The guests.

mkdir -p "$out/.build"
exclusively "$out/.build/lock"

# WIT files for one guest: its world, and the packages that it may name, those that they name in turn with them.
wit_files() {
    mkdir -p "$2/deps"
    cp "$here/$1/wit/world.wit" "$2"
    cp "$root/wit/storage.wit" "$2/deps"
    for package in cli clocks filesystem http io keyvalue-draft random sockets; do
        cp "$root/wit/deps/$package.wit" "$2/deps"
    done
}

# Everything that a guest is made of, in one number.
inputs() {
    hash "$here/build.sh" "$here/requirements.txt" "$here/$1"/*.py "$here/$1/wit/world.wit" "$root/wit/storage.wit" \
        "$root"/wit/deps/*.wit
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
    # A copy, for Python leaves its caches beside what it reads.
    mkdir "$work/app"
    cp "$here/$name"/*.py "$work/app"
    componentize --quiet --wit-path "$work/wit" --world "$name" componentize app --python-path "$work/app" \
        --output "$work/$name.wasm" >&2 || broken "$name"
    mv "$work/$name.wasm" "$out/$name.wasm"
    printf '%s\n' "$made" >"$work/inputs"
}

for world in "$here"/*/wit/world.wit; do
    build "$(basename "$(dirname "$(dirname "$world")")")"
done
