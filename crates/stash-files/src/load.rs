//! Reads what a store's owner before has left: the index, and the journals after it. Must never lose a commit that was
//! answered, nor change anything before it knows that all is well.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::apply::{Applier, empty};
use crate::batch::{Batch, Changes, Upto};
use crate::entry::Entries;
use crate::error::{At, Unfit};
use crate::format;
use crate::index::Index;
use crate::log::{Item, Kind, Log, LogReader, Mark};
use crate::open::FilesOptions;
use crate::root::{INDEX, JOURNAL, OLD, Root, TEMPORARY};
use crate::shared::{Acknowledged, Shared, State};

/// Opens a store that is there.
pub(crate) fn load(root: &Root, options: &FilesOptions, acknowledged: &Arc<Acknowledged>) -> Result<Applier, Unfit> {
    let mark = format::read(root)?;
    let (mut index, mut entries) = Index::load(root, mark)?;
    let in_files = entries.clone();
    let numbers = root.numbers(JOURNAL).at("reading", root.part(JOURNAL).display())?;
    let mut kept = VecDeque::new();
    let mut later = Vec::new();
    for number in numbers {
        if number > index.upto.journal {
            later.push(number);
        } else {
            let path = root.numbered(JOURNAL, number);
            kept.push_back((
                number,
                root.disk().open(&path).and_then(|file| file.bytes()).at("reading", path.display())?,
            ));
        }
    }
    let mut replay = Replay { root, mark, limit: acknowledged.get(), upto: index.upto, torn: None };
    let mut batches = Vec::new();
    for number in later {
        batches.push(replay.journal(number, &mut entries)?);
    }
    let Some((journal, batch)) = batches.pop() else {
        return Err(Unfit::Damaged(format!("its journal {} is missing", index.upto.journal + 1)));
    };
    if let Some((path, _)) = replay.torn {
        tracing::warn!(journal = %path, "a commit that was not finished is cut off");
    }
    // From here on it is changed.
    let is_whole = journal.file.bytes().at("reading", journal.path.display())? == journal.bytes;
    let is_clean = is_whole && index.is_whole() && batch.changes.is_empty() && batches.is_empty() && kept.is_empty();
    let mut sealed = Vec::new();
    for (log, mut batch) in batches {
        settle(&log)?;
        batch.journal_bytes = log.bytes;
        sealed.push(Arc::new(batch));
    }
    let mut journal = journal;
    empty(root, TEMPORARY)?;
    empty(root, OLD)?;
    if !is_clean {
        settle(&journal)?;
        index.settle()?;
        for folder in [JOURNAL, INDEX].map(|folder| root.part(folder)) {
            root.disk().sync_folder(&folder).at("syncing", folder.display())?;
        }
        // What was answered in this process is on the disk.
        if acknowledged.get().is_none_or(|(number, _)| number != batch.upto.journal) {
            journal = rewrite(root, mark, journal, batch.upto.journal)?;
        }
    }
    index.remove_others()?;
    let sealed_bytes = sealed.iter().map(|batch| batch.bytes).sum();
    let state = State {
        entries,
        journal,
        batch,
        sealed,
        sealed_bytes,
        closing: false,
        asked: false,
        tries: 0,
        is_broken: false,
    };
    let shared = Shared::new(root.clone(), mark, options.clone(), state, Arc::clone(acknowledged));
    Ok(Applier::new(Arc::new(shared), index, &in_files, kept))
}

/// Makes a journal end where its last commit does, and the disk remember it: whoever wrote it may not have come to that,
/// and what is read from now on is not to be lost any more.
fn settle(journal: &Log) -> Result<(), Unfit> {
    let settle = || {
        if journal.file.bytes()? > journal.bytes {
            journal.file.cut(journal.bytes)?;
        }
        journal.file.sync()
    };
    settle().at("syncing", journal.path.display())
}

/// Writes a journal anew. Where an fsync has failed, in this process or the one before, what can be read of it may be in
/// memory alone, and no later fsync would write it.
fn rewrite(root: &Root, mark: Mark, journal: Log, number: u64) -> Result<Log, Unfit> {
    let temporary = root.part(TEMPORARY).join(JOURNAL);
    let write = || -> io::Result<Log> {
        let mut log = Log::create(root.disk(), &temporary, Kind::Journal, mark, number)?;
        log.copy_frames(&journal)?;
        log.file.sync()?;
        root.disk().rename(&temporary, &journal.path)?;
        root.disk().sync_folder(&root.part(JOURNAL))?;
        log.path.clone_from(&journal.path);
        Ok(log)
    };
    match write() {
        // What is in a store can be read also where there is no room.
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            tracing::warn!(journal = %journal.path.display(), %error, "the journal is not written anew");
            Ok(journal)
        }
        written => written.at("writing anew", journal.path.display()),
    }
}

struct Replay<'a> {
    root: &'a Root,
    mark: Mark,
    /// What is after that was answered to nobody.
    limit: Option<(u64, u64)>,
    /// Up to where everything was read.
    upto: Upto,
    /// The journal whose end cannot be read, and the damage that it is if there are commits after it.
    torn: Option<(String, String)>,
}

impl Replay<'_> {
    /// Reads the next journal.
    fn journal(&mut self, number: u64, entries: &mut Entries) -> Result<(Log, Batch), Unfit> {
        let expected = self.upto.journal + 1;
        if number != expected {
            let what = if number == expected + 1 {
                format!("its journal {expected} is missing")
            } else {
                format!("its journals {expected} to {} are missing", number - 1)
            };
            return Err(Unfit::Damaged(format!(
                "{what}; a copy that was made while the store was in use took too long, or was not made in order"
            )));
        }
        let path = self.root.numbered(JOURNAL, number);
        let mut reader = LogReader::open(self.root.disk(), &path, Kind::Journal, self.mark, number)?;
        let limit = self.limit.and_then(|(journal, bytes)| (journal == number).then_some(bytes));
        reader.limit(limit);
        let mut batch = Batch::after(self.upto);
        while let Some(frame) = reader.next()? {
            if let Some((_, damage)) = self.torn.take() {
                return Err(Unfit::Damaged(damage));
            }
            let follows = (frame.number, frame.previous) == (batch.upto.commit + 1, batch.upto.checksum);
            let mut items = frame.items();
            let mut changes = Changes::default();
            while let Some((key, item)) = items.next() {
                let value = match item {
                    Item::Removed => None,
                    Item::Value(value, _) => Some(Bytes::copy_from_slice(value)),
                    Item::File { .. } => return Err(self.damaged(number)),
                };
                changes.write(entries, Bytes::copy_from_slice(key), value);
            }
            if !follows || !items.is_empty() {
                return Err(self.damaged(number));
            }
            batch.add(changes, frame.bytes(), frame.number, frame.checksum);
        }
        if let Some(at) = reader.torn(Some(batch.upto.commit))? {
            let damage =
                format!("{} is damaged at byte {at}, and what was committed after that would be lost", path.display());
            self.torn = Some((path.display().to_string(), damage));
        }
        batch.entries = entries.clone();
        self.upto = batch.upto;
        Ok((reader.into_log(), batch))
    }

    fn damaged(&self, number: u64) -> Unfit {
        let path = self.root.numbered(JOURNAL, number);
        Unfit::Damaged(format!("{} does not follow what is before it", path.display()))
    }
}
