//! A file system in memory that keeps what a power cut would keep, and fails when told to. For tests only.
//!
//! It is worse than any real one: what a sync could not write is not written by a later one either; what was written to a
//! file and not synced is kept or lost sector by sector; and each name in a folder that was not synced since is as it was at
//! any moment since then, whatever became of the others: a file that was renamed may be found under both names, or under
//! neither.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile};

/// What a disk sector writes wholly or not at all.
const SECTOR: usize = 512;
const ROOT: usize = 0;

#[derive(Debug, Clone)]
pub(super) struct FakeDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    nodes: Vec<Node>,
    /// Changes and syncs so far.
    operations: u64,
    failing: Failing,
}

#[derive(Debug, Clone)]
enum Node {
    Folder(BTreeMap<String, Name>),
    File { current: Vec<u8>, durable: Vec<u8>, unsynced: Vec<Change> },
}

/// What a name has stood for since its folder was synced, the last at the end.
#[derive(Debug, Clone, Default)]
struct Name(Vec<Option<usize>>);

#[derive(Debug, Clone)]
enum Change {
    Append(usize, Vec<u8>),
    Cut(usize),
}

/// Which operations fail.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failing {
    /// None.
    Never,
    /// All after so many.
    After(u64),
    /// One, after so many.
    Once(u64),
    /// Those on what has this in its path.
    At(&'static str),
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Name {
    fn now(&self) -> Option<usize> {
        self.0.last().copied().flatten()
    }

    fn set(&mut self, node: Option<usize>) {
        if self.0.is_empty() {
            self.0.push(None);
        }
        self.0.push(node);
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Append(at, data) => {
                if file.len() < at + data.len() {
                    file.resize(at + data.len(), 0);
                }
                file[*at..at + data.len()].copy_from_slice(data);
            }
            Self::Cut(bytes) => file.truncate(*bytes),
        }
    }
}

impl State {
    fn folder(&mut self, path: &Path) -> io::Result<&mut BTreeMap<String, Name>> {
        let node = self.find(path)?;
        match &mut self.nodes[node] {
            Node::Folder(names) => Ok(names),
            Node::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut at = ROOT;
        for part in path.components().filter(|part| *part != Component::RootDir) {
            let Node::Folder(names) = &self.nodes[at] else { return Err(io::ErrorKind::NotADirectory.into()) };
            let name = names.get(part.as_os_str().to_str().unwrap());
            at = name.and_then(Name::now).ok_or_else(not_found)?;
        }
        Ok(at)
    }

    fn set(&mut self, path: &Path, node: Option<usize>) -> io::Result<()> {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        self.folder(path.parent().unwrap())?.entry(name).or_default().set(node);
        Ok(())
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        self.nodes.push(node);
        let added = self.nodes.len() - 1;
        self.set(path, Some(added))?;
        Ok(added)
    }

    /// Counts an operation, and fails it if it is its turn.
    fn operate(&mut self, path: &Path) -> io::Result<()> {
        self.operations += 1;
        let fails = match &mut self.failing {
            Failing::Never => false,
            Failing::At(part) => path.to_str().unwrap().contains(*part),
            Failing::After(0) => true,
            Failing::Once(0) => {
                self.failing = Failing::Never;
                true
            }
            Failing::After(left) | Failing::Once(left) => {
                *left -= 1;
                false
            }
        };
        if fails { Err(io::Error::other("the disk fails as told")) } else { Ok(()) }
    }

    fn contents(&mut self, node: usize) -> (&mut Vec<u8>, &mut Vec<u8>, &mut Vec<Change>) {
        match &mut self.nodes[node] {
            Node::File { current, durable, unsynced } => (current, durable, unsynced),
            Node::Folder(_) => panic!("a folder is not a file"),
        }
    }
}

impl FakeDisk {
    /// With an empty folder of this name.
    pub(super) fn with(folder: &Path) -> Self {
        let nodes = vec![Node::Folder(BTreeMap::new())];
        let disk = Self(Arc::new(Mutex::new(State { nodes, operations: 0, failing: Failing::Never })));
        disk.create_folder(folder).unwrap();
        disk.sync_folder(folder.parent().unwrap()).unwrap();
        disk
    }

    pub(super) fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    pub(super) fn fail(&self, failing: Failing) {
        self.0.lock().failing = failing;
    }

