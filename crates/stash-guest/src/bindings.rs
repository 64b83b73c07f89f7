//! What wit-bindgen makes of the interface. Nothing is written here by hand.

// It documents what the interface does, and is made of unsafe calls.
#![allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

wit_bindgen::generate!({
    // A copy, for a published crate has nothing but its own folder; a test compares it with the original.
    path: "wit/storage.wit",
    world: "stash:storage/imports",
    generate_all,
    // A guest may have bindings to the same world of its own: the linker would join two sections of one name.
    type_section_suffix: "stash-guest",
});
