//! Requests to end: Ctrl-C and SIGTERM. They must be heard whatever else is going on.

/// Waits for Ctrl-C or a request to end, and says what to exit with. They are heard from the call on.
#[cfg(unix)]
pub(crate) fn interrupted() -> impl Future<Output = u8> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
            // Without handlers the system ends us by itself.
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        }
    }
}

#[cfg(not(unix))]
pub(crate) async fn interrupted() -> u8 {
    match tokio::signal::ctrl_c().await {
        Ok(()) => 130,
        Err(_) => std::future::pending().await,
    }
}
