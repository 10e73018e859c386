//! Bytes that nobody may see: wiped when dropped, and never printed.

use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes. They lie on the heap, so that moving the value leaves no copy behind.
///
/// There is no `Clone`, no `PartialEq` and no `Display` on purpose: each of them is a way out.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// A copy of these bytes. Wiping what they were copied from is the caller's part.
    #[must_use]
    pub fn of(bytes: &[u8; N]) -> Self {
        let mut secret = Self(Box::new([0; N]));
        secret.0.copy_from_slice(bytes);
        secret
    }

    /// The secret of a slice, if it has the right length.
    #[must_use]
    pub fn of_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::of)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A text that nobody may see, such as an API key on its way to the one who asked for it.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// Bytes of any length that nobody may see, such as what was read of an encrypted field.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let secret = Secret::of(&[0x41; 4]);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(format!("{:?}", SecretText::new("AAAA".into())), "SecretText(..)");
        assert_eq!(format!("{:?}", SecretBytes::new(b"AAAA".into())), "SecretBytes(..)");
        assert_eq!(secret.expose(), b"AAAA");
    }

    #[test]
    fn wiping_leaves_zeros() {
        let (mut secret, mut text) = (Secret::of(&[7; 32]), SecretText::new("abc".into()));
        secret.zeroize();
        text.zeroize();
        assert_eq!(secret.expose(), &[0; 32]);
        assert_eq!(text.expose(), "");
    }

    #[test]
    fn a_slice_of_another_length_is_none() {
        assert!(Secret::<32>::of_slice(&[1; 31]).is_none());
        assert!(Secret::<32>::of_slice(&[1; 32]).is_some());
    }
}
