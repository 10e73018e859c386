//! What holds now, exchanged as a whole: a handshake sees the old certificate with its key or the new one with its key.

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};

/// What has a certificate to show.
pub(super) trait Shown: Debug + Send + Sync + 'static {
    /// The certificate with its key.
    fn certified(&self) -> &Arc<CertifiedKey>;
}

/// Certificate, key and, between our own processes, authority as they are now.
#[derive(Debug)]
pub(super) struct Shared<M>(RwLock<Arc<M>>);

impl<M> Shared<M> {
    pub(super) fn new(material: M) -> Self {
        Self(RwLock::new(Arc::new(material)))
    }

    /// What holds now.
    pub(super) fn now(&self) -> Arc<M> {
        // Nothing can panic between a lock and its end, and an Arc is never half written.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on something else holds.
    pub(super) fn replace(&self, material: M) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
    }
}

impl<M: Shown> ResolvesServerCert for Shared<M> {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now().certified().clone())
    }
}

impl<M: Shown> ResolvesClientCert for Shared<M> {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.now().certified().clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
