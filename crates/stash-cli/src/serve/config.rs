//! `stash.toml`: which components are served where. A word that is not known must be an error that names its line, never
//! passed over.

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytesize::ByteSize;
use serde::{Deserialize, Deserializer};
use stash_core::ComponentId;
use stash_host::{AllowedHost, StoreUrl};

use crate::args::{
    AccessLogFormat, Grants, MAX_CONNECTIONS, MAX_REQUESTS, MAX_RESULT, Preset, parse_address, parse_bytes, parse_time,
};
use crate::guest::Guest;

/// A configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Config {
    #[serde(default, deserialize_with = "address")]
    pub(super) addr: Option<SocketAddr>,
    #[serde(default, deserialize_with = "address")]
    pub(super) admin: Option<SocketAddr>,
    #[serde(default, deserialize_with = "text")]
    pub(super) store: Option<StoreUrl>,
    #[serde(default, deserialize_with = "access_log")]
    pub(super) access_log: Option<AccessLogFormat>,
    #[serde(default, deserialize_with = "time")]
    pub(super) timeout: Option<Duration>,
    pub(super) max_requests: Option<u32>,
    pub(super) max_connections: Option<u32>,
    #[serde(default, deserialize_with = "size")]
    pub(super) max_body: Option<ByteSize>,
    #[serde(default, deserialize_with = "time")]
    pub(super) grace: Option<Duration>,
    pub(super) reload: Option<bool>,
    #[serde(default)]
    pub(super) component: Vec<Component>,
}

/// One component, and where it is reached.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Component {
    file: String,
    #[serde(default, deserialize_with = "text")]
    pub(super) id: Option<ComponentId>,
    #[serde(default, deserialize_with = "host")]
    pub(super) host: Option<String>,
    #[serde(default, deserialize_with = "size")]
    pub(super) quota: Option<ByteSize>,
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) keep_path: bool,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    dirs: Vec<String>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
    #[serde(default)]
    allow_http: Vec<String>,
    #[serde(default)]
    allow_buckets: Vec<String>,
    #[serde(default, deserialize_with = "size")]
    max_result: Option<ByteSize>,
    #[serde(default)]
    preset: BTreeMap<String, String>,
    #[serde(default)]
    stub_unknown_imports: bool,
}

/// A value that is written as text, whose errors say what it was.
fn text<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(from: D) -> Result<Option<T>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(serde::de::Error::custom)
}

/// A number of bytes, as on the command line.
fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ByteSize>, D::Error> {
    let text = String::deserialize(from)?;
    parse_bytes(&text).map(Some).map_err(|help| serde::de::Error::custom(format!("'{text}': {help}")))
}

/// A host in lower case, as requests name it but without a port: any other is one that no request names.
fn host<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    let host = text.to_ascii_lowercase();
    let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = inside.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    let is_name = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if is_address || is_name {
        return Ok(Some(host));
    }
    let help = "write for example shop.example, without a port; names beyond ASCII as xn--...";
    Err(serde::de::Error::custom(format!("'{text}' is no host: {help}")))
}

/// Paths that no request can have would serve nobody, and nobody would be told.
fn check_path(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("does not begin with '/'");
    }
    if path.contains("//") {
        return Err("has an empty part between two '/'");
    }
    if path.contains(['?', '#']) {
        return Err("has a '?' or '#': a path ends before these");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "has what is written with % in requests: blanks as %20, letters beyond ASCII as the bytes of UTF-8",
        );
    }
    Ok(())
}

/// How requests are logged. Whoever writes `true` is told what to write.
fn access_log<'de, D: Deserializer<'de>>(from: D) -> Result<Option<AccessLogFormat>, D::Error> {
    let value = toml::Value::deserialize(from)?;
    AccessLogFormat::deserialize(value)
        .map(Some)
        .map_err(|_| serde::de::Error::custom("an access log has a format: write \"off\", \"text\" or \"json\""))
}

/// Where to listen, as on the command line.
fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    parse_address(&text).map(Some).map_err(|help| serde::de::Error::custom(format!("'{text}': {help}")))
}

