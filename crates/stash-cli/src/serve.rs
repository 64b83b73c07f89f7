//! `stash serve`: components that answer HTTP requests, each with its own data. A request that is under way must be
//! answered whatever is loaded anew, and when the server is asked to end.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use stash_host::serve::{Access, AccessLog, App, FileWatch, Route, Routes, ServeConfig, Server};
use stash_host::{Allocation, HttpGuest, HttpLimits, MakeContext, Runtime, RuntimeConfig, Stash, StoreUrl};
use tracing::info;

use crate::args::{AccessLogFormat, ServeArguments, StoreArguments};
use crate::guest::Guest;
use crate::signals::interrupted;
use crate::{output, store};

/// How often a component's file is looked at.
const RELOAD: Duration = Duration::from_millis(500);

pub(crate) async fn serve(store: &StoreArguments, arguments: ServeArguments) -> Result<ExitCode> {
    let options = &arguments.options;
    let url = store.url()?;
    let guest = Guest::new(&arguments.guest, options)?;
    let runtime = runtime(&arguments)?;
    // Before the store: a guest that cannot run makes none.
    let program = guest.load(&runtime).await?;
    let limits = HttpLimits { timeout: Some(arguments.timeout), ..HttpLimits::default() };
    let stash = store::open(store, options.store_config()).await?;
    let served = Served { guest, runtime, limits, stash: stash.clone(), url };
    let app = App::new(served.guest.id.clone(), served.http(&program).await?);

    let config = ServeConfig {
        max_connections: usize::try_from(arguments.max_connections)?,
        max_requests: usize::try_from(arguments.max_requests)?,
        max_body: arguments.max_body.0,
        grace: arguments.grace,
        ..ServeConfig::default()
    };
    let routes: Routes =
        std::iter::once(Route { host: None, path: "/".into(), keep_path: true, app: app.clone() }).collect();
    let access = access_log(arguments.access_log);
    let server = Server::bind(arguments.addr, arguments.admin, stash, routes, config, access).await?;
    output::say(&format!("serving {} on http://{}/", served.guest.id, server.local_addr()?));
    if let Some(admin) = server.admin_addr() {
        output::say(&format!("health and metrics on http://{admin}/healthz and http://{admin}/metrics"));
    }
    if !arguments.no_reload {
        tokio::spawn(reload(served, app));
    }
    let ended = server.run(async {
        interrupted().await;
        output::say("ending: waiting for the requests under way");
    });
    if ended.await {
        return Ok(ExitCode::SUCCESS);
    }
    output::say(&format!("some requests took longer than {} s and were cut off", arguments.grace.as_secs_f64()));
    Ok(ExitCode::from(130))
}

/// An engine whose instances come from a pool, where the machine has the address space for it.
fn runtime(arguments: &ServeArguments) -> Result<Runtime> {
    let config = |allocation| RuntimeConfig {
        code_cache: arguments.options.code_cache(),
        limits: arguments.options.limits(),
        allocation,
    };
    Ok(match Runtime::new(config(Allocation::Pooled(arguments.max_requests))) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::warn!("instances do not come from a pool, which is slower: {error}");
            Runtime::new(config(Allocation::OnDemand))?
        }
    })
}

/// A component with all that it takes to load it again.
struct Served {
    guest: Guest,
    runtime: Runtime,
    limits: HttpLimits,
    stash: Stash,
    url: StoreUrl,
}

impl Served {
    async fn http(&self, program: &stash_host::Program) -> Result<HttpGuest> {
        let storage = self.guest.storage(&self.stash).await?;
        // What cannot be given is said now, not with the first request.
        self.guest.wasi(&self.url)?;
        let (guest, url) = (self.guest.clone(), self.url.clone());
        let make_context: MakeContext = Arc::new(move || {
            let mut wasi = guest.wasi(&url).unwrap_or_else(|error| {
                tracing::warn!("an instance goes without its folders: {error:#}");
                wasmtime_wasi::WasiCtxBuilder::new()
            });
            wasi.inherit_stdout().inherit_stderr();
            guest.context(storage.clone(), wasi.build())
        });
        Ok(self.runtime.http(program, self.limits.clone(), make_context)?)
    }

    async fn load(&self) -> Result<HttpGuest> {
        let program = self.guest.load(&self.runtime).await?;
        self.http(&program).await
    }
}

/// Loads the component again whenever its file changes; one that cannot be loaded changes nothing.
async fn reload(served: Served, app: App) {
    let file = &served.guest.file;
    let mut watch = FileWatch::new(file, RELOAD);
    loop {
        watch.changed().await;
        match served.load().await {
            Ok(guest) => {
                app.replace(guest);
                info!("{} was loaded again", file.display());
            }
            Err(error) => output::say(&format!(
                "{} has changed and cannot be loaded, so what was loaded before goes on: {}",
                file.display(),
                output::one_line(&format!("{error:#}"))
            )),
        }
    }
}

fn access_log(format: AccessLogFormat) -> Option<AccessLog> {
    let line: fn(&Access) -> String = match format {
        AccessLogFormat::Off => return None,
        AccessLogFormat::Text => text_line,
        AccessLogFormat::Json => json_line,
    };
    Some(Arc::new(move |access| {
        // A reader that is gone is no reason to serve nobody.
        let _ = writeln!(std::io::stdout().lock(), "{}", line(&access));
    }))
}

fn text_line(access: &Access) -> String {
    format!(
        "{} {} {} \"{} {} {:?}\" {} {}B {:.3}ms",
        humantime::format_rfc3339_millis(std::time::SystemTime::now()),
        access.client.ip(),
        access.component.as_deref().unwrap_or("-"),
        access.method,
        access.target.escape_debug(),
        access.version,
        access.status.as_u16(),
        access.bytes,
        access.took.as_secs_f64() * 1000.0,
    )
}

fn json_line(access: &Access) -> String {
    serde_json::json!({
        "time": humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string(),
        "client": access.client.to_string(),
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
