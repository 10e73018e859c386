//! What holds now, exchanged as a whole: a handshake sees the old certificate with its key or the new one with its key.

use super::material::Material;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::{Arc, PoisonError, RwLock};

/// Certificate, key and authority as they are now.
#[derive(Debug)]
pub(super) struct Shared(RwLock<Arc<Material>>);

impl Shared {
    pub(super) fn new(material: Material) -> Self {
        Self(RwLock::new(Arc::new(material)))
    }

    /// What holds now.
    pub(super) fn now(&self) -> Arc<Material> {
        // Nothing can panic between a lock and its end, and an Arc is never half written.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on something else holds.
    pub(super) fn replace(&self, material: Material) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
    }
}

impl ResolvesServerCert for Shared {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now().certified.clone())
    }
}

impl ResolvesClientCert for Shared {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.now().certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
