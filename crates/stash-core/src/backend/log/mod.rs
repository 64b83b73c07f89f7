//! The log of what each commit of a component did, for those that keep one. An entry must be there for every record that a
//! commit changes, in the same commit; nothing is written, and nothing read, for components that keep none.

mod entry;
mod read;
mod switch;
mod tidy;
mod write;

pub(super) use read::changes;
pub(super) use switch::{Start, Stop};
pub(super) use tidy::{Tidy, tidy_all};
pub(super) use write::Adding;
