//! Encryption at rest.
//!
//! Three levels of keys: the root key wraps a key for each tenant, and that wraps data keys, one for each natural person or set of data. Data are
//! encrypted with data keys only. So a new root or tenant key changes wrapped keys and no data, and whoever deletes a person's key has
//! erased the person from every copy, while hashes over what is encrypted stay as they were.
//!
//! The cipher is AES-256-GCM-SIV: a nonce that repeats, after a restored backup or from a poor source, shows at most that two
//! texts are equal. What is encrypted is bound to where it stands ([`Context`]), so that it cannot be moved to another place. Its
//! [`Header`] is readable without a key: what must be re-encrypted or has become unreadable is found without one.
//!
//! ```
//! use spinwell_core::UnixMicros;
//! use spinwell_security::Secret;
//! use spinwell_security::envelope::{Context, Fresh, KeyId, Keys, LocalRoot, open_field, seal_field};
//!
//! let root = LocalRoot::new(Secret::of(&[1; 32]));
//! let fresh = |byte| Fresh { secret: Secret::of(&[byte; 32]), nonce: [byte; 12], now: UnixMicros(1) };
//! let (acme, person) = (KeyId([2; 16]), KeyId([3; 16]));
//! let mut keys = Keys::default();
//! keys.add_tenant(&root, acme, &fresh(2)).unwrap();
//! keys.add_data(&root, acme, person, &fresh(3)).unwrap();
//!
//! let place = Context { tenant: "acme", path: "predictions/17", field: "input" };
//! let sealed = seal_field(&keys.newest(&root, person).unwrap(), &place, &[9; 12], b"72 bpm");
//! assert_eq!(open_field(&keys, &root, &place, &sealed).unwrap().expose(), b"72 bpm");
//! keys.erase(person);
//! assert!(open_field(&keys, &root, &place, &sealed).is_err());
//! ```

mod cipher;
mod field;
mod header;
mod ids;
mod keys;
mod record;
mod root;
mod stream;
#[cfg(test)]
mod tests;
mod vault;

pub use cipher::{NONCE_BYTES, Nonce};
pub use field::{open_field, seal_field};
pub use header::{Algorithm, HEADER_BYTES, Header, Shape};
pub use ids::{KeyId, KeyRef};
pub use keys::{DataKey, Erased, Fresh, Keys};
pub use record::{InvalidRecord, Level, WrappedKey};
pub use root::{InvalidRoots, LocalRoot, RootFailed, RootKey, Roots};
pub use stream::{CHUNK_BYTES, Total, open_stream, seal_stream};
pub use vault::{Rotated, Vault};

/// Where something encrypted stands. It opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'c> {
    /// Whose it is.
    pub tenant: &'c str,
    /// The file, or the row.
    pub path: &'c str,
    /// The field inside, or nothing for a whole file.
    pub field: &'c str,
}

impl Context<'_> {
    /// Its bytes behind a header, each part with its length, so that no two contexts look alike.
    fn bound_to(&self, header: &[u8]) -> Vec<u8> {
        let parts = [self.tenant, self.path, self.field];
        let len: usize = parts.iter().map(|part| part.len() + 8).sum();
        let mut bytes = Vec::with_capacity(header.len() + len + 9);
        bytes.extend_from_slice(header);
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// Why something does not open, or a key cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It does not begin like something of ours.
    #[error("it is not encrypted by Spinwell, or its beginning is damaged")]
    NotOurs,
    /// It was written by a later release.
    #[error("format {format} with algorithm {algorithm} is not known to this release")]
    Later {
        /// Which format.
        format: u8,
        /// Which algorithm.
        algorithm: u8,
    },
    /// A field where a stream was expected, or the other way round.
    #[error("it is a {0:?}, which is opened in another way")]
    Shape(Shape),
    /// Its key is not there.
    #[error("key {0} is not there")]
    UnknownKey(KeyRef),
    /// A key that was there is not there any more, and nobody has erased it.
    #[error(
        "key {0} was there and is gone: were the wrapped keys lost, or replaced by older ones? Bring them back"
    )]
    Gone(KeyRef),
    /// Its key was deleted so that nobody can read it.
    #[error("key {0} was erased: what it encrypted cannot be read again")]
    Erased(KeyId),
    /// A key of another level.
    #[error("key {id} is a {level:?} key")]
    Level {
        /// Which key.
        id: KeyId,
        /// What it is.
        level: Level,
    },
    /// There is a key of this id.
    #[error("key {0} exists")]
    Exists(KeyId),
    /// It was changed, stands in another place than it was written for, or is of another key.
    #[error("it was changed, or moved from where it was written")]
    Changed,
    /// Its end is missing.
    #[error("it is cut off after {0} chunks")]
    CutOff(u64),
    /// The root key does not do its part.
    #[error("the root key failed")]
    Root(#[source] RootFailed),
    /// It could not be read or written.
    #[error("reading or writing failed")]
    Io(#[source] std::io::Error),
}
