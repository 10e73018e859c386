//! Certificate, key and authority of this process: read from files, checked as a peer would check them.
//!
//! Everything that would fail in every later handshake fails here, once, with the name of the file: a key of another
//! certificate, a certificate of another authority, one that is expired or that only a server may use.

use super::held::Filed;
use super::identity::{Identity, Name};
use super::refusal::Refusal;
use super::shared::Shown;
use super::verifier::{self, Trust};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use spinwell_core::{Code, Fault, UnixMillis};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// More than any chain needs; a device or a log in the place of a certificate must not fill the memory.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The three PEM files of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Its certificate, and below it those between it and the authority, if there are any.
    pub certificate: PathBuf,
    /// The key of the certificate: PKCS #8, SEC 1 or PKCS #1, not encrypted.
    pub key: PathBuf,
    /// Certificates of the authorities that peers may have. Two of them while one authority takes over from another.
    pub authority: PathBuf,
}

impl Files {
    /// The files as `spinwell pki issue` names them in a folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
            authority: folder.join("authority.pem"),
        }
    }
}

/// Why certificate, key and authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not there or may not be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("{} is not a PEM file", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: pem::Error,
    },
    /// A PEM file holds something else.
    #[error("{} holds no {wanted}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A key or an authority that the library does not take.
    #[error("{} cannot be used as {wanted}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// Key and certificate are not of each other.
    #[error("the key {} does not fit the certificate {}", key.display(), certificate.display())]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// A peer would refuse the certificate.
    #[error("{} would be refused by every peer", path.display())]
    Refused {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// The system trusts nobody, so that no server can be believed.
    #[error("this system lists no authorities to trust (such as /etc/ssl/certs)")]
    NoSystemAuthorities,
    /// New files are of another process than the old ones.
    #[error("{} is the certificate of {found}, and this process is {own}", path.display())]
    OtherIdentity {
        /// The certificate's file.
        path: PathBuf,
        /// Whose it is.
        found: Box<Identity>,
        /// Who this process is.
        own: Box<Identity>,
    },
}

impl Error {
    /// The error as it is shown to the operator.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let code = match self {
            Error::Unreadable { .. } => Code::Io,
            _ => Code::CertificateInvalid,
        };
        Fault::new(code, crate::telemetry::chain(self))
    }
}

/// The contents of the three files.
#[derive(PartialEq, Eq)]
pub struct Contents {
    /// Of the certificate's file.
    pub certificate: Vec<u8>,
    /// Of the key's.
    pub key: Vec<u8>,
    /// Of the authorities'.
    pub authority: Vec<u8>,
}

/// Checks what files hold, or are about to hold, as [`Mutual::load`](super::Mutual::load) would, at the time `now`.
///
/// # Errors
/// Those of `load`, but for files that cannot be read.
pub fn check(files: &Files, contents: &Contents, now: UnixMillis) -> Result<(Identity, Validity), Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let material = Material::check(files, contents, &provider, now)?;
    Ok((material.identity, material.validity))
}

/// Checks what files hold, or are about to hold, that a server shows to callers who trust the authority in them, at the time `now`.
///
/// # Errors
/// Where such a caller would refuse it, or key and certificate are not of each other.
pub fn check_edge(files: &Files, contents: &Contents, now: UnixMillis) -> Result<Validity, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let trust = trust(&files.authority, &contents.authority, &provider)?;
    let chain = certificates(&files.certificate, &contents.certificate)?;
    let certified = certified(&files.certificate, chain, &files.key, &contents.key, &provider)?;
    let missing = || Error::Missing { path: files.certificate.clone(), wanted: "certificate" };
    let (own, between) = certified.cert.split_first().ok_or_else(missing)?;
    let refused = |source| Error::Refused { path: files.certificate.clone(), source };
    let now = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
    trust.check_as_server(own, between, now).map_err(refused)?;
    verifier::validity(own, &provider.signature_verification_algorithms).map_err(refused)
}

/// Checks what files hold, or are about to hold, that a caller shows to servers which trust the authority in them, at the time `now`.
///
/// # Errors
/// Where such a server would refuse it, or key and certificate are not of each other.
pub fn check_caller(files: &Files, contents: &Contents, now: UnixMillis) -> Result<(), Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let trust = trust(&files.authority, &contents.authority, &provider)?;
    let chain = certificates(&files.certificate, &contents.certificate)?;
    let certified = certified(&files.certificate, chain, &files.key, &contents.key, &provider)?;
    let missing = || Error::Missing { path: files.certificate.clone(), wanted: "certificate" };
    let (own, between) = certified.cert.split_first().ok_or_else(missing)?;
    let checked =
        trust.check_as_caller(own, between, UnixTime::since_unix_epoch(Duration::from_millis(now.0)));
    checked.map_err(|source| Error::Refused { path: files.certificate.clone(), source })
}

/// What an authority made by `spinwell pki init` says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The region whose processes it names.
    pub region: Name,
    /// When it is valid.
    pub validity: Validity,
}

