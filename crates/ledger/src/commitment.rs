//! What binds a record to data that are not in it: HMAC-SHA-256 (RFC 2104) under a secret key.
//!
//! Whoever has the data and the key can show that the record is of these data; whoever has neither learns nothing, not even whether two
//! records are of data that he could guess.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;

/// The key of commitments.
#[derive(Clone)]
pub struct Commitments(Hmac<Sha256>);

impl Commitments {
    /// With this key, which must be random and secret.
    #[must_use]
    pub fn of_key(key: &[u8; 32]) -> Self {
        // As long as a block, to which a key is filled up with zeros.
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        Self(Hmac::new(&block.into()))
    }

    /// A commitment to something of this kind, to which parts are added.
    #[must_use]
    pub fn begin(&self, kind: &str) -> Commitment {
        let mut commitment = Commitment(self.0.clone());
        commitment.add(kind.as_bytes());
        commitment
    }
}

impl fmt::Debug for Commitments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Commitments")
    }
}

/// A commitment that is being made.
pub struct Commitment(Hmac<Sha256>);

impl Commitment {
    /// Adds a part: its length, then its bytes, so that parts cannot run into each other.
    pub fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// The commitment to all parts in their order.
    #[must_use]
    pub fn end(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: u8, kind: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut commitment = Commitments::of_key(&[key; 32]).begin(kind);
        parts.iter().for_each(|part| commitment.add(part));
        commitment.end()
    }

    #[test]
    fn another_key_kind_or_division_is_another_commitment() {
        let one = of(1, "input", &[b"ab", b"c"]);
        assert_eq!(one, of(1, "input", &[b"ab", b"c"]));
        for other in [
            of(2, "input", &[b"ab", b"c"]),
            of(1, "output", &[b"ab", b"c"]),
            of(1, "input", &[b"a", b"bc"]),
            of(1, "input", &[b"abc"]),
            of(1, "input", &[b"ab", b"c", b""]),
        ] {
            assert_ne!(one, other);
        }
        // Computed with Python's hmac module over the same bytes.
        let text: String = one.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "2566afe8d130f3dabfd946060efec1e0cde9486581375a6f351dbb5e976fb907");
        assert_eq!(format!("{:?}", Commitments::of_key(&[1; 32])), "Commitments");
    }
}
