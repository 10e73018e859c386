//! Names of keys.

use crate::envelope::Failed;
use data_encoding::HEXLOWER;
use std::fmt;

/// Which key, over all its versions. A person's is random and says nothing about whose it is; a tenant's follows from its name
/// ([`Keys::ids_of`](super::Keys::ids_of)).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 16]);

impl KeyId {
    /// The id of its text, as [`fmt::Display`] writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 16];
        let fits = text.len() == 32 && HEXLOWER.decode_mut(text.as_bytes(), &mut id).is_ok();
        fits.then_some(Self(id))
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

/// Which version of which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyRef {
    /// Which key.
    pub id: KeyId,
    /// Which version, from 1.
    pub version: u32,
}

impl KeyRef {
    pub(crate) const BYTES: usize = 20;

    /// The version after this one. There is none where a record that nobody here wrote says so.
    pub(crate) fn next(self) -> Result<Self, Failed> {
        let version = self.version.checked_add(1).ok_or(Failed::UnknownKey(self))?;
        Ok(Self { version, ..self })
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.id.0);
        bytes[16..].copy_from_slice(&self.version.to_be_bytes());
        bytes
    }

    pub(crate) fn of_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let (mut id, mut version) = ([0; 16], [0; 4]);
        id.copy_from_slice(&bytes[..16]);
        version.copy_from_slice(&bytes[16..]);
        Self { id: KeyId(id), version: u32::from_be_bytes(version) }
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.version)
    }
}
