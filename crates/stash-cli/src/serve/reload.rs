//! A component whose file has changed: what answers requests and what is told of changes are loaded again. What cannot be
//! loaded must leave what there was.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use stash_host::serve::{App, FileWatch};
use stash_host::{ComponentStore, Watcher, follow};

use super::Served;
use crate::output;

/// The task in which a component is told of changes; none, where it is not, or another one of its id is.
#[derive(Clone, Default)]
pub(super) struct Following(Arc<tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>>);

impl Following {
    /// Tells this watcher from now on, from where the one before it was.
    pub(super) async fn go_on_with(&self, watcher: Watcher, store: ComponentStore) {
        let mut task = self.0.lock().await;
        end(task.take()).await;
        *task = Some(tokio::spawn(follow(watcher, store)));
    }

    async fn is_on(&self) -> bool {
        self.0.lock().await.is_some()
    }

    pub(super) async fn stop(&self) {
        end(self.0.lock().await.take()).await;
    }
}

/// Two that go on from one place would tell each change twice: waits until it is over.
async fn end(task: Option<tokio::task::JoinHandle<()>>) {
    if let Some(task) = task {
        task.abort();
        let _ = task.await;
    }
}

/// Loads the component again whenever its file changes; one that cannot be loaded changes nothing.
pub(super) async fn reload(served: Served, app: Option<App>, following: Following, mut watch: FileWatch) {
    let file = &served.guest.file;
    loop {
        watch.changed().await;
        match load_again(&served, app.as_ref(), &following).await {
            Ok(()) => output::say(&format!("{} has changed and was loaded again", file.display())),
            Err(error) => output::say(&format!(
                "{} has changed and cannot be loaded, so what was loaded before goes on: {}",
                file.display(),
                output::one_line(&format!("{error:#}"))
            )),
        }
    }
}

async fn load_again(served: &Served, app: Option<&App>, following: &Following) -> Result<()> {
    let (program, make_context) = served.load().await?;
    let http = match app {
        Some(app) => Some((app, served.runtime.http(&program, served.limits.clone(), Arc::clone(&make_context))?)),
        None => None,
    };
    if following.is_on().await {
        let timeout = served.limits.timeout.unwrap_or(Duration::MAX);
        let Some(watcher) = served.runtime.watcher(&program, timeout, make_context) else {
            bail!("it is no watcher any more");
        };
        following.go_on_with(watcher, served.storage()).await;
    }
    if let Some((app, http)) = http {
        app.replace(http);
    }
    Ok(())
}
