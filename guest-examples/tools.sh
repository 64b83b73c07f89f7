# shellcheck shell=bash
# What the build scripts of all languages have in common: where tools are kept, locks, and wit-tool. Source it, with SCRIPT
# set to what messages begin with; then the tools.sh of a language, which finds that one's own tools.
#
# Tools are made once for a machine, in a folder of their own, and renamed into place when they are whole: a try that was
# interrupted leaves nothing that a later one would trust.
set -euo pipefail

EXAMPLES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$EXAMPLES")
TOOLS=${XDG_CACHE_HOME:-$HOME/.cache}/stash/tools
# Packages of the interfaces that guests may import, beside Stash's own.
WASI=(cli clocks filesystem http io random sockets)

say() { echo "$SCRIPT: $*" >&2; }

# Ends with 3: not the build has failed, something that it needs is not on this machine.
missing() { say "$*"; exit 3; }

# lock PATH: keeps other processes out for as long as this one runs, also where it is killed.
lock() {
  mkdir -p "$(dirname "$1")"
  # A number of its own choice is more than the bash of macOS can give.
  exec 9>"$1"
  try_lock n || { say "waiting for another process that holds $1"; try_lock ''; }
}

# macOS has no flock command, but perl.
try_lock() {
  if command -v flock >/dev/null; then
    flock -x ${1:+-n} 9
  else
    perl -e 'use Fcntl ":flock"; open(my $f, ">&=", 9) or die; exit !flock($f, LOCK_EX | ($ARGV[0] ? LOCK_NB : 0))' "$1"
  fi
}

unlock() { exec 9>&-; }

# checksum FILE..: changes when one of the files, or its name, does.
checksum() { cksum "$@" | cksum | cut -d ' ' -f 1; }

# install_tool NAME WHAT FUNCTION [WORKS]: makes the tool in $TOOLS/NAME with FUNCTION DIR, unless it is there and the
# function WORKS DIR, if there is one, agrees.
install_tool() {
  local works=${4:-is_there}
  ! "$works" "$TOOLS/$1" || return 0
  lock "$TOOLS/$1.lock"
  if ! "$works" "$TOOLS/$1"; then
    say "installing $2 in $TOOLS/$1 (once)"
    local begin=$SECONDS
    rm -rf "$TOOLS/$1.part"
    mkdir -p "$TOOLS/$1.part"
    "$3" "$TOOLS/$1.part"
    rm -rf "${TOOLS:?}/$1"
    mv "$TOOLS/$1.part" "$TOOLS/$1"
    say "done in $((SECONDS - begin)) s"
  fi
  unlock
}

is_there() { [ -e "$1" ]; }

# Sets WIT_TOOL; see wit-tool/src/main.rs.
find_wit_tool() {
  local source=$EXAMPLES/wit-tool name
  name=wit-tool-$(cd "$source" && checksum Cargo.toml Cargo.lock build.rs src/main.rs)
  [ -e "$TOOLS/$name" ] || command -v cargo >/dev/null || missing "cargo is not on this machine; install Rust from https://rustup.rs"
  install_tool "$name" "wit-tool, half a minute" build_wit_tool
  WIT_TOOL=$TOOLS/$name/wit-tool
}

build_wit_tool() {
  # Not with the flags, nor in the folder, of a cargo that this script is called from.
  env -u CARGO_BUILD_TARGET -u CARGO_ENCODED_RUSTFLAGS -u RUSTFLAGS -u RUSTC_WRAPPER -u RUSTC_WORKSPACE_WRAPPER \
    cargo build --quiet --locked --manifest-path "$EXAMPLES/wit-tool/Cargo.toml" --target-dir "$1/target" >&2 ||
    missing "cargo could not build $EXAMPLES/wit-tool"
  mv "$1/target/debug/wit-tool" "$1/"
  rm -rf "$1/target"
}

# wit_folder DIR WORLD.wit: DIR gets the layout that every WIT tool reads: the world, and in deps/ what it is about.
wit_folder() {
  rm -rf "$1"
  mkdir -p "$1/deps"
  cp "$2" "$1/"
  cp "$ROOT/wit/storage.wit" "$ROOT/wit/deps/keyvalue-draft.wit" "${WASI[@]/#/$ROOT/wit/deps/}" "$1/deps/"
}
WASI=("${WASI[@]/%/.wit}")
