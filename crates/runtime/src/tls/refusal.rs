//! Why a handshake failed, in the operator's words.
//!
//! The library's errors are exact and speak of DER and alerts. Whoever reads the log at night wants to know which of five
//! things it was: no certificate, one of another authority, an expired one, one of a process that may not call here, or no TLS
//! at all. Nothing a stranger sent is repeated before its certificate was found to be of our authority.

use super::identity::{Name, Role};
use crate::clock::civil;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, OtherError};
use spinwell_core::UnixMillis;
use std::io;
use std::time::Duration;

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The peer showed none, where one is required.
    #[error("no client certificate")]
    NoCertificate,
    /// Our authority did not sign it.
    #[error("certificate is of another authority")]
    ForeignAuthority,
    /// Its time is over.
    #[error("certificate expired at {}", civil(*.at))]
    Expired {
        /// The last moment it was valid.
        at: UnixMillis,
    },
    /// Its time has not come, or a clock is wrong.
    #[error("certificate is not valid before {}", civil(*.from))]
    NotYetValid {
        /// The first moment it is valid.
        from: UnixMillis,
    },
    /// It is ours, and its role may not do this.
    #[error("certificate is for role {role}, which has no business here")]
    WrongRole {
        /// The role it is for.
        role: Role,
    },
    /// It is ours, and of another region.
    #[error("certificate is for region {region}")]
    WrongRegion {
        /// The region it is for.
        region: Name,
    },
    /// It is ours, and says of no process what it is, or of more than one.
    #[error("certificate names no identity such as spinwell://region/node/n1, or more than one")]
    NoIdentity,
    /// A server's certificate, for other host names or addresses than the one that was called.
    #[error("certificate is not for the name or address that was called")]
    WrongName,
    /// It may not be used for this end of a connection.
    #[error(
        "certificate may not be used for this: it must allow clientAuth, and between our own processes serverAuth too"
    )]
    WrongPurpose,
    /// The peer spoke something else, such as plain HTTP or TLS 1.2.
    #[error("the peer spoke no TLS 1.3")]
    NoTls,
    /// The peer refused us.
    #[error("the peer refused: {reason}")]
    ByPeer {
        /// What it said.
        reason: &'static str,
    },
    /// The handshake took too long.
    #[error("the handshake took longer than {} ms", limit.as_millis())]
    TooSlow {
        /// The time it had.
        limit: Duration,
    },
    /// The peer closed the connection in the middle. Checks of an open port look like this.
    #[error("the peer hung up during the handshake")]
    HungUp,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Refusal {
    /// Names of the kinds, for metrics, in the order of [`Refusal::kind`].
    pub(super) const KINDS: [&'static str; 14] = [
        "no_certificate",
        "foreign_authority",
        "expired",
        "not_yet_valid",
        "wrong_role",
        "wrong_region",
        "no_identity",
        "wrong_name",
        "wrong_purpose",
        "no_tls",
        "by_peer",
        "too_slow",
        "hung_up",
        "other",
    ];

    /// Which kind this is.
    pub(super) fn kind(&self) -> usize {
        match self {
            Refusal::NoCertificate => 0,
            Refusal::ForeignAuthority => 1,
            Refusal::Expired { .. } => 2,
            Refusal::NotYetValid { .. } => 3,
            Refusal::WrongRole { .. } => 4,
            Refusal::WrongRegion { .. } => 5,
            Refusal::NoIdentity => 6,
            Refusal::WrongName => 7,
            Refusal::WrongPurpose => 8,
            Refusal::NoTls => 9,
            Refusal::ByPeer { .. } => 10,
            Refusal::TooSlow { .. } => 11,
            Refusal::HungUp => 12,
            Refusal::Other(_) => 13,
        }
    }

    /// Why reading, writing or a handshake failed. A client learns that it was refused with its first read only: in TLS 1.3 its
    /// own handshake is over before the server looks at its certificate.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (inner, error.kind()) {
            (Some(inner), _) => inner.into(),
            (
                None,
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe,
            ) => Refusal::HungUp,
            (None, _) => Refusal::Other(error.to_string()),
        }
    }
}

