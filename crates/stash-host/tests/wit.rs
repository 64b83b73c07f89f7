//! What `wit/storage.wit` tells guests must be what the host does.

use stash_core::limits::{DEFAULT_MAX_VALUE_BYTES, MAX_KEY_BYTES, MAX_LIST_BYTES, MAX_LIST_KEYS};

#[test]
fn the_limits_in_the_wit_are_those_of_the_contract() {
    // One line, however it is wrapped.
    let lines = include_str!("../../../wit/storage.wit").lines().map(|line| line.trim().trim_start_matches("/// "));
    let wit = lines.collect::<Vec<_>>().join(" ");
    assert_eq!(DEFAULT_MAX_VALUE_BYTES, 16 << 20);
    assert_eq!(MAX_LIST_BYTES, 16 << 20);
    assert_eq!(MAX_LIST_KEYS, 100_000);
    for text in [
        format!("it is empty or longer than {MAX_KEY_BYTES} bytes"),
        format!("any text of 1 to {MAX_KEY_BYTES} bytes"),
        "any bytes, up to 16 MiB unless the host says otherwise".to_owned(),
        "more than 100,000 keys or 16 MiB of them".to_owned(),
    ] {
        assert!(wit.contains(&text), "{text}");
    }
}
