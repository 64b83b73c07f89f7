//! What a URL says: server, credentials, TLS, schema, numbers of connections. It must never put a password in a text.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::error::OpenError;
use crate::options::PostgresOptions;
use crate::passwords;

/// Bytes in a schema's name: PostgreSQL has 63 for a name, and the channel of announcements puts `stash_` in front.
const MOST_SCHEMA_BYTES: usize = 56;
/// Connections of one kind that one host may ask for.
const MOST_CONNECTIONS: usize = 1000;

/// A store on a server.
#[derive(Clone)]
pub(crate) struct Address {
    /// How to connect.
    pub(crate) config: Config,
    /// How to encrypt.
    pub(crate) tls: TlsWanted,
    /// The schema, as it is named.
    pub(crate) schema: String,
    /// Connections for reads and commits.
    pub(crate) connections: usize,
    /// Snapshots at once.
    pub(crate) snapshots: usize,
    /// Whether to use only what every server with the protocol has.
    pub(crate) portable: bool,
    /// What to call it in texts: hosts, database and schema.
    pub(crate) name: String,
    /// Whether the URL says `synchronous_commit`.
    pub(crate) sets_synchronous_commit: bool,
    /// Whether the URL says `default_transaction_isolation`.
    pub(crate) sets_isolation: bool,
}

/// What is asked of TLS, as libpq's `sslmode` and its companions say it.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsWanted {
    pub(crate) verify: Verify,
    /// Certificates to trust instead of the system's.
    pub(crate) root_certificates: Option<PathBuf>,
    /// Our own certificate and its key.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
}

/// What is checked of the server's certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Nothing: whoever is on the way can read and change everything.
    #[default]
    Nothing,
    /// That somebody we trust has issued it.
    Issuer,
    /// That, and that it is for this host.
    Host,
}

impl Address {
    pub(crate) fn parse(url: &str, options: &PostgresOptions) -> Result<Self, OpenError> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(OpenError::address("it begins with postgres:// or postgresql://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        // What follows the first one would be taken for a host, and told.
        if base.matches('@').count() > 1 {
            return Err(OpenError::address("in a user or password, @ is written %40, : %3A, / %2F, ? %3F and % %25"));
        }
        let mut ours = Ours::new(options);
        let mut theirs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(OpenError::address("each of its parameters is name=value"));
            };
            let value = decoded(value)?;
            if !ours.take(name, value)? {
                theirs.push(pair);
            }
        }
        let mut config = Config::from_str(&format!("{base}?{}", theirs.join("&")))
            .map_err(|error| OpenError::address(crate::error::tell(&error)))?;
        ours.finish(&mut config)
    }
}

/// The parameters that we read ourselves.
struct Ours {
    schema: String,
    connections: usize,
    snapshots: usize,
    portable: bool,
    mode: Option<String>,
    tls: TlsWanted,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    password_file: Option<OsString>,
    sets_target: bool,
    options: PostgresOptions,
}

impl Ours {
    fn new(options: &PostgresOptions) -> Self {
        Self {
            schema: options.schema.clone(),
            connections: options.connections,
            snapshots: options.snapshots,
            portable: options.portable,
            mode: None,
            tls: TlsWanted::default(),
            certificate: None,
            key: None,
            password_file: None,
            sets_target: false,
            options: options.clone(),
        }
    }

