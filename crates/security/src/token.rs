//! JSON web tokens of other parties, checked against their keys.
//!
//! What a token says about how to check it is not believed. Which issuers there are, which algorithms each one signs with, and which keys it
//! has is known beforehand; a token only chooses among them, and a key only fits the algorithm of its own type. A key, an address of keys or a
//! certificate inside a token is not looked at. The library verifies signatures and nothing else, because its checks of times read
//! a clock.
//!
//! Order: length, form, header, issuer, algorithm, key, signature, and only then the claims. Before the signature nothing is
//! believed but which issuer's keys to try.
//!
//! ```
//! use spinwell_core::UnixMicros;
//! use spinwell_security::token::{Algorithm, IssuerOptions, Issuers, KeySet, Refused};
//!
//! let options = IssuerOptions::new("https://login.example.com", "spinwell", vec![Algorithm::Es256]);
//! let issuers = Issuers::new(vec![options]).unwrap();
//! let keys = KeySet::parse(br#"{"keys":[]}"#).unwrap();
//! let issuers = issuers.with_keys("https://login.example.com", keys).unwrap();
//! assert_eq!(issuers.check("no token", UnixMicros(0)).unwrap_err(), Refused::Form);
//! ```

mod algorithm;
mod check;
mod claims;
mod file;
mod form;
mod issuer;
mod keys;
mod refetch;
mod replay;
#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub(crate) use check::claimed;
pub use check::{Issuers, UnknownIssuer, Verified};
pub use claims::{ClaimPath, ClaimPaths, InvalidPath, TenantFrom};
pub use file::{InvalidIssuers, KeysFrom, is_safe, issuers_of_text};
pub use issuer::{InvalidOptions, IssuerOptions};
pub use keys::{InvalidKeySet, KeySet};
pub use refetch::{Fetch, Refetch, RefetchOptions, Why};
pub use replay::{ReplayCache, Replayed};

use spinwell_core::UnixMicros;

/// Why a token is refused: what the log and the detectors may know. The caller is told [`Refused::for_caller`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody's tokens are taken.
    #[error("no issuer of tokens is known here, and API keys begin otherwise")]
    NoIssuers,
    /// It is longer than any token of ours.
    #[error("the token has {bytes} bytes, at most {bytes_max} are read")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long one may be.
        bytes_max: usize,
    },
    /// It is no signed token.
    #[error("the text is not a signed JSON web token")]
    Form,
    /// Its header asks for something that must be understood, and nothing is.
    #[error("the token's header has critical extensions")]
    Critical,
    /// It is a token for another use.
    #[error("the token is of type {0:?}, not an access token")]
    Type(String),
    /// It says that somebody else has issued it.
    #[error("issuer {0:?} is not one of ours")]
    Issuer(String),
    /// Its issuer does not sign in this way, or nobody should: `none` and `HS256` among them.
    #[error("algorithm {0:?} is not one that the issuer signs with")]
    Algorithm(String),
    /// It does not name its key, and the issuer has several.
    #[error("the token names no key")]
    NoKeyNamed,
    /// The issuer's keys, as far as they are known, do not have this one. Fetching them again may help ([`Refetch`]).
    #[error("key {kid:?} of issuer {issuer:?} is not known")]
    UnknownKey {
        /// Whose keys.
        issuer: String,
        /// Which key.
        kid: String,
    },
    /// The key is not one for this algorithm.
    #[error("key {kid:?} is not one for {}", algorithm.name())]
    KeyType {
        /// Which key.
        kid: String,
        /// What it was to verify.
        algorithm: Algorithm,
    },
    /// Nobody with the issuer's key has signed it.
    #[error("the signature is not the issuer's")]
    Signature,
    /// A claim that must be there is not, or it is of another type.
    #[error("claim {0:?} is missing or of another type")]
    Claim(String),
    /// It is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// It is too old.
    #[error("the token expired at {}", .0.0)]
    Expired(UnixMicros),
    /// It is not valid yet.
    #[error("the token is valid from {} on", .0.0)]
    NotYet(UnixMicros),
    /// It is valid for longer than this issuer's tokens may be.
    #[error("the token is valid for longer than its issuer may say")]
    Lifetime,
    /// It was used before and may be used once.
    #[error("the token was used before")]
    Replayed(#[source] Replayed),
}

impl Refused {
    /// What the caller may know: what they can mend, and not which keys or issuers we have.
    #[must_use]
    pub fn for_caller(&self) -> &'static str {
        match self {
            Self::NoIssuers => "this is no API key, and no issuer of tokens is known here",
            Self::TooLong { .. } => "this token is too long",
            Self::Form | Self::Critical | Self::Type(_) => "this is not an access token",
            Self::Expired(_) => "this token has expired",
            Self::NotYet(_) => "this token is not valid yet",
            Self::Replayed(_) => "this token was used before",
            Self::Audience => "this token is for another audience",
            _ => "this token is not valid here",
        }
    }

    /// Whether its issuer has signed it, and it is refused for what it says.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        matches!(
            self,
            Self::Expired(_) | Self::NotYet(_) | Self::Lifetime | Self::Audience | Self::Replayed(_)
        )
    }

    /// Whose keys to fetch again, because the token is signed with one that is not among them.
    #[must_use]
    pub fn refetch(&self) -> Option<&str> {
        match self {
            Self::UnknownKey { issuer, .. } => Some(issuer),
            _ => None,
        }
    }
}
