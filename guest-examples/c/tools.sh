# shellcheck shell=bash
# Finds a clang that builds for wasm32-wasip2, such as that of the WASI SDK ($WASI_SDK_PATH, /opt/wasi-sdk or on PATH), else
# makes one out of Debian packages. Source it after ../tools.sh.

# Sets CLANG.
find_clang() {
  local name=wasi-clang-debian-1
  for CLANG in "${WASI_SDK_PATH:-/opt/wasi-sdk}/bin/clang" "$(command -v clang || true)" "$TOOLS/$name/bin/clang"; do
    ! builds_components "$CLANG" || return 0
  done
  for tool in apt-get dpkg rustc; do
    command -v $tool >/dev/null ||
      missing "no clang here builds for wasm32-wasip2; install the WASI SDK (https://github.com/WebAssembly/wasi-sdk), and set WASI_SDK_PATH"
  done
  install_tool $name "clang with a C library for WebAssembly out of Debian packages, half a minute" install_clang
  CLANG=$TOOLS/$name/bin/clang
}

# Whether a clang has all that it takes: the C library, the start files, the linker of components.
builds_components() {
  [ -x "$1" ] || return 1
  local probe
  probe=$(mktemp -d)
  printf '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n' >"$probe/probe.c"
  "$1" --target=wasm32-wasip2 "$probe/probe.c" -o "$probe/probe.wasm" 2>/dev/null
  local built=$?
  rm -rf "$probe"
  return $built
}

# install_clang DIR: the way for machines where the WASI SDK cannot be downloaded. Needs no root.
install_clang() {
  local dir=$1 version newest root component_ld
  # Package lists of our own, so that no earlier `apt-get update` is needed.
  mkdir -p "$dir/apt/lists/partial" "$dir/apt/archives/partial" "$dir/debs"
  local apt=(-o "Dir::State::lists=$dir/apt/lists" -o "Dir::Cache=$dir/apt" -o Debug::NoLocking=1 -o APT::Sandbox::User=)
  apt-get "${apt[@]}" update -qq </dev/null >&2 || true
  # Versions roll: the newest for which there is all.
  newest=$(apt-cache "${apt[@]}" search -n '^libclang-rt-[0-9]+-dev-wasm32$' | sed 's/[^0-9]*\([0-9]*\).*/\1/' | sort -n | tail -1)
  [ -n "$newest" ] || missing "the packages libclang-rt-NN-dev-wasm32 were not found in this machine's apt sources; install the WASI SDK"
  (cd "$dir/debs" && apt-get "${apt[@]}" download -qq "clang-$newest" "lld-$newest" "libllvm$newest" "libclang-cpp$newest" \
    "libclang-common-$newest-dev" "libclang-rt-$newest-dev-wasm32" wasi-libc </dev/null >&2) ||
    missing "the packages of clang $newest could not be downloaded; install the WASI SDK"
  for deb in "$dir"/debs/*.deb; do dpkg -x "$deb" "$dir"; done
  rm -rf "$dir/apt" "$dir/debs" "$dir"/usr/share
  version=wasm32-wasip2
  root=$dir/sysroot
  mkdir -p "$dir/bin" "$root/include" "$root/lib"
  mv "$dir/usr/include/wasm32-wasi" "$root/include/$version"
  mv "$dir/usr/lib/wasm32-wasi" "$root/lib/$version"
  # rustup's toolchains bring the linker of components; it is statically linked.
  component_ld=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/wasm-component-ld
  if [ -e "$component_ld" ]; then
    cp "$component_ld" "$dir/bin/"
  else
    cargo install --quiet --locked wasm-component-ld --root "$dir" >&2
  fi
  wrapper "$dir/bin/wasm-ld" "wasm-ld-$newest" ''
  wrapper "$dir/bin/clang" "clang-$newest" '--sysroot="$dir/sysroot" -B"$dir/bin"'
  # Debian's start file for commands wraps every export in the program's begin and end, which traps in a component.
  start_file "$dir/bin/clang" "$root/lib/$version/crt1-command.o" 'int __main_void(void); _Noreturn void exit(int);
    void __wasm_call_dtors(void);
    void _start(void) { __wasm_call_ctors(); int code = __main_void(); __wasm_call_dtors(); if (code) exit(code); }'
  start_file "$dir/bin/clang" "$root/lib/$version/crt1-reactor.o" 'void _initialize(void) { __wasm_call_ctors(); }'
  cp "$root/lib/$version/crt1-command.o" "$root/lib/$version/crt1.o"
  builds_components "$dir/bin/clang" || { say "the clang out of Debian packages builds no component"; exit 1; }
}

# wrapper FILE PROGRAM ARGUMENTS: a program that finds its libraries wherever the folder is.
wrapper() {
  cat >"$1" <<X
#!/bin/sh
dir=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
LD_LIBRARY_PATH=\$(echo "\$dir"/usr/lib/*-linux-gnu*) exec "\$dir/usr/bin/$2" $3 "\$@"
X
  chmod +x "$1"
}

start_file() {
  echo "void __wasm_call_ctors(void); $3" | "$1" --target=wasm32-wasip2 -Os -c -x c - -o "$2"
}
