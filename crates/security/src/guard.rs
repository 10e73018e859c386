//! Who comes in: what a request carries against all that is known, at one moment.
//!
//! [`Rules`] are keys, issuers, policies and tenants together. They never change; a [`Guard`] holds those of now and swaps the next ones
//! in, so that a request sees one state. Tokens that were verified are kept until they expire, because a signature costs a hundred times
//! what a look-up does; new rules begin with none.
//!
//! ```
//! use spinwell_core::UnixMicros;
//! use spinwell_security::guard::{Guard, Refused, Rules, Shown};
//!
//! let guard = Guard::new(Rules::default(), &[7; 16]);
//! assert_eq!(guard.authenticate(Shown::default(), UnixMicros(1)).unwrap_err().reason(), &Refused::Missing);
//! assert!(Guard::open().authenticate(Shown::default(), UnixMicros(1)).unwrap().is_anonymous());
//! ```

mod kept;
#[cfg(test)]
mod tests;

pub use kept::{InvalidKeys, keys_of_text, keys_to_text};

use crate::access::{Action, Decision, PolicySet, Resource, Why};
use crate::certificate::{self, Certificate, Certificates};
use crate::identity::{Grants, Identity, OF_CERTIFICATES, Scopes};
use crate::key::{self, KeyId, KeyRecord, KeyRing, Presented};
use crate::tenant::{Quota, Tenants};
use crate::token::{self, Issuers, Verified};
use sha2::{Digest as _, Sha256};
use spinwell_core::{Code, Fault, ModelName, TenantId, UnixMicros};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

/// So many verified tokens are kept.
const VERIFIED_MAX: usize = 16_384;
/// How a credential is sent.
const SCHEME: &str = "bearer ";

/// Everything that decides who may come in and what they may do.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// API keys.
    pub keys: Arc<KeyRing>,
    /// Issuers of tokens, with their keys.
    pub issuers: Issuers,
    /// Certificates of callers.
    pub certificates: Arc<Certificates>,
    /// What callers may do.
    pub policies: Arc<PolicySet>,
    /// Whose models are whose.
    pub tenants: Arc<Tenants>,
}

/// What a request shows of who sends it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown<'r> {
    /// The value of its header `authorization`. Where there is one, nothing else is looked at: a proxy that has a certificate passes on
    /// who asks, and is not taken for him where that is refused.
    pub authorization: Option<&'r [u8]>,
    /// The certificate of its connection.
    pub certificate: Option<&'r Certificate>,
}

/// A caller who may come in. Cheap to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    identity: Identity,
    is_anonymous: bool,
    key: Option<KeyId>,
}

impl Caller {
    /// Whoever calls where everybody may.
    #[must_use]
    pub fn anonymous() -> Self {
        static NOBODY: LazyLock<Identity> = LazyLock::new(|| {
            let grants = Grants::new(TenantId("default".into()), ["admin".to_owned()].into(), Scopes::all());
            Identity { principal: "".into(), grants: Arc::new(grants) }
        });
        Self { identity: NOBODY.clone(), is_anonymous: true, key: None }
    }

    /// A caller who has shown who he is.
    #[must_use]
    pub fn known(identity: Identity) -> Self {
        Self { identity, is_anonymous: false, key: None }
    }

    /// A caller who has shown this API key. Somebody may have several.
    #[must_use]
    pub fn by_key(record: &KeyRecord) -> Self {
        Self { key: Some(record.id), ..Self::known(record.identity().clone()) }
    }

    /// The API key that he has shown.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        self.key
    }

    /// Who it is; empty where nobody knows.
    #[must_use]
    pub fn principal(&self) -> &Arc<str> {
        &self.identity.principal
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        self.identity.grants.tenant()
    }

    /// Whether he is known by the certificate of his connection, and not by anything in his request.
    #[must_use]
    pub fn is_by_certificate(&self) -> bool {
        self.identity.principal.starts_with(OF_CERTIFICATES)
    }

    /// Whether nobody knows who it is.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.is_anonymous
    }
}

/// Why a request does not come in: what the log and the detectors may know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It carries no credential.
    #[error("no credential")]
    Missing,
    /// What it carries is sent in a way that is not known here.
    #[error("a credential that is not a bearer's")]
    Scheme,
    /// Its key is not good.
    #[error(transparent)]
    Key(#[from] key::Refused),
    /// Its token is not good.
    #[error(transparent)]
    Token(#[from] token::Refused),
    /// The certificate of its connection says nothing, and it carries no other credential.
    #[error(transparent)]
    Certificate(#[from] certificate::Refused),
}

/// What was tried, for the detectors of attacks: hashes, of which nothing can be learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// Of the key's id, or of the issuer and subject that a token claims.
    pub key: u64,
    /// Of the whole credential; where its secret or signature holds, the same as long as its owner is.
    pub credential: u64,
    /// Whether such a key or issuer exists here.
    pub is_known: bool,
}

/// A request that does not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotIn {
    reason: Refused,
    tried: Option<Tried>,
}

