//! Copying one store into another, whatever their engines. It must let nothing run in either: what expires would be removed
//! from under it.

use stash_core::{Copied, CopyError, CopyOptions, CopyProgress};

use crate::stash::{OpenError, StashConfig, open};
use crate::url::StoreUrl;

/// Why a store was not copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyStoresError {
    /// One of them cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// They are the same.
    #[error("{0} cannot be copied into itself")]
    Same(StoreUrl),
    /// It was not copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
}

/// Copies all that is in the store `from` into the store `to`, which is made where it is not there: values, versions, times,
/// attributes, expiry, collections, history, changes and cursors. Tells of it in between.
///
/// Of `from` one state is copied. Until all is copied, and both have been read and have the same digest, `to` cannot be
/// opened as a store. Dropping the future leaves it unfinished; the same call goes on where it was.
///
/// # Errors
/// [`CopyStoresError`].
pub async fn copy_store(
    from: &StoreUrl,
    to: &StoreUrl,
    config: &StashConfig,
    options: CopyOptions,
    told: &mut (dyn FnMut(CopyProgress) + Send),
) -> Result<Copied, CopyStoresError> {
    if from == to {
        return Err(CopyStoresError::Same(from.clone()));
    }
    let (from, to) = (open(from, &config.clone().without_making_one()).await?, open(to, config).await?);
    Ok(stash_core::copy(from.copy_engine(), to.copy_engine(), options, told).await?)
}
