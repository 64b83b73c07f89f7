//! What `bindgen!` makes of the key-value interfaces of other hosts: a module for each shape. All of them hand out the same
//! [`Bucket`](super::bucket::Bucket). Nothing is written by hand here.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

/// `wasi:keyvalue@0.2.0-draft`.
pub(crate) mod draft {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/keyvalue-draft.wit",
        world: "wasi:keyvalue/imports@0.2.0-draft",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": crate::keyvalue::bucket::Bucket },
        trappable_error_type: { "wasi:keyvalue/store.error" => crate::keyvalue::failure::Failure },
    });
}

/// `wasi:keyvalue@0.2.0-draft2`, as the proposal has it.
pub(crate) mod draft2 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/keyvalue-draft2.wit",
        world: "wasi:keyvalue/imports@0.2.0-draft2",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": crate::keyvalue::bucket::Bucket,
            "wasi:keyvalue/atomics.cas": crate::keyvalue::cas::Cas,
        },
        trappable_error_type: {
            "wasi:keyvalue/store.error" => crate::keyvalue::failure::Failure,
            "wasi:keyvalue/atomics.cas-error" => crate::keyvalue::failure::CasFailure,
        },
    });
}

/// `wasi:keyvalue@0.2.0-draft2`, as Spin's guests have it.
pub(crate) mod spin_draft2 {
    wasmtime::component::bindgen!({
        path: "../../wit/spin-keyvalue",
        world: "wasi:keyvalue/imports@0.2.0-draft2",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": crate::keyvalue::bucket::Bucket,
            "wasi:keyvalue/atomics.cas": crate::keyvalue::cas::Cas,
        },
        trappable_error_type: {
            "wasi:keyvalue/store.error" => crate::keyvalue::failure::Failure,
            "wasi:keyvalue/atomics.cas-error" => crate::keyvalue::failure::CasFailure,
        },
    });
}

/// `fermyon:spin/key-value@2.0.0`.
pub(crate) mod spin2 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/spin-2.wit",
        inline: "
            package stash:spin2;
            world imports {
                import fermyon:spin/key-value@2.0.0;
            }
        ",
        world: "stash:spin2/imports",
        imports: { default: async | trappable },
        with: { "fermyon:spin/key-value.store": crate::keyvalue::bucket::Bucket },
        trappable_error_type: { "fermyon:spin/key-value.error" => crate::keyvalue::failure::Failure },
    });
}

/// `wasmcloud:keyvalue@0.2.0`.
pub(crate) mod wasmcloud {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/wasmcloud-keyvalue.wit",
        world: "wasmcloud:keyvalue/imports@0.2.0",
        imports: { default: trappable },
        with: { "wasmcloud:keyvalue/types.bucket": crate::keyvalue::bucket::Bucket },
        trappable_error_type: { "wasmcloud:keyvalue/types.error" => crate::keyvalue::failure::Failure },
    });
}

/// `spin:key-value@3.0.0`.
pub(crate) mod spin3 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/spin-3.wit",
        inline: "
            package stash:spin3;
            world imports {
                import spin:key-value/key-value@3.0.0;
            }
        ",
        world: "stash:spin3/imports",
        imports: {
            "spin:key-value/key-value.[method]store.get-keys": store | trappable,
            default: trappable,
        },
        with: { "spin:key-value/key-value.store": crate::keyvalue::bucket::Bucket },
        trappable_error_type: { "spin:key-value/key-value.error" => crate::keyvalue::failure::Failure },
    });
}

/// What `wasi:keyvalue@0.2.0-draft` calls in a guest that exports its `watcher`.
pub(crate) mod watch_draft {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/keyvalue-draft.wit",
        world: "wasi:keyvalue/watch-service@0.2.0-draft",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "wasi:keyvalue": super::draft::wasi::keyvalue },
    });
}

/// What `wasi:keyvalue@0.2.0-draft2` calls in a guest that exports its `watcher`.
pub(crate) mod watch_draft2 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/keyvalue-draft2.wit",
        world: "wasi:keyvalue/watch-service@0.2.0-draft2",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "wasi:keyvalue": super::draft2::wasi::keyvalue },
    });
}

/// What `wasmcloud:keyvalue@0.2.0` calls in a guest that exports its `watcher`.
pub(crate) mod watch_wasmcloud {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/wasmcloud-keyvalue.wit",
        world: "wasmcloud:keyvalue/watch-service@0.2.0",
        imports: { default: trappable },
        exports: { default: async | store },
        with: { "wasmcloud:keyvalue": super::wasmcloud::wasmcloud::keyvalue },
    });
}
