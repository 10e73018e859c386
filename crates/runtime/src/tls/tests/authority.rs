//! Authorities and certificates as the tests need them, right and wrong.

use super::super::Files;
use crate::files::write_atomically;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use std::path::Path;
use time::{Duration, OffsetDateTime};

/// An authority of its own key.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// What stands below its certificates where it is none that anybody trusts by itself.
    between: String,
}

/// A certificate, its key and its authority, as PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) authority: String,
}

/// What a certificate is to be, good by default.
pub(super) struct Wanted<'a> {
    pub(super) uris: &'a [&'a str],
    pub(super) names: &'a [&'a str],
    /// From when until when, in hours from now.
    pub(super) hours: (i64, i64),
    pub(super) usages: &'a [ExtendedKeyUsagePurpose],
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        Self {
            uris: &["spinwell://test/node/n1"],
            names: &["127.0.0.1"],
            hours: (-1, 24),
            usages: &[ClientAuth, ServerAuth],
        }
    }
}

impl Authority {
    /// An authority; two of one name differ in their keys all the same.
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem, between: String::new() }
    }

    /// An authority below this one, until so many hours from now.
    pub(super) fn below(&self, name: &str, hours: i64) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = OffsetDateTime::now_utc() + Duration::hours(hours);
        let key = KeyPair::generate().unwrap();
        let between = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem: self.pem.clone(), between }
    }

    /// Its own certificate.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// A good certificate for one identity.
    pub(super) fn issue(&self, identity: &str) -> Issued {
        self.make(&Wanted { uris: &[identity], ..Wanted::default() })
    }

    /// A certificate, good or not.
    pub(super) fn make(&self, wanted: &Wanted<'_>) -> Issued {
        let names: Vec<String> = wanted.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .subject_alt_names
            .extend(wanted.uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        params.extended_key_usages = wanted.usages.to_vec();
        let now = OffsetDateTime::now_utc();
        params.not_before = now + Duration::hours(wanted.hours.0);
        params.not_after = now + Duration::hours(wanted.hours.1);
        let key = KeyPair::generate().unwrap();
        Issued {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem() + &self.between,
            key: key.serialize_pem(),
            authority: self.pem.clone(),
        }
    }
}

impl Issued {
    /// Writes the three files into a folder, which is made.
    pub(super) fn write(&self, folder: &Path) -> Files {
        std::fs::create_dir_all(folder).unwrap();
        let files = Files::in_folder(folder);
        for (path, text) in [
            (&files.certificate, &self.certificate),
            (&files.key, &self.key),
            (&files.authority, &self.authority),
        ] {
            write_atomically(path, text.as_bytes()).unwrap();
        }
        files
    }
}
