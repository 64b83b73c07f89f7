//! Copies of stores, for tests.

use std::fs;
use std::io;
use std::path::Path;

/// Copies a store while it is in use, as the guide says: what is in the files, the files, and the journals last.
pub(crate) fn copy(from: &Path, to: &Path) {
    let own = |part: &str| (from.join(".stash").join(part), to.join(".stash").join(part));
    let (index, index_copy) = own("index");
    copy_folder(&index, &index_copy, &|_| true).unwrap();
    copy_folder(from, to, &|name| name != ".stash").unwrap();
    copy_folder(&from.join(".stash"), &to.join(".stash"), &|name| name != "index").unwrap();
}

/// Files that go meanwhile are left out, as rsync does.
fn copy_folder(from: &Path, to: &Path, wanted: &dyn Fn(&str) -> bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut entries: Vec<_> = fs::read_dir(from)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        if !wanted(name.to_str().unwrap()) {
            continue;
        }
        let copied = if entry.path().is_dir() {
            copy_folder(&entry.path(), &to.join(&name), &|_| true)
        } else {
            fs::copy(entry.path(), to.join(&name)).map(drop)
        };
        match copied {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            copied => copied?,
        }
    }
    Ok(())
}

/// Copies a store while it is in use in the wrong order: the journals first, and what is in the files last.
#[allow(dead_code)]
pub(crate) fn copy_backwards(from: &Path, to: &Path) {
    let own = |part: &str| (from.join(".stash").join(part), to.join(".stash").join(part));
    let (journal, journal_copy) = own("journal");
    copy_folder(&journal, &journal_copy, &|_| true).unwrap();
    copy_folder(from, to, &|name| name != ".stash").unwrap();
    copy_folder(&from.join(".stash"), &to.join(".stash"), &|name| name != "journal").unwrap();
}
