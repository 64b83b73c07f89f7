//! Passwords that the URL does not have: the environment's, or those of a password file, as libpq reads them. They must never
//! be shown.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::error::OpenError;

/// `PGPASSWORD`, or else the password for this server in the password file: the URL's, `PGPASSFILE`, `~/.pgpass`.
pub(crate) fn find(config: &Config, file: Option<&OsStr>) -> Result<Option<String>, OpenError> {
    if let Ok(password) = env::var("PGPASSWORD") {
        return Ok(Some(password));
    }
    let named = file.map(PathBuf::from).or_else(|| env::var_os("PGPASSFILE").map(PathBuf::from));
    let is_named = named.is_some();
    let Some(path) = named.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".pgpass"))) else {
        return Ok(None);
    };
    let cannot = |error: &dyn std::fmt::Display| {
        OpenError::address(format!("the password file {} cannot be used: {error}", path.display()))
    };
    if others_may_read(&path) {
        if is_named {
            return Err(cannot(&"others than its owner may read it; chmod 600 it"));
        }
        tracing::warn!("{} is left out: others than its owner may read it; chmod 600 it", path.display());
        return Ok(None);
    }
    match fs::read_to_string(&path) {
        Ok(text) => Ok(password_in(&text, config)),
        Err(error) if is_named => Err(cannot(&error)),
        Err(_) => Ok(None),
    }
}

#[cfg(unix)]
fn others_may_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn others_may_read(_: &Path) -> bool {
    false
}

/// The first line that fits: `host:port:database:user:password`, where `*` fits all and `\` takes a meaning away.
fn password_in(text: &str, config: &Config) -> Option<String> {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(_)) => "localhost".to_owned(),
        None => config.get_hostaddrs().first()?.to_string(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let user = config.get_user().map(str::to_owned).or_else(|| env::var("USER").ok()).unwrap_or_default();
    let database = config.get_dbname().unwrap_or(&user).to_owned();
    let wanted = [host, port, database, user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let (password, place) = fields.split_last()?;
        let fits = place.len() == wanted.len()
            && place
                .iter()
                .zip(&wanted)
                .all(|((field, escaped), wanted)| (field == "*" && !escaped) || field == wanted);
        fits.then(|| password.0.clone())
    })
}

/// Up to five fields, each with whether something in it was escaped.
fn fields(line: &str) -> Vec<(String, bool)> {
    let mut fields = vec![(String::new(), false)];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let count = fields.len();
        let Some((field, escaped)) = fields.last_mut() else { break };
        match character {
            '\\' => {
                *escaped = true;
                field.extend(characters.next());
            }
            ':' if count < 5 => fields.push((String::new(), false)),
            other => field.push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let file = "# localhost:5432:d:me:no\nother:*:*:*:no\nlocalhost:5433:*:*:no\n\
                    localhost:*:d\\:1:me:yes\\:\\\\\n*:*:*:*:any:thing\nshort:line";
        let of = |url: &str| password_in(file, &Config::from_str(url).unwrap());
        assert_eq!(of("postgres://me@localhost/d%3A1").as_deref(), Some("yes:\\"));
        assert_eq!(of("postgres://you@localhost/d").as_deref(), Some("any:thing"));
        assert_eq!(of("postgres://you@other/d").as_deref(), Some("no"));
        assert_eq!(password_in("a:1:b:c:d", &Config::from_str("postgres://me@localhost/d").unwrap()), None);
    }
}