impl NotIn {
    /// Why, for the log.
    #[must_use]
    pub fn reason(&self) -> &Refused {
        &self.reason
    }

    /// What was tried; nothing where the request carries no credential, or a certificate that is nobody's.
    #[must_use]
    pub fn tried(&self) -> Option<Tried> {
        self.tried
    }

    /// What the caller may know.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let form = "send `Authorization: Bearer` with an API key or a token";
        match &self.reason {
            Refused::Missing => {
                Fault::new(Code::CredentialsMissing, format!("only known callers are served: {form}"))
            }
            Refused::Scheme => {
                let message = format!("what stands in the header authorization is not understood: {form}");
                Fault::new(Code::CredentialsRefused, message)
            }
            Refused::Key(refused) => Fault::new(Code::CredentialsRefused, refused.for_caller()),
            Refused::Token(refused) => Fault::new(Code::CredentialsRefused, refused.for_caller()),
            Refused::Certificate(certificate::Refused::Unknown { name }) => {
                let whose =
                    if name.is_empty() { "has no name".into() } else { format!("{name:?} is nobody's here") };
                let message = format!(
                    "only known callers are served, and the certificate {whose}: have it entered, or {form}"
                );
                Fault::new(Code::CredentialsMissing, message)
            }
            Refused::Certificate(refused @ certificate::Refused::Expired { .. }) => {
                let message = format!("{refused}: connect again with a newer one");
                Fault::new(Code::CredentialsRefused, message)
            }
        }
    }
}

/// A request that is refused because of who sends it.
#[derive(Debug, Clone)]
pub struct NotPermitted {
    /// What the caller is told.
    pub fault: Fault,
    /// The policies that say so, as records name them.
    pub policy: Arc<str>,
}

/// Tokens that were good, by SHA-256.
#[derive(Debug, Default)]
struct VerifiedTokens(HashMap<[u8; 32], Verified>);

impl VerifiedTokens {
    fn get(&self, hash: &[u8; 32], now: UnixMicros) -> Option<&Identity> {
        self.0.get(hash).filter(|verified| now < verified.until).map(|verified| &verified.identity)
    }

    fn put(&mut self, hash: [u8; 32], verified: Verified, now: UnixMicros) {
        if self.0.len() >= VERIFIED_MAX {
            self.0.retain(|_, verified| now < verified.until);
        }
        if self.0.len() >= VERIFIED_MAX {
            self.0.clear();
        }
        self.0.insert(hash, verified);
    }
}

/// Rules, and the tokens that were verified under them.
#[derive(Debug, Default)]
struct Now {
    rules: Arc<Rules>,
    verified: Mutex<VerifiedTokens>,
}

/// What stands at every door.
#[derive(Debug)]
pub struct Guard {
    /// Nothing where everybody may come in.
    now: Option<RwLock<Arc<Now>>>,
    /// Nobody else can make the hashes that the detectors get.
    seed: [u8; 16],
}

impl Guard {
    /// Everybody may come in and do everything, and nobody is known.
    #[must_use]
    pub fn open() -> Self {
        Self { now: None, seed: [0; 16] }
    }

    /// Only callers who are known by these rules come in. The seed is to be random.
    #[must_use]
    pub fn new(rules: Rules, seed: &[u8; 16]) -> Self {
        let guard = Self { now: Some(RwLock::default()), seed: *seed };
        guard.replace(rules);
        guard
    }

