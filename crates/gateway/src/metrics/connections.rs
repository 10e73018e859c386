//! Connections, by the listener that they came to.
//!
//! The one thing that is counted beside the outcomes: a connection that is closed, or waits, before it has sent a request has none.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: &'static str,
}

/// What is counted at one listener.
#[derive(Debug, Clone, Default)]
pub struct ConnectionCounts {
    /// The listener's name.
    pub(crate) listener: &'static str,
    /// Connections that are open, those that wait not among them.
    pub(crate) open: Gauge,
    /// How many may be.
    pub(crate) open_max: Gauge,
    /// 1 while a connection waits for a place; those behind it are known to the operating system alone.
    pub(crate) waiting: Gauge,
    /// Connections that had to wait.
    pub(crate) waited: Counter,
    /// Connections that were closed at once, because their address had as many as it may have.
    pub(crate) refused: Counter,
}

/// The families that every listener has a series in.
pub(super) struct ConnectionFamilies {
    open: Family<ListenerLabels, Gauge>,
    open_max: Family<ListenerLabels, Gauge>,
    waiting: Family<ListenerLabels, Gauge>,
    waited: Family<ListenerLabels, Counter>,
    refused: Family<ListenerLabels, Counter>,
}

impl ConnectionFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let family = Family::<ListenerLabels, Gauge>::default();
            registry.register(name, help, family.clone());
            family
        };
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let family = Family::<ListenerLabels, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        Self {
            open: gauge(registry, "spinwell_connections_open", "Connections that are open"),
            open_max: gauge(registry, "spinwell_connections_open_max", "Connections that may be open"),
            waiting: gauge(
                registry,
                "spinwell_connections_waiting",
                "1 while a connection waits for a place, and all behind it wait in the operating system",
            ),
            waited: counter(
                registry,
                "spinwell_connections_waited",
                "Connections that had to wait for a place",
            ),
            refused: counter(
                registry,
                "spinwell_connections_refused",
                "Connections closed at once because their address had as many as one may have",
            ),
        }
    }

    pub(super) fn of(&self, listener: &'static str) -> ConnectionCounts {
        let labels = ListenerLabels { listener };
        ConnectionCounts {
            listener,
            open: self.open.get_or_create(&labels).clone(),
            open_max: self.open_max.get_or_create(&labels).clone(),
            waiting: self.waiting.get_or_create(&labels).clone(),
            waited: self.waited.get_or_create(&labels).clone(),
            refused: self.refused.get_or_create(&labels).clone(),
        }
    }
}
