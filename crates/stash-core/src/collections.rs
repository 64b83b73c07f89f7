//! Making, finding and deleting collections: records in the component's registry, changed by ordinary commits. Nothing
//! here may leave records behind that no collection owns.

use crate::batch::{Batch, Condition, RangeCheck};
use crate::collection::{CollectionInfo, CollectionName, CollectionSettings, DEFAULT_SETTINGS, Place, is_collection};
use crate::error::StorageError;
use crate::limits::{MAX_CLEAR_RECORDS, MAX_PAGE_ITEMS};
use crate::metadata::SetOptions;
use crate::mutation::Change;
use crate::record::{Record, Version};
use crate::scan::{KeyRange, ScanRequest};
use crate::storage::{ComponentStorage, PlaceName};

fn settings_batch(name: &str, settings: &CollectionSettings, condition: Option<Condition>) -> Batch {
    let batch = Batch::new().in_place(Place::Registry);
    let batch = match condition {
        Some(condition) => batch.require(name, condition),
        None => batch,
    };
    let options = SetOptions { attributes: settings.attributes.clone(), ..SetOptions::default() };
    batch.set_with(name, settings.encode(), options)
}

pub(crate) async fn create<S: ComponentStorage>(
    storage: &S,
    name: &CollectionName,
    settings: &CollectionSettings,
) -> Result<(), StorageError> {
    settings.check()?;
    let batch = settings_batch(name.as_str(), settings, Some(Condition::Absent));
    match storage.commit(batch).await {
        Ok(_) => Ok(()),
        Err(StorageError::AlreadyExists { .. }) => Err(StorageError::CollectionExists { name: name.to_string() }),
        Err(error) => Err(error),
    }
}

pub(crate) async fn configure<S: ComponentStorage>(
    storage: &S,
    name: Option<&CollectionName>,
    settings: &CollectionSettings,
) -> Result<(), StorageError> {
    settings.check()?;
    let condition = name.map(|_| Condition::Present);
    let registered = name.map_or(DEFAULT_SETTINGS, CollectionName::as_str);
    match storage.commit(settings_batch(registered, settings, condition)).await {
        Ok(_) => {}
        Err(StorageError::NotFound { .. }) => return Err(missing(registered)),
        Err(error) => return Err(error),
    }
    // What was kept under other settings, and never will be again.
    while !settings.retention.keeps_history() {
        let forget = Change::Clear { limit: MAX_CLEAR_RECORDS, whole: false, records: false, history: true };
        let place = name.map_or(Place::Default, |name| Place::Named(name.clone()));
        let committed = storage.commit(Batch::new().in_place(place).change("", forget)).await?;
        if !committed.outcomes.iter().any(|outcome| outcome.cleared.is_some_and(|cleared| cleared.more)) {
            break;
        }
    }
    Ok(())
}

pub(crate) async fn info<S: ComponentStorage>(
    storage: &S,
    name: Option<&CollectionName>,
) -> Result<CollectionInfo, StorageError> {
    let registered = name.map_or(DEFAULT_SETTINGS, CollectionName::as_str);
    match (storage.in_place(&PlaceName(Place::Registry))?.read_one(registered).await?, name) {
        (Some(record), name) => describe(name.cloned(), &record),
        (None, Some(_)) => Err(missing(registered)),
        (None, None) => Ok(CollectionInfo { name: None, created: None, settings: CollectionSettings::default() }),
    }
}

pub(crate) async fn list<S: ComponentStorage>(
    storage: &S,
    parent: Option<&CollectionName>,
) -> Result<Vec<CollectionInfo>, StorageError> {
    let registry = storage.in_place(&PlaceName(Place::Registry))?;
    let mut request = ScanRequest { limit: MAX_PAGE_ITEMS, ..ScanRequest::default().with_values() };
    request.range.prefix = parent.map(|parent| format!("{parent}/")).unwrap_or_default();
    let mut found = Vec::new();
    loop {
        let page = registry.scan(&request).await?;
        for entry in page.entries {
            if is_collection(&entry.key) {
                found.push(describe(Some(entry.key.parse()?), &entry.record)?);
            }
        }
        match page.resume {
            Some(resume) => request.after = Some(resume.into()),
            None => return Ok(found),
        }
    }
}

fn describe(name: Option<CollectionName>, record: &Record) -> Result<CollectionInfo, StorageError> {
    let created = record.metadata.created.filter(|_| name.is_some());
    Ok(CollectionInfo { name, created, settings: CollectionSettings::decode(record)? })
}

/// How often the last commit of a deletion is tried while others write to the collection.
const MAX_ATTEMPTS: usize = 100;

pub(crate) async fn delete<S: ComponentStorage>(
    storage: &S,
    name: &CollectionName,
    recursive: bool,
) -> Result<(), StorageError> {
    info(storage, Some(name)).await?;
    if recursive {
        // The innermost first, so that none is ever inside one that is gone.
        let inside = list(storage, Some(name)).await?;
        for inner in inside.into_iter().rev().filter_map(|info| info.name) {
            match delete_one(storage, &inner, true).await {
                Ok(()) | Err(StorageError::NoCollection { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    delete_one(storage, name, recursive).await
}

/// Deletes a collection that no other is inside.
async fn delete_one<S: ComponentStorage>(
    storage: &S,
    name: &CollectionName,
    with_records: bool,
) -> Result<(), StorageError> {
    let clear = |whole| Change::Clear { limit: MAX_CLEAR_RECORDS, whole, records: true, history: true };
    let nothing_in = |range: KeyRange| RangeCheck {
        place: 0,
        request: ScanRequest { range, ..ScanRequest::default() },
        until: None,
        count: 0,
        since: Version(u64::MAX),
    };
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut batch = Batch::new().in_collection(Some(name));
        if !with_records {
            batch = batch.require_range(nothing_in(KeyRange::default()));
        }
        // What has expired, and what is kept of the past, goes with an empty collection too.
        let batch = batch
            .change("", clear(true))
            .in_place(Place::Registry)
            .require_range(nothing_in(KeyRange::prefix(format!("{name}/"))))
            .require(name.as_str(), Condition::Present)
            .delete(name.as_str());
        match storage.commit(batch).await {
            Ok(_) => return Ok(()),
            Err(StorageError::LimitExceeded { .. }) if attempt < MAX_ATTEMPTS => {
                // More than one commit removes: make it less.
                loop {
                    let mut batch = Batch::new().in_collection(Some(name));
                    if !with_records {
                        batch = batch.require_range(nothing_in(KeyRange::default()));
                    }
                    let batch = batch.change("", clear(false));
                    let committed = storage.commit(batch).await.map_err(|error| not_empty_or(error, name))?;
                    if !committed.outcomes.iter().any(|outcome| outcome.cleared.is_some_and(|cleared| cleared.more)) {
                        break;
                    }
                }
            }
            Err(StorageError::NotFound { .. }) => return Err(missing(name.as_str())),
            Err(error) => return Err(not_empty_or(error, name)),
        }
    }
}

/// A range that was to hold nothing holds something.
fn not_empty_or(error: StorageError, name: &CollectionName) -> StorageError {
    match error {
        StorageError::TransactionConflict { .. } => StorageError::CollectionNotEmpty { name: name.to_string() },
        error => error,
    }
}

fn missing(name: &str) -> StorageError {
    StorageError::NoCollection { name: name.to_owned() }
}