    /// Whether everybody may come in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.now.is_none()
    }

    /// From now on these rules hold. An open guard stays open.
    pub fn replace(&self, rules: Rules) {
        let next = Arc::new(Now { rules: Arc::new(rules), verified: Mutex::default() });
        if let Some(now) = &self.now {
            *now.write().unwrap_or_else(PoisonError::into_inner) = next;
        }
    }

    /// The rules that hold now; nothing where everybody may come in.
    #[must_use]
    pub fn rules(&self) -> Option<Arc<Rules>> {
        self.now().map(|now| now.rules.clone())
    }

    fn now(&self) -> Option<Arc<Now>> {
        self.now.as_ref().map(|now| now.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Who sends a request that shows this, at this time.
    ///
    /// # Errors
    /// Where that is nobody who may come in.
    pub fn authenticate(&self, shown: Shown<'_>, now: UnixMicros) -> Result<Caller, NotIn> {
        let Some(held) = self.now() else { return Ok(Caller::anonymous()) };
        let without = |reason| NotIn { reason, tried: None };
        let header = match (shown.authorization, shown.certificate) {
            (Some(header), _) => header,
            (None, Some(certificate)) => {
                let found = held.rules.certificates.check(certificate, now);
                return found.map(Caller::known).map_err(|refused| self.certificate_not_in(refused));
            }
            (None, None) => return Err(without(Refused::Missing)),
        };
        let text = std::str::from_utf8(header).ok().and_then(bearer).ok_or(without(Refused::Scheme))?;
        if text.starts_with(key::PREFIX) {
            return match held.rules.keys.check(text, now) {
                Ok(record) => Ok(Caller::by_key(record)),
                Err(refused) => Err(self.key_not_in(refused, text)),
            };
        }
        let hash: [u8; 32] = Sha256::digest(text).into();
        let kept = |tokens: &VerifiedTokens| tokens.get(&hash, now).cloned();
        if let Some(identity) = kept(&held.verified.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(Caller::known(identity));
        }
        match held.rules.issuers.check(text, now) {
            Ok(verified) => {
                let caller = Caller::known(verified.identity.clone());
                if !verified.is_one_time {
                    held.verified.lock().unwrap_or_else(PoisonError::into_inner).put(hash, verified, now);
                }
                Ok(caller)
            }
            Err(refused) => Err(self.token_not_in(&held.rules.issuers, refused, text)),
        }
    }

    fn certificate_not_in(&self, refused: certificate::Refused) -> NotIn {
        let tried = match &refused {
            // The handshake has seen its key: its owner is not guessing.
            certificate::Refused::Expired { name } => {
                let hash = self.hash(&[name.as_bytes()]);
                Some(Tried { key: hash, credential: hash, is_known: true })
            }
            certificate::Refused::Unknown { .. } => None,
        };
        NotIn { reason: refused.into(), tried }
    }

    fn key_not_in(&self, refused: key::Refused, text: &str) -> NotIn {
        let id = refused.id().or_else(|| Presented::parse(text).ok().map(|presented| presented.id));
        let key = id.map_or_else(|| self.hash(&[text.as_bytes()]), |id| self.hash(&[&id.0]));
        let is_known = !matches!(refused, key::Refused::Malformed(_) | key::Refused::Unknown(_));
        // Whoever has the secret of a key that is too old is not guessing.
        let is_owner = matches!(refused, key::Refused::Expired { .. } | key::Refused::Revoked { .. });
        let credential = if is_owner { key } else { self.hash(&[text.as_bytes()]) };
        NotIn { reason: refused.into(), tried: Some(Tried { key, credential, is_known }) }
    }

    fn token_not_in(&self, issuers: &Issuers, refused: token::Refused, text: &str) -> NotIn {
        let (issuer, subject) = token::claimed(text).unwrap_or_default();
        let key = self.hash(&[issuer.as_bytes(), subject.as_bytes()]);
        let is_known = issuers.names().any(|name| name == issuer);
        let credential = if refused.is_signed() { key } else { self.hash(&[text.as_bytes()]) };
        NotIn { reason: refused.into(), tried: Some(Tried { key, credential, is_known }) }
    }

    fn hash(&self, parts: &[&[u8]]) -> u64 {
        let mut hash = Sha256::new().chain_update(self.seed);
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Whether a caller may do that; nothing where nobody is asked.
    pub fn decide(&self, caller: &Caller, action: Action, resource: &Resource) -> Option<Decision> {
        Some(self.now()?.rules.policies.decide(&caller.identity, action, resource))
    }

    /// The policies by which a caller may do that; nothing where nobody is asked.
    ///
    /// # Errors
    /// Where he may not.
    pub fn permit(
        &self,
        caller: &Caller,
        action: Action,
        resource: &Resource,
    ) -> Result<Option<Arc<str>>, NotPermitted> {
        let Some(decision) = self.decide(caller, action, resource) else { return Ok(None) };
        let policy = decision.named().clone();
        if decision.allowed() {
            return Ok(Some(policy));
        }
        let why = match decision.why() {
            Why::Policies => format!("forbidden by {policy}"),
            Why::NoPolicy => "no policy permits it".to_owned(),
            Why::Scope => "the credential is limited to something else".to_owned(),
            Why::Failed => "a policy could not be evaluated".to_owned(),
        };
        let message = format!("{} may not do {action} to {resource}: {why}", caller.principal());
        Err(NotPermitted { fault: Fault::new(Code::NotPermitted, message), policy })
    }

    /// A model as a resource, with its owner.
    #[must_use]
    pub fn model(&self, name: &ModelName) -> Resource {
        let tenant = self.now().and_then(|now| now.rules.tenants.owner(name).cloned());
        Resource::Model { name: name.clone(), tenant }
    }

    /// How much a tenant may ask for.
    #[must_use]
    pub fn quota(&self, tenant: &TenantId) -> Option<Quota> {
        self.now()?.rules.tenants.quota(tenant)
    }
}

/// What stands behind the scheme of a bearer, which may be written with large letters.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, rest) = header.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| rest.trim()).filter(|rest| !rest.is_empty())
}
