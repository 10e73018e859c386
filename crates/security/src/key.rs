//! API keys: `spw_<id>_<secret>`.
//!
//! The id is looked up, the secret is proven. A key is stored as the SHA-256 of its secret: the secret has 256 random bits, so
//! there is nothing to guess that a slow hash would make dearer, and a slow one would only let strangers spend our time. The
//! last four bytes of the text are a checksum over id and secret, so that a mistyped or cut-off key is told from an unknown one without a
//! look-up, and a scanner for leaked secrets finds keys by their form ([`PATTERN`]) and is sure of them.
//!
//! ```
//! use spinwell_core::{TenantId, UnixMicros};
//! use spinwell_security::{Scopes, key};
//!
//! let about = key::About {
//!     name: "ci".into(),
//!     tenant: TenantId("acme".into()),
//!     principal: "ci".into(),
//!     roles: ["predictor".to_owned()].into(),
//!     scopes: Scopes::all(),
//!     created: UnixMicros(1),
//!     expires: None,
//! };
//! let (text, record) = key::create(&[1; 8], &[2; 32], about);
//! let ring = key::KeyRing::new([record]).unwrap();
//! let identity = ring.check(text.expose(), UnixMicros(5)).unwrap().identity();
//! assert_eq!(&*identity.principal, "acme/ci");
//! ```

mod ring;
#[cfg(test)]
mod tests;

pub use ring::{KeyRing, Refused, TwoOfOneId};

use crate::identity::{Grants, Identity, Scopes};
use crate::secret::{Secret, SecretText};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use spinwell_core::{TenantId, UnixMicros};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// What every key's text fits, as a regular expression, for scanners of leaked secrets.
pub const PATTERN: &str = "spw_[0-9a-f]{16}_[0-9a-f]{72}";

pub(crate) const PREFIX: &str = "spw_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
/// Hexadecimal: longer than base 32, but every tool reads it, and it has no `_`.
const ID_CHARS: usize = 2 * ID_BYTES;
const SECRET_CHARS: usize = 2 * (SECRET_BYTES + CHECKSUM_BYTES);
const CHARS: usize = PREFIX.len() + ID_CHARS + 1 + SECRET_CHARS;

/// Which key: the part of its text that is no secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; ID_BYTES]);

impl KeyId {
    /// The id of its text, as [`fmt::Display`] writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == ID_CHARS).then(|| decoded(text).map(Self))?
    }

    /// Its last four characters, which tell an owner's keys apart in a list.
    #[must_use]
    pub fn hint(self) -> String {
        self.to_string().split_off(ID_CHARS - 4)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// What a key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// What its owner calls it.
    pub name: String,
    /// Whom it belongs to.
    pub tenant: TenantId,
    /// Who calls with it, as the tenant calls them. Others know them by the tenant's name before it: nobody can take the name of
    /// another tenant's caller, or of one with a token.
    pub principal: String,
    /// Names of the roles that it gives.
    pub roles: BTreeSet<String>,
    /// What it is limited to.
    pub scopes: Scopes,
    /// When it was made.
    pub created: UnixMicros,
    /// From when on it is refused; `None`: never.
    pub expires: Option<UnixMicros>,
}

/// A key as it is kept: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Which key.
    pub id: KeyId,
    /// SHA-256 of its secret.
    pub secret_hash: [u8; 32],
    /// What its owner calls it.
    pub name: String,
    /// Who calls with it, as the tenant calls them.
    pub principal: String,
    /// When it was made.
    pub created: UnixMicros,
    /// From when on it is refused; `None`: never.
    pub expires: Option<UnixMicros>,
    /// Since when it is refused because somebody said so.
    pub revoked: Option<UnixMicros>,
    /// Who calls with it and what they were given, put together once: it is handed out with every request.
    identity: Identity,
}

impl KeyRecord {
    /// The record of a key's parts, as a store has kept them.
    #[must_use]
    pub fn of_parts(id: KeyId, secret_hash: [u8; 32], about: About, revoked: Option<UnixMicros>) -> Self {
        let About { name, tenant, principal, roles, scopes, created, expires } = about;
        let unique = format!("{}/{principal}", tenant.0).into();
        let grants = Arc::new(Grants::new(tenant, roles, scopes));
        let identity = Identity { principal: unique, grants };
        Self { id, secret_hash, name, principal, created, expires, revoked, identity }
    }

    /// Who calls with it.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its id's last four characters.
    #[must_use]
    pub fn hint(&self) -> String {
        self.id.hint()
    }

    /// The same key, refused from `at` on. A key that was revoked before stays so since then.
    #[must_use]
    pub fn revoked_at(self, at: UnixMicros) -> Self {
        Self { revoked: Some(self.revoked.map_or(at, |before| before.min(at))), ..self }
    }
}

/// A new key of these bytes, which must be random: its text, to be shown once, and its record, to be kept.
#[must_use]
pub fn create(id: &[u8; ID_BYTES], secret: &[u8; SECRET_BYTES], about: About) -> (SecretText, KeyRecord) {
    let id = KeyId(*id);
    let mut text = String::with_capacity(CHARS);
    text.push_str(PREFIX);
    HEXLOWER.encode_append(&id.0, &mut text);
    text.push('_');
    HEXLOWER.encode_append(secret, &mut text);
    HEXLOWER.encode_append(&checksum(id, secret), &mut text);
    (SecretText::new(text), KeyRecord::of_parts(id, hash(secret), about, None))
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It does not look like one.
    #[error("not an API key, which looks like spw_<16 digits>_<72 digits> (hexadecimal, small letters)")]
    Form,
    /// It looks like one, and its checksum does not fit.
    #[error("mistyped or damaged: the key's checksum does not fit")]
    Checksum,
}

/// A key's text, taken apart.
#[derive(Debug)]
pub struct Presented {
    /// Which key it says it is.
    pub id: KeyId,
    secret: Secret<SECRET_BYTES>,
}

impl Presented {
    /// Takes a text apart.
    ///
    /// # Errors
    /// Where it is no key's text.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let rest = text.strip_prefix(PREFIX).filter(|_| text.len() == CHARS).ok_or(Unreadable::Form)?;
        let (id, rest) = rest.split_once('_').ok_or(Unreadable::Form)?;
        let id = KeyId::parse(id).ok_or(Unreadable::Form)?;
        let bytes: [u8; SECRET_BYTES + CHECKSUM_BYTES] = decoded(rest).ok_or(Unreadable::Form)?;
        let bytes = zeroize::Zeroizing::new(bytes);
        let (secret, sum) = bytes.split_at(SECRET_BYTES);
        let secret = Secret::of_slice(secret).ok_or(Unreadable::Form)?;
        if *sum == checksum(id, secret.expose()) {
            Ok(Self { id, secret })
        } else {
            Err(Unreadable::Checksum)
        }
    }

    fn secret_hash(&self) -> [u8; 32] {
        hash(self.secret.expose())
    }
}

fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let fits = text.len() == 2 * N && HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).is_ok();
    fits.then_some(bytes)
}

fn hash(secret: &[u8; SECRET_BYTES]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Made of the secret too, but only ever written beside it.
fn checksum(id: KeyId, secret: &[u8; SECRET_BYTES]) -> [u8; CHECKSUM_BYTES] {
    let sum = Sha256::new().chain_update(b"spw").chain_update(id.0).chain_update(secret).finalize();
    [sum[0], sum[1], sum[2], sum[3]]
}
