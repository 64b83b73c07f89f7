//! What more a person can do about an error of the storage, and which errors are an answer ("no") and not a failure. It
//! must never hide the library's own text.

use stash_core::StorageError;

/// Whether it says that a condition does not hold: nothing is wrong, and nothing was done.
pub(crate) fn is_no(error: &StorageError) -> bool {
    matches!(error, StorageError::NotFound { .. } | StorageError::AlreadyExists { .. } | StorageError::Conflict { .. })
}

/// Whether it says that collections are not as the caller thought.
pub(crate) fn is_no_of_collections(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::NoCollection { .. }
            | StorageError::CollectionExists { .. }
            | StorageError::CollectionNotEmpty { .. }
    )
}

/// What can be done about it, to be put behind its text; empty where the text says it.
pub(crate) fn hint(error: &StorageError) -> &'static str {
    match error {
        StorageError::NotFound { .. } => "; 'stash kv list' shows which there are",
        StorageError::AlreadyExists { .. } => "; without --if-absent it is replaced",
        StorageError::Conflict { .. } => "; look again with 'stash kv get --meta' and decide anew",
        StorageError::NotANumber { .. } => "; 'stash kv get' shows it, 'stash kv set' replaces it",
        StorageError::VersionForgotten { .. } => "; 'stash kv history' shows what is kept",
        StorageError::NoCollection { .. } => {
            "; 'stash collections list' shows which there are, 'stash collections create' makes one"
        }
        StorageError::CollectionExists { .. } => "; 'stash collections configure' changes it",
        StorageError::CollectionNotEmpty { .. } => " (--recursive)",
        StorageError::LimitExceeded { .. } => "; 'stash status --id' shows the limits",
        StorageError::TransactionConflict { .. } | StorageError::Unavailable { .. } => "; try again",
        StorageError::Corrupt { .. } => "; 'stash status' says how the store is, and a newer version may read it",
        _ => "",
    }
}

/// The error as a line for people.
pub(crate) fn with_hint(error: &StorageError) -> String {
    crate::output::one_line(&format!("{error}{}", hint(error)))
}

/// What can be done about an error of the storage somewhere below.
pub(crate) fn advice(error: &anyhow::Error) -> &'static str {
    error.chain().find_map(|cause| cause.downcast_ref::<StorageError>()).map_or("", hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn hints_are_found_below_other_words() {
        let missing = || StorageError::NoCollection { name: "a\u{1b}".into() };
        let failed = Err::<(), _>(missing()).context("reading").context("looking").unwrap_err();
        assert!(advice(&failed).contains("stash collections create"));
        assert_eq!(advice(&anyhow::anyhow!("else")), "");
        assert!(!with_hint(&missing()).contains('\u{1b}'));
    }
}
