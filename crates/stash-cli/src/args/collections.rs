//! What `stash collections` may be told.

use std::time::Duration;

use clap::{Args, Subcommand};
use stash_core::{CollectionName, CollectionSettings};

use super::TargetArguments;
use super::kv::AttributeArguments;
use super::values::some_time;

/// See, make and delete a component's collections.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stash collections list --id app/shop/001
  stash collections create --id app/shop/001 orders/2026 --keep-versions 10 --keep-for 30d
  stash collections delete --id app/shop/001 orders/2025 --recursive

'stash kv --collection NAME' sees what is in one.
Exit codes: 0 done, 1 no (no such collection, there is one already, it is not empty), 2 an error")]
pub(crate) struct CollectionsArguments {
    #[command(flatten)]
    pub(crate) target: TargetArguments,

    #[command(subcommand)]
    pub(crate) command: CollectionsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CollectionsCommand {
    /// List the collections that were made, in the order of their names
    #[command(after_help = "\
Examples:
  stash collections list --id app/shop/001
  stash collections list --id app/shop/001 orders --json

Exit codes: 0 listed (also where there are none), 1 no such collection, 2 an error")]
    List {
        /// Only those inside this one
        parent: Option<CollectionName>,
    },
    /// Make a collection
    #[command(after_help = "\
Examples:
  stash collections create --id app/shop/001 orders
  stash collections create --id app/shop/001 orders/2026 --keep-versions 10 --attribute by=anna

Exit codes: 0 made, 1 there is one with this name already, 2 an error")]
    Create {
        /// Its name: parts with '/' between them
        name: CollectionName,
        #[command(flatten)]
        settings: SettingsArguments,
    },
    /// Say how a collection is
    #[command(after_help = "\
Examples:
  stash collections info --id app/shop/001 orders/2026 --json

Exit codes: 0 printed, 1 no such collection, 2 an error")]
    Info {
        /// Its name [default: the collection without a name]
        name: Option<CollectionName>,
    },
    /// Change how a collection is; what is not named stays
    #[command(after_help = "\
Examples:
  stash collections configure --id app/shop/001 orders --keep-versions 100
  stash collections configure --id app/shop/001 --keep-for 7d
  stash collections configure --id app/shop/001 orders --no-history --remove-attribute owner

Without a name it is about the component's own records, outside of any collection.
Exit codes: 0 done, 1 no such collection, 2 an error")]
    Configure {
        /// Its name [default: the collection without a name]
        name: Option<CollectionName>,
        #[command(flatten)]
        settings: SettingsArguments,
        /// Keep no earlier versions, or only what --keep-versions and --keep-for beside it say
        #[arg(long)]
        no_history: bool,
        /// Take an attribute away; may be repeated
        #[arg(long = "remove-attribute", value_name = "NAME")]
        remove_attributes: Vec<String>,
    },
    /// Delete a collection, and what it keeps of the past
    #[command(after_help = "\
Examples:
  stash collections delete --id app/shop/001 orders/2025
  stash collections delete --id app/shop/001 orders --recursive --yes

Exit codes: 0 deleted, 1 no such collection, or not empty, or the question was answered with no, 2 an error")]
    Delete {
        /// Its name
        name: CollectionName,
        /// With all records in it and all collections inside it
        #[arg(short, long)]
        recursive: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// How a collection is to be.
#[derive(Debug, Args)]
pub(crate) struct SettingsArguments {
    #[command(flatten)]
    attributes: AttributeArguments,
    /// Keep the last so many versions of each key, the present one included
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    keep_versions: Option<u32>,
    /// Keep versions that were replaced less than so long ago, such as 30d; with --keep-versions the stricter counts
    #[arg(long, value_name = "TIME", value_parser = some_time, allow_hyphen_values = true)]
    keep_for: Option<Duration>,
}

impl SettingsArguments {
    /// Whether nothing was named.
    pub(crate) fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.keep_versions.is_none() && self.keep_for.is_none()
    }

    /// Whether this attribute is to be set.
    pub(crate) fn sets_attribute(&self, name: &str) -> bool {
        self.attributes.has(name)
    }

    /// Changes what was named.
    pub(crate) fn apply(&self, settings: &mut CollectionSettings) -> anyhow::Result<()> {
        settings.attributes.extend(self.attributes.get()?);
        settings.retention.versions = self.keep_versions.or(settings.retention.versions);
        settings.retention.age = self.keep_for.or(settings.retention.age);
        Ok(())
    }
}
