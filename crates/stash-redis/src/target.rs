//! What a URL says: which servers, as whom, and which store in them. A password must never be shown.

use std::path::PathBuf;

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};
use redis::{ClientTlsConfig, TlsCertificates};
use url::Url;

use crate::error::OpenError;

/// Longest prefix of a store's keys in the server. It is in the name of each.
const MOST_PREFIX_BYTES: usize = 64;

/// What a URL says.
pub(crate) struct Target {
    /// Addresses to begin with, `host:port`.
    pub(crate) seeds: Vec<String>,
    /// What the names of all keys begin with.
    pub(crate) prefix: String,
    pub(crate) cluster: bool,
    pub(crate) allow_eviction: bool,
    settings: RedisConnectionInfo,
    tls: Option<TlsCertificates>,
}

impl Target {
    pub(crate) fn parse(text: &str) -> Result<Self, OpenError> {
        let wrong = |reason: String| OpenError::InvalidUrl { reason };
        let mut url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        let is_tls = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            other => return Err(wrong(format!("it begins with '{other}'; write redis:// or, with TLS, rediss://"))),
        };
        if url.fragment().is_some() {
            return Err(wrong("there is nothing to say behind a '#'".to_owned()));
        }
        let (mut prefix, mut cluster, mut allow_eviction) = ("stash".to_owned(), false, false);
        let mut seeds = vec![address(&url).ok_or_else(|| wrong("it names no host".to_owned()))?];
        let (mut ca, mut cert, mut key) = (None, None, None);
        for (name, value) in url.query_pairs() {
            match &*name {
                "prefix" => prefix = checked_prefix(&value).map_err(wrong)?,
                "cluster" => cluster = flag("cluster", &value).map_err(wrong)?,
                "allow-eviction" => allow_eviction = flag("allow-eviction", &value).map_err(wrong)?,
                "node" => seeds.push(node(&value).map_err(wrong)?),
                "ca" => ca = Some(PathBuf::from(&*value)),
                "cert" => cert = Some(PathBuf::from(&*value)),
                "key" => key = Some(PathBuf::from(&*value)),
                // A part of a password with a '?' in it.
                other if other.contains('@') => {
                    return Err(wrong("there is a '?' in front of the '@': in a password write it as %3F".to_owned()));
                }
                other => {
                    return Err(wrong(format!(
                        "there is no option '{other}'; there are prefix, cluster, node, allow-eviction, ca, cert and key"
                    )));
                }
            }
        }
        if seeds.len() > 1 && !cluster {
            return Err(wrong("several nodes are a cluster: add cluster=true".to_owned()));
        }
        let tls = if is_tls {
            Some(certificates(ca, cert, key).map_err(wrong)?)
        } else if ca.is_some() || cert.is_some() || key.is_some() {
            return Err(wrong("certificates are for TLS: write rediss://".to_owned()));
        } else {
            None
        };
        url.set_query(None);
        let info = url.into_connection_info().map_err(|error| {
            let what = error.to_string();
            wrong(if what.contains("database") {
                "what follows the '/' is not a database number".to_owned()
            } else {
                what
            })
        })?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        if settings.db() < 0 || (cluster && settings.db() != 0) {
            let reason = if cluster { "a cluster has one database, 0" } else { "a database number is not negative" };
            return Err(wrong(reason.to_owned()));
        }
        Ok(Self { seeds, prefix, cluster, allow_eviction, settings, tls })
    }

    /// The server of the URL.
    pub(crate) fn seed(&self) -> &str {
        self.seeds.first().map_or("", String::as_str)
    }

    /// How the store is shown: without password.
    pub(crate) fn shown(&self) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        let database = if self.settings.db() == 0 { String::new() } else { format!("/{}", self.settings.db()) };
        format!("{scheme}://{}{database}", self.seed())
    }

    /// Where hosts tell each other what they have committed: channels belong to no database.
    pub(crate) fn channel(&self) -> String {
        format!("{}:{}:news", self.prefix, self.settings.db())
    }

    /// What connects to an address.
    pub(crate) fn client(&self, address: &str) -> Result<Client, String> {
        let not_one = || format!("'{address}' is not an address");
        let (host, port) = address.rsplit_once(':').ok_or_else(not_one)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = port.parse().map_err(|_| not_one())?;
        let info = |address: ConnectionAddr| -> Result<ConnectionInfo, String> {
            let info = address.into_connection_info().map_err(|error| error.to_string())?;
            Ok(info.set_redis_settings(self.settings.clone()))
        };
        let client = match &self.tls {
            None => Client::open(info(ConnectionAddr::Tcp(host, port))?),
            Some(tls) => {
                let address = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
                Client::build_with_tls(info(address)?, tls.clone())
            }
        };
        client.map_err(|error| error.to_string())
    }
}

