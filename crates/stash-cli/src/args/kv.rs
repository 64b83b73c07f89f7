//! What `stash kv` may be told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use stash_core::limits::DEFAULT_MAX_VALUE_BYTES;
use stash_core::{Attributes, CollectionName, Condition, Expiry, KeyRange, Pattern, Timestamp, Version};

use super::values::{attribute, moment, some_time, value_bytes};
use super::{GLOBAL, TargetArguments};

/// See and fix a component's data.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stash kv list --id app/shop/001 order:
  stash kv set --id app/shop/001 session:7 '{}' --ttl 1h
  stash kv get --id app/shop/001 --collection orders/2026 17 --meta

Exit codes: 0 done, 1 no (no such key, or a condition does not hold), 2 an error
A store in a file or folder is open in one process at a time: look at it when its guests have ended.")]
pub(crate) struct KvArguments {
    #[command(flatten)]
    pub(crate) target: TargetArguments,

    /// Which of its collections [default: the one without a name]
    #[arg(long, global = true, display_order = GLOBAL, value_name = "NAME")]
    pub(crate) collection: Option<CollectionName>,

    #[command(subcommand)]
    pub(crate) command: KvCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KvCommand {
    /// Print a value: text as text, anything else as hex
    #[command(after_help = "\
Examples:
  stash kv get --id app/counter/001 count
  stash kv get --id app/photos/001 --raw cat.png > cat.png
  stash kv get --id app/photos/001 --meta cat.png
  stash kv get --id app/counter/001 --at 17 count

Exit codes: 0 printed, 1 no such key (or not at that version), 2 an error")]
    Get {
        /// Write the bytes as they are, and nothing else
        #[arg(long, conflicts_with_all = ["json", "meta"])]
        raw: bool,
        /// Print what is known of the record instead of its value; with --json, beside it
        #[arg(long)]
        meta: bool,
        /// As it was when the component was at this version; the collection must have kept it
        #[arg(long, value_name = "VERSION", value_parser = version, allow_negative_numbers = true)]
        at: Option<Version>,
        /// The key
        key: String,
    },
    /// Store a value: from the command line, a file or standard input
    Set(SetArguments),
    /// Remove a record
    #[command(after_help = "\
Examples:
  stash kv delete --id app/shop/001 session:7
  stash kv delete --id app/shop/001 session:7 --if-version 41

Exit codes: 0 removed, 1 no such key or another version, 2 an error")]
    Delete {
        /// Only if the record has this version
        #[arg(long, value_name = "VERSION", value_parser = version, allow_negative_numbers = true)]
        if_version: Option<Version>,
        /// The key
        key: String,
    },
    /// Say whether there is a record
    #[command(after_help = "\
Example:
  stash kv exists --id app/shop/001 session:7 && echo 'still there'

Exit codes: 0 there is, 1 there is not, 2 an error")]
    Exists {
        /// The key
        key: String,
    },
    /// Add to the number in a value, and print what it is then
    #[command(after_help = "\
Examples:
  stash kv increment --id app/counter/001 count
  stash kv increment --id app/shop/001 stock:pears -3

A key that is not there counts as 0.
Exit codes: 0 done, 2 an error, also where the value is not a whole number")]
    Increment {
        /// The key
        key: String,
        /// How much to add; may be negative
        #[arg(default_value_t = 1, allow_negative_numbers = true, value_parser = delta)]
        delta: i64,
    },
    /// Put bytes after those of a value
    #[command(after_help = "\
Examples:
  stash kv append --id app/log/001 today 'one more line'
  date | stash kv append --id app/log/001 today

A key that is not there counts as empty.
Exit codes: 0 done, 2 an error")]
    Append {
        /// The key
        key: String,
        #[command(flatten)]
        value: ValueArguments,
    },
    /// Let a record expire at another time, or never
    #[command(after_help = "\
Examples:
  stash kv touch --id app/shop/001 session:7 --ttl 1h
  stash kv touch --id app/shop/001 session:7 --expires 2030-12-31T23:59:59Z
  stash kv touch --id app/shop/001 session:7 --never

Exit codes: 0 done, 1 no such key, 2 an error")]
    Touch {
        /// The key
        key: String,
        #[command(flatten)]
        expiry: TouchArguments,
    },
    /// List keys in byte order
    List(ListArguments),
    /// Say how many keys there are
    #[command(after_help = "\
Examples:
  stash kv count --id app/shop/001
  stash kv count --id app/shop/001 order: --pattern '*:paid' --json

Exit codes: 0 counted (also where there are none), 2 an error")]
    Count {
        #[command(flatten)]
        range: RangeArguments,
    },
    /// Remove all records whose keys begin with a prefix
    #[command(after_help = "\
Examples:
  stash kv clear --id app/shop/001 session:
  stash kv clear --id app/shop/001 --collection orders/2025 '' --yes

Many records are removed in several commits; after an interruption the same command goes on.
Exit codes: 0 done (also where there was nothing), 1 the question was answered with no, 2 an error")]
    Clear {
        /// What the keys begin with; the empty text '' for all of them
        prefix: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// List what is kept of a key's versions, the newest first
    #[command(after_help = "\
Examples:
  stash kv history --id app/shop/001 --collection orders 17
  stash kv history --id app/shop/001 --collection orders 17 --limit 2 --json

With --json the values are there too. Only collections that were told so keep earlier versions:
see 'stash collections configure --help'.
Exit codes: 0 listed, 1 nothing is known of the key, 2 an error")]
    History {
        /// At most so many
        #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
        limit: Option<usize>,
        /// The key
        key: String,
    },
    /// Say how much the component stores, in all its collections
    #[command(after_help = "\
Examples:
  stash kv usage --id app/shop/001
  stash kv usage --id app/shop/001 --json

What has expired does not count; what collections keep of the past does.
Exit codes: 0 done, 2 an error")]
    Usage,
}

impl KvCommand {
    /// How large the value may be that it stores.
    pub(crate) fn max_value(&self) -> usize {
        match self {
            Self::Set(SetArguments { value, .. }) | Self::Append { value, .. } => value.max_value,
            _ => DEFAULT_MAX_VALUE_BYTES,
        }
    }
}

/// How to set a record.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stash kv set --id app/counter/001 count 41
  stash kv set --id app/photos/001 cat --file cat.png --content-type image/png
  stash kv set --id app/shop/001 session:7 '{}' --ttl 1h
  stash kv set --id app/shop/001 lock held --if-absent --ttl 30s
  stash kv set --id app/shop/001 stock 12 --if-version 41
  stash kv set --id app/films/001 trailer --file trailer.mp4 --max-value 64MiB
  date | stash kv set --id app/clock/001 now

Every byte counts, also the newline at the end of a line:
  printf 41 | stash kv set --id app/counter/001 count

A set replaces all of the record, also its expiry, content type and attributes.
Exit codes: 0 stored, 1 the condition does not hold and nothing was stored, 2 an error")]
pub(crate) struct SetArguments {
    /// The key
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) value: ValueArguments,
    #[command(flatten)]
    pub(crate) expiry: ExpiryArguments,
    /// What the value is, such as application/json
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    #[command(flatten)]
    attributes: AttributeArguments,
    #[command(flatten)]
    pub(crate) condition: ConditionArguments,
}

impl SetArguments {
    /// The attributes.
    pub(crate) fn attributes(&self) -> anyhow::Result<Attributes> {
        self.attributes.get()
    }
}

/// Where a value comes from.
#[derive(Debug, Args)]
pub(crate) struct ValueArguments {
    /// Take the value from this file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    pub(crate) file: Option<PathBuf>,
    /// The value [default: what standard input says]
    #[arg(allow_negative_numbers = true)]
    pub(crate) value: Option<String>,
    /// How large the value may be, such as 64MiB, the most that a store takes [default: 16MiB]
    #[arg(long, value_name = "BYTES", value_parser = value_bytes, default_value_t = DEFAULT_MAX_VALUE_BYTES,
        hide_default_value = true)]
    pub(crate) max_value: usize,
}

