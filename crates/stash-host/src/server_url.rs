//! The URL of a store on a server. The password in it must never be shown.

use std::fmt;

/// A URL such as `postgres://stash:secret@db.example/stash`. It is shown without the password.
///
/// ```
/// # use stash_host::StoreUrl;
/// let url: StoreUrl = "postgres://stash:secret@db.example/stash".parse()?;
/// assert_eq!(url.to_string(), "postgres://stash:***@db.example/stash");
/// # Ok::<(), stash_host::InvalidStoreUrl>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// All of it, with the password.
    pub fn with_password(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_passwords(&self.0))
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text with `***` in place of the password before the `@`, and of any that its options name.
pub(crate) fn without_passwords(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("//") else { return text.to_owned() };
    // The last one: a password that was not written as it should be may have more of them, and whatever ends an address.
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, rest),
    };
    let (hosts, options) = rest.split_once('?').map_or((rest, None), |(hosts, options)| (hosts, Some(options)));
    let mut shown = match user.map(|user| user.split_once(':').map_or((user, ""), |(name, _)| (name, ":***"))) {
        Some((name, password)) => format!("{scheme}//{name}{password}@{hosts}"),
        None => format!("{scheme}//{hosts}"),
    };
    for (n, option) in options.into_iter().flat_map(|options| options.split('&')).enumerate() {
        shown.push(if n == 0 { '?' } else { '&' });
        match option.split_once('=') {
            Some((name, _)) if name.contains("password") => shown.extend([name, "=***"]),
            _ => shown.push_str(option),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("postgres://db/stash", "postgres://db/stash"),
            ("postgres://me@db/stash?a=b", "postgres://me@db/stash?a=b"),
            ("postgres://me:p:w@x@db:1/s", "postgres://me:***@db:1/s"),
            ("postgres://me:p?w@db/s?a=b", "postgres://me:***@db/s?a=b"),
            ("postgres://me:p/w@db/s", "postgres://me:***@db/s"),
            ("redis://:secret@db:6379/0", "redis://:***@db:6379/0"),
            ("postgres://db/s?sslpassword=x&a=b&password=y", "postgres://db/s?sslpassword=***&a=b&password=***"),
        ] {
            assert_eq!(without_passwords(url), shown);
            assert_eq!(format!("{:?}", ServerUrl::new(url)), shown);
        }
    }
}
