//! What is known of an issuer before its first token.

use crate::identity::OF_CERTIFICATES;
use crate::token::{Algorithm, ClaimPath, ClaimPaths, TenantFrom};
use spinwell_core::Millis;

/// Options that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOptions {
    /// An issuer without a name, or with a `#`, which divides issuer and subject in a principal's name, or called like a certificate.
    #[error("{0:?} cannot be an issuer: it must not be empty, have no '#', and not begin with cert:")]
    Issuer(String),
    /// Two sets of options for one issuer.
    #[error("issuer {0:?} stands there twice")]
    Twice(String),
    /// No audience: tokens for others would be taken.
    #[error("issuer {0:?} needs an audience")]
    NoAudience(String),
    /// No algorithm: no token could be checked.
    #[error("issuer {0:?} needs an algorithm: RS256, PS256, ES256 or EdDSA")]
    NoAlgorithm(String),
    /// A clock may not differ by more than an hour, nor a token be valid for nothing.
    #[error("issuer {0:?}: skew must be at most an hour, and lifetime more than nothing")]
    Times(String),
}

/// What is known of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerOptions {
    /// Its name, exactly as `iss` says it.
    pub issuer: String,
    /// Audiences that we answer to; a token must name one of them.
    pub audiences: Vec<String>,
    /// What it signs with.
    pub algorithms: Vec<Algorithm>,
    /// By how much clocks may differ.
    pub skew: Millis,
    /// A token may be valid for so long: from `iat`, or else from now on.
    pub lifetime_max: Millis,
    /// Longer tokens are not read.
    pub bytes_max: usize,
    /// Each token is good for one use: it must have a `jti`.
    pub one_time: bool,
    /// Where tenant and roles stand.
    pub claims: ClaimPaths,
}

impl IssuerOptions {
    /// Usual options: a minute of skew, a day of lifetime, 8 KiB; tenant `default`, roles from the claim `roles`, of which only
    /// `viewer` and `predictor` count.
    #[must_use]
    pub fn new(issuer: &str, audience: &str, algorithms: Vec<Algorithm>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audiences: vec![audience.to_owned()],
            algorithms,
            skew: Millis(60_000),
            lifetime_max: Millis(24 * 3_600_000),
            bytes_max: 8 * 1_024,
            one_time: false,
            claims: ClaimPaths {
                tenant: TenantFrom::Fixed("default".to_owned()),
                roles: ClaimPath::of_name("roles"),
                roles_allowed: ["viewer", "predictor"].map(str::to_owned).into(),
            },
        }
    }

    pub(crate) fn checked(self) -> Result<Self, InvalidOptions> {
        let name = || self.issuer.clone();
        if self.issuer.is_empty() || self.issuer.contains('#') || self.issuer.starts_with(OF_CERTIFICATES) {
            return Err(InvalidOptions::Issuer(name()));
        }
        if self.audiences.iter().all(String::is_empty) {
            return Err(InvalidOptions::NoAudience(name()));
        }
        if self.algorithms.is_empty() {
            return Err(InvalidOptions::NoAlgorithm(name()));
        }
        if self.skew > Millis(3_600_000) || self.lifetime_max == Millis(0) {
            return Err(InvalidOptions::Times(name()));
        }
        Ok(self)
    }
}
