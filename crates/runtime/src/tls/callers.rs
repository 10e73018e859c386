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
use spinwell_core::{UnixMicros, UnixMillis};
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
        // The library wants them for as long as the server runs, and others may hold with the next handshake. Without, callers may
        // show any; and strangers do not learn the authorities' names.
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

/// What stands before a common name, so that it is never taken for a URI or a host name: an authority may be free in these alone.
const COMMON: &str = "CN=";

/// What a chain of certificates says that was found good at this time: the URIs of the first, then its host names, or where nothing but its
/// subject is named in it the common name. Good it is as long as all of them are.
pub(super) fn shown(
    chain: &[CertificateDer<'_>],
    algorithms: &WebPkiSupportedAlgorithms,
    now: UnixMillis,
) -> Result<Certificate, Refusal> {
    let certificate = chain.first().ok_or(Refusal::NoCertificate)?;
    let read = EndEntityCert::try_from(certificate).map_err(unreadable)?;
    // Host names are the same whatever the size of their letters.
    let hosts: Vec<String> = read.valid_dns_names().map(str::to_ascii_lowercase).collect();
    let uris = read.valid_uri_names().filter(|uri| has_scheme(uri));
    let common = match has_other_names(certificate) {
        Some(false) => common_name(read.subject()).map(|name| format!("{COMMON}{name}")),
        _ => None,
    };
    let names = uris.chain(hosts.iter().map(String::as_str)).chain(common.as_deref());
    let mut until = validity(certificate, algorithms)?.until;
    for between in &chain[1..] {
        // One that was over before, or that cannot be read, has not made the first a good one.
        let ends = validity(between, algorithms).map_or(until, |validity| validity.until);
        if ends >= now {
            until = until.min(ends);
        }
    }
    // The second that its end names is its last.
    Ok(Certificate::new(names, UnixMicros(until.0.saturating_mul(1_000).saturating_add(999_999))))
}

/// Whether a URI begins as one does: what does not could be taken for a host name.
fn has_scheme(uri: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme.as_bytes());
    scheme.is_some_and(|scheme| {
        scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(|byte| is_part(*byte))
    })
}

/// The tags of identifiers, and of the kinds of text that are read.
const IDENTIFIER: u8 = 0x06;
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];

/// Whether a certificate, in DER, has other names than its subject's, be they such as can be read here or not.
fn has_other_names(certificate: &[u8]) -> Option<bool> {
    const EXTENSIONS: u8 = 0xa3;
    /// 2.5.29.17.
    const OTHER_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
    let signed = only(certificate)?;
    let (_, fields) = *elements(signed)?.first()?;
    let Some((_, extensions)) = elements(fields)?.into_iter().find(|(tag, _)| *tag == EXTENSIONS) else {
        return Some(false);
    };
    for (_, extension) in elements(only(extensions)?)? {
        if *elements(extension)?.first()? == (IDENTIFIER, OTHER_NAMES) {
            return Some(true);
        }
    }
    Some(false)
}

/// The common name of a subject, in DER; nothing where there is none, or more than one: which one counts would depend on who reads it.
fn common_name(subject: &[u8]) -> Option<&str> {
    /// 2.5.4.3.
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    let mut found = None;
    for (_, attributes) in elements(subject)? {
        for (_, attribute) in elements(attributes)? {
            let text = match elements(attribute)?[..] {
                [(IDENTIFIER, COMMON_NAME), (tag, text)] if TEXTS.contains(&tag) => text,
                [(IDENTIFIER, COMMON_NAME), ..] => return None,
                _ => continue,
            };
            if found.replace(std::str::from_utf8(text).ok()?).is_some() {
                return None;
            }
        }
    }
    found
}

/// What the only element holds.
fn only(bytes: &[u8]) -> Option<&[u8]> {
    match elements(bytes)?[..] {
        [(_, content)] => Some(content),
        _ => None,
    }
}

/// The elements that these bytes are: their tags, and what they hold.
fn elements(mut bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut all = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        let (first, rest) = rest.split_first()?;
        // Longer ones than 65,535 bytes are in no certificate that the handshake takes.
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
            0x82 => rest
                .split_first_chunk()
                .map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        all.push((*tag, content));
        bytes = rest;
    }
    Some(all)
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

    #[test]
    fn a_uri_is_never_a_host_name() {
        for (uri, wanted) in [
            ("spiffe://example.com/a", true),
            ("urn:x", true),
            ("host.example", false),
            ("CN=a:b", false),
            (":x", false),
            ("1a:x", false),
        ] {
            assert_eq!(has_scheme(uri), wanted, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            common_name(&bytes);
            has_other_names(&bytes);
        }
    }
}
