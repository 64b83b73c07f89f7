//! The servers that histories are recorded on. Each must be set so that what it has answered survives its crash.

use stash_etcd::testing::{EtcdCluster, Setup};

/// A server, or several that are one, that hosts share.
pub(crate) trait Shared: Send {
    /// Its ports on 127.0.0.1.
    fn ports(&self) -> Vec<u16>;

    /// The URL of the store, behind these ports in place of its own.
    fn url(&self, ports: &[u16]) -> String;

    /// Ends it, or the one that leads, as a power cut does, and starts it again.
    fn crash(&mut self);
}

pub(crate) struct Postgres {
    server: stash_postgres::testing::TestServer,
    schema: String,
}

impl Postgres {
    pub(crate) fn start() -> Option<Self> {
        let server = stash_postgres::testing::TestServer::start()?;
        let schema = server.fresh_schema();
        Some(Self { server, schema })
    }
}

impl Shared for Postgres {
    fn ports(&self) -> Vec<u16> {
        vec![self.server.port()]
    }

    fn url(&self, ports: &[u16]) -> String {
        format!("{}&schema={}", self.server.url_at(ports[0]), self.schema)
    }

    fn crash(&mut self) {
        self.server.kill();
        self.server.run();
    }
}

pub(crate) struct Redis(stash_redis::testing::TestServer);

impl Redis {
    pub(crate) fn start() -> Option<Self> {
        stash_redis::testing::TestServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).map(Self)
    }
}

impl Shared for Redis {
    fn ports(&self) -> Vec<u16> {
        vec![self.0.port()]
    }

    fn url(&self, ports: &[u16]) -> String {
        format!("redis://127.0.0.1:{}?prefix=history", ports[0])
    }

    fn crash(&mut self) {
        self.0.kill();
        self.0.restart();
    }
}

pub(crate) struct Etcd(EtcdCluster);

impl Etcd {
    pub(crate) fn start() -> Option<Self> {
        EtcdCluster::start("histories", Setup { members: 3, ..Setup::default() }).map(Self)
    }
}

impl Shared for Etcd {
    fn ports(&self) -> Vec<u16> {
        let port = |address: &String| address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        self.0.addresses().iter().filter_map(port).collect()
    }

    fn url(&self, ports: &[u16]) -> String {
        let members: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("etcd://{}/history", members.join(","))
    }

    fn crash(&mut self) {
        let leader = self.0.leader().unwrap_or(0);
        self.0.kill(leader);
        // The others go on without it.
        std::thread::sleep(std::time::Duration::from_secs(2));
        self.0.restart(leader);
        assert!(self.0.wait_until_ready(), "the member does not come back");
    }
}