impl From<&rustls::Error> for Refusal {
    fn from(error: &rustls::Error) -> Self {
        use rustls::Error;
        match error {
            Error::NoCertificatesPresented => Refusal::NoCertificate,
            Error::InvalidCertificate(error) => error.into(),
            Error::AlertReceived(alert) => Refusal::ByPeer { reason: words(*alert) },
            Error::InvalidMessage(_)
            | Error::PeerIncompatible(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. } => Refusal::NoTls,
            other => Refusal::Other(other.to_string()),
        }
    }
}

impl From<&CertificateError> for Refusal {
    fn from(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Refusal::ForeignAuthority,
            CertificateError::ExpiredContext { not_after, .. } => Refusal::Expired { at: moment(*not_after) },
            CertificateError::NotValidYetContext { not_before, .. } => {
                Refusal::NotYetValid { from: moment(*not_before) }
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Refusal::WrongName
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Refusal::WrongPurpose
            }
            CertificateError::Other(OtherError(own)) => {
                own.downcast_ref::<Refusal>().cloned().unwrap_or_else(|| Refusal::Other(own.to_string()))
            }
            other => Refusal::Other(format!("certificate is not accepted: {other}")),
        }
    }
}

impl From<Refusal> for rustls::Error {
    fn from(refusal: Refusal) -> Self {
        CertificateError::Other(OtherError(std::sync::Arc::new(refusal))).into()
    }
}

pub(super) fn moment(time: UnixTime) -> UnixMillis {
    UnixMillis(time.as_secs().saturating_mul(1000))
}

/// What the other end meant with an alert.
fn words(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired => "it wants a certificate",
        AlertDescription::UnknownCA => "our certificate is of another authority than its own",
        AlertDescription::CertificateExpired => "our certificate is expired",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => {
            "our certificate is not for this; the log of the other end says why"
        }
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => "it speaks no TLS 1.3",
        AlertDescription::NoApplicationProtocol => "it speaks no HTTP/2",
        _ => "the log of the other end says why",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_name() {
        let all = [
            Refusal::NoCertificate,
            Refusal::ForeignAuthority,
            Refusal::Expired { at: UnixMillis(0) },
            Refusal::NotYetValid { from: UnixMillis(0) },
            Refusal::WrongRole { role: Role::Node },
            Refusal::WrongRegion { region: "eu".parse().unwrap() },
            Refusal::NoIdentity,
            Refusal::WrongName,
            Refusal::WrongPurpose,
            Refusal::NoTls,
            Refusal::ByPeer { reason: "" },
            Refusal::TooSlow { limit: Duration::ZERO },
            Refusal::HungUp,
            Refusal::Other(String::new()),
        ];
        assert!(all.iter().map(Refusal::kind).eq(0..Refusal::KINDS.len()));
    }

    #[test]
    fn errors_become_plain_words() {
        let of = |error: rustls::Error| {
            Refusal::of(&io::Error::new(io::ErrorKind::InvalidData, error)).to_string()
        };
        assert_eq!(of(rustls::Error::NoCertificatesPresented), "no client certificate");
        let at = |secs| UnixTime::since_unix_epoch(Duration::from_secs(secs));
        let expired =
            CertificateError::ExpiredContext { time: at(1_800_000_000), not_after: at(1_700_000_000) };
        assert_eq!(of(expired.into()), "certificate expired at 2023-11-14T22:13:20Z");
        assert_eq!(
            of(Refusal::WrongRole { role: Role::Node }.into()),
            "certificate is for role node, which has no business here"
        );
        assert_eq!(Refusal::of(&io::ErrorKind::UnexpectedEof.into()), Refusal::HungUp);
    }
}
