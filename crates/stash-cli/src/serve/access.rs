//! The access log: a line for each request, on standard output. A request must never wait for whoever reads it.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use stash_host::serve::{Access, AccessLog};

use crate::args::AccessLogFormat;
use crate::lines::Lines;

/// What writes the log, and the lines that it has still to write; nothing, where there is to be none.
pub(super) fn access_log(format: AccessLogFormat) -> Result<Option<(AccessLog, Lines)>> {
    let shown: fn(&Access) -> String = match format {
        AccessLogFormat::Off => return Ok(None),
        AccessLogFormat::Text => text_line,
        AccessLogFormat::Json => json_line,
    };
    // On standard error: the log itself may be JSON.
    let lost = |lines| tracing::warn!("{lines} lines of the access log were lost: nobody has read it in time");
    let lines = Lines::start("stash-access-log", io::stdout(), lost).context("cannot start a thread")?;
    let log = lines.clone();
    Ok(Some((Arc::new(move |access| log.write(&shown(&access))), lines)))
}

fn text_line(access: &Access) -> String {
    format!(
        "{} {} {} {} \"{} {} {:?}\" {} {}B {:.3}ms",
        humantime::format_rfc3339_millis(SystemTime::now()),
        access.client.ip(),
        access.host.as_deref().map_or_else(|| "-".to_owned(), one_word),
        access.component.as_deref().unwrap_or("-"),
        access.method,
        access.target.escape_debug(),
        access.version,
        access.status.as_u16(),
        access.bytes,
        access.took.as_secs_f64() * 1000.0,
    )
}

/// What a client has sent, without anything that could pass for the end of the word or of the line.
fn one_word(text: &str) -> String {
    text.escape_debug().to_string().replace(char::is_whitespace, "\\u{20}")
}

fn json_line(access: &Access) -> String {
    serde_json::json!({
        "time": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        "client": access.client.to_string(),
        "host": access.host,
        "component": access.component,
        "method": access.method.as_str(),
        "target": access.target,
        "version": format!("{:?}", access.version),
        "status": access.status.as_u16(),
        "bytes": access.bytes,
        "milliseconds": access.took.as_secs_f64() * 1000.0,
    })
    .to_string()
}
