//! Serving components over HTTP: `stash serve`, for anybody who embeds it. A connection must never be able to hold up
//! another one, nor a request to leave anything running that nothing limits.

mod admin;
mod answer;
mod app;
mod body;
mod connection;
mod host;
mod listeners;
mod metrics;
mod reload;
mod routes;
mod server;

pub use app::App;
pub use listeners::{ListenError, Listeners};
pub use reload::{FileWatch, read_component};
pub use routes::{Route, Routes};
pub use server::{Access, AccessLog, Ended, ServeConfig, Server};
