//! Telling the other hosts by NOTIFY, and hearing them by LISTEN, on a connection of its own: a NOTIFY in a commit would make
//! commits wait for each other. What is told may be lost; nobody must ever wait for this connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bytes::Bytes;
use parking_lot::Mutex;
use stash_shared::Heard;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_postgres::{AsyncMessage, Client, Statement};

use crate::connector::{Connector, Purpose};
use crate::error::{Failure, tell};
use crate::pool::Pool;
use crate::sql::{Dialect, Shape, quoted};

/// How long to wait before connecting again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The hosts' channel.
pub(crate) struct Channel {
    connector: Arc<Connector>,
    name: String,
    /// While it is connected.
    open: Arc<Mutex<Option<Arc<Open>>>>,
    task: Mutex<Option<AbortHandle>>,
    handle: Handle,
}

struct Open {
    client: Client,
    notify: Statement,
}

impl Channel {
    pub(crate) fn new(connector: Arc<Connector>, handle: Handle) -> Self {
        let name = format!("stash_{}", connector.address.schema);
        Self { connector, name, open: Arc::default(), task: Mutex::default(), handle }
    }

    /// Begins to hear. Nothing, where the server has no channels.
    pub(crate) fn listen(&self, heard: Heard) {
        if self.connector.sql.dialect == Dialect::Portable {
            return;
        }
        let (connector, name, open) = (Arc::clone(&self.connector), self.name.clone(), Arc::clone(&self.open));
        let handle = self.handle.clone();
        let task = self.handle.spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                match hear(&connector, &name, &open, &heard, &handle).await {
                    Ok(reason) => {
                        pause = FIRST_PAUSE;
                        tracing::debug!("the connection that hears of other hosts has ended: {reason}");
                    }
                    Err(failure) => tracing::debug!("other hosts are not heard at present: {failure}"),
                }
                *open.lock() = None;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
        *self.task.lock() = Some(task.abort_handle());
    }

    /// Tells the others; on a connection of the pool as long as there is none here.
    pub(crate) async fn announce(&self, message: Bytes, pool: &Arc<Pool>) {
        if self.connector.sql.dialect == Dialect::Portable {
            return;
        }
        let text = BASE64_STANDARD_NO_PAD.encode(&message);
        let open = self.open.lock().clone();
        let failed = match open {
            Some(open) => open.client.execute(&open.notify, &[&self.name, &text]).await.err().map(|error| tell(&error)),
            None => match pool.pick().await {
                Ok(link) => {
                    link.ask(Shape::Notify, &[&self.name, &text]).await.err().map(|failure| failure.to_string())
                }
                Err(failure) => Some(failure.to_string()),
            },
        };
        if let Some(failed) = failed {
            tracing::debug!("other hosts were not told: {failed}");
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// Hears until the connection ends; gives why.
async fn hear(
    connector: &Connector,
    name: &str,
    open: &Mutex<Option<Arc<Open>>>,
    heard: &Heard,
    handle: &Handle,
) -> Result<String, Failure> {
    let (client, mut connection) = connector.connect().await?;
    let told = Arc::clone(heard);
    let driver = handle.spawn(async move {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    // What others put into the channel is left out.
                    if let Ok(message) = BASE64_STANDARD_NO_PAD.decode(notification.payload()) {
                        told(&message);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return tell(&error),
                None => return "the connection was closed".to_owned(),
            }
        }
    });
    let _ends = Ends(driver.abort_handle());
    connector.set_up(&client, Purpose::Listening).await?;
    let ready = async {
        client.batch_execute(&format!("LISTEN {}", quoted(name))).await?;
        client.prepare(&connector.sql.text(Shape::Notify)).await
    };
    let notify = match tokio::time::timeout(connector.patience, ready).await {
        Ok(ready) => ready.map_err(Failure::NotPrepared)?,
        Err(_) => return Err(Failure::NotSent("it did not answer in time".to_owned())),
    };
    *open.lock() = Some(Arc::new(Open { client, notify }));
    Ok(driver.await.unwrap_or_else(|error| error.to_string()))
}

/// Ends a task when it is dropped.
struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}
