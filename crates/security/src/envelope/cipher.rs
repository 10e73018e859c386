//! AES-256-GCM-SIV (RFC 8452), of the one crypto provider of the house.

use crate::envelope::Failed;
use crate::secret::Secret;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce as OnceNonce, UnboundKey};

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 12;
/// Random bytes that make two encryptions of one text differ.
pub type Nonce = [u8; NONCE_BYTES];

pub(crate) const KEY_BYTES: usize = 32;
pub(crate) const TAG_BYTES: usize = 16;

/// A key that is ready. The provider wipes its own copy.
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    pub(crate) fn new(key: &Secret<KEY_BYTES>) -> Self {
        match UnboundKey::new(&AES_256_GCM_SIV, key.expose()) {
            Ok(key) => Self(LessSafeKey::new(key)),
            Err(_) => unreachable!("a key of 32 bytes is one for AES-256"),
        }
    }

    /// Encrypts `text` in place and puts the tag behind it.
    pub(crate) fn seal(&self, nonce: Nonce, bound: &[u8], text: &mut Vec<u8>) {
        let nonce = OnceNonce::assume_unique_for_key(nonce);
        let sealed = self.0.seal_in_place_append_tag(nonce, Aad::from(bound), text);
        assert!(
            sealed.is_ok(),
            "only a text of 64 GiB cannot be sealed, and all that we seal is in memory or in chunks"
        );
    }

    /// Decrypts `sealed` in place and takes the tag away.
    pub(crate) fn open(&self, nonce: Nonce, bound: &[u8], sealed: &mut Vec<u8>) -> Result<(), Failed> {
        let nonce = OnceNonce::assume_unique_for_key(nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(bound), sealed).map_err(|_| Failed::Changed)?;
        let len = opened.len();
        sealed.truncate(len);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    /// RFC 8452, appendix C.2.
    #[test]
    fn vectors_of_the_rfc() {
        let (mut key, mut nonce) = ([0; 32], [0; 12]);
        (key[0], nonce[0]) = (1, 3);
        let rows = [
            ("", "", "07f5f4169bbf55a8400cd47ea6fd400f"),
            ("0100000000000000", "", "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28"),
            ("0200000000000000", "01", "1de22967237a813291213f267e3b452f02d01ae33e4ec854"),
        ];
        let bytes = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
        for (text, bound, sealed) in rows {
            let cipher = Cipher::new(&Secret::of(&key));
            let mut given = bytes(text);
            cipher.seal(nonce, &bytes(bound), &mut given);
            assert_eq!(HEXLOWER.encode(&given), sealed);
            cipher.open(nonce, &bytes(bound), &mut given).unwrap();
            assert_eq!(given, bytes(text));
        }
    }
}