impl Authority {
    /// The first authority among the contents of the file at `path`.
    ///
    /// # Errors
    /// Where it is no certificate, or one that names no region.
    pub fn read(path: &Path, contents: &[u8]) -> Result<Self, Error> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let all = certificates(path, contents)?;
        let missing =
            || Error::Missing { path: path.to_owned(), wanted: "authority made by `spinwell pki init`" };
        let first = all.first().ok_or_else(missing)?;
        let region = verifier::region(first).ok_or_else(missing)?;
        // One that cannot be used as an authority is said to be that.
        authorities(path, contents)?;
        let refused = |source| Error::Refused { path: path.to_owned(), source };
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { region, validity: verifier::validity(first, &algorithms).map_err(refused)? })
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let contents = std::fs::metadata(path).and_then(|metadata| {
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        }
        if metadata.len() > FILE_BYTES_MAX {
            let text = format!("it has {} bytes, more than {FILE_BYTES_MAX}", metadata.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        std::fs::read(path)
    });
    contents.map_err(|source| Error::Unreadable { path: path.to_owned(), source })
}

/// From when until when a certificate is valid, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: UnixMillis,
    /// The last one.
    pub until: UnixMillis,
}

impl Validity {
    /// Whether less than a fifth of its time is left: somebody should have exchanged it.
    #[must_use]
    pub fn is_ending(&self, now: UnixMillis) -> bool {
        let (whole, left) = (self.until.0.saturating_sub(self.from.0), self.until.0.saturating_sub(now.0));
        left < whole / 5
    }
}

/// What a handshake needs, checked.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) identity: Identity,
    pub(super) validity: Validity,
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) trust: Trust,
}

impl Filed for Material {
    type Files = Files;
    type Contents = Contents;

    fn read(files: &Files) -> Result<Contents, Error> {
        Ok(Contents {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
            authority: read(&files.authority)?,
        })
    }

    fn check(
        files: &Files,
        contents: &Contents,
        provider: &Arc<CryptoProvider>,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        let trust = trust(&files.authority, &contents.authority, provider)?;
        let chain = certificates(&files.certificate, &contents.certificate)?;
        let certified = Arc::new(certified(&files.certificate, chain, &files.key, &contents.key, provider)?);
        let (own, between) = certified
            .cert
            .split_first()
            .ok_or_else(|| Error::Missing { path: files.certificate.clone(), wanted: "certificate" })?;
        let refused = |source| Error::Refused { path: files.certificate.clone(), source };
        let checked = trust.check_own(own, between, UnixTime::since_unix_epoch(Duration::from_millis(now.0)));
        let identity = checked.map_err(refused)?;
        let algorithms = provider.signature_verification_algorithms;
        let validity = verifier::validity(own, &algorithms).map_err(refused)?;
        Ok(Self { identity, validity, certified, trust })
    }

    fn follows(&self, before: &Self, files: &Files) -> Result<(), Error> {
        if self.identity == before.identity {
            return Ok(());
        }
        let (found, own) = (Box::new(self.identity.clone()), Box::new(before.identity.clone()));
        Err(Error::OtherIdentity { path: files.certificate.clone(), found, own })
    }
}

impl Shown for Material {
    fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

fn trust(path: &Path, contents: &[u8], provider: &Arc<CryptoProvider>) -> Result<Trust, Error> {
    let unusable = |source| Error::Unusable { path: path.to_owned(), wanted: "an authority", source };
    Trust::new(authorities(path, contents)?, provider).map_err(unusable)
}

/// The authorities in what a file held.
pub(super) fn authorities(path: &Path, contents: &[u8]) -> Result<RootCertStore, Error> {
    let unusable = |source| Error::Unusable { path: path.to_owned(), wanted: "an authority", source };
    let mut roots = RootCertStore::empty();
    for authority in certificates(path, contents)? {
        roots.add(authority).map_err(unusable)?;
    }
    Ok(roots)
}

pub(super) fn certificates(path: &Path, contents: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(contents).collect();
    let all = all.map_err(|source| Error::Malformed { path: path.to_owned(), source })?;
    if all.is_empty() {
        return Err(Error::Missing { path: path.to_owned(), wanted: "certificate" });
    }
    Ok(all)
}

/// A chain with its key, of these two files.
pub(super) fn certified(
    certificate_path: &Path,
    chain: Vec<CertificateDer<'static>>,
    key_path: &Path,
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Error> {
    let path = || key_path.to_owned();
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            Error::Missing { path: path(), wanted: "private key (an encrypted one is not read)" }
        }
        source => Error::Malformed { path: path(), source },
    })?;
    let unusable = |source| Error::Unusable { path: path(), wanted: "a private key", source };
    let key = provider.key_provider.load_private_key(key).map_err(unusable)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(Error::KeyMismatch { key: path(), certificate: certificate_path.to_owned() })
        }
        Err(source) => {
            Err(Error::Unusable { path: certificate_path.to_owned(), wanted: "a certificate", source })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_ends_in_its_last_fifth() {
        let validity = Validity { from: UnixMillis(1_000), until: UnixMillis(2_000) };
        for (now, ending) in [(0, false), (1_000, false), (1_800, false), (1_801, true), (9_999, true)] {
            assert_eq!(validity.is_ending(UnixMillis(now)), ending, "{now}");
        }
    }
}
