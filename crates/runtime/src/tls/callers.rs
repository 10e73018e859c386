//! Certificates that callers show: whether they are good, and which names they have.
//!
//! Nobody has to show one. Who does shows one of an authority that counts here, valid now and made for callers, or there is no
//! connection: whoever means to be known by a certificate learns at once that it is not good. The authorities are asked for with each
//! handshake, so that new ones hold without a restart. Whose a name is, `security` says, with each request.

use super::edge::Material;
use super::refusal::Refusal;
use super::shared::Shared;
use super::verifier::{foreign, unreadable, validity};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
};
use spinwell_core::UnixMicros;
use spinwell_security::certificate::Certificate;
use std::sync::Arc;
use webpki::EndEntityCert;

/// Checks what callers show.
#[derive(Debug)]
pub(super) struct Callers {
    /// Whose authorities hold now.
    pub(super) shared: Arc<Shared<Material>>,
    /// How signatures are checked.
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Callers {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Who has a certificate for this server knows which; and strangers need not learn the authorities' names.
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let current = self.shared.now();
        let callers = current.callers.as_ref().ok_or(CertificateError::UnknownIssuer)?;
        callers.verify_client_cert(certificate, between, now).map_err(foreign)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Only TLS 1.3 is offered.
        Err(PeerIncompatible::Tls12NotOffered.into())
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

/// What a certificate says that was found good: its URIs, then its host names; without either the common name of its subject.
pub(super) fn shown(
    certificate: &CertificateDer<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Certificate, Refusal> {
    let until = validity(certificate, algorithms)?.until;
    let read = EndEntityCert::try_from(certificate).map_err(unreadable)?;
    // Host names are the same whatever the size of their letters.
    let hosts: Vec<String> = read.valid_dns_names().map(str::to_ascii_lowercase).collect();
    let mut names: Vec<&str> = read.valid_uri_names().chain(hosts.iter().map(String::as_str)).collect();
    if names.is_empty() {
        names.extend(common_name(read.subject()));
    }
    // The second that its end names is its last.
    Ok(Certificate::new(names, UnixMicros(until.0.saturating_mul(1_000).saturating_add(999_999))))
}

/// The common name of a subject, in DER; nothing where there is none, or more than one: which one counts would depend on who reads it.
fn common_name(subject: &[u8]) -> Option<&str> {
    /// The tags of sets and sequences, of identifiers, and of the kinds of text that are read.
    const SET: u8 = 0x31;
    const SEQUENCE: u8 = 0x30;
    const IDENTIFIER: u8 = 0x06;
    const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
    /// 2.5.4.3.
    const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
    let (mut found, mut sets) = (None, subject);
    while !sets.is_empty() {
        let (mut attributes, rest) = element(sets, |tag| tag == SET)?;
        sets = rest;
        while !attributes.is_empty() {
            let (attribute, rest) = element(attributes, |tag| tag == SEQUENCE)?;
            attributes = rest;
            let (identifier, value) = element(attribute, |tag| tag == IDENTIFIER)?;
            if identifier == COMMON_NAME {
                let (text, _) = element(value, |tag| TEXTS.contains(&tag))?;
                if found.replace(std::str::from_utf8(text).ok()?).is_some() {
                    return None;
                }
            }
        }
    }
    found
}

/// What the first element holds, where its tag is right, and what stands behind it.
fn element(bytes: &[u8], is_right: impl Fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let (_, rest) = bytes.split_first().filter(|(tag, _)| is_right(**tag))?;
    let (first, rest) = rest.split_first()?;
    // Longer ones than 65,535 bytes are in no subject.
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => {
            rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A subject of attributes, as DER: the last number of each identifier, the tag of the text, and the text.
    fn subject(attributes: &[(u8, u8, &str)]) -> Vec<u8> {
        let piece = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
        let attribute = |(id, tag, text): &(u8, u8, &str)| {
            let pair = [piece(0x06, &[0x55, 0x04, *id]), piece(*tag, text.as_bytes())].concat();
            piece(0x31, &piece(0x30, &pair))
        };
        attributes.iter().flat_map(attribute).collect()
    }

    #[test]
    fn a_subject_has_one_common_name_or_none() {
        let rows = [
            (subject(&[(10, 0x0c, "Acme"), (3, 0x0c, "forecaster")]), Some("forecaster")),
            (subject(&[(3, 0x13, "printable")]), Some("printable")),
            (subject(&[(3, 0x16, "ascii")]), Some("ascii")),
            (subject(&[(10, 0x0c, "Acme")]), None),
            (subject(&[(3, 0x0c, "one"), (3, 0x0c, "two")]), None),
            (subject(&[(3, 0x1e, "wide")]), None),
            (Vec::new(), None),
        ];
        for (bytes, wanted) in rows {
            assert_eq!(common_name(&bytes), wanted, "{bytes:?}");
            let cut = bytes.len().saturating_sub(1);
            assert_eq!(common_name(&bytes[..cut]), None, "what is cut off is no name");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            common_name(&bytes);
        }
    }
}
