//! What callers are shown: a certificate, where the options name one, at every listener for callers and operators.

use spinwell_core::Fault;
use spinwell_runtime::options::Options;
use spinwell_runtime::shutdown::{self, Trigger};
use spinwell_runtime::tls::{self, EdgeAcceptor, EdgeCertificate, Spoken};
use std::sync::Arc;
use std::time::Duration;

/// How often to look whether there is a new certificate.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The certificate that callers are shown, or that there is none.
#[derive(Clone)]
pub(super) struct Edge {
    certificate: Option<EdgeCertificate>,
    /// How long a handshake may take: as long as the first head may let itself be waited for.
    limit: Duration,
    /// Ends the watch over the files with the last of these.
    _watched: Arc<Trigger>,
}

impl Edge {
    /// The certificate of the options. It is watched from now on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub(super) fn of(options: &Options) -> Result<Self, Fault> {
        let (watched, ends) = shutdown::channel();
        let certificate = options.edge.clone().map(EdgeCertificate::load).transpose();
        let certificate = certificate.map_err(|error| error.fault())?;
        if let Some(certificate) = &certificate {
            if certificate.files().callers.is_some() && !options.access.is_required {
                tracing::warn!(
                    "callers' certificates are verified (edge.callers_ca), and nobody is asked who he is (access.required)"
                );
            }
            tokio::spawn(tls::watch(certificate.clone(), LOOK_EVERY, ends));
        }
        Ok(Self { certificate, limit: options.limits.head_timeout.into(), _watched: Arc::new(watched) })
    }

    /// Whether there is one.
    pub(super) fn is_encrypted(&self) -> bool {
        self.certificate.is_some()
    }

    /// The certificate, if there is one.
    pub(super) fn certificate(&self) -> Option<&EdgeCertificate> {
        self.certificate.as_ref()
    }

    /// How a listener does its handshakes, on whose connections this is spoken; none where it does not.
    pub(super) fn acceptor(&self, spoken: Spoken) -> Option<EdgeAcceptor> {
        self.certificate.as_ref().map(|certificate| EdgeAcceptor::new(certificate, spoken, self.limit))
    }

    /// How a URL of a listener begins on whose connections this is spoken.
    pub(super) fn scheme(&self, spoken: Spoken) -> &'static str {
        match (spoken, self.is_encrypted()) {
            (Spoken::Http1, false) => "http",
            (Spoken::Http1, true) => "https",
            (Spoken::Http2, false) => "grpc",
            (Spoken::Http2, true) => "grpcs",
        }
    }
}
