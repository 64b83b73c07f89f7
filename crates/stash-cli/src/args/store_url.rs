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