    /// The disk as the power cut leaves it: all that was synced, and of what was not, whatever `choose` says of so many.
    pub(super) fn after_power_cut(&self, mut choose: impl FnMut(usize) -> usize) -> Self {
        let state = self.0.lock();
        let nodes = state.nodes.iter().map(|node| match node {
            Node::Folder(names) => {
                let names = names.iter().map(|(name, was)| {
                    let is = was.0[choose(was.0.len())];
                    (name.clone(), Name(vec![is]))
                });
                Node::Folder(names.collect())
            }
            Node::File { durable, unsynced, .. } => {
                let mut file = durable.clone();
                for change in unsynced {
                    match change {
                        Change::Append(at, data) => {
                            for (n, sector) in data.chunks(SECTOR).enumerate() {
                                if choose(2) == 1 {
                                    Change::Append(at + n * SECTOR, sector.to_vec()).apply(&mut file);
                                }
                            }
                        }
                        Change::Cut(_) if choose(2) == 1 => change.apply(&mut file),
                        Change::Cut(_) => {}
                    }
                }
                Node::File { current: file.clone(), durable: file, unsynced: Vec::new() }
            }
        });
        let nodes = nodes.collect();
        Self(Arc::new(Mutex::new(State { nodes, operations: 0, failing: Failing::Never })))
    }

    /// A copy of the disk: another process on the same machine.
    pub(super) fn as_it_is(&self) -> Self {
        let nodes = self.0.lock().nodes.clone();
        Self(Arc::new(Mutex::new(State { nodes, operations: 0, failing: Failing::Never })))
    }

    fn file(&self, path: &Path, node: usize) -> Box<dyn DiskFile> {
        Box::new(FakeFile { disk: self.clone(), path: path.to_owned(), node })
    }
}

impl Disk for FakeDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operate(path)?;
        match state.find(path) {
            Ok(_) => state.folder(path).map(drop),
            Err(_) => state.add(path, Node::Folder(BTreeMap::new())).map(drop),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut state = self.0.lock();
        let names = state.folder(path)?.iter().filter(|(_, name)| name.now().is_some());
        Ok(names.map(|(name, _)| name.clone()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.operate(path)?;
        let file = Node::File { current: Vec::new(), durable: Vec::new(), unsynced: Vec::new() };
        let node = state.add(path, file)?;
        Ok(self.file(path, node))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let node = self.0.lock().find(path)?;
        Ok(self.file(path, node))
    }

    fn read(&self, path: &Path, most: u64, into: &mut Vec<u8>) -> io::Result<()> {
        let mut state = self.0.lock();
        let node = state.find(path)?;
        let (current, ..) = state.contents(node);
        into.extend(current.iter().take(usize::try_from(most).unwrap_or(usize::MAX)));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operate(to)?;
        let node = state.find(from)?;
        state.find(to.parent().unwrap())?;
        state.set(to, Some(node))?;
        state.set(from, None)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operate(to)?;
        let node = state.find(from)?;
        state.set(to, Some(node))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operate(path)?;
        state.find(path)?;
        state.set(path, None)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operate(path)?;
        if state.folder(path)?.values().any(|name| name.now().is_some()) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.set(path, None)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operate(path)?;
        for name in state.folder(path)?.values_mut() {
            name.0 = vec![name.now()];
        }
        Ok(())
    }

    fn threads(&self) -> usize {
        1
    }
}

#[derive(Debug)]
struct FakeFile {
    disk: FakeDisk,
    path: PathBuf,
    node: usize,
}

impl FakeFile {
    fn change(&self, change: Change) {
        let mut state = self.disk.0.lock();
        let (current, _, unsynced) = state.contents(self.node);
        change.apply(current);
        unsynced.push(change);
    }
}

impl DiskFile for FakeFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let failed = self.disk.0.lock().operate(&self.path);
        // A full disk takes the first half.
        let taken = if failed.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        let at = usize::try_from(self.bytes()?).unwrap();
        self.change(Change::Append(at, taken.to_vec()));
        failed
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let at = usize::try_from(at).unwrap();
        let data = state.contents(self.node).0.get(at..at + into.len());
        into.copy_from_slice(data.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().contents(self.node).0.len() as u64)
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.disk.0.lock().operate(&self.path)?;
        self.change(Change::Cut(usize::try_from(bytes).unwrap()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let synced = state.operate(&self.path);
        let (_, durable, unsynced) = state.contents(self.node);
        let unsynced = std::mem::take(unsynced);
        if synced.is_ok() {
            for change in unsynced {
                change.apply(durable);
            }
        }
        // What could not be written can still be read, but no later sync writes it.
        synced
    }
}
