//! A token against what is known of its issuer.

use crate::identity::{Grants, Identity, Scopes};
use crate::token::form::Parts;
use crate::token::{Algorithm, InvalidOptions, IssuerOptions, KeySet, Refused, ReplayCache};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use spinwell_core::{Micros, Millis, TenantId, UnixMicros};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// So many used one-time tokens are remembered.
const REPLAYS_MAX: usize = 100_000;
/// A subject longer than this is none (OpenID Connect allows 255).
const SUBJECT_BYTES_MAX: usize = 255;

/// Of a longer token that is refused nobody looks at what it claims.
const CLAIMED_BYTES_MAX: usize = 16 * 1_024;

/// There is no issuer of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are no options for issuer {0:?}")]
pub struct UnknownIssuer(pub String);

/// A token that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Who calls.
    pub identity: Identity,
    /// Until when it is good, skew included. An answer that is kept must not be kept for longer; that of a one-time token not
    /// at all.
    pub until: UnixMicros,
    /// Whether it was good for this one use.
    pub is_one_time: bool,
}

#[derive(Debug, Clone)]
struct Issuer {
    options: Arc<IssuerOptions>,
    keys: Option<Arc<KeySet>>,
}

/// All issuers with their keys. It does not change: new keys make another one, which is swapped in. Used one-time tokens are shared
/// between them.
#[derive(Debug, Clone)]
pub struct Issuers {
    issuers: HashMap<String, Issuer>,
    bytes_max: usize,
    replays: Arc<Mutex<ReplayCache>>,
}

impl Default for Issuers {
    /// None.
    fn default() -> Self {
        let replays = Arc::new(Mutex::new(ReplayCache::new(REPLAYS_MAX)));
        Self { issuers: HashMap::new(), bytes_max: 0, replays }
    }
}

impl Issuers {
    /// These issuers, without keys yet.
    ///
    /// # Errors
    /// Where options cannot be right.
    pub fn new(options: Vec<IssuerOptions>) -> Result<Self, InvalidOptions> {
        let bytes_max = options.iter().map(|options| options.bytes_max).max().unwrap_or(0);
        let mut issuers = HashMap::new();
        for options in options {
            let options = Arc::new(options.checked()?);
            let name = options.issuer.clone();
            if issuers.insert(name.clone(), Issuer { options, keys: None }).is_some() {
                return Err(InvalidOptions::Twice(name));
            }
        }
        Ok(Self { issuers, bytes_max, ..Self::default() })
    }

    /// The same with these keys of one issuer, in place of those that it had.
    ///
    /// # Errors
    /// Where there is no such issuer.
    pub fn with_keys(&self, issuer: &str, keys: KeySet) -> Result<Self, UnknownIssuer> {
        self.with(issuer, Some(Arc::new(keys)))
    }

    /// The same without keys of one issuer: they are too old to be believed.
    ///
    /// # Errors
    /// Where there is no such issuer.
    pub fn without_keys(&self, issuer: &str) -> Result<Self, UnknownIssuer> {
        self.with(issuer, None)
    }

    fn with(&self, issuer: &str, keys: Option<Arc<KeySet>>) -> Result<Self, UnknownIssuer> {
        let mut next = self.clone();
        next.issuers.get_mut(issuer).ok_or_else(|| UnknownIssuer(issuer.to_owned()))?.keys = keys;
        Ok(next)
    }

    /// The same, with the keys and the used one-time tokens of those issuers that stand in both with the same options.
    #[must_use]
    pub fn going_on_from(mut self, before: &Self) -> Self {
        for (name, issuer) in &mut self.issuers {
            let same = before.issuers.get(name).filter(|other| other.options == issuer.options);
            issuer.keys = same.and_then(|other| other.keys.clone());
        }
        self.replays = before.replays.clone();
        self
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.issuers.keys().map(String::as_str)
    }

    /// Who calls with this token, at this time. A one-time token is spent by it.
    ///
    /// # Errors
    /// Where it is not good.
    pub fn check(&self, token: &str, now: UnixMicros) -> Result<Verified, Refused> {
        if self.issuers.is_empty() {
            return Err(Refused::NoIssuers);
        }
        let parts = Parts::of(token, self.bytes_max)?;
        let name = text(&parts.claims, "iss")?;
        let issuer = self.issuers.get(name).ok_or_else(|| Refused::Issuer(name.to_owned()))?;
        let options = &*issuer.options;
        if token.len() > options.bytes_max {
            return Err(Refused::TooLong { bytes: token.len(), bytes_max: options.bytes_max });
        }
        verify(&parts, issuer)?;
        let until = times(&parts.claims, options, now)?;
        audience(&parts.claims, options)?;
        let identity = identity(&parts.claims, options)?;
        if options.one_time {
            let jti = text(&parts.claims, "jti")?;
            let hash = Sha256::new().chain_update(name).chain_update("#").chain_update(jti).finalize();
            let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
            replays.spend(hash.into(), until, now).map_err(Refused::Replayed)?;
        }
        Ok(Verified { identity, until, is_one_time: options.one_time })
    }
}

