//! `stash kv list` and `count`: which keys there are. A list is written page by page and must never be held whole.

use std::io::{BufWriter, Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use stash_core::{ComponentStorage, KeyRange, ScanEntry, ScanRequest};

use crate::args::ListArguments;
use crate::output::{self, JsonRows};
use crate::target::Target;

/// Keys read at once.
const PAGE: usize = 1000;

pub(super) async fn list(target: &Target<'_>, arguments: ListArguments) -> Result<ExitCode> {
    let component = target.existing().await?;
    let mut left = arguments.limit.unwrap_or(usize::MAX);
    let mut request = ScanRequest {
        range: arguments.range.into(),
        after: arguments.after,
        reverse: arguments.reverse,
        // A size is known only with the value.
        values: arguments.long,
        ..ScanRequest::default()
    };
    let mut out = Rows::new(target.json, arguments.long);
    let mut any = false;
    loop {
        request.limit = left.min(PAGE);
        let page = component.scan(&request).await?;
        left = left.saturating_sub(page.entries.len());
        any |= !page.entries.is_empty();
        for entry in &page.entries {
            out.row(entry)?;
        }
        out.flush()?;
        match page.resume {
            Some(resume) if left > 0 => request.after = Some(resume.into()),
            _ => break,
        }
    }
    out.end()?;
    if !any {
        target.say_if_unknown(&component).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where listed records go.
enum Rows {
    Json { rows: JsonRows<BufWriter<std::io::Stdout>>, long: bool },
    Lines { out: BufWriter<std::io::Stdout>, long: bool, any: bool },
}

impl Rows {
    fn new(json: bool, long: bool) -> Self {
        let out = BufWriter::new(stdout());
        if json { Self::Json { rows: JsonRows::new(out), long } } else { Self::Lines { out, long, any: false } }
    }

    fn row(&mut self, entry: &ScanEntry) -> Result<()> {
        let (key, record) = (entry.key.as_str(), &entry.record);
        match self {
            Self::Json { rows, long: true } => {
                let mut row = serde_json::Map::new();
                row.insert("key".into(), json!(key));
                row.insert("version".into(), json!(record.version.0));
                row.insert("bytes".into(), json!(record.value.len()));
                output::add_metadata(&mut row, &record.metadata);
                rows.row(&Value::Object(row))?;
            }
            Self::Json { rows, long: false } => rows.row(&json!(key))?,
            Self::Lines { out, long: true, any } => {
                if !*any {
                    writeln!(out, "{}  KEY", output::RECORD_HEADING)?;
                }
                *any = true;
                writeln!(out, "{}  {}", output::record_columns(record), output::key(key))?;
            }
            Self::Lines { out, long: false, .. } => writeln!(out, "{}", output::key(key))?,
        }
        Ok(())
    }

    /// What was read must be seen before more is read, and a pipe that nobody reads must end the command.
    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Json { rows, .. } => rows.flush()?,
            Self::Lines { out, .. } => out.flush()?,
        }
        Ok(())
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Json { rows, .. } => rows.end()?,
            Self::Lines { mut out, .. } => out.flush()?,
        }
        Ok(())
    }
}

pub(super) async fn count(target: &Target<'_>, range: &KeyRange) -> Result<ExitCode> {
    let component = target.existing().await?;
    let count = component.count(range).await?;
    if target.json {
        writeln!(stdout(), "{}", json!({ "key_count": count }))?;
    } else {
        writeln!(stdout(), "{count}")?;
    }
    if count == 0 {
        target.say_if_unknown(&component).await?;
    }
    Ok(ExitCode::SUCCESS)
}
