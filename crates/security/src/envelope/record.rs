//! A key as it is kept: wrapped by the one above it.

use crate::envelope::cipher::{KEY_BYTES, TAG_BYTES};
use crate::envelope::{KeyRef, NONCE_BYTES};
use spinwell_core::UnixMicros;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// It wraps data keys.
    Tenant,
    /// It encrypts data, of one natural person or one set.
    Data,
}

/// A key, wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// Which key.
    pub key: KeyRef,
    /// What it is for.
    pub level: Level,
    /// When it was made.
    pub created: UnixMicros,
    /// The key that it is wrapped with.
    pub by: KeyRef,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
}

/// Bytes are no record of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a record of a wrapped key, or one of a later release")]
pub struct InvalidRecord;

const MAGIC: [u8; 4] = *b"SPWK";
const FORMAT: u8 = 1;
/// A key service may wrap in its own form, no longer than this.
const WRAPPED_BYTES_MAX: usize = 4_096;
const WRAPPED_BYTES_MIN: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;
const HEAD_BYTES: usize = 6 + KeyRef::BYTES + 8 + KeyRef::BYTES;

impl WrappedKey {
    /// What the wrapping is bound to: a wrapped key cannot pass for another one. Not which key wraps it, which changes.
    pub(crate) fn context(key: KeyRef, level: Level, created: UnixMicros) -> Vec<u8> {
        let created = created.0.to_be_bytes();
        [&MAGIC[..], &[FORMAT, level.number()], &key.to_bytes(), &created].concat()
    }

    /// Its bytes, to be kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Self::context(self.key, self.level, self.created);
        bytes.extend_from_slice(&self.by.to_bytes());
        bytes.extend_from_slice(&self.wrapped);
        bytes
    }

    /// The record of its bytes.
    ///
    /// # Errors
    /// Where they are none.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let (head, wrapped) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(InvalidRecord)?;
        if head[..4] != MAGIC || head[4] != FORMAT {
            return Err(InvalidRecord);
        }
        if !(WRAPPED_BYTES_MIN..=WRAPPED_BYTES_MAX).contains(&wrapped.len()) {
            return Err(InvalidRecord);
        }
        let level = Level::of_number(head[5]).ok_or(InvalidRecord)?;
        let key_ref = |from: usize| {
            let bytes = head.get(from..from + KeyRef::BYTES).and_then(|bytes| bytes.try_into().ok());
            bytes.map(KeyRef::of_bytes).ok_or(InvalidRecord)
        };
        let (key, by) = (key_ref(6)?, key_ref(6 + KeyRef::BYTES + 8)?);
        let mut created = [0; 8];
        created.copy_from_slice(&head[6 + KeyRef::BYTES..][..8]);
        let created = UnixMicros(u64::from_be_bytes(created));
        Ok(Self { key, level, created, by, wrapped: wrapped.to_vec() })
    }
}

impl Level {
    fn number(self) -> u8 {
        match self {
            Self::Tenant => 1,
            Self::Data => 2,
        }
    }

    fn of_number(number: u8) -> Option<Self> {
        [Self::Tenant, Self::Data].into_iter().find(|level| level.number() == number)
    }
}
