//! `stash serve`: components that answer HTTP requests, each with its own data. A request that is under way must be
//! answered whatever is loaded anew, and when the server is asked to end.

mod access;
mod components;
mod config;
mod guest_output;
mod reload;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use stash_host::serve::{App, Ended, FileWatch, Listeners, Route, ServeConfig, Server};
use stash_host::{
    Allocation, ComponentStore, HttpLimits, MakeContext, Program, Runtime, RuntimeConfig, Stash, StashConfig, StoreUrl,
    start_watching,
};

use crate::args::{GuestOptions, ServeArguments, StoreArguments};
use crate::guest::{Guest, Protected};
use crate::lines::Lines;
use crate::signals::interrupted;
use crate::{output, stderr, store};
use components::Reached;
use config::Config;
use guest_output::GuestOutput;
use reload::{Following, reload};

/// How often a component's file is looked at.
const RELOAD: Duration = Duration::from_millis(500);

/// How long whoever reads the access log may take for the last of it.
const LAST_LINES: Duration = Duration::from_secs(2);

pub(crate) async fn serve(store: &StoreArguments, arguments: ServeArguments) -> Result<ExitCode> {
    let options = &arguments.options;
    let (config, config_file) = components::configuration(&arguments)?;
    let url = match (store.is_named(), &config.store) {
        (false, Some(url)) => url.clone(),
        _ => store.url()?,
    };
    let max_requests = arguments.max_requests.or(config.max_requests).unwrap_or(1000);
    let timeout = arguments.timeout.or(config.timeout).unwrap_or(Duration::from_mins(1));
    let limits = HttpLimits { timeout: Some(timeout), ..HttpLimits::default() };
    let runtime = runtime(options, max_requests)?;
    let guests = components::guests(&arguments, &config, config_file.as_deref())?;
    let store_config = options.store_config();
    let limits_of = components::quotas(&config, &guests, store_config.limits)?;
    let protected: Arc<[Protected]> = components::protected(&guests, config_file.as_deref(), options).into();
    // Before the store: guests that cannot run make none, nor does a server that cannot listen.
    let loaded = load_all(guests, &protected, &runtime).await?;
    for (guest, ..) in &loaded {
        // Nor one that cannot be given what it is to have.
        guest.wasi(&url).map(drop).with_context(|| format!("the component {}", guest.file.display()))?;
    }
    components::check_watchers(loaded.iter().map(|(guest, _, program, _)| (guest, program)))?;
    let addr = arguments.addr.or(config.addr).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
    let listeners = Listeners::bind(addr, arguments.admin.or(config.admin)).await?;
    let (listening, operators) = (listeners.local_addr()?, listeners.operators_addr());
    let stash = store::open_at(&url, StashConfig { limits_of, ..store_config }).await?;
    let printed = stderr::start_thread()?;
    // Before anybody is told that it is served, and so may ask it to end.
    let interrupted = interrupted();
    let (mut routes, mut reloads, mut watchers) = (Vec::new(), Vec::new(), Vec::new());
    let mut watched = HashSet::new();
    for (guest, Reached { host, path, keep_path }, program, watch) in loaded {
        let served = Served {
            guest,
            runtime: runtime.clone(),
            limits: limits.clone(),
            stash: stash.clone(),
            url: url.clone(),
            protected: Arc::clone(&protected),
            printed: printed.clone(),
        };
        // Once, and not when its file has changed: what the component has deleted since stays so.
        served.guest.storage(&served.stash).await?;
        let make_context = served.make_context()?;
        let watcher = served.runtime.watcher(&program, timeout, Arc::clone(&make_context));
        let is_watcher = watcher.is_some();
        let following = Following::default();
        // One that is reached in two ways is told of each change once.
        if let Some(watcher) = watcher.filter(|_| watched.insert(served.guest.id.clone())) {
            // Before anybody is told that it is served: what changes from then on is the watcher's.
            start_watching(&served.storage()).await?;
            watchers.push((watcher, served.storage(), following.clone()));
        }
        let app = match served.runtime.http(&program, served.limits.clone(), make_context) {
            Ok(http) => Some(App::new(served.guest.id.clone(), http)),
            // It is not called, and told of changes all the same.
            Err(_) if is_watcher => {
                output::say(&format!("watching for {}, which answers no requests", served.guest.id));
                None
            }
            Err(error) => return Err(error.into()),
        };
        routes.extend(app.clone().map(|app| Route { host, path, keep_path, app }));
        reloads.push((served, app, following, watch));
    }

    let serve_config = serve_config(&arguments, &config, max_requests)?;
    let grace = serve_config.grace;
    let (access, access_lines) =
        access::access_log(arguments.access_log.or(config.access_log).unwrap_or_default())?.unzip();
    let served: Vec<_> = routes.iter().map(shown).collect();
    if served.is_empty() {
        output::say(&format!("listening on http://{listening}/, where no component answers requests"));
    }
    let server = Server::new(listeners, stash, routes.into_iter().collect(), serve_config, access);
    for (id, host, path) in served {
        let host = host.map_or_else(|| listening.to_string(), |host| format!("{host}:{}", listening.port()));
        output::say(&format!("serving {id} on http://{host}{path}"));
    }
    if let Some(operators) = operators {
        output::say(&format!("health and metrics on http://{operators}/healthz and http://{operators}/metrics"));
    }
    if !arguments.no_reload && config.reload.unwrap_or(true) {
        for (served, app, following, watch) in reloads {
            tokio::spawn(reload(served, app, following, watch));
        }
    }
    let mut watching = Vec::new();
    for (watcher, store, following) in watchers {
        following.go_on_with(watcher, store).await;
        watching.push(following);
    }
    let ended = run(server, interrupted).await;
    // A watcher goes on where it was when it is served again.
    for following in watching {
        following.stop().await;
    }
    if access_lines.is_some_and(|lines| !lines.flush(LAST_LINES)) {
        tracing::warn!("the last lines of the access log were lost: nobody has read them in time");
    }
    match ended {
        Ended::Answered => return Ok(ExitCode::SUCCESS),
        Ended::CutOff => output::say("the requests under way were cut off"),
        Ended::TookTooLong => {
            output::say(&format!("some requests took longer than {} s and were cut off", grace.as_secs_f64()));
        }
    }
    Ok(ExitCode::from(130))
}

