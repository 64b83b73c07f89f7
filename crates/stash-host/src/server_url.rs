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
    let (address, options) = rest.split_once('?').map_or((rest, None), |(address, options)| (address, Some(options)));
    // The last one: a password that was not written as it should be may have more.
    let shown = match address.rsplit_once('@') {
        Some((user, hosts)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:***@{hosts}"),
            None => address.to_owned(),
        },
        None => address.to_owned(),
    };
    let mut shown = format!("{scheme}//{shown}");
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
            ("redis://:secret@db:6379/0", "redis://:***@db:6379/0"),
            ("postgres://db/s?sslpassword=x&a=b&password=y", "postgres://db/s?sslpassword=***&a=b&password=***"),
        ] {
            assert_eq!(without_passwords(url), shown);
            assert_eq!(format!("{:?}", ServerUrl::new(url)), shown);
        }
    }
}
