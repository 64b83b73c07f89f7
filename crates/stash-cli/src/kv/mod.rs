//! `stash kv`: a person looks at and fixes one component's data, through the same chain that the component uses. Looking
//! must never make a store.

mod list;
mod read;
mod write;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::{KvArguments, KvCommand, StoreArguments};
use crate::target::Target;

pub(crate) async fn kv(store: &StoreArguments, arguments: KvArguments) -> Result<ExitCode> {
    let target = Target::new(store, &arguments.target, arguments.collection)?;
    let target = target.with_max_value(arguments.command.max_value());
    match arguments.command {
        KvCommand::Get { raw, meta, at, key } => {
            let show = match (raw, meta) {
                (true, _) => read::Show::Raw,
                (_, true) => read::Show::Metadata,
                _ => read::Show::Value,
            };
            read::get(&target, &key, at, show).await
        }
        KvCommand::Exists { key } => read::exists(&target, &key).await,
        KvCommand::History { limit, key } => read::history(&target, &key, limit).await,
        KvCommand::Usage => read::usage(&target).await,
        KvCommand::Set(arguments) => write::set(&target, arguments).await,
        KvCommand::Delete { if_version, key } => write::delete(&target, &key, if_version).await,
        KvCommand::Increment { key, delta } => write::increment(&target, &key, delta).await,
        KvCommand::Append { key, value } => write::append(&target, &key, value).await,
        KvCommand::Touch { key, expiry } => write::touch(&target, &key, expiry.get()).await,
        KvCommand::Clear { prefix, yes } => write::clear(&target, &prefix, yes).await,
        KvCommand::List(arguments) => list::list(&target, arguments).await,
        KvCommand::Count { range } => list::count(&target, &range.into()).await,
    }
}
