//! The interface in this crate's folder, which is what is published, must be the one that the host has.

// Tests may.
#![allow(clippy::unwrap_used)]

#[test]
fn the_copy_of_the_interface_is_up_to_date() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let original = std::fs::read_to_string(root.join("../../wit/storage.wit")).unwrap();
    let copy = std::fs::read_to_string(root.join("wit/storage.wit")).unwrap();
    assert!(
        original == copy,
        "the interface has changed: run 'cp wit/storage.wit crates/stash-guest/wit/' in the repository"
    );
}
