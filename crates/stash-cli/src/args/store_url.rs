//! Reading a store's URL. What was given must never be shown as it is: it may have a password in it.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};
use stash_host::StoreUrl;

/// A parser whose errors show the URL without its password; that of `FromStr` shows the text before the error too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parser;

impl TypedValueParser for Parser {
    type Value = StoreUrl;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<StoreUrl, Error> {
        let refused = |reason: String| Error::raw(ErrorKind::ValueValidation, format!("{reason}\n")).with_cmd(command);
        let text = value.to_str().ok_or_else(|| refused("the URL of a store is text in UTF-8".to_owned()))?;
        text.parse().map_err(|error: stash_host::InvalidStoreUrl| refused(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown_with_what_cannot_be_read() {
        let command = || Command::new("stash").arg(Arg::new("store").long("store").value_parser(Parser));
        for url in ["mysql://me:hunter2@db/s", "Postgres://me:hunter2@db/s", "postgress://me:hun?ter2@db/s"] {
            let error = command().try_get_matches_from(["stash", "--store", url]).unwrap_err().to_string();
            assert!(error.contains("me:***@db/s") && error.contains("does not name a store"), "{error}");
            assert!(!error.contains("ter2"), "{error}");
        }
        assert!(command().try_get_matches_from(["stash", "--store", "redis://me:hunter2@db/0"]).is_ok());
    }
}
