//! Has the command built again when a template or the interfaces change: the macro that embeds them cannot say so of new files.

fn main() {
    println!("cargo::rerun-if-changed=templates");
    println!("cargo::rerun-if-changed=../../wit");
}
