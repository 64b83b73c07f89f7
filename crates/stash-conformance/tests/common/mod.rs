//! What wrong layers have in common: all that they do not do wrongly.

/// The calls of `ComponentStorage` named here go to `self.inner` as they are.
#[macro_export]
macro_rules! inner {
    ($($call:ident)*) => { $($crate::inner!(@ $call);)* };
    (@ look) => {
        fn look(&self, key: &str, see: &mut dyn FnMut(Option<&stash_core::Record>)) -> bool {
            self.inner.look(key, see)
        }
    };
    (@ read_one) => {
        async fn read_one(&self, key: &str) -> Result<Option<stash_core::Record>, stash_core::StorageError> {
            self.inner.read_one(key).await
        }
    };
    (@ read) => {
        async fn read(&self, keys: &[&str]) -> Result<Vec<Option<stash_core::Record>>, stash_core::StorageError> {
            self.inner.read(keys).await
        }
    };
    (@ scan) => {
        async fn scan(
            &self,
            request: &stash_core::ScanRequest,
        ) -> Result<stash_core::ScanPage, stash_core::StorageError> {
            self.inner.scan(request).await
        }
    };
    (@ count) => {
        async fn count(&self, range: &stash_core::KeyRange) -> Result<u64, stash_core::StorageError> {
            self.inner.count(range).await
        }
    };
    (@ versions) => {
        async fn versions(
            &self,
            request: &stash_core::VersionsRequest,
        ) -> Result<stash_core::KeyVersions, stash_core::StorageError> {
            self.inner.versions(request).await
        }
    };
    (@ changes) => {
        async fn changes(
            &self,
            scope: &str,
            request: &stash_core::ChangesRequest,
        ) -> Result<stash_core::ChangesPage, stash_core::StorageError> {
            self.inner.changes(scope, request).await
        }

        $crate::inner!(@ log);
    };
    (@ log) => {
        async fn keep_changes(&self, scope: &str, keep: bool) -> Result<stash_core::Version, stash_core::StorageError> {
            self.inner.keep_changes(scope, keep).await
        }

        async fn changed(
            &self,
            scope: &str,
            after: stash_core::Version,
        ) -> Result<stash_core::Version, stash_core::StorageError> {
            self.inner.changed(scope, after).await
        }
    };
    (@ usage) => {
        async fn usage(&self, scope: &str) -> Result<stash_core::Usage, stash_core::StorageError> {
            self.inner.usage(scope).await
        }
    };
    (@ snapshots) => {
        async fn backend_snapshot(
            &self,
        ) -> Result<std::sync::Arc<dyn stash_core::BackendSnapshot>, stash_core::StorageError> {
            self.inner.backend_snapshot().await
        }

        async fn snapshot(&self) -> Result<stash_core::StorageSnapshot, stash_core::StorageError> {
            self.inner.snapshot().await
        }
    };
    (@ facts) => {
        fn place(&self) -> stash_core::PlaceName {
            self.inner.place()
        }

        fn now(&self) -> stash_core::Timestamp {
            self.inner.now()
        }

        fn cursors(&self) -> stash_core::CursorKey {
            self.inner.cursors()
        }

        fn capabilities(&self) -> stash_core::Capabilities {
            self.inner.capabilities()
        }

        fn status(&self) -> stash_core::engine::EngineStatus {
            self.inner.status()
        }

        fn gaps(&self) -> u64 {
            self.inner.gaps()
        }

        fn feed(&self, key: &str) -> Option<std::sync::Arc<stash_core::Feed>> {
            self.inner.feed(key)
        }
    };
}
