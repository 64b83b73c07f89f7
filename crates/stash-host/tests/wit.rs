//! What `wit/storage.wit` tells guests must be what the host does.

use stash_core::limits::{
    DEFAULT_MAX_VALUE_BYTES, DEFAULT_PAGE_ITEMS, DEFAULT_TRANSACTION_AGE, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES,
    MAX_BATCH_BYTES, MAX_BATCH_ITEMS, MAX_CHANGE_BYTES, MAX_CHANGE_WAIT, MAX_CHANGES, MAX_CLEAR_RECORDS,
    MAX_COLLECTION_DEPTH, MAX_COLLECTION_NAME_BYTES, MAX_COLLECTIONS, MAX_CONTENT_TYPE_BYTES, MAX_HISTORY_VERSIONS,
    MAX_KEY_BYTES, MAX_LIST_BYTES, MAX_LIST_KEYS, MAX_OPEN_TRANSACTIONS, MAX_PAGE_BYTES, MAX_PAGE_ITEMS,
    MAX_PATTERN_BYTES, MAX_READ_BYTES, MAX_READ_KEYS,
};

/// 10000 as it is written for people.
fn thousands(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}

fn thousands_of(number: u64) -> String {
    thousands(usize::try_from(number).unwrap_or(usize::MAX))
}

#[test]
fn the_limits_in_the_wit_are_those_of_the_contract() {
    // One line, however it is wrapped.
    let lines = include_str!("../../../wit/storage.wit").lines().map(|line| line.trim().trim_start_matches("/// "));
    let wit = lines.collect::<Vec<_>>().join(" ");
    let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
    let (keys, items, collections) = (thousands(MAX_LIST_KEYS), thousands(MAX_BATCH_ITEMS), thousands(MAX_COLLECTIONS));
    let attributes = format!("At most {MAX_ATTRIBUTES}, of {} KiB in all", MAX_ATTRIBUTE_BYTES >> 10);
    let name = format!("A name has 1 to {MAX_COLLECTION_NAME_BYTES} bytes in up to {MAX_COLLECTION_DEPTH} parts");
    let pages = format!(
        "{} where nothing is said, and never more than {}",
        thousands(DEFAULT_PAGE_ITEMS),
        thousands(MAX_PAGE_ITEMS)
    );
    for text in [
        format!("it is empty or longer than {MAX_KEY_BYTES} bytes"),
        format!("any text of 1 to {MAX_KEY_BYTES} bytes"),
        format!("any bytes, up to {} unless the host says otherwise", mib(DEFAULT_MAX_VALUE_BYTES)),
        format!("more than {keys} keys or {} of them", mib(MAX_LIST_BYTES)),
        format!("What the value is: 1 to {MAX_CONTENT_TYPE_BYTES} bytes"),
        format!("the character after it. Up to {MAX_PATTERN_BYTES} bytes."),
        attributes,
        name,
        format!("A component has at most {collections}."),
        pages,
        format!("values of up to {} keys", thousands(MAX_READ_KEYS)),
        format!("More than {} of them are `limit-exceeded`", mib(MAX_READ_BYTES)),
        format!("Stores up to {items} records of {}", mib(MAX_BATCH_BYTES)),
        format!("Removes up to {items} records, all or none"),
        format!("At most {items} checks and changes, of {}", mib(MAX_BATCH_BYTES)),
        format!("up to {} in one commit", thousands(MAX_CLEAR_RECORDS)),
        format!("the present one included: 1 to {}", thousands(MAX_HISTORY_VERSIONS as usize)),
        format!("({} seconds, unless it says otherwise)", DEFAULT_TRANSACTION_AGE.as_secs()),
        format!("at most {MAX_OPEN_TRANSACTIONS} open at once"),
        format!("The last {} of at most {} MiB are kept", thousands_of(MAX_CHANGES), MAX_CHANGE_BYTES >> 20),
        format!("milliseconds, at most {}.", thousands_of(MAX_CHANGE_WAIT.as_secs() * 1000)),
        format!("up to {} of them, or a single one", mib(MAX_PAGE_BYTES)),
    ] {
        assert!(wit.contains(&text), "{text}");
    }
}
