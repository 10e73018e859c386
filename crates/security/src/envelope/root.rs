//! The key above all others.

use crate::envelope::cipher::{Cipher, KEY_BYTES, NONCE_BYTES};
use crate::envelope::{KeyId, KeyRef, Nonce};
use crate::secret::Secret;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Why a root key cannot wrap or unwrap.
#[derive(Debug, thiserror::Error)]
pub enum RootFailed {
    /// The key was wrapped with another root key.
    #[error("root key {wanted} is needed, and this is {this}")]
    Another {
        /// What it was wrapped with.
        wanted: KeyRef,
        /// What was asked.
        this: KeyRef,
    },
    /// The wrapped key was changed, or belongs elsewhere.
    #[error("the wrapped key was changed")]
    Changed,
    /// The service that holds the key says no, or nothing.
    #[error("the key service failed: {0}")]
    Service(String),
}

/// A root key, wherever it is kept: in this process or in a key service that does not give it away.
pub trait RootKey {
    /// What it is called. A new key has another id or version.
    fn key_ref(&self) -> KeyRef;

    /// Wraps a key, bound to `context`.
    ///
    /// # Errors
    /// Where whoever holds the root key does not.
    fn wrap(&self, key: &Secret<KEY_BYTES>, context: &[u8], nonce: Nonce) -> Result<Vec<u8>, RootFailed>;

    /// The key that was wrapped with this context.
    ///
    /// # Errors
    /// Where it is not one that this root key has wrapped with it.
    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Secret<KEY_BYTES>, RootFailed>;
}

/// A root key of 32 bytes in this process, from a file or the environment.
pub struct LocalRoot {
    key: Secret<KEY_BYTES>,
    key_ref: KeyRef,
}

impl LocalRoot {
    /// The root key of these bytes, which must be random. Its id is a hash of them, so that a wrong file is told from a damaged one.
    #[must_use]
    pub fn new(key: Secret<KEY_BYTES>) -> Self {
        let hash = Sha256::new().chain_update("spinwell root key").chain_update(key.expose()).finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        Self { key, key_ref: KeyRef { id: KeyId(id), version: 1 } }
    }
}

impl RootKey for LocalRoot {
    fn key_ref(&self) -> KeyRef {
        self.key_ref
    }

    fn wrap(&self, key: &Secret<KEY_BYTES>, context: &[u8], nonce: Nonce) -> Result<Vec<u8>, RootFailed> {
        Ok(wrap(&self.key, key, context, nonce))
    }

    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Secret<KEY_BYTES>, RootFailed> {
        unwrap(&self.key, wrapped, context).ok_or(RootFailed::Changed)
    }
}

impl fmt::Debug for LocalRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalRoot({})", self.key_ref)
    }
}

/// `key` under `by`: the nonce, then what is encrypted.
pub(crate) fn wrap(by: &Secret<KEY_BYTES>, key: &Secret<KEY_BYTES>, context: &[u8], nonce: Nonce) -> Vec<u8> {
    // Room for the tag, so that the key is not left behind in a smaller buffer.
    let mut sealed = Vec::with_capacity(KEY_BYTES + 16);
    sealed.extend_from_slice(key.expose());
    Cipher::new(by).seal(nonce, context, &mut sealed);
    [&nonce[..], &sealed].concat()
}

/// What [`wrap`] has wrapped.
pub(crate) fn unwrap(by: &Secret<KEY_BYTES>, wrapped: &[u8], context: &[u8]) -> Option<Secret<KEY_BYTES>> {
    let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_BYTES>()?;
    let mut key = zeroize::Zeroizing::new(sealed.to_vec());
    Cipher::new(by).open(*nonce, context, &mut key).ok()?;
    Secret::of_slice(&key)
}
