//! What is counted, for Prometheus and those who read its text. A label must never be something that a client can choose.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    component: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    component: String,
}

type Histograms = Family<Of, Histogram, fn() -> Histogram>;

/// The server's counters.
#[derive(Clone)]
pub(super) struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Answered, Counter>,
    seconds: Histograms,
    under_way: Gauge<i64, AtomicI64>,
    connections: Gauge<i64, AtomicI64>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("stash");
        let requests = Family::default();
        let seconds: Histograms = Family::new_with_constructor(|| {
            Histogram::new([
                0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
            ])
        });
        let (under_way, connections) = (Gauge::default(), Gauge::default());
        registry.register("http_requests", "Answered requests", requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "From the request's head to the last byte of its answer",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register("http_requests_under_way", "Requests that are being answered", under_way.clone());
        registry.register("http_connections", "Open connections", connections.clone());
        Self { registry: Arc::new(registry), requests, seconds, under_way, connections }
    }

    pub(super) fn answered(&self, component: &str, status: u16, took: Duration) {
        self.requests.get_or_create(&Answered { component: component.to_owned(), status }).inc();
        self.seconds.get_or_create(&Of { component: component.to_owned() }).observe(took.as_secs_f64());
    }

    /// Counts a request until the result is dropped.
    pub(super) fn request(&self) -> Counting {
        Counting::new(self.under_way.clone())
    }

    /// Counts a connection until the result is dropped.
    pub(super) fn connection(&self) -> Counting {
        Counting::new(self.connections.clone())
    }

    /// All of it, as text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// One more, as long as it is there.
pub(super) struct Counting(Gauge<i64, AtomicI64>);

impl Counting {
    fn new(gauge: Gauge<i64, AtomicI64>) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.dec();
    }
}
