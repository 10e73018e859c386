//! Handshakes, by the listener that they came to and what became of them, and until when the certificate is good that is shown in them:
//! between our own processes, and with callers.

use super::set;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use spinwell_core::UnixMillis;
use spinwell_runtime::tls::{Handshakes, Watched};
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    listener: &'static str,
    /// `accepted`, or why not.
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: &'static str,
}

/// Says until when the certificate is good that is in use.
type Until = Box<dyn Fn() -> UnixMillis + Send + Sync>;

/// What is shown of every listener that speaks TLS.
pub(super) struct HandshakeFigures {
    family: Family<HandshakeLabels, Counter>,
    expires: Family<ListenerLabels, Gauge>,
    listeners: Mutex<Vec<(&'static str, Handshakes)>>,
    certificates: Mutex<Vec<(&'static str, Until)>>,
}

impl HandshakeFigures {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family = Family::<HandshakeLabels, Counter>::default();
        registry.register(
            "spinwell_tls_handshakes",
            "TLS handshakes at a listener: accepted, or why they were refused",
            family.clone(),
        );
        let expires = Family::<ListenerLabels, Gauge>::default();
        registry.register(
            "spinwell_certificate_expires_seconds",
            "Until when the certificate that a listener shows is good, in seconds since 1970",
            expires.clone(),
        );
        Self { family, expires, listeners: Mutex::default(), certificates: Mutex::default() }
    }

    pub(super) fn show(&self, listener: &'static str, handshakes: Handshakes) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push((listener, handshakes));
    }

    pub(super) fn show_certificate(&self, listener: &'static str, certificate: impl Watched + Sync) {
        let until: Until = Box::new(move || certificate.validity().until);
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).push((listener, until));
    }

    /// Brings the series to what was counted, and to the certificates that are in use now.
    pub(super) fn update(&self) {
        for (listener, until) in &*self.certificates.lock().unwrap_or_else(PoisonError::into_inner) {
            let seconds = i64::try_from(until().0 / 1_000).unwrap_or(i64::MAX);
            self.expires.get_or_create(&ListenerLabels { listener }).set(seconds);
        }
        for (listener, handshakes) in &*self.listeners.lock().unwrap_or_else(PoisonError::into_inner) {
            let counted = handshakes.refused().chain([("accepted", handshakes.accepted())]);
            for (result, count) in counted {
                let labels = HandshakeLabels { listener, result };
                set(&self.family.get_or_create(&labels), count);
            }
        }
    }
}
