#!/usr/bin/env bash
# wasm-toolchain.sh DIR: makes DIR/usr a Rust toolchain (a rustup "path toolchain") whose standard library is built for
# WebAssembly, out of Debian packages only. The way for machines where `rustup target add wasm32-wasip2` cannot
# download anything. Needs no root; two to three minutes, 3 GB while it works and 0.6 GB in the end.
#
# It works in DIR.partial and renames that at the very end, so DIR is whole or absent, and a broken try leaves nothing that
# a later one would trust. `cargo xtask guests` calls it with a lock held; by hand, start it once at a time.
# Use: RUSTUP_TOOLCHAIN=DIR/usr cargo build --release --target wasm32-wasip2
set -euo pipefail
[ $# = 1 ] || { echo "usage: wasm-toolchain.sh DIR" >&2; exit 1; }
FINAL=$(realpath -m "$1"); DIR=$FINAL.partial; T=$DIR/usr
TARGETS=${TARGETS:-wasm32-wasip2 wasm32-unknown-unknown}
for tool in apt-get apt-cache dpkg rustc; do
  command -v $tool >/dev/null || { echo "wasm-toolchain: '$tool' is not on this machine; this way needs Debian or Ubuntu and Rust" >&2; exit 1; }
done
sys=$(rustc --print sysroot)
HOST=$(rustc -vV | sed -n 's/^host: //p')
MULTIARCH=${HOST/-unknown/}
RUSTLIB=$T/lib/rustlib

# Package lists of our own, so that neither root nor an earlier `apt-get update` is needed.
rm -rf "$DIR"
mkdir -p "$DIR/debs/partial" "$DIR/apt/lists/partial" "$DIR/apt/archives/partial"
apt=(-o "Dir::State::lists=$DIR/apt/lists" -o "Dir::Cache=$DIR/apt" -o Debug::NoLocking=1 -o APT::Sandbox::User=)
apt-get "${apt[@]}" update -qq </dev/null || true
# Versions roll: find the newest lld, and the std that the newest rustc wants.
lld=$(apt-cache "${apt[@]}" search -n '^lld-[0-9]+$' | awk '{print $1}' | sort -t- -k2 -n | tail -1)
std=$(apt-cache "${apt[@]}" depends libstd-rust-web-dev 2>/dev/null | awk '/Depends: libstd-rust-web-/{print $2}')
[ -n "$lld" ] && [ -n "$std" ] || { echo "wasm-toolchain: the packages rustc-web and lld were not found in this machine's apt sources" >&2; exit 1; }
(cd "$DIR/debs" && apt-get "${apt[@]}" download -qq rustc-web "$std" libstd-rust-web-dev rust-web-src "$lld" "libllvm${lld#lld-}" wasi-libc </dev/null)
for d in "$DIR"/debs/*.deb; do dpkg -x "$d" "$DIR"; done
rm -rf "$DIR/debs" "$DIR/apt"

lld=$(basename "$(ls -d "$T"/bin/lld-[0-9]* | sort -V | tail -1)")
for so in "$T/lib/$MULTIARCH"/*.so*; do ln -sf "$MULTIARCH/$(basename "$so")" "$T/lib/"; done
# Debian's cargo wants libraries that need not be here; the machine's own cargo drives any rustc.
cargo=$sys/bin/cargo; [ -x "$cargo" ] || cargo=$(command -v cargo)
ln -sf "$cargo" "$T/bin/cargo"
export LD_LIBRARY_PATH=$T/lib
# The component linker: from the ordinary toolchain (statically linked), else from source. rust-lld wants its own libLLVM
# next to it, so that one is Debian's. Links are relative: the directory is renamed, and may be moved.
mkdir -p "$RUSTLIB/$HOST/bin"
b=wasm-component-ld
if [ -e "$sys/lib/rustlib/$HOST/bin/$b" ]; then
  cp -f "$sys/lib/rustlib/$HOST/bin/$b" "$RUSTLIB/$HOST/bin/$b"
else
  env -u LD_LIBRARY_PATH "$cargo" install --quiet $b --locked --root "$RUSTLIB/$HOST"
fi
ln -sf "../../../../bin/$lld" "$RUSTLIB/$HOST/bin/rust-lld"

# The standard library.
B=$DIR/build; mkdir -p "$B/src"
cat > "$B/Cargo.toml" <<'X'
[package]
name = "zz-mkstd"
version = "0.0.0"
edition = "2021"
[lib]
path = "src/lib.rs"
[profile.release]
panic = "abort"
debug = false
[workspace]
X
echo > "$B/src/lib.rs"
for t in $TARGETS; do
  v=CARGO_TARGET_$(echo $t | tr a-z- A-Z_)_RUSTFLAGS
  (cd "$B" && env "$v=-C embed-bitcode=yes" RUSTC_BOOTSTRAP=1 RUSTC="$T/bin/rustc" "$cargo" build --quiet --release --target $t -Z build-std=std,panic_abort </dev/null)
  L=$RUSTLIB/$t/lib; rm -rf "$L"; mkdir -p "$L/self-contained"
  for f in "$B"/target/$t/release/deps/*.rlib; do case $f in *zz_mkstd*) ;; *) cp "$f" "$L/";; esac; done
  case $t in *wasip*)
    cp "$T/lib/wasm32-wasi/libc.a" "$L/self-contained/"
    # start files: Debian's crt1-command.o (2022) does not call __wasm_call_ctors itself, so wasm-ld
    # would wrap EVERY export (cabi_realloc too) in ctors+dtors, which traps in a component.
    cat > "$B/crt1.rs" <<'X'
#![no_std]
#![feature(linkage, thread_local)]
extern "C" {
    fn __wasm_call_ctors();
    #[cfg(command)] fn __wasm_call_dtors();
    #[cfg(command)] fn __main_void() -> i32;
    #[cfg(command)] fn exit(code: i32) -> !;
    #[thread_local] static mut errno: i32;
}
#[cfg(command)] #[no_mangle]
pub unsafe extern "C" fn _start() {
    __wasm_call_ctors();
    let r = __main_void();
    __wasm_call_dtors();
    if r != 0 { exit(r) }
}
#[cfg(not(command))] #[no_mangle]
pub unsafe extern "C" fn _initialize() { __wasm_call_ctors(); }

// Debian's wasi-libc is preview1-only: it has no threads and cannot open sockets. std refers to these;
// weak stubs that fail (ENOTSUP) make such programs link and see an ordinary io::Error.
type P = *mut u8;
type C = *const u8;
const ENOTSUP: i32 = 58;
unsafe fn fail() -> i32 { errno = ENOTSUP; -1 }
macro_rules! stub { ($($n:ident($($a:ty),*) -> $r:ty = $e:expr;)*) => {$(
    #[no_mangle] #[linkage = "weak"] pub unsafe extern "C" fn $n($(_: $a),*) -> $r { $e }
)*}}
stub! {
    pthread_attr_init(P) -> i32 = 0;
    pthread_attr_setstacksize(P, usize) -> i32 = 0;
    pthread_attr_destroy(P) -> i32 = 0;
    pthread_create(P, C, C, P) -> i32 = ENOTSUP;
    pthread_join(P, P) -> i32 = ENOTSUP;
    pthread_detach(P) -> i32 = ENOTSUP;
    socket(i32, i32, i32) -> i32 = fail();
    connect(i32, C, u32) -> i32 = fail();
    bind(i32, C, u32) -> i32 = fail();
    listen(i32, i32) -> i32 = fail();
    setsockopt(i32, i32, i32, C, u32) -> i32 = fail();
    getsockname(i32, P, P) -> i32 = fail();
    getpeername(i32, P, P) -> i32 = fail();
    sendto(i32, C, usize, i32, C, u32) -> isize = fail() as isize;
    recvfrom(i32, P, usize, i32, P, P) -> isize = fail() as isize;
    getaddrinfo(C, C, C, P) -> i32 = -4;
    freeaddrinfo(P) -> () = ();
    realpath(C, P) -> P = { fail(); core::ptr::null_mut() };
    gai_strerror(i32) -> C = b"name lookup is not supported by this toolchain\0".as_ptr();
}
X
    for m in command reactor; do
      RUSTC_BOOTSTRAP=1 "$T/bin/rustc" --edition 2021 --crate-name crt1_$m --crate-type lib --target $t -C panic=abort -C opt-level=2 -C codegen-units=1 -A unexpected_cfgs \
        $( [ $m = command ] && echo --cfg command ) --emit=obj -o "$L/self-contained/crt1-$m.o" "$B/crt1.rs"
    done;;
  esac
done

# What building guests does not need: sources, headers, documentation, the test harness, tools.
rm -rf "$B" "$T/src" "$T/include" "$T/libexec" "$T/share" "$T/lib/wasm32-wasi" "$RUSTLIB/src" "$RUSTLIB/etc"
rm -f "$T/bin/rustdoc" "$RUSTLIB/$HOST"/lib/lib{test,getopts}-*
find "$DIR" -mindepth 1 -maxdepth 1 ! -name usr -exec rm -rf {} +
touch "$DIR/complete"
rm -rf "$FINAL"
mv -T "$DIR" "$FINAL"