fn address(url: &Url) -> Option<String> {
    let host = url.host_str().filter(|host| !host.is_empty())?;
    Some(format!("{host}:{}", url.port().unwrap_or(6379)))
}

/// Another node of a cluster.
fn node(text: &str) -> Result<String, String> {
    let url = Url::parse(&format!("redis://{text}")).ok();
    let only_an_address = |url: &Url| {
        !text.contains('@') && matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none()
    };
    // What it says may have a password in it.
    let refused = || {
        "a node is not a host and a port: write node=HOST:PORT; all have the user and password of the URL".to_owned()
    };
    url.filter(only_an_address).and_then(|url| address(&url)).ok_or_else(refused)
}

fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(format!("{name}={other} is neither true nor false")),
    }
}

/// A brace would end the part of a name that decides its slot, a colon could make two stores one.
fn checked_prefix(prefix: &str) -> Result<String, String> {
    let bad = prefix.chars().find(|c| matches!(c, '{' | '}' | ':') || c.is_control());
    match bad {
        Some(bad) => Err(format!("a prefix cannot have {bad:?}")),
        None if prefix.is_empty() || prefix.len() > MOST_PREFIX_BYTES => {
            Err(format!("a prefix has 1 to {MOST_PREFIX_BYTES} bytes"))
        }
        None => Ok(prefix.to_owned()),
    }
}

fn certificates(ca: Option<PathBuf>, cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<TlsCertificates, String> {
    // Another part of the program may have chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = |path: PathBuf| std::fs::read(&path).map_err(|error| format!("reading {}: {error}", path.display()));
    let root_cert = ca.map(read).transpose()?;
    let client_tls = match (cert, key) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        (None, None) => None,
        _ => return Err("cert and key belong together: give both".to_owned()),
    };
    Ok(TlsCertificates { client_tls, root_cert })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        Target::parse(url).err().unwrap_or_else(|| panic!("{url} is taken")).to_string()
    }

    #[test]
    fn urls_say_which_store() {
        let target = Target::parse("redis://user:p%40ss@redis.example:6380/3?prefix=two").unwrap();
        assert_eq!((target.seed(), &target.prefix[..], target.cluster), ("redis.example:6380", "two", false));
        assert_eq!(target.settings.password(), Some("p@ss"));
        assert_eq!((target.shown(), target.channel()), ("redis://redis.example:6380/3".into(), "two:3:news".into()));
        let target = Target::parse("rediss://[::1]?cluster=true&node=b:7001&node=c").unwrap();
        assert_eq!(target.seeds, ["[::1]:6379", "b:7001", "c:6379"]);
        assert!(target.cluster && target.client("[::1]:6379").is_ok());
        assert_eq!(target.shown(), "rediss://[::1]:6379");
    }

    #[test]
    fn urls_that_say_nothing_useful_are_refused() {
        for (url, why) in [
            ("http://h", "'http'"),
            ("redis://", "host"),
            ("redis://h/x", "database number"),
            ("redis://h/-1", "database number"),
            ("redis://h?prefix=", "1 to 64"),
            ("redis://h?prefix=a{b", "'{'"),
            ("redis://h?cluster=yes", "neither"),
            ("redis://h?node=b", "cluster=true"),
            ("redis://h/1?cluster=true", "one database"),
            ("redis://h?cluster=true&node=b/7", "not a host"),
            ("redis://h?cluster=true&node=b%23c", "not a host"),
            ("redis://h?cluster=true&node=user:geheim@b", "not a host"),
            ("redis://h?cluster=true&node=:geheim@b", "not a host"),
            ("redis://h?cluster=true&node=geheim@b", "not a host"),
            ("redis://h?cluster=true&node=@b", "not a host"),
            ("redis://h?cluster=true&node=b/geheim", "not a host"),
            ("redis://user:1?geheim@h", "%3F"),
            ("redis://h?timeout=7", "no option 'timeout'"),
            ("redis://h?ca=x", "rediss://"),
            ("rediss://h?cert=x", "belong together"),
            ("rediss://h?ca=/is/not/there", "/is/not/there"),
            ("redis://h#insecure", "'#'"),
        ] {
            let said = refused(url);
            assert!(said.contains(why), "{url}: {said}");
            assert!(!said.contains("geheim"), "{said}");
        }
        assert!(!refused("redis://user:geheim@h?x=1").contains("geheim"));
    }
}