/// Names and values.
#[derive(Debug, Args)]
pub(super) struct AttributeArguments {
    /// Give it an attribute; may be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
}

impl AttributeArguments {
    /// Whether this one was named.
    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|(named, _)| named == name)
    }

    /// Whether none was named.
    pub(super) fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// All of them.
    pub(super) fn get(&self) -> anyhow::Result<Attributes> {
        let mut all = Attributes::new();
        for (name, value) in &self.attributes {
            if all.insert(name.clone(), value.clone()).is_some() {
                anyhow::bail!("--attribute '{name}' is there twice; which of the two values is meant?");
            }
        }
        Ok(all)
    }
}

/// Until when a record that is set stays.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ExpiryArguments {
    /// Let it expire after so long: seconds, or with a unit (ms, s, m, h, d, w) such as 30s, 90m, 7d
    #[arg(long, value_name = "TIME", value_parser = some_time, allow_hyphen_values = true)]
    ttl: Option<Duration>,
    /// Let it expire at this moment, in UTC: 2030-12-31T23:59:59Z; one that has passed removes the record
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    expires: Option<Timestamp>,
    /// Let it expire when the record that it replaces would have
    #[arg(long)]
    keep_expiry: bool,
}

impl ExpiryArguments {
    /// What was asked for.
    pub(crate) fn get(&self) -> Expiry {
        match (self.ttl, self.expires) {
            (Some(time), _) => Expiry::After(time),
            (_, Some(moment)) => Expiry::At(moment),
            _ if self.keep_expiry => Expiry::Keep,
            _ => Expiry::Never,
        }
    }
}

