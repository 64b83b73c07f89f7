//! A disk in memory that keeps what a power cut would keep, fails when told to, and counts its syncs. For tests only.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, StorageBackend};

use crate::file::{OpenError, Opener, TABLE};

/// What a disk sector writes wholly or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What a reader of the file sees.
    current: Vec<u8>,
    /// What has been synced.
    durable: Vec<u8>,
    /// What has been done since, in order.
    unsynced: Vec<Operation>,
    syncs: usize,
    failing: bool,
    /// Reads that fail next.
    failing_reads: usize,
    /// Writes until it begins to fail.
    fails_in: Option<u64>,
}

#[derive(Debug, Clone)]
enum Operation {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Operation {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                if file.len() < at + data.len() {
                    file.resize(at + data.len(), 0);
                }
                file[*at..at + data.len()].copy_from_slice(data);
            }
            Self::SetLen(len) => file.resize(*len, 0),
        }
    }
}

impl Disk {
    pub(super) fn opener(&self) -> Opener {
        let disk = self.clone();
        Box::new(move || {
            let failed = |error: redb::Error| OpenError::Io { path: "disk".into(), reason: error.to_string() };
            let database = Database::builder().set_cache_size(1 << 20).create_with_backend(disk.clone());
            let database = database.map_err(|error| failed(error.into()))?;
            // As `make_store` leaves a new file.
            let prepare = || -> Result<(), redb::Error> {
                if database.begin_read()?.list_tables()?.next().is_none() {
                    let writing = database.begin_write()?;
                    writing.open_table(TABLE)?;
                    writing.commit()?;
                }
                Ok(())
            };
            prepare().map_err(failed)?;
            Ok(database)
        })
    }

    pub(super) fn syncs(&self) -> usize {
        self.0.lock().syncs
    }

    pub(super) fn fail(&self, failing: bool) {
        self.0.lock().failing = failing;
    }

    /// Fails the next reads.
    pub(super) fn fail_reads(&self, reads: usize) {
        self.0.lock().failing_reads = reads;
    }

    /// Whether reads that were to fail have.
    pub(super) fn has_failed_reads(&self) -> bool {
        self.0.lock().failing_reads == 0
    }

    /// Begins to fail after so many more writes.
    pub(super) fn fail_after_writes(&self, writes: u64) {
        self.0.lock().fails_in = Some(writes);
    }

    /// The disk as the power cut leaves it: all that was synced, and of what was not, whatever `choose` says, sector by
    /// sector.
    pub(super) fn after_power_cut(&self, mut choose: impl FnMut() -> bool) -> Self {
        let state = self.0.lock();
        let mut file = state.durable.clone();
        for operation in &state.unsynced {
            match operation {
                Operation::Write(at, data) => {
                    for (n, sector) in data.chunks(SECTOR).enumerate() {
                        if choose() {
                            Operation::Write(at + n * SECTOR, sector.to_vec()).apply(&mut file);
                        }
                    }
                }
                // A file that was made longer may be, with zeros; one that was made shorter may be still long.
                Operation::SetLen(len) if *len >= file.len() && choose() => operation.apply(&mut file),
                Operation::SetLen(_) => {}
            }
        }
        Self(Arc::new(Mutex::new(State { current: file.clone(), durable: file, ..State::default() })))
    }

    fn change(&self, operation: Operation) -> io::Result<()> {
        let mut state = self.0.lock();
        match &mut state.fails_in {
            Some(0) => state.failing = true,
            Some(left) => *left -= 1,
            None => {}
        }
        if state.failing {
            return Err(io::Error::other("the disk fails as told"));
        }
        operation.apply(&mut state.current);
        state.unsynced.push(operation);
        Ok(())
    }
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.failing_reads > 0 {
            state.failing_reads -= 1;
            return Err(io::Error::other("the disk fails as told"));
        }
        let at = position(offset);
        let data =
            state.current.get(at..at + out.len()).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(data);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Operation::SetLen(position(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.failing {
            return Err(io::Error::other("the disk fails as told"));
        }
        state.durable = state.current.clone();
        state.unsynced.clear();
        state.syncs += 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Operation::Write(position(offset), data.to_vec()))
    }
}