/// A time span, as on the command line.
fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    parse_time(&text).map(Some).map_err(|help| serde::de::Error::custom(format!("'{text}': {help}")))
}

impl Config {
    /// What a file says.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            let line =
                error.span().map_or(1, |span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
            anyhow::anyhow!("{shown}, line {line}: {}", error.message().replace('\n', "; "))
        })?;
        if config.component.is_empty() {
            bail!("{shown} names no component: write at least one [[component]] with a file");
        }
        for (name, given, most) in [
            ("max-requests", config.max_requests, MAX_REQUESTS),
            ("max-connections", config.max_connections, MAX_CONNECTIONS),
        ] {
            if given.is_some_and(|given| !(1..=most).contains(&given)) {
                bail!("{shown}: {name} is at least 1, and at most {most}");
            }
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        config.store = config.store.map(|store| store.within(folder));
        Ok(config)
    }
}

impl Component {
    /// The guest, as the configuration in `folder` describes it.
    pub(super) fn guest(&self, folder: &Path) -> Result<Guest> {
        let about = || format!("the component {}", self.file);
        let hosts = self.allow_http.iter().map(|host| host.parse::<AllowedHost>());
        if let Some(name) = self.env.keys().find(|name| name.is_empty() || name.contains('=')) {
            bail!("{}: '{name}' is no name of an environment variable", about());
        }
        let dirs = self.dirs.iter().map(|dir| {
            let (host, guest) = dir.split_once("::").unwrap_or((dir, dir));
            format!("{}::{guest}", folder.join(host).display())
        });
        if let Some(path) = &self.path {
            check_path(path).map_err(|reason| anyhow::anyhow!("{}: path '{path}' {reason}", about()))?;
        }
        let grants = Grants {
            env: self.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            dir: dirs.collect(),
            config: self.settings.clone().into_iter().collect(),
            allow_http: hosts.collect::<Result<_, _>>().with_context(about)?,
            preset: self.presets().with_context(about)?,
            allow_bucket: self.allow_buckets.clone(),
            max_result: self.max_result.unwrap_or(MAX_RESULT),
            stub_unknown_imports: self.stub_unknown_imports,
        };
        Guest::new(&folder.join(&self.file), self.id.as_ref(), &grants).with_context(about)
    }

    /// What it is to find in its storage. A key may have the '=' at which one on the command line ends.
    fn presets(&self) -> Result<Vec<Preset>> {
        let preset = |(at, value): (&String, &String)| match at.split_once('/') {
            Some((bucket, key)) if !key.is_empty() => {
                Ok(Preset { bucket: bucket.to_owned(), key: key.to_owned(), value: value.clone() })
            }
            _ => bail!("preset '{at}': write BUCKET/KEY, in the default collection default/KEY"),
        };
        self.preset.iter().map(preset).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn read(text: &str) -> Result<Config> {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("stash-config-{}-{number}.toml", std::process::id()));
        std::fs::write(&file, text).unwrap();
        let read = Config::read(&file);
        std::fs::remove_file(&file).unwrap();
        read
    }

