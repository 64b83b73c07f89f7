//! What `bindgen!` makes of `wit/`: the traits that the host implements and the types it answers with. Nothing is
//! written by hand here.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "stash:storage/imports",
    imports: { default: async | trappable },
    with: {
        "stash:storage/collections.collection": crate::collection_functions::OpenCollection,
        "stash:storage/transactions.transaction": crate::transaction_functions::OpenTransaction,
    },
    named_imports: {
        "stash:storage/store": crate::labels::Label,
    },
    trappable_error_type: {
        "stash:storage/types.error" => crate::failure::Failure,
    },
});
