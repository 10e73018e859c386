//! The key above all others.

use crate::envelope::cipher::{Cipher, KEY_BYTES, NONCE_BYTES};
use crate::envelope::{KeyId, KeyRef, Keys, Level, Nonce};
use crate::secret::Secret;
use data_encoding::HEXLOWER;
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

    /// The key that `by` has wrapped with this context.
    ///
    /// # Errors
    /// Where `by` is not this root key, or has not wrapped it with that.
    fn unwrap(&self, by: KeyRef, wrapped: &[u8], context: &[u8]) -> Result<Secret<KEY_BYTES>, RootFailed>;
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

    fn unwrap(&self, by: KeyRef, wrapped: &[u8], context: &[u8]) -> Result<Secret<KEY_BYTES>, RootFailed> {
        if by != self.key_ref {
            return Err(RootFailed::Another { wanted: by, this: self.key_ref });
        }
        unwrap(&self.key, wrapped, context).ok_or(RootFailed::Changed)
    }
}

impl fmt::Debug for LocalRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalRoot({})", self.key_ref)
    }
}

/// Root keys one after the other: the first wraps, the others still unwrap what they have wrapped. So a new one can be given to all
/// processes before anything is wrapped with it alone.
#[derive(Debug)]
pub struct Roots(Vec<LocalRoot>);

/// A text does not name root keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no root key: each is 64 hexadecimal digits, the newest first")]
pub struct InvalidRoots {
    /// Which line, from 1.
    pub line: usize,
}

impl Roots {
    /// The root keys of a text, a line or a part between commas each, 64 hexadecimal digits. What stands behind `#` is not read. None where
    /// there are none.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Option<Self>, InvalidRoots> {
        let mut roots = Vec::new();
        for (place, line) in text.lines().enumerate() {
            let keys = line.split('#').next().unwrap_or_default();
            for part in keys.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                let digits = zeroize::Zeroizing::new(part.to_ascii_lowercase());
                let bytes = zeroize::Zeroizing::new(HEXLOWER.decode(digits.as_bytes()).unwrap_or_default());
                let key = Secret::of_slice(&bytes).ok_or(InvalidRoots { line: place + 1 })?;
                roots.push(LocalRoot::new(key));
            }
        }
        Ok((!roots.is_empty()).then_some(Self(roots)))
    }
}

/// Two are the same where they are called the same: their names are hashes of them.
impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|root| root.key_ref).eq(other.0.iter().map(|root| root.key_ref))
    }
}

impl Eq for Roots {}

impl From<LocalRoot> for Roots {
    fn from(root: LocalRoot) -> Self {
        Self(vec![root])
    }
}

impl Roots {
    /// The one of them that has wrapped these keys, to wrap others beside them; the first where there are none. Who was not told of a newer
    /// root key yet can read what it wraps.
    pub(crate) fn beside(&self, keys: &Keys) -> Beside<'_> {
        let by = keys.records().find(|record| record.level == Level::Tenant).map(|record| record.by);
        let own = self.0.iter().find(|root| Some(root.key_ref) == by).unwrap_or(&self.0[0]);
        Beside { roots: self, own }
    }
}

/// One of several root keys wraps, and all of them unwrap.
pub(crate) struct Beside<'r> {
    roots: &'r Roots,
    own: &'r LocalRoot,
}

impl RootKey for Beside<'_> {
    fn key_ref(&self) -> KeyRef {
        self.own.key_ref
    }

    fn wrap(&self, key: &Secret<KEY_BYTES>, context: &[u8], nonce: Nonce) -> Result<Vec<u8>, RootFailed> {
        self.own.wrap(key, context, nonce)
    }

    fn unwrap(&self, by: KeyRef, wrapped: &[u8], context: &[u8]) -> Result<Secret<KEY_BYTES>, RootFailed> {
        self.roots.unwrap(by, wrapped, context)
    }
}

impl RootKey for Roots {
    fn key_ref(&self) -> KeyRef {
        // There is one: nothing makes them of none.
        self.0[0].key_ref
    }

    fn wrap(&self, key: &Secret<KEY_BYTES>, context: &[u8], nonce: Nonce) -> Result<Vec<u8>, RootFailed> {
        self.0[0].wrap(key, context, nonce)
    }

    fn unwrap(&self, by: KeyRef, wrapped: &[u8], context: &[u8]) -> Result<Secret<KEY_BYTES>, RootFailed> {
        let own = self.0.iter().find(|root| root.key_ref == by).unwrap_or(&self.0[0]);
        own.unwrap(by, wrapped, context)
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