/// Until when a record that is there stays.
#[derive(Debug, Args)]
#[group(multiple = false, required = true)]
pub(crate) struct TouchArguments {
    /// Let it expire after so long: seconds, or with a unit (ms, s, m, h, d, w) such as 30s, 90m, 7d
    #[arg(long, value_name = "TIME", value_parser = some_time, allow_hyphen_values = true)]
    ttl: Option<Duration>,
    /// Let it expire at this moment, in UTC: 2030-12-31T23:59:59Z; one that has passed removes the record
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    expires: Option<Timestamp>,
    /// Let it stay until it is deleted
    #[arg(long)]
    never: bool,
}

impl TouchArguments {
    /// What was asked for.
    pub(crate) fn get(&self) -> Expiry {
        match (self.ttl, self.expires) {
            (Some(time), _) => Expiry::After(time),
            (_, Some(moment)) => Expiry::At(moment),
            // The group asks for one of the three.
            _ => Expiry::Never,
        }
    }
}

/// What must be so of the record.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ConditionArguments {
    /// Only if there is no record with this key
    #[arg(long = "if-absent")]
    absent: bool,
    /// Only if there is a record with this key
    #[arg(long = "if-present")]
    present: bool,
    /// Only if the record has this version
    #[arg(long = "if-version", value_name = "VERSION", value_parser = version, allow_negative_numbers = true)]
    version: Option<Version>,
}

impl ConditionArguments {
    /// What was asked for.
    pub(crate) fn get(&self) -> Option<Condition> {
        match self.version {
            Some(version) => Some(Condition::Version(version)),
            None if self.absent => Some(Condition::Absent),
            None => self.present.then_some(Condition::Present),
        }
    }
}

/// Which keys.
#[derive(Debug, Args)]
pub(crate) struct RangeArguments {
    /// Only keys that begin with this
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    /// Only keys from this one on, itself included
    #[arg(long, value_name = "KEY")]
    start: Option<String>,
    /// Only keys before this one, itself not included
    #[arg(long, value_name = "KEY")]
    end: Option<String>,
    /// Only keys that match as a whole: `*` is any text, `?` one character, `\` takes the meaning from the next
    #[arg(long, value_name = "GLOB")]
    pattern: Option<Pattern>,
}

impl From<RangeArguments> for KeyRange {
    fn from(range: RangeArguments) -> Self {
        Self { prefix: range.prefix, start: range.start, end: range.end, pattern: range.pattern }
    }
}

/// Which keys, which way, how many.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stash kv list --id app/word-count/001 word/s
  stash kv list --id app/shop/001 --long --pattern 'order:*:paid'
  stash kv list --id app/shop/001 order: --reverse --limit 20
  stash kv list --id app/shop/001 order: --limit 20 --after order:0020

The last one is the page behind that key. A key with characters that do not print is shown quoted and
escaped; --json shows every key exactly.
Exit codes: 0 listed (also where there are none), 2 an error")]
pub(crate) struct ListArguments {
    /// Also version, size, time of the last change and expiry; reads every value
    #[arg(short, long)]
    pub(crate) long: bool,
    #[command(flatten)]
    pub(crate) range: RangeArguments,
    /// Go on after this key, whether or not it is there: with --reverse, before it
    #[arg(long, value_name = "KEY")]
    pub(crate) after: Option<String>,
    /// From the last key to the first
    #[arg(short, long)]
    pub(crate) reverse: bool,
    /// At most so many [default: all]
    #[arg(short = 'n', long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub(crate) limit: Option<usize>,
}

fn version(text: &str) -> Result<Version, &'static str> {
    text.parse().map(Version).map_err(|_| "write a version's number, as 'stash kv get --meta' prints it")
}

fn delta(text: &str) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "write a whole number of 64 bits, such as 5 or -3")
}

fn at_least_one(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|number| *number > 0).ok_or("write a number from 1 on")
}
