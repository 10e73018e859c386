//! An issuer's public keys (JWKS, RFC 7517).
//!
//! Each key is read by itself: an issuer may publish keys of types that came later than this code, and they must not make the others
//! unreadable. A key without a name is only found where the issuer has no other. Shared secrets are passed over: nobody
//! publishes one by intent, and a token signed with it would be signed by anybody.

use crate::token::{Algorithm, Refused};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use serde_json::Value;

/// So many keys of one issuer are read: a handful is usual.
const KEYS_MAX: usize = 64;
/// So many bytes of a key set are read.
const BYTES_MAX: usize = 512 * 1024;

/// Bytes are no key set.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKeySet {
    /// It is too large.
    #[error("the key set has {0} bytes, at most {BYTES_MAX} are read")]
    TooLong(usize),
    /// It has too many keys.
    #[error("the key set has {0} keys, at most {KEYS_MAX} are read")]
    TooMany(usize),
    /// It is not JSON.
    #[error("the key set is not JSON")]
    Json(#[source] serde_json::Error),
    /// It is other JSON.
    #[error("not a key set, which looks like {{\"keys\": [..]}}")]
    Form,
}

/// A key and what it may verify.
struct Key {
    kid: Option<String>,
    verifies: Vec<Algorithm>,
    key: DecodingKey,
}

/// The keys of an issuer.
pub struct KeySet {
    keys: Vec<Key>,
    passed_over: usize,
}

impl KeySet {
    /// The keys in these bytes.
    ///
    /// # Errors
    /// Where they are no key set. Single keys that cannot be used are passed over and counted.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidKeySet> {
        if bytes.len() > BYTES_MAX {
            return Err(InvalidKeySet::TooLong(bytes.len()));
        }
        let value: Value = serde_json::from_slice(bytes).map_err(InvalidKeySet::Json)?;
        let all = value.get("keys").and_then(Value::as_array).ok_or(InvalidKeySet::Form)?;
        if all.len() > KEYS_MAX {
            return Err(InvalidKeySet::TooMany(all.len()));
        }
        let keys: Vec<Key> = all.iter().filter_map(usable).collect();
        Ok(Self { passed_over: all.len() - keys.len(), keys })
    }

    /// How many keys can be used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none that can be used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys were passed over: of other types, for encryption, or broken.
    #[must_use]
    pub fn passed_over(&self) -> usize {
        self.passed_over
    }

    /// The key of a token of `issuer`, if it fits the algorithm.
    pub(crate) fn find(
        &self,
        issuer: &str,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<&DecodingKey, Refused> {
        let Some(kid) = kid else {
            let [only] = &*self.keys else { return Err(Refused::NoKeyNamed) };
            return only.fits(algorithm).then_some(&only.key).ok_or_else(|| wrong_type("", algorithm));
        };
        let named = || self.keys.iter().filter(|key| key.kid.as_deref() == Some(kid));
        match named().find(|key| key.fits(algorithm)) {
            Some(key) => Ok(&key.key),
            None if named().next().is_some() => Err(wrong_type(kid, algorithm)),
            None => Err(Refused::UnknownKey { issuer: issuer.to_owned(), kid: kid.to_owned() }),
        }
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.keys.iter().map(|key| (key.kid.as_deref(), &key.verifies));
        f.debug_list().entries(names).finish()
    }
}

impl Key {
    fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifies.contains(&algorithm)
    }
}

fn wrong_type(kid: &str, algorithm: Algorithm) -> Refused {
    Refused::KeyType { kid: kid.to_owned(), algorithm }
}

fn usable(value: &Value) -> Option<Key> {
    // A private key published by mistake is not made better by accepting what it signs.
    if value.get("d").is_some() {
        return None;
    }
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    let for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let operations = jwk.common.key_operations.as_deref();
    if !for_signatures || operations.is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
        return None;
    }
    let of_type: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[Algorithm::Rs256, Algorithm::Ps256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::Es256],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDsa],
        _ => return None,
    };
    let named = jwk.common.key_algorithm.map(|algorithm| algorithm.to_string());
    let pinned = |algorithm: &&Algorithm| named.as_deref().is_none_or(|name| name == algorithm.name());
    let verifies: Vec<Algorithm> = of_type.iter().filter(pinned).copied().collect();
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    (!verifies.is_empty()).then_some(Key { kid: jwk.common.key_id, verifies, key })
}
