//! The URL of a store in etcd: `etcd://user:password@a:2379,b:2379/prefix?tls=true`. It must never show the password.

use std::path::PathBuf;
use std::time::Duration;

use crate::OpenError;

/// etcd's port for clients.
const PORT: u16 = 2379;
/// What the keys of a store begin with where its URL does not say.
const PREFIX: &str = "stash/";

/// What to do with what would end the authority.
const ENCODE: &str = "in a user or password, write / ? @ , : % as %2F %3F %40 %2C %3A %25, and elsewhere @ as %40";

/// Which etcd, and which keys in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// `host:port` of its members, at least one.
    pub(crate) members: Vec<String>,
    pub(crate) login: Option<Login>,
    pub(crate) prefix: String,
    pub(crate) tls: Option<Tls>,
    pub(crate) compact: Option<Duration>,
    pub(crate) max_request_bytes: Option<usize>,
    pub(crate) max_txn_ops: Option<usize>,
}

/// Who we are for etcd.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// How the connection is secured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Who signs the members' certificates, instead of those whom the system trusts.
    pub(crate) ca: Option<PathBuf>,
    /// Our own certificate and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// The name in the members' certificates, where it is not the one in the URL.
    pub(crate) name: Option<String>,
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, OpenError> {
        let invalid = |reason: String| OpenError::Url { reason };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("it has no ://".to_owned()))?;
        let mut tls = match scheme {
            "etcd" => None,
            "etcd+tls" => Some(Tls::default()),
            other => return Err(invalid(format!("it begins with {other}:// and not with etcd:// or etcd+tls://"))),
        };
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(authority_end);
        // A password that is not encoded ends the authority too early: the rest of it must not be taken for a prefix or an
        // option, which errors show.
        if behind.contains('@') {
            return Err(invalid(format!("there is an @ behind its first / or ?; {ENCODE}")));
        }
        let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some((login, hosts)) => {
                let without = || invalid("before its @ there must be a user, a colon and a password".to_owned());
                let (user, password) = login.split_once(':').ok_or_else(without)?;
                let (user, password) = (decode(user).ok_or_else(without)?, decode(password).ok_or_else(without)?);
                if user.is_empty() {
                    return Err(without());
                }
                (Some(Login { user, password }), hosts)
            }
        };
        let members = hosts
            .split(',')
            .enumerate()
            .map(|(n, text)| member(n + 1, text))
            .collect::<Result<Vec<_>, _>>()
            .map_err(invalid)?;
        let path = decode(path).ok_or_else(|| invalid("its path is not UTF-8, percent-encoded".to_owned()))?;
        let path = path.trim_matches('/');
        let prefix = if path.is_empty() { PREFIX.to_owned() } else { format!("{path}/") };
        let mut target =
            Self { members, login, prefix, tls: None, compact: None, max_request_bytes: None, max_txn_ops: None };
        let (mut cert, mut key) = (None, None);
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let text = decode(value).ok_or_else(|| invalid(format!("the value of {name} is not UTF-8")))?;
            let wrong = |what: &str| invalid(format!("{name} is to be {what}, and not {text:?}"));
            match name {
                "tls" => match text.as_str() {
                    "true" => drop(tls.get_or_insert_default()),
                    "false" if tls.is_none() => {}
                    _ => return Err(wrong("true or false, and true with etcd+tls://")),
                },
                "ca" => tls.get_or_insert_default().ca = Some(text.into()),
                "cert" => cert = Some(PathBuf::from(text)),
                "key" => key = Some(PathBuf::from(text)),
                "tls-name" => tls.get_or_insert_default().name = Some(text),
                "compact" => {
                    let every = humantime::parse_duration(&text).map_err(|_| wrong("a time such as 10m"))?;
                    if every < Duration::from_mins(1) {
                        return Err(wrong("1m or longer: readers need what was there shortly before"));
                    }
                    target.compact = Some(every);
                }
                "max-request-bytes" => {
                    let bytes = text.parse().ok().filter(|bytes| *bytes >= crate::LEAST_REQUEST_BYTES);
                    target.max_request_bytes =
                        Some(bytes.ok_or_else(|| wrong("a number of bytes, of 65536 or more, as etcd's own option"))?);
                }
                "max-txn-ops" => {
                    let ops = text.parse().ok().filter(|ops| *ops >= crate::LEAST_TXN_OPS);
                    target.max_txn_ops =
                        Some(ops.ok_or_else(|| wrong("a number of 32 or more, as etcd's own option"))?);
                }
                _ => {
                    let known = "tls, ca, cert, key, tls-name, compact, max-request-bytes and max-txn-ops";
                    return Err(invalid(format!("it has the option {name:?}; there are {known}")));
                }
            }
        }
        match (cert, key) {
            (None, None) => {}
            (Some(cert), Some(key)) => tls.get_or_insert_default().identity = Some((cert, key)),
            _ => return Err(invalid("cert and key need each other".to_owned())),
        }
        target.tls = tls;
        Ok(target)
    }

    /// How errors name it: without user and password.
    pub(crate) fn shown(&self) -> String {
        self.members.join(",")
    }
}

