//! What stands before everything that is encrypted, readable without a key.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `SPWE` |
//! | 1 | format, 1 |
//! | 1 | algorithm, 1 = AES-256-GCM-SIV |
//! | 1 | shape, 0 = field, 1 = stream |
//! | 1 | 0 |
//! | 16 + 4 | data key's id and version |
//! | 16 | tenant key's id |
//! | 12 | nonce |
//! | 4 | bytes of text in a chunk; 0 for a field |
//!
//! Numbers have their highest byte first. All of it is bound to what follows, so that nothing can be changed.

use crate::envelope::{Failed, KeyId, KeyRef, Nonce};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 60;

const MAGIC: [u8; 4] = *b"SPWE";
const FORMAT: u8 = 1;

/// With what it is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// AES-256-GCM-SIV (RFC 8452).
    Aes256GcmSiv,
}

/// How it is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One piece.
    Field,
    /// Chunks with so many bytes of text each, but the last.
    Stream {
        /// How many.
        chunk_bytes: u32,
    },
}

/// What stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// With what it is encrypted.
    pub algorithm: Algorithm,
    /// How it is laid out.
    pub shape: Shape,
    /// The key that it is encrypted with.
    pub key: KeyRef,
    /// The tenant's key, which wraps that one.
    pub tenant_key: KeyId,
    /// Of a stream: of its first chunk.
    pub nonce: Nonce,
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let Self { algorithm: Algorithm::Aes256GcmSiv, shape, key, tenant_key, nonce } = self;
        let (shape, chunk_bytes) = match shape {
            Shape::Field => (0, 0),
            Shape::Stream { chunk_bytes } => (1, chunk_bytes),
        };
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&[FORMAT, 1, shape, 0]);
        bytes[8..28].copy_from_slice(&key.to_bytes());
        bytes[28..44].copy_from_slice(&tenant_key.0);
        bytes[44..56].copy_from_slice(&nonce);
        bytes[56..].copy_from_slice(&chunk_bytes.to_be_bytes());
        bytes
    }

    /// The header that these bytes begin with.
    ///
    /// # Errors
    /// Where they do not, or it is one of a later release.
    pub fn parse(bytes: &[u8]) -> Result<Self, Failed> {
        let mut rest = bytes;
        if take::<4>(&mut rest)? != MAGIC {
            return Err(Failed::NotOurs);
        }
        let [format, algorithm, shape, zero] = take::<4>(&mut rest)?;
        if (format, algorithm) != (FORMAT, 1) {
            return Err(Failed::Later { format, algorithm });
        }
        let key = KeyRef::of_bytes(&take(&mut rest)?);
        let tenant_key = KeyId(take(&mut rest)?);
        let nonce = take(&mut rest)?;
        let chunk_bytes = u32::from_be_bytes(take(&mut rest)?);
        let shape = match (shape, zero, chunk_bytes) {
            (0, 0, 0) => Shape::Field,
            (1, 0, 1..) => Shape::Stream { chunk_bytes },
            _ => return Err(Failed::NotOurs),
        };
        Ok(Self { algorithm: Algorithm::Aes256GcmSiv, shape, key, tenant_key, nonce })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Failed> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or(Failed::NotOurs)?;
    *bytes = rest;
    Ok(*first)
}
