//! Where a server listens. Addresses are taken before anything is opened or made for them: a server that cannot listen must
//! leave nothing behind.

use std::net::SocketAddr;

use tokio::net::TcpListener;

/// The addresses that a server has taken; connections wait until it runs.
#[derive(Debug)]
pub struct Listeners {
    pub(super) clients: TcpListener,
    pub(super) operators: Option<TcpListener>,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {reason}")]
pub struct ListenError {
    /// The address.
    pub addr: SocketAddr,
    /// What the system said.
    pub reason: std::io::Error,
}

impl Listeners {
    /// Listens on `addr`, and for operators (`/healthz`, `/metrics`) on `operators`. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`ListenError`] names the address that cannot be had.
    pub async fn bind(addr: SocketAddr, operators: Option<SocketAddr>) -> Result<Self, ListenError> {
        let clients = listen(addr).await?;
        let operators = match operators {
            Some(addr) => Some(listen(addr).await?),
            None => None,
        };
        Ok(Self { clients, operators })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.clients.local_addr()
    }

    /// Where it listens for operators.
    pub fn operators_addr(&self) -> Option<SocketAddr> {
        self.operators.as_ref().and_then(|operators| operators.local_addr().ok())
    }
}

async fn listen(addr: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(addr).await.map_err(|reason| ListenError { addr, reason })
}
