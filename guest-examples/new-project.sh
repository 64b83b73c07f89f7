#!/usr/bin/env bash
# new-project.sh LANGUAGE DIR: builds a project of `stash new` in DIR by the commands of its README.md, with the tools that
# build the guests in that language. Prints where the component is.
#
# The tools must be the versions that the project and the language's guide tell people to install. `wit-bindgen` and
# `wasm-tools` take minutes to build: what is in stand-ins does the same. Ends with 3 where something is missing on this
# machine, with 1 where the project is wrong. Rust's projects need none of this.
SCRIPT="guest-examples/new-project.sh"
# shellcheck source=tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"

main() {
  [ $# = 2 ] || { say "usage: new-project.sh LANGUAGE DIR"; exit 1; }
  case $1 in
    c | go | python | typescript) LANGUAGE=$1 ;;
    *) say "there are no projects in $1 here"; exit 1 ;;
  esac
  cd "$2"
  # shellcheck source=/dev/null
  source "$EXAMPLES/$LANGUAGE/tools.sh"
  "prepare_$LANGUAGE"
  build
}

# Runs the commands that README.md begins with, as far as `stash serve`, but those that install tools.
build() {
  local line
  # shellcheck disable=SC2016 # Backticks are what is looked for.
  while IFS= read -r line; do
    case $line in
      '```sh' | *'# once'*) continue ;;
      'stash serve '*) break ;;
    esac
    say "$line"
    # Their output is not this script's.
    bash -euc "$line" </dev/null >&2 || wrong "this failed: $line"
  done < <(sed -n '/^```sh$/,/^```$/p' README.md)
  local component=${line#stash serve }
  [ "$component" != "$line" ] && [ -s "$component" ] || wrong "README.md does not lead to a component: $line"
  echo "$PWD/$component"
}

prepare_c() {
  [ -n "$(command -v make)" ] || missing "there is no make"
  find_wit_tool
  find_clang
  tells Makefile "wit-bindgen-cli@$(locked wit-bindgen-core) "
  WASI_SDK_PATH=$(dirname "$(dirname "$CLANG")")
  export WIT_TOOL WASI_SDK_PATH PATH=$EXAMPLES/stand-ins:$PATH
}

prepare_go() {
  [ -n "$(command -v make)" ] || missing "there is no make"
  find_wit_tool
  find_go
  local adapter=wasi-preview1-component-adapter-provider
  tells Makefile "wit-bindgen-cli@$(locked wit-bindgen-core) "
  # Of the same version, but for the 1.
  tells Makefile "wasm-tools@$(locked wit-component | sed 's/^0/1/') "
  tells Makefile "Go 1.$OLDEST or newer"
  contains go.mod "go 1.$OLDEST"
  contains Makefile "ADAPTER_VERSION = $(locked $adapter)"
  contains Makefile "ADAPTER_SHA256 = $(locked $adapter checksum)"
  # Downloaded once for a machine, by the project's own command.
  adapter=wasi_snapshot_preview1.reactor.wasm
  local name
  name=$adapter-$(make -n $adapter | cksum | cut -d ' ' -f 1)
  install_tool "$name" "$adapter, a second" download_adapter
  cp "$TOOLS/$name/$adapter" .
  # The module that the bindings import is in wit-tool: no proxy is asked.
  contains go.mod "require $("$WIT_TOOL" go-module .module)"
  "$GO" mod edit -replace=go.bytecodealliance.org/pkg=./.module
  export WIT_TOOL GOWORK=off GOTOOLCHAIN=local GOPROXY=off GOFLAGS='' PATH=$EXAMPLES/stand-ins:${GO%/*}:$PATH
}

download_adapter() {
  cp Makefile "$1"
  make -C "$1" wasi_snapshot_preview1.reactor.wasm >&2 || missing "the Makefile cannot download the adapter"
}

prepare_python() {
  find_componentize_py
  local version
  version=$(sed -n 's/^\(componentize-py==[^ ]*\).*/\1/p' "$EXAMPLES/python/requirements.txt")
  [ "$(cat requirements.txt)" = "$version" ] || wrong "requirements.txt does not say '$version'"
  tells requirements.txt "$version"
  mkdir -p .venv/bin
  {
    printf '#!/usr/bin/env bash\nCOMPONENTIZE_PY=%q\n' "$COMPONENTIZE_PY"
    declare -f componentize_py
    echo 'componentize_py "$@"'
  } >.venv/bin/componentize-py
  chmod +x .venv/bin/componentize-py
}

prepare_typescript() {
  find_jco
  node --input-type=module - "$EXAMPLES/typescript/package.json" "$ROOT/docs/guides/typescript.md" <<'JS' >&2 || exit 1
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
const [guests, project] = [process.argv[2], "package.json"].map((file) => JSON.parse(readFileSync(file, "utf8")));
const guide = readFileSync(process.argv[3], "utf8");
const wrong = (text) => { console.error(text); process.exitCode = 1; };
for (const key of ["devDependencies", "overrides"]) {
  if (!isDeepStrictEqual(project[key], guests[key])) wrong(`the ${key} of package.json are not those of the guests`);
}
for (const [name, version] of Object.entries(guests.devDependencies)) {
  if (!guide.includes(`${name}@${version}`)) wrong(`the guide does not say ${name}@${version}`);
}
for (const [name, version] of Object.entries(guests.overrides)) {
  if (!guide.includes(`overrides[${name}]=${version}`)) wrong(`the guide does not say overrides[${name}]=${version}`);
}
JS
  ln -s "$JCO/node_modules" node_modules
}

wrong() { say "$*"; exit 1; }

# contains FILE LINE
contains() { grep -qxF -e "$2" "$1" || wrong "$1 has no line '$2'"; }

# tells FILE TEXT: the project's file and the language's guide contain it.
tells() {
  local file
  for file in "$1" "$ROOT/docs/guides/$LANGUAGE.md"; do
    grep -qF -e "$2" "$file" || wrong "$file does not say '$2'"
  done
}

# locked PACKAGE [FIELD]: which version, or which FIELD, Cargo.lock has of a package that wit-tool is made of.
locked() {
  sed -n "/^name = \"$1\"\$/,/^\$/s/^${2:-version} = \"\(.*\)\"\$/\1/p" "$EXAMPLES/wit-tool/Cargo.lock"
}

main "$@"