    /// Whether the parameter is one of these.
    fn take(&mut self, name: &str, value: String) -> Result<bool, OpenError> {
        match name {
            "schema" => self.schema = value,
            "connections" => self.connections = number(name, &value)?,
            "snapshots" => self.snapshots = number(name, &value)?,
            "portable" => match value.as_str() {
                "true" => self.portable = true,
                "false" => self.portable = false,
                _ => return Err(OpenError::address("`portable` is true or false")),
            },
            "sslmode" => self.mode = Some(value),
            "sslrootcert" if value == "system" => self.tls.root_certificates = None,
            "sslrootcert" => self.tls.root_certificates = Some(value.into()),
            "sslcert" => self.certificate = Some(value.into()),
            "sslkey" => self.key = Some(value.into()),
            "passfile" => self.password_file = Some(value.into()),
            "target_session_attrs" => {
                self.sets_target = true;
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(mut self, config: &mut Config) -> Result<Address, OpenError> {
        check_schema(&self.schema)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(OpenError::address("it names no host; write postgres://user@host/database"));
        }
        let mode = self.mode.as_deref().unwrap_or("prefer");
        let (mode, verify) = match mode {
            "disable" => (SslMode::Disable, Verify::Nothing),
            "allow" | "prefer" => (SslMode::Prefer, Verify::Nothing),
            // As libpq has it: who names certificates to trust wants them asked for.
            "require" if self.tls.root_certificates.is_some() => (SslMode::Require, Verify::Issuer),
            "require" => (SslMode::Require, Verify::Nothing),
            "verify-ca" => (SslMode::Require, Verify::Issuer),
            "verify-full" => (SslMode::Require, Verify::Host),
            _ => {
                let all = "disable, prefer, require, verify-ca and verify-full";
                return Err(OpenError::address(format!("`sslmode` is none of {all}")));
            }
        };
        config.ssl_mode(mode);
        self.tls.verify = verify;
        self.tls.certificate = match (self.certificate, self.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => return Err(OpenError::address("`sslcert` and `sslkey` belong together")),
        };
        if !self.sets_target {
            // What a standby answers may be old.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if config.get_application_name().is_none() {
            config.application_name("stash");
        }
        let patience = self.options.shared.call_timeout;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(patience);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(patience * 2);
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_idle(Duration::from_secs(10));
            config.keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
        }
        if config.get_password().is_none()
            && let Some(password) = passwords::find(config, self.password_file.as_deref())?
        {
            config.password(password);
        }
        let settings = config.get_options().unwrap_or_default();
        let (sets_synchronous_commit, sets_isolation) =
            (settings.contains("synchronous_commit"), settings.contains("default_transaction_isolation"));
        Ok(Address {
            name: name_of(config, &self.schema),
            config: config.clone(),
            tls: self.tls,
            schema: self.schema,
            connections: self.connections,
            snapshots: self.snapshots,
            portable: self.portable,
            sets_synchronous_commit,
            sets_isolation,
        })
    }
}

fn decoded(value: &str) -> Result<String, OpenError> {
    let text = percent_decode_str(value).decode_utf8();
    text.map(Into::into).map_err(|_| OpenError::address("a parameter of it is not UTF-8"))
}

fn number(name: &str, value: &str) -> Result<usize, OpenError> {
    let number = value.parse().ok().filter(|number| (1..=MOST_CONNECTIONS).contains(number));
    number.ok_or_else(|| OpenError::address(format!("`{name}` is a number from 1 to {MOST_CONNECTIONS}")))
}

fn check_schema(schema: &str) -> Result<(), OpenError> {
    let reason = if schema.is_empty() || schema.len() > MOST_SCHEMA_BYTES {
        format!("the schema's name has 1 to {MOST_SCHEMA_BYTES} bytes")
    } else if schema.chars().any(char::is_control) {
        "the schema's name has no control characters".to_owned()
    } else if schema.starts_with("pg_") || matches!(schema, "information_schema" | "crdb_internal") {
        format!("the schema {schema} is PostgreSQL's own")
    } else {
        return Ok(());
    };
    Err(OpenError::Address { reason })
}

fn name_of(config: &Config, schema: &str) -> String {
    let mut hosts = Vec::new();
    let ports = config.get_ports();
    let port = |n: usize| ports.get(n).or(ports.first()).copied().unwrap_or(5432);
    for (n, host) in config.get_hosts().iter().enumerate() {
        hosts.push(match host {
            Host::Tcp(host) => format!("{host}:{}", port(n)),
            #[cfg(unix)]
            Host::Unix(path) => format!("{}:{}", path.display(), port(n)),
        });
    }
    if hosts.is_empty() {
        hosts.extend(config.get_hostaddrs().iter().enumerate().map(|(n, host)| format!("{host}:{}", port(n))));
    }
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{}/{database} (schema {schema})", hosts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, OpenError> {
        Address::parse(url, &PostgresOptions::default())
    }

    #[test]
    fn a_url_says_where_and_how() {
        let address = parse(
            "postgresql://me:s%3Fcret@one:5433,two/data?schema=my%20stash&connections=3&snapshots=2\
             &sslmode=verify-full&application_name=shop&options=-c%20synchronous_commit%3Doff",
        )
        .unwrap();
        assert_eq!(address.schema, "my stash");
        assert_eq!((address.connections, address.snapshots), (3, 2));
        assert_eq!(address.name, "one:5433,two:5432/data (schema my stash)");
        assert_eq!(address.config.get_password(), Some(&b"s?cret"[..]));
        assert_eq!(address.config.get_application_name(), Some("shop"));
        assert_eq!(address.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(address.tls.verify, Verify::Host);
        assert!(address.sets_synchronous_commit && !address.sets_isolation);
        assert_eq!(address.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);

        let plain = parse("postgres://localhost").unwrap();
        assert_eq!((plain.schema.as_str(), plain.config.get_ssl_mode()), ("stash", SslMode::Prefer));
        let any = parse("postgres://localhost?target_session_attrs=any").unwrap();
        assert_eq!(any.config.get_target_session_attrs(), TargetSessionAttrs::Any);
        let require = parse("postgres://localhost?sslmode=require&sslrootcert=/ca.pem").unwrap();
        assert_eq!(require.tls.verify, Verify::Issuer);
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_the_password() {
        for (url, what) in [
            ("http://localhost", "begins with"),
            ("postgres://me:hunter2@/data", "no host"),
            ("postgres://me:hunter2@h/d?schema=", "1 to 56 bytes"),
            ("postgres://me:hunter2@h/d?schema=pg_catalog", "PostgreSQL's own"),
            ("postgres://me:hunter2@h/d?schema=a%00b", "control"),
            ("postgres://me:hunter2@h/d?connections=0", "`connections` is a number from 1"),
            ("postgres://me:hunter2@h/d?sslmode=maybe", "`sslmode` is none of"),
            ("postgres://me:hunter2@h/d?sslcert=/c", "belong together"),
            ("postgres://me:hunter2@h/d?colour=blue", "colour"),
            ("postgres://me:hunter2@h/d?colour", "name=value"),
            ("postgres://me:hunter2@h:port/d", "port"),
            ("postgres://me:hunter2@hunter2@h/d", "%40"),
        ] {
            let error = parse(url).err().expect(url).to_string();
            assert!(error.contains(what) && !error.contains("hunter2"), "{url}: {error}");
        }
    }
}
