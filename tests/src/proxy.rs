//! Something between a host and its server that does what bad networks do. It must never change what it passes on: a piece
//! comes whole and in order, or the connection ends.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What it does to what is sent through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Passes everything on so much later.
    Delay(Duration),
    /// Passes on half of the next piece that the server answers, and cuts the connection. What was asked has arrived.
    HalveAnswers,
    /// Passes on half of the next piece that the server is asked, and cuts the connection.
    HalveQuestions,
    /// Keeps everything until the fault is another, and then passes it on.
    Stall,
    /// Cuts connections, and takes no new ones.
    Refuse,
}

/// A listener on a free port of 127.0.0.1 that passes everything on to a server. It ends with this.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    fault: watch::Sender<Fault>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens, for the server at this port of 127.0.0.1.
    ///
    /// # Panics
    /// Where there is no free port.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let (fault, faults) = watch::channel(Fault::None);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if *faults.borrow() != Fault::Refuse {
                    connections.spawn(connect(client, port, faults.clone()));
                }
                while connections.try_join_next().is_some() {}
            }
        });
        Self { addr, fault, task }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// What it does from now on.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connect(client: TcpStream, port: u16, faults: watch::Receiver<Fault>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    for stream in [&client, &server] {
        // Small answers would wait for others otherwise, which no fault asked for.
        let _ = stream.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pass(from_client, to_server, faults.clone(), Fault::HalveQuestions) => {}
        () = pass(from_server, to_client, faults, Fault::HalveAnswers) => {}
    }
}

/// Passes on what comes from one side until it ends, or a fault ends it.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut faults: watch::Receiver<Fault>, halves: Fault) {
    let mut piece = vec![0; 1 << 16];
    loop {
        let read = tokio::select! {
            read = from.read(&mut piece) => read,
            _ = faults.wait_for(|fault| *fault == Fault::Refuse) => return,
        };
        let Ok(mut count @ 1..) = read else { return };
        let fault = *faults.borrow_and_update();
        match fault {
            Fault::Refuse => return,
            Fault::Delay(time) => tokio::time::sleep(time).await,
            Fault::Stall => match faults.wait_for(|fault| *fault != Fault::Stall).await {
                Ok(fault) if *fault != Fault::Refuse => {}
                _ => return,
            },
            Fault::HalveAnswers | Fault::HalveQuestions if fault == halves => count /= 2,
            Fault::None | Fault::HalveAnswers | Fault::HalveQuestions => {}
        }
        if to.write_all(&piece[..count]).await.is_err() || fault == halves {
            return;
        }
    }
}
