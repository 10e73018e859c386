//! All keys that are known, and whether a presented one is one of them.
//!
//! A ring never changes: whoever creates or revokes a key makes another ring and swaps it in, so that a request sees one state and
//! takes no lock.

use crate::key::{KeyId, KeyRecord, Presented, Unreadable};
use spinwell_core::UnixMicros;
use std::collections::HashMap;
use subtle::ConstantTimeEq as _;

/// Two records have one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("two API keys have the id {0}")]
pub struct TwoOfOneId(pub KeyId);

/// Why a key is refused: what the log and the detectors may know. The caller is told [`Refused::for_caller`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no key.
    #[error("the text is not an API key")]
    Malformed(#[source] Unreadable),
    /// Nobody was given a key with this id.
    #[error("API key {0} is unknown")]
    Unknown(KeyId),
    /// The id is known, and this is not its secret.
    #[error("the secret is not that of API key {0}")]
    WrongSecret(KeyId),
    /// It is too old.
    #[error("API key {id} expired at {}", at.0)]
    Expired {
        /// Which key.
        id: KeyId,
        /// Since when.
        at: UnixMicros,
    },
    /// Somebody has taken it back.
    #[error("API key {id} was revoked at {}", at.0)]
    Revoked {
        /// Which key.
        id: KeyId,
        /// Since when.
        at: UnixMicros,
    },
}

impl Refused {
    /// What the caller may know. An unknown key and a wrong secret sound the same, or ids could be tried out; that a key
    /// has expired or was revoked is only said to somebody who has its secret.
    #[must_use]
    pub fn for_caller(&self) -> &'static str {
        match self {
            Self::Malformed(Unreadable::Form) => "this is not an API key: it looks like spw_<id>_<secret>",
            Self::Malformed(Unreadable::Checksum) => "this API key is mistyped or cut off",
            Self::Unknown(_) | Self::WrongSecret(_) => "this API key is not valid",
            Self::Expired { .. } => "this API key has expired",
            Self::Revoked { .. } => "this API key was revoked",
        }
    }

    /// Which key was meant, where that can be told.
    #[must_use]
    pub fn id(&self) -> Option<KeyId> {
        match self {
            Self::Malformed(_) => None,
            Self::Unknown(id) | Self::WrongSecret(id) => Some(*id),
            Self::Expired { id, .. } | Self::Revoked { id, .. } => Some(*id),
        }
    }
}

/// All keys.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    records: HashMap<KeyId, KeyRecord>,
}

impl KeyRing {
    /// A ring of these keys, revoked and expired ones too.
    ///
    /// # Errors
    /// Where two have one id.
    pub fn new(records: impl IntoIterator<Item = KeyRecord>) -> Result<Self, TwoOfOneId> {
        let mut ring = Self::default();
        for record in records {
            let id = record.id;
            if ring.records.insert(id, record).is_some() {
                return Err(TwoOfOneId(id));
            }
        }
        Ok(ring)
    }

    /// The key of this id.
    #[must_use]
    pub fn get(&self, id: KeyId) -> Option<&KeyRecord> {
        self.records.get(&id)
    }

    /// All of them, in no order.
    pub fn records(&self) -> impl Iterator<Item = &KeyRecord> {
        self.records.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The key that this text is, at this time.
    ///
    /// The secret is compared in constant time, and as much is done for an unknown id as for a known one.
    ///
    /// # Errors
    /// Where it is none that may be used now.
    pub fn check(&self, text: &str, now: UnixMicros) -> Result<&KeyRecord, Refused> {
        let presented = Presented::parse(text).map_err(Refused::Malformed)?;
        let record = self.records.get(&presented.id);
        let expected = record.map_or([0; 32], |record| record.secret_hash);
        let proven: bool = presented.secret_hash().ct_eq(&expected).into();
        let record = match record {
            None => return Err(Refused::Unknown(presented.id)),
            Some(_) if !proven => return Err(Refused::WrongSecret(presented.id)),
            Some(record) => record,
        };
        let id = record.id;
        if let Some(at) = record.revoked.filter(|at| *at <= now) {
            return Err(Refused::Revoked { id, at });
        }
        if let Some(at) = record.expires.filter(|at| *at <= now) {
            return Err(Refused::Expired { id, at });
        }
        Ok(record)
    }
}
