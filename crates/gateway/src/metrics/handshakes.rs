//! Handshakes, by the listener that they came to and what became of them: between our own processes, and with callers.

use super::set;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use spinwell_runtime::tls::Handshakes;
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    listener: &'static str,
    /// `accepted`, or why not.
    result: &'static str,
}

/// What is shown of every listener that speaks TLS.
pub(super) struct HandshakeFigures {
    family: Family<HandshakeLabels, Counter>,
    listeners: Mutex<Vec<(&'static str, Handshakes)>>,
}

impl HandshakeFigures {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family = Family::<HandshakeLabels, Counter>::default();
        registry.register(
            "spinwell_tls_handshakes",
            "TLS handshakes at a listener: accepted, or why they were refused",
            family.clone(),
        );
        Self { family, listeners: Mutex::default() }
    }

    pub(super) fn show(&self, listener: &'static str, handshakes: Handshakes) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push((listener, handshakes));
    }

    /// Brings the series to what was counted.
    pub(super) fn update(&self) {
        for (listener, handshakes) in &*self.listeners.lock().unwrap_or_else(PoisonError::into_inner) {
            let counted = handshakes.refused().chain([("accepted", handshakes.accepted())]);
            for (result, count) in counted {
                let labels = HandshakeLabels { listener, result };
                set(&self.family.get_or_create(&labels), count);
            }
        }
    }
}
