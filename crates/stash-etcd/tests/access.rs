//! Users, TLS, and etcd that has no room: what is refused is told with what to do, and is not stored.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::{Path, PathBuf};

use common::{COUNT, bytes, number, open, quiet, write};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use stash_conformance::decision::{self, act, increment, look_number, put};
use stash_core::{Engine, StorageError};
use stash_etcd::EtcdEngine;
use stash_etcd::testing::{EtcdCluster, Setup};

async fn refused(url: &str) -> String {
    stash_etcd::open(url, &quiet()).await.err().expect("it opens").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_asked_for_and_held_to_their_rights() {
    let what = "users of etcd";
    // Tokens that last for two seconds.
    let options = ["--auth-token-ttl", "2"].map(str::to_owned).to_vec();
    let options = if supports(what, "--auth-token-ttl") { options } else { Vec::new() };
    let Some(etcd) = EtcdCluster::start(what, Setup { options, ..Setup::default() }) else { return };
    let address = &etcd.addresses()[0];
    let error = refused(&format!("etcd://me:secret@{address}/ours")).await;
    assert!(error.contains("auth enable") && !error.contains("secret"), "{error}");
    for arguments in [
        &["user", "add", "root:admin"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "ours"],
        &["role", "grant-permission", "ours", "readwrite", "ours/", "--prefix=true"],
        &["user", "add", "me:p@ss/word"],
        &["user", "grant-role", "me", "ours"],
        &["auth", "enable"],
    ] {
        if etcd.etcdctl(what, arguments).is_none() {
            return;
        }
    }
    let error = refused(&etcd.url("ours")).await;
    assert!(error.contains("user:password@"), "{error}");
    let error = refused(&format!("etcd://me:secret@{address}/ours")).await;
    assert!(error.contains("does not know this user") && !error.contains("secret"), "{error}");
    let error = refused(&format!("etcd://me:p%40ss%2Fword@{address}/theirs")).await;
    assert!(error.contains("grant-permission") && !error.contains("word"), "{error}");
    // Whether a new store is within another must be seen by whoever makes it.
    let within = format!("etcd://me:p%40ss%2Fword@{address}/team/shop");
    let grant = |rights, key| ["--user", "root:admin", "role", "grant-permission", "ours", rights, key];
    etcd.etcdctl(what, &[&grant("readwrite", "team/shop/")[..], &["--prefix=true"]].concat()).unwrap();
    let error = refused(&within).await;
    assert!(error.contains("right to read team/m") && !error.contains("word"), "{error}");
    etcd.etcdctl(what, &grant("read", "team/m")).unwrap();
    open(&within, &quiet()).await;
    let host = open(&format!("etcd://me:p%40ss%2Fword@{address}/ours"), &quiet()).await;
    for n in 1..=5 {
        assert_eq!(host.update(increment(COUNT)).await, Ok(n));
    }
    write(&host, (0..300).map(|n| (format!("rapp/a/1/{n}"), Some(vec![1]))).collect()).await.unwrap();
    write(&host, vec![("rapp/a/1/large".to_owned(), Some(bytes(3_000_000, 1)))]).await.unwrap();
    // Whatever has become of the token: the password is changed back and forth, which ends all of them.
    for _ in 0..2 {
        let changed =
            etcd.etcdctl(what, &["--user", "root:admin", "role", "grant-permission", "ours", "read", "other"]);
        assert!(changed.unwrap().contains("updated"));
        let before = number(&host, COUNT).await;
        assert_eq!(host.update(increment(COUNT)).await, Ok(before + 1));
    }
}

/// Whether etcd has this option.
fn supports(_what: &str, option: &str) -> bool {
    let help = std::process::Command::new("etcd").arg("--help").output();
    help.is_ok_and(|help| String::from_utf8_lossy(&[&help.stdout[..], &help.stderr].concat()).contains(option))
}

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// An authority, and a certificate of its own for each name.
    fn authority(&self, of: &str, names: &[&str]) -> PathBuf {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        for name in names {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned(), "etcd.test".to_owned()])
                .unwrap()
                .signed_by(&key, &ca);
            self.write(&format!("{name}.pem"), &certificate.unwrap().pem());
            self.write(&format!("{name}.key"), &key.serialize_pem());
        }
        self.write(&format!("{of}.pem"), &ca.pem())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_secured_where_the_url_says_so() {
    let files = Files { folder: tempfile::tempdir().unwrap() };
    let ca = files.authority("ca", &["member", "host"]);
    let other = files.authority("other", &["stranger"]);
    let tls = Some((files.path("member.pem"), files.path("member.key"), ca.clone()));
    let Some(etcd) = EtcdCluster::start("TLS to etcd", Setup { tls, ..Setup::default() }) else { return };
    let address = &etcd.addresses()[0];
    let identity = |name: &str| {
        format!(
            "cert={}&key={}",
            shown(&files.path(&format!("{name}.pem"))),
            shown(&files.path(&format!("{name}.key")))
        )
    };
    let url = format!("etcd+tls://{address}/s?ca={}&{}", shown(&ca), identity("host"));
    let host = open(&url, &quiet()).await;
    assert_eq!(host.update(increment(COUNT)).await, Ok(1));
    let named = open(&format!("{url}&tls-name=etcd.test"), &quiet()).await;
    assert_eq!(number(&named, COUNT).await, 1);
    let options = common::patient(std::time::Duration::from_secs(1), std::time::Duration::from_secs(1));
    for wrong in [
        format!("etcd://{address}/s"),
        format!("etcd+tls://{address}/s?{}", identity("host")),
        format!("etcd+tls://{address}/s?ca={}&{}", shown(&other), identity("host")),
        format!("etcd+tls://{address}/s?ca={}", shown(&ca)),
        format!("etcd+tls://{address}/s?ca={}&{}", shown(&ca), identity("stranger")),
        format!("{url}&tls-name=another.test"),
    ] {
        let error =
            stash_etcd::open(&wrong, &options).await.err().unwrap_or_else(|| panic!("{wrong} opens")).to_string();
        println!("{error}");
        assert!(error.contains("cannot reach etcd"), "{wrong}: {error}");
    }
    let error = refused(&format!("etcd+tls://{address}/s?ca=/nowhere.pem")).await;
    assert!(error.contains("/nowhere.pem"), "{error}");
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Fills etcd with values of a size, each counted in its own commit, until it refuses one. What was refused is not there and
/// what was answered is, once.
async fn fill(host: &EtcdEngine, name: &str, size: usize) -> u64 {
    let count = format!("rapp/{name}/1/count");
    let key = |n: u64| format!("rapp/{name}/1/{n}");
    let value = |n: u64| bytes(size, usize::try_from(n).unwrap());
    let mut stored = 0;
    let error = loop {
        let (count, key, value) = (count.clone(), key(stored), value(stored));
        let counted = act(move |view, writes| {
            let next = look_number(view, count.as_bytes())? + 1;
            writes.put(count.clone().into(), decision::number(next));
            writes.put(key.clone().into(), value.clone().into());
            Ok(next)
        });
        match host.update(counted).await {
            Ok(next) => {
                stored += 1;
                assert_eq!(next, stored);
            }
            Err(error) => break error,
        }
        assert!(stored < 1000, "it has a quota");
    };
    assert!(matches!(&error, StorageError::Io { .. }) && error.to_string().contains("alarm disarm"), "{error}");
    assert_eq!(number(host, count.as_bytes()).await, stored);
    for n in 0..=stored {
        let found = host.read(&[key(n).as_bytes()]).await.unwrap();
        assert_eq!(found[0].as_deref() == Some(&value(n)[..]), n < stored, "{n} of {stored}");
    }
    // Whatever is tried is refused as long as there is no room.
    for _ in 0..3 {
        let error = host.update(put(b"rapp/a/1/x", b"y")).await.unwrap_err();
        assert!(error.to_string().contains("alarm disarm"), "{error}");
        assert_eq!(host.read(&[b"rapp/a/1/x"]).await.unwrap(), [None]);
    }
    stored
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_without_room_refuses_and_says_what_to_do() {
    let what = "etcd whose quota is reached";
    // Large values are refused in their pieces. Others with the commit itself, which etcd applies the first time it says so.
    for (size, goes) in [(700_000, "full/c"), (100_000, "full/e")] {
        let options = ["--quota-backend-bytes", "16000000"].map(str::to_owned).to_vec();
        let Some(etcd) = EtcdCluster::start(what, Setup { options, ..Setup::default() }) else { return };
        let host = open(&etcd.url("full"), &quiet()).await;
        let stored = fill(&host, "a", size).await;
        assert!(stored > 3, "{stored}");
        // As the text says. What goes does so before the revision that is compacted.
        if etcd.etcdctl(what, &["del", goes, "--prefix"]).is_none() {
            return;
        }
        let printed = etcd.etcdctl(what, &["get", "x", "-w", "json"]).unwrap();
        let revision = printed.split("\"revision\":").nth(1).unwrap().split(',').next().unwrap().to_owned();
        for arguments in [&["compact", "--physical", &revision][..], &["defrag"], &["alarm", "disarm"]] {
            println!("{arguments:?}: {}", etcd.etcdctl(what, arguments).unwrap());
        }
        assert_eq!(host.update(increment(b"rapp/b/1/count")).await, Ok(1));
        host.update(put(b"rapp/a/1/x", b"y")).await.unwrap();
        assert_eq!(host.read(&[b"rapp/a/1/x"]).await.unwrap(), [Some("y".into())]);
    }
}