    #[test]
    fn a_word_that_is_not_known_names_its_line() {
        for (text, said) in [
            ("adr = \"127.0.0.1:80\"", "line 1: unknown field `adr`"),
            ("addr = \"here\"", "line 1: 'here': write an address and a port"),
            ("\n[[component]]\nfile = 1", "line 3: invalid type"),
            ("[[component]]\nfile = \"a.wasm\"\nid = \"a\"", "line 3: 'a'"),
            ("timeout = \"0s\"\n[[component]]\nfile = \"a.wasm\"", "no time at all"),
            ("grace = \"1us\"\n[[component]]\nfile = \"a.wasm\"", "at least 1ms"),
            ("store = \"data\"\n[[component]]\nfile = \"a.wasm\"", "line 1: 'data' does not name a store"),
            ("max-body = \"1 foot\"\n[[component]]\nfile = \"a.wasm\"", "line 1: '1 foot': write a number of bytes"),
            ("access-log = true\n[[component]]\nfile = \"a.wasm\"", "write \"off\", \"text\" or \"json\""),
            ("", "names no component"),
            ("max-requests = 0\n[[component]]\nfile = \"a.wasm\"", "max-requests is at least 1"),
            ("max-requests = 100001\n[[component]]\nfile = \"a.wasm\"", "and at most 100000"),
            ("max-connections = 4000000000\n[[component]]\nfile = \"a.wasm\"", "and at most 1000000"),
            ("[[component]]\nfile = \"a.wasm\"\nhost = \"a.example:8080\"", "line 3: 'a.example:8080' is no host"),
            ("[[component]]\nfile = \"a.wasm\"\nhost = \"https://a.example\"", "without a port"),
            ("[[component]]\nfile = \"a.wasm\"\nhost = \"\"", "'' is no host"),
            ("[[component]]\nfile = \"a.wasm\"\nhost = \"[a.example]\"", "'[a.example]' is no host"),
            ("[[component]]\nfile = \"a.wasm\"\nquota = \"much\"", "line 3: 'much'"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_said_is_kept() {
        let config = read(
            "store = \"redb:data/s\"\ntimeout = \"5s\"\nmax-body = \"1MiB\"\naccess-log = \"json\"\n\
             [[component]]\nfile = \"a.wasm\"\npath = \"/a\"\n[component.settings]\nx = \"y\"",
        )
        .unwrap();
        assert_eq!(config.store, Some(StoreUrl::Redb(std::env::temp_dir().join("data/s"))));
        assert_eq!((config.timeout, config.max_body), (Some(Duration::from_secs(5)), Some(ByteSize::mib(1))));
        let guest = config.component[0].guest(Path::new("/srv")).unwrap();
        assert_eq!((guest.file.to_str(), guest.id.to_string()), (Some("/srv/a.wasm"), "app/a/001".to_owned()));
    }

    #[test]
    fn paths_are_those_that_requests_can_have() {
        let guest = |path: &str| {
            let text = format!("[[component]]\nfile = \"a.wasm\"\npath = \"{path}\"");
            read(&text).unwrap().component[0].guest(Path::new(""))
        };
        for path in ["/", "/shop", "/a%20b/", "/@:!$&'()*+,;=-._~"] {
            assert!(guest(path).is_ok(), "{path}");
        }
        for (path, said) in [
            ("shop", "begin with"),
            ("//", "empty part"),
            ("/a?b", "'?'"),
            ("/a#b", "'#'"),
            ("/a b", "%20"),
            ("/ü", "UTF-8"),
        ] {
            let error = guest(path).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains(path), "{error}");
        }
    }

    #[test]
    fn hosts_are_in_lower_case() {
        for (written, kept) in [("Shop.EXAMPLE", "shop.example"), ("[::1]", "[::1]"), ("127.0.0.1", "127.0.0.1")] {
            let config = read(&format!("[[component]]\nfile = \"a.wasm\"\nhost = \"{written}\"")).unwrap();
            assert_eq!(config.component[0].host.as_deref(), Some(kept));
        }
    }

    #[test]
    fn keys_and_values_are_what_they_are_written_as() {
        let presets = |at: &str| {
            let text = format!("[[component]]\nfile = \"a.wasm\"\n[component.preset]\n\"{at}\" = \"v=w\"");
            read(&text).unwrap().component[0].presets()
        };
        let preset = Preset { bucket: "default".into(), key: "x=y".into(), value: "v=w".into() };
        assert_eq!(presets("default/x=y").unwrap(), [preset]);
        for wrong in ["default", "default/"] {
            let error = presets(wrong).unwrap_err().to_string();
            assert!(error.contains("write BUCKET/KEY"), "{error}");
        }
        let text = "[[component]]\nfile = \"a.wasm\"\n[component.env]\n\"A=B\" = \"c\"";
        let error = read(text).unwrap().component[0].guest(Path::new("")).unwrap_err();
        assert!(error.to_string().contains("'A=B' is no name"), "{error}");
    }
}