/// `host:port`. What is wrong is not shown, since it may be a part of a password.
fn member(number: usize, text: &str) -> Result<String, String> {
    let (host, port) = match text.rsplit_once(':') {
        // The colons of an IPv6 address are within its brackets.
        Some((host, port)) if !port.contains(']') => {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0);
            (host, port.ok_or_else(|| format!("the port of member {number} is not a number up to 65535; {ENCODE}"))?)
        }
        _ => (text, PORT),
    };
    let is_ipv6 = host.starts_with('[') && host.ends_with(']');
    let ok = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') || (is_ipv6 && matches!(c, '[' | ']' | ':'))
    };
    if host.is_empty() || !host.chars().all(ok) {
        return Err(format!("member {number} has not the name or address of a host; {ENCODE}"));
    }
    Ok(format!("{host}:{port}"))
}

/// Without percent-encoding.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    #[test]
    fn urls_name_members_prefix_and_options() {
        let target = parse("etcd://a,b.example:1,[::1]:2");
        assert_eq!(target.members, ["a:2379", "b.example:1", "[::1]:2"]);
        assert_eq!((target.prefix.as_str(), target.tls.is_some(), target.login.is_some()), ("stash/", false, false));
        assert_eq!(parse("etcd://a/").prefix, "stash/");
        assert_eq!(parse("etcd://a/team%20one/shop/").prefix, "team one/shop/");
        let target = parse("etcd://me:p%40ss:word@a?compact=10m&max-request-bytes=3000000&max-txn-ops=512");
        assert!(target.login == Some(Login { user: "me".into(), password: "p@ss:word".into() }));
        assert_eq!(target.compact, Some(Duration::from_mins(10)));
        assert_eq!((target.max_request_bytes, target.max_txn_ops), (Some(3_000_000), Some(512)));
        assert_eq!(target.shown(), "a:2379");
    }

    #[test]
    fn tls_is_asked_for_in_several_ways() {
        let plain = Some(Tls::default());
        assert_eq!(parse("etcd+tls://a").tls, plain);
        assert_eq!(parse("etcd://a?tls=true").tls, plain);
        assert_eq!(parse("etcd://a?tls=false").tls, None);
        let tls = parse("etcd://a?ca=/etc/ca.pem&cert=c.pem&key=k.pem&tls-name=etcd").tls.unwrap();
        assert_eq!(tls.ca, Some("/etc/ca.pem".into()));
        assert_eq!(tls.identity, Some(("c.pem".into(), "k.pem".into())));
        assert_eq!(tls.name, Some("etcd".into()));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, said) in [
            ("redb:x", "://"),
            ("etcds://a", "etcds"),
            ("etcd://", "name or address"),
            ("etcd://a,,b", "name or address"),
            ("etcd://a:0", "port"),
            ("etcd://a:x", "port"),
            ("etcd://a b", "name or address"),
            ("etcd://a,b:x", "port of member 2"),
            ("etcd://me:secret/x@a", "%2F"),
            ("etcd://me:x/secret@a", "%2F"),
            ("etcd://me:1/secret@a", "%2F"),
            ("etcd://me:1?secret@a", "%3F"),
            ("etcd://me:x@1/secret@a", "%40"),
            ("etcd://me:x@secret/@a", "%40"),
            ("etcd://me:x@secret,:", "port of member 2"),
            ("etcd://me:x@a b secret", "member 1"),
            ("etcd://secret:secret", "port of member 1"),
            ("etcd://secret@a", "user"),
            ("etcd://:secret@a", "user"),
            ("etcd://me:secret%zz@a", "user"),
            ("etcd://me:secret@a?x=1", "option \"x\""),
            ("etcd+tls://a?tls=false", "tls"),
            ("etcd://a?cert=x", "each other"),
            ("etcd://a?compact=1s", "1m"),
            ("etcd://a?compact=x", "10m"),
            ("etcd://a?max-request-bytes=1", "65536"),
            ("etcd://a?max-txn-ops=1", "32"),
        ] {
            let error = Target::parse(url).err().unwrap().to_string();
            assert!(error.contains(said) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
