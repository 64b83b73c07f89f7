//! Who has a file locked, in words. Only ever reads; where the system does not tell, it says so.

use std::path::Path;

/// Who holds the lock on `path`: `process 1234 (stash run counter.wasm)`, `this process`, or `another process`.
pub fn describe(path: &Path) -> String {
    match locker(path) {
        Some(pid) if pid == std::process::id() => "this process already".to_owned(),
        Some(pid) => match command(pid) {
            Some(command) => format!("process {pid} ({command})"),
            None => format!("process {pid}"),
        },
        None => "another process".to_owned(),
    }
}

#[cfg(target_os = "linux")]
fn locker(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let inode = std::fs::metadata(path).ok()?.ino();
    find_lock(&std::fs::read_to_string("/proc/locks").ok()?, inode)
}

#[cfg(not(target_os = "linux"))]
fn locker(_: &Path) -> Option<u32> {
    None
}

/// The process that holds a lock on the file with this inode. A line of `/proc/locks` reads
/// `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`; one that waits for the lock has `->` after its number. Inodes
/// repeat across file systems, but the device is not the one `stat` tells on all of them, so it is left out: at worst the
/// wrong process is named in an error that is right otherwise.
#[cfg(target_os = "linux")]
fn find_lock(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (_kind, _mode, _access) = (fields.next().filter(|kind| *kind != "->")?, fields.next()?, fields.next()?);
        // An open-file-description lock has the process -1.
        let pid: u32 = fields.next()?.parse().ok()?;
        let locked: u64 = fields.next()?.rsplit(':').next()?.parse().ok()?;
        (locked == inode && pid > 0).then_some(pid)
    })
}

/// The process's command line on one line, shortened; `None` where it may not be seen.
fn command(pid: u32) -> Option<String> {
    const SHOWN: usize = 80;
    let raw = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&raw).split('\0').map(without_password).collect::<Vec<_>>().join(" ");
    let line: String = line.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(SHOWN) {
        _ if line.is_empty() => None,
        Some((cut, _)) => line.get(..cut).map(|start| format!("{start}...")),
        None => Some(line),
    }
}

/// An argument; of a URL with a user not what is between `//` and the last `@`, nor its options.
fn without_password(argument: &str) -> String {
    let Some((scheme, rest)) = argument.split_once("://") else { return argument.to_owned() };
    let host = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("***@{host}"));
    let host = host.split_once('?').map_or(host.as_str(), |(host, _)| host);
    format!("{scheme}://{host}")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_other_processes_are_not_told() {
        for (argument, shown) in [
            ("redis://me:se@c/r?et@db:1/2", "redis://***@db:1/2"),
            ("--store=postgres://db/s?password=x", "--store=postgres://db/s"),
            ("redb:a@b", "redb:a@b"),
        ] {
            assert_eq!(without_password(argument), shown);
        }
    }

    #[test]
    fn finds_the_holder_and_not_the_waiter() {
        let locks = "1: POSIX  ADVISORY  READ 7 fe:00:100 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 8 fe:00:200 0 EOF\n\
                     3: OFDLCK ADVISORY  WRITE -1 fe:00:200 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 9 fe:00:200 0 EOF\n";
        assert_eq!(find_lock(locks, 200), Some(9));
        assert_eq!(find_lock(locks, 300), None);
        assert_eq!(find_lock("garbage\n\n1:\n", 1), None);
    }
}
