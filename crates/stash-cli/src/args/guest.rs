//! What a guest may be given, whether it is run or served: the options that both commands have.

use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use stash_core::limits::{DEFAULT_MAX_VALUE_BYTES, DEFAULT_TRANSACTION_AGE};
use stash_core::{ComponentId, StoreLimits};
use stash_host::{AllowedHost, CodeCache, GuestLimits, StashConfig};

use super::values::{attribute, bytes, preset, some_time, value_bytes};

/// How large one answer to the key-value interfaces of other hosts may be, unless somebody says otherwise.
pub(crate) const MAX_RESULT: ByteSize = ByteSize::mib(128);

/// What a guest is given.
#[derive(Debug, Args)]
pub(crate) struct GuestOptions {
    /// Whose data it uses, as namespace/name/instance [default: app/FILE/001, after the file's name]
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<ComponentId>,

    #[command(flatten)]
    pub(crate) grants: Grants,

    /// How much a component may store in all, such as 10MiB; as long as this command runs [default: no limit]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    quota: Option<ByteSize>,

    /// How large one value may be, such as 64KiB; as long as this command runs [default: 16MiB]
    #[arg(long, value_name = "BYTES", value_parser = value_bytes, default_value_t = DEFAULT_MAX_VALUE_BYTES,
        hide_default_value = true)]
    max_value: usize,

    /// How long a transaction may be open: seconds, or such as 500ms or 2m [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    transaction_timeout: Option<Duration>,

    /// How much memory an instance may use
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value_t = ByteSize(default_memory()))]
    max_memory: ByteSize,

    /// Compile it anew, and do not keep the compiled code
    #[arg(long)]
    no_code_cache: bool,
}

/// What a guest may see and reach beside its storage; a configuration file names the same.
#[derive(Debug, Clone, Args)]
pub(crate) struct Grants {
    /// Give it an environment variable; without a value, ours
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,

    /// Give it a folder, under its own name or another
    #[arg(long, value_name = "HOST[::GUEST]")]
    pub(crate) dir: Vec<String>,

    /// Give it a setting, which it reads through wasi:config
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
    pub(crate) config: Vec<(String, String)>,

    /// Let it call this host over HTTP: example.org, '*.example.org', localhost:8080, or '*' [default: none]
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_http: Vec<AllowedHost>,

    /// Store this before it starts, where the key has no value yet: the bucket `default` is the default collection
    #[arg(long, value_name = "BUCKET/KEY=VALUE", value_parser = preset)]
    pub(crate) preset: Vec<Preset>,

    /// Let it open this bucket through wasi:keyvalue and its like, and no others that are not named too [default: any]
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_bucket: Vec<String>,

    /// How large one answer to wasi:keyvalue and its like may be
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value_t = MAX_RESULT)]
    pub(crate) max_result: ByteSize,

    /// Start it although it imports what this host does not have; a call of that ends it
    #[arg(long)]
    pub(crate) stub_unknown_imports: bool,
}

/// A value that is stored before the guest starts, where its key has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Preset {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) value: String,
}

fn default_memory() -> u64 {
    u64::try_from(GuestLimits::default().memory_bytes).unwrap_or(u64::MAX)
}

impl GuestOptions {
    /// How the store is opened for it.
    pub(crate) fn store_config(&self) -> StashConfig {
        StashConfig {
            limits: StoreLimits { max_value_bytes: self.max_value, quota_bytes: self.quota.map(|quota| quota.0) },
            transaction_age: self.transaction_timeout.unwrap_or(DEFAULT_TRANSACTION_AGE),
            ..StashConfig::default()
        }
    }

    /// The first option given that is about one component.
    pub(crate) fn of_one_component(&self) -> Option<&'static str> {
        let grants = &self.grants;
        let given = [
            ("--id", self.id.is_some()),
            ("--env", !grants.env.is_empty()),
            ("--dir", !grants.dir.is_empty()),
            ("--config", !grants.config.is_empty()),
            ("--allow-http", !grants.allow_http.is_empty()),
            ("--preset", !grants.preset.is_empty()),
            ("--allow-bucket", !grants.allow_bucket.is_empty()),
            ("--max-result", grants.max_result != MAX_RESULT),
            ("--stub-unknown-imports", grants.stub_unknown_imports),
        ];
        given.into_iter().find_map(|(option, is_given)| is_given.then_some(option))
    }

    /// What of the machine it may use.
    pub(crate) fn limits(&self) -> GuestLimits {
        GuestLimits { memory_bytes: usize::try_from(self.max_memory.0).unwrap_or(usize::MAX), ..GuestLimits::default() }
    }

    /// Where its compiled code is kept.
    pub(crate) fn code_cache(&self) -> CodeCache {
        if self.no_code_cache { CodeCache::Off } else { CodeCache::User }
    }
}