/// A component with where it is reached, what was loaded of it, and the watch over its file.
type Loaded = (Guest, Reached, Program, FileWatch);

async fn load_all(guests: Vec<(Guest, Reached)>, protected: &[Protected], runtime: &Runtime) -> Result<Vec<Loaded>> {
    let (mut loaded, mut places) = (Vec::new(), Vec::new());
    for (guest, route) in guests {
        guest.check_folders(protected).with_context(|| format!("the component {}", guest.file.display()))?;
        // Before it is loaded: a change from now on is another component.
        let watch = FileWatch::new(&guest.file, RELOAD);
        let program = guest.load_file(runtime).await?;
        match program.check_http() {
            Ok(()) => places.push(components::Place::new(&guest, &route, &places)?),
            Err(_) if program.is_watcher() => {}
            Err(error) if program.is_command() => bail!("{error}; 'stash run' runs it"),
            Err(error) => return Err(error.into()),
        }
        loaded.push((guest, route, program, watch));
    }
    Ok(loaded)
}

/// Serves until it is asked to end.
async fn run(server: Server, interrupted: impl Future<Output = u8>) -> Ended {
    let (asked, again) = tokio::sync::oneshot::channel();
    let shutdown = async {
        interrupted.await;
        // Heard from before it is said on.
        let again = Box::pin(crate::signals::interrupted());
        output::say("ending: waiting for the requests under way (ask again to cut them off)");
        let _ = asked.send(again);
    };
    let cut_off = async {
        if let Ok(again) = again.await {
            again.await;
        }
    };
    server.run(shutdown, cut_off).await
}

/// How the server behaves: as the command line says, or else the configuration.
fn serve_config(arguments: &ServeArguments, config: &Config, max_requests: u32) -> Result<ServeConfig> {
    let defaults = ServeConfig::default();
    Ok(ServeConfig {
        max_connections: usize::try_from(arguments.max_connections.or(config.max_connections).unwrap_or(1000))?,
        max_requests: usize::try_from(max_requests)?,
        max_body: arguments.max_body.or(config.max_body).map_or(defaults.max_body, |size| size.0),
        grace: arguments.grace.or(config.grace).unwrap_or(defaults.grace),
        ..defaults
    })
}

fn shown(route: &Route) -> (String, Option<String>, String) {
    let path = if route.path.ends_with('/') { route.path.clone() } else { format!("{}/", route.path) };
    (route.app.name().to_owned(), route.host.clone(), path)
}

/// An engine whose instances come from a pool, where the machine has the address space for it.
fn runtime(options: &GuestOptions, instances: u32) -> Result<Runtime> {
    let config = |allocation| RuntimeConfig { code_cache: options.code_cache(), limits: options.limits(), allocation };
    // Some instances of WASI 0.3 wait for their next request.
    let instances = instances.saturating_add(instances / 2).saturating_add(16);
    Ok(match Runtime::new(config(Allocation::Pooled(instances))) {
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
    protected: Arc<[Protected]>,
    printed: Lines,
}

impl Served {
    fn storage(&self) -> ComponentStore {
        self.stash.component(&self.guest.id)
    }

    /// What each instance is given.
    fn make_context(&self) -> Result<MakeContext> {
        let storage = self.storage();
        // What cannot be given is said now, not with the first request.
        self.guest.wasi(&self.url)?;
        let (guest, url, printed) = (self.guest.clone(), self.url.clone(), self.printed.clone());
        Ok(Arc::new(move || {
            let mut wasi = guest.wasi(&url).unwrap_or_else(|error| {
                tracing::warn!("an instance goes without its folders: {error:#}");
                wasmtime_wasi::WasiCtxBuilder::new()
            });
            wasi.stdout(GuestOutput::new(&printed, &guest.id)).stderr(GuestOutput::new(&printed, &guest.id));
            guest.context(storage.clone(), wasi.build())
        }))
    }

    /// Loads what is in the file now.
    async fn load(&self) -> Result<(Program, MakeContext)> {
        self.guest.check_folders(&self.protected)?;
        Ok((self.guest.load_file(&self.runtime).await?, self.make_context()?))
    }
}
