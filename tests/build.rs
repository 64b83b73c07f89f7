//! Builds the guests, and hands each to the tests as a constant. It must never leave the tests with an older guest than
//! its source.

use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::PathBuf;

fn main() -> Result<()> {
    for input in xtask::guests::inputs()? {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    println!("cargo::rerun-if-env-changed=STASH_WASM_TOOLCHAIN");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");

    let guests = xtask::guests::build()?;
    let mut code = String::new();
    let mut all = String::new();
    let mut each = String::new();
    for guest in &guests {
        let name = guest.name.to_uppercase().replace('-', "_");
        writeln!(code, "/// Where the component of the guest `{}` is.", guest.name)?;
        writeln!(code, "pub const {name}: &str = {:?};", guest.path.to_str().context("a path that is not UTF-8")?)?;
        write!(all, "({:?}, {name}), ", guest.name)?;
        write!(each, "$each!({}); ", name.to_lowercase())?;
    }
    writeln!(code, "/// The name of every guest, and where its component is.")?;
    writeln!(code, "pub const ALL: &[(&str, &str)] = &[{all}];")?;
    writeln!(code, "/// Calls the macro `$each` with the name of every guest as an identifier.")?;
    writeln!(code, "///")?;
    writeln!(
        code,
        "/// A test file that gives each guest a test or a module of its name shows that none is forgotten:"
    )?;
    writeln!(
        code,
        "/// `macro_rules! tested {{ ($guest:ident) => {{ use self::$guest as _; }} }}` and `for_each_guest!(tested);`"
    )?;
    writeln!(code, "#[macro_export]\nmacro_rules! for_each_guest {{ ($each:ident) => {{ {each}}}; }}")?;

    let out = PathBuf::from(std::env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?).join("guests.rs");
    std::fs::write(&out, code).with_context(|| format!("cannot write {}", out.display()))
}