/// The signature, by a key of the issuer that is one for an algorithm that the issuer uses.
fn verify(parts: &Parts<'_>, issuer: &Issuer) -> Result<(), Refused> {
    let pinned = |algorithm: &Algorithm| issuer.options.algorithms.contains(algorithm);
    let algorithm = Algorithm::of_name(&parts.algorithm).filter(pinned);
    let algorithm = algorithm.ok_or_else(|| Refused::Algorithm(parts.algorithm.clone()))?;
    let name = &issuer.options.issuer;
    let unknown = || Refused::UnknownKey { issuer: name.clone(), kid: parts.kid.clone().unwrap_or_default() };
    let keys = issuer.keys.as_deref().ok_or_else(unknown)?;
    let key = keys.find(name, parts.kid.as_deref(), algorithm)?;
    let message = parts.message.as_bytes();
    match jsonwebtoken::crypto::verify(parts.signature, message, key, algorithm.of_library()) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Refused::Signature),
    }
}

/// Times against the clock, give or take the skew: until when it is good.
fn times(
    claims: &Map<String, Value>,
    options: &IssuerOptions,
    now: UnixMicros,
) -> Result<UnixMicros, Refused> {
    let skew = micros(options.skew);
    let expires = moment(claims, "exp")?.ok_or_else(|| missing("exp"))?;
    let until = expires.after(skew);
    if until <= now {
        return Err(Refused::Expired(expires));
    }
    let issued = moment(claims, "iat")?;
    for from in [moment(claims, "nbf")?, issued].into_iter().flatten() {
        if from > now.after(skew) {
            return Err(Refused::NotYet(from));
        }
    }
    let from = issued.unwrap_or(now);
    if expires > from.after(micros(options.lifetime_max)) {
        return Err(Refused::Lifetime);
    }
    Ok(until)
}

fn audience(claims: &Map<String, Value>, options: &IssuerOptions) -> Result<(), Refused> {
    let ours = |text: &str| !text.is_empty() && options.audiences.iter().any(|audience| audience == text);
    let fits = match claims.get("aud") {
        Some(Value::String(one)) => ours(one),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(ours),
        _ => return Err(missing("aud")),
    };
    fits.then_some(()).ok_or(Refused::Audience)
}

fn identity(claims: &Map<String, Value>, options: &IssuerOptions) -> Result<Identity, Refused> {
    let subject = text(claims, "sub")?;
    if subject.len() > SUBJECT_BYTES_MAX {
        return Err(missing("sub"));
    }
    let tenant = options.claims.tenant(claims).ok_or_else(|| missing("tenant"))?;
    let roles = options.claims.roles(claims).ok_or_else(|| missing("roles"))?;
    let principal = format!("{}#{subject}", options.issuer).into();
    let grants = Arc::new(Grants::new(TenantId(tenant.into()), roles, Scopes::all()));
    Ok(Identity { principal, grants })
}

fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<&'c str, Refused> {
    let text = claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.ok_or_else(|| missing(name))
}

/// Seconds since 1970, whole or not (RFC 7519, `NumericDate`).
fn moment(claims: &Map<String, Value>, name: &str) -> Result<Option<UnixMicros>, Refused> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    // A float that is too large becomes the largest number.
    seconds.map(|seconds| Some(UnixMicros((seconds * 1e6) as u64))).ok_or_else(|| missing(name))
}

fn missing(claim: &str) -> Refused {
    Refused::Claim(claim.to_owned())
}

fn micros(span: Millis) -> Micros {
    Micros(span.0.saturating_mul(1_000))
}

/// The issuer and the subject that a token claims to be of, which nobody has verified.
#[must_use]
pub(crate) fn claimed(token: &str) -> Option<(String, String)> {
    let parts = Parts::of(token, CLAIMED_BYTES_MAX).ok()?;
    let text = |name| text(&parts.claims, name).unwrap_or_default().to_owned();
    Some((text("iss"), text("sub")))
}
