//! Which certificates are accepted: of our authority, in their time, of our region, and of a role that may be here.
//!
//! The chain is checked by the library, as it is for browsers; only what stands in the URI is ours. A verifier asks for the
//! authority with each handshake, so that a new one holds without a restart.

use super::identity::{Identity, Name, Role, SCHEME};
use super::material::{Material, Validity};
use super::refusal::{Refusal, moment};
use super::shared::Shared;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, RootCertStore,
    SignatureScheme,
};
use std::sync::Arc;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};

/// The authorities, and how signatures are checked.
#[derive(Debug)]
pub(super) struct Trust {
    roots: Arc<RootCertStore>,
    of_clients: Arc<dyn ClientCertVerifier>,
    of_servers: Arc<WebPkiServerVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    pub(super) fn new(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let roots = Arc::new(roots);
        let unusable = |error: rustls::server::VerifierBuilderError| Error::General(error.to_string());
        Ok(Self {
            of_clients: WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
                .build()
                .map_err(unusable)?,
            of_servers: WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
                .build()
                .map_err(unusable)?,
            roots,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    /// Checks our own certificate as peers will, at both ends of a connection, and says whose it is.
    pub(super) fn check_own(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Identity, Refusal> {
        let as_client = self.of_clients.verify_client_cert(own, between, now);
        as_client.map_err(|error| Refusal::from(&foreign(error)))?;
        let certificate = EndEntityCert::try_from(own).map_err(unreadable)?;
        let as_server = certificate.verify_for_usage(
            self.algorithms.all,
            &self.roots.roots,
            between,
            now,
            KeyUsage::server_auth(),
            None,
            None,
        );
        // What else could be wrong would have been wrong for a client too.
        as_server.map_err(|_| Refusal::WrongPurpose)?;
        identity(own)
    }

    /// Checks a caller's certificate as a server will that trusts these authorities.
    pub(super) fn check_as_caller(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let checked = self.of_clients.verify_client_cert(own, between, now);
        checked.map(drop).map_err(|error| Refusal::from(&foreign(error)))
    }

    /// Checks a certificate for callers as those will who trust these authorities.
    pub(super) fn check_as_server(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Refusal> {
        check_for_callers(own, &self.algorithms, now)?;
        let certificate = EndEntityCert::try_from(own).map_err(unreadable)?;
        let usage = KeyUsage::server_auth();
        let roots = &self.roots.roots;
        let checked =
            certificate.verify_for_usage(self.algorithms.all, roots, between, now, usage, None, None);
        // Nothing else can be wrong any more.
        checked.map(drop).map_err(|_| Refusal::ForeignAuthority)
    }
}

/// From when until when a certificate is valid. The library says it only in the errors of a check at another time, which comes
/// before it asks who has signed.
pub(super) fn validity(
    own: &CertificateDer<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Validity, Refusal> {
    let certificate = EndEntityCert::try_from(own).map_err(unreadable)?;
    let at = |secs| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(secs));
        certificate
            .verify_for_usage(algorithms.all, &[], &[], time, KeyUsage::server_auth(), None, None)
            .err()
    };
    match (at(0), at(u64::MAX)) {
        (
            Some(webpki::Error::CertNotValidYet { not_before, .. }),
            Some(webpki::Error::CertExpired { not_after, .. }),
        ) => Ok(Validity { from: moment(not_before), until: moment(not_after) }),
        _ => Err(Refusal::Other("certificate says no time it is valid for".to_owned())),
    }
}

/// What every caller would refuse in a server's certificate, whatever authorities he trusts: its time and its purpose.
pub(super) fn check_for_callers(
    own: &CertificateDer<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
    now: UnixTime,
) -> Result<(), Refusal> {
    let certificate = EndEntityCert::try_from(own).map_err(unreadable)?;
    match certificate.verify_for_usage(algorithms.all, &[], &[], now, KeyUsage::server_auth(), None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => Err(Refusal::Expired { at: moment(not_after) }),
        Err(webpki::Error::CertNotValidYet { not_before, .. }) => {
            Err(Refusal::NotYetValid { from: moment(not_before) })
        }
        Err(webpki::Error::RequiredEkuNotFoundContext(_)) => Err(Refusal::Other(
            "certificate may not be used by a server: it must allow serverAuth".to_owned(),
        )),
        // Nobody is trusted here, so that the check ends with an unknown authority at the latest.
        _ => Ok(()),
    }
}

/// Whose certificate it is.
pub(super) fn identity(certificate: &CertificateDer<'_>) -> Result<Identity, Refusal> {
    let certificate = EndEntityCert::try_from(certificate).map_err(unreadable)?;
    Identity::among(certificate.valid_uri_names()).ok_or(Refusal::NoIdentity)
}

/// Whose processes an authority names.
pub(super) fn region(authority: &CertificateDer<'_>) -> Option<Name> {
    let certificate = EndEntityCert::try_from(authority).ok()?;
    certificate.valid_uri_names().find_map(|uri| uri.strip_prefix(SCHEME)?.parse().ok())
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(super) fn unreadable(error: webpki::Error) -> Refusal {
    Refusal::Other(format!("certificate cannot be read: {error}"))
}

/// A chain whose signature is wrong is of an authority that only has the name of ours.
pub(super) fn foreign(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => CertificateError::UnknownIssuer.into(),
        error => error,
    }
}

/// Checks peers: clients of a server, or the servers that a client calls.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Whose authority and region hold now.
    pub(super) shared: Arc<Shared<Material>>,
    /// Roles that peers may have.
    pub(super) roles: Vec<Role>,
    /// How signatures are checked.
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// Whether a certificate of our authority is for a process that may be here.
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let found = identity(certificate)?;
        if found.region != self.shared.now().identity.region {
            return Err(Refusal::WrongRegion { region: found.region }.into());
        }
        if !self.roles.contains(&found.role) {
            return Err(Refusal::WrongRole { role: found.role }.into());
        }
        Ok(())
    }

    /// No connection of ours gets as far as this: only TLS 1.3 is offered.
    fn too_old() -> Error {
        PeerIncompatible::Tls12NotOffered.into()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Each of our processes has one certificate and shows it unasked; and strangers need not learn our authority's name.
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .shared
            .now()
            .trust
            .of_clients
            .verify_client_cert(certificate, between, now)
            .map_err(foreign)?;
        self.check(certificate)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Self::too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let current = self.shared.now();
        let verified = current.trust.of_servers.verify_server_cert(certificate, between, name, ocsp, now);
        let verified = verified.map_err(foreign)?;
        self.check(certificate)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Self::too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
