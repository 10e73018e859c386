//! Keys that sign checkpoints, and those that they are checked with, as texts of C2SP signed-note.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519_dalek::SigningKey;
use signed_note::{Signer, StandardSigner, StandardVerifier, Verifier, is_key_name_valid, key_id};
use std::fmt;
use std::str::FromStr;

/// Ed25519 over the note's text.
const ED25519: u8 = 1;

/// A text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// A name that cannot stand before a signature.
    #[error("{0:?} cannot be a key's name: it must not be empty and have no space and no '+'")]
    Name(String),
    /// Something else than a public key.
    #[error("not a verifier key, which looks like NAME+12ab34cd+BASE64: {0}")]
    Public(String),
    /// Something else than a secret key. It is not repeated.
    #[error("not a signer key, which looks like PRIVATE+KEY+NAME+12ab34cd+BASE64: {0}")]
    Secret(String),
}

/// A secret key. Its name is the origin of the log that it signs.
pub struct LogKey {
    signer: StandardSigner,
    public: PublicKey,
    text: String,
}

impl LogKey {
    /// The key that these 32 bytes make, which must be random and secret.
    ///
    /// # Errors
    /// Where the name cannot be one.
    pub fn of_seed(name: &str, seed: &[u8; 32]) -> Result<Self, InvalidKey> {
        if !is_key_name_valid(name) {
            return Err(InvalidKey::Name(name.into()));
        }
        let public = SigningKey::from_bytes(seed).verifying_key();
        let id = key_id(name, &[&[ED25519], &public.to_bytes()[..]].concat());
        let secret = BASE64_STANDARD.encode([&[ED25519], &seed[..]].concat());
        Self::of_text(&format!("PRIVATE+KEY+{name}+{id:08x}+{secret}"))
    }

    /// The key of its text.
    ///
    /// # Errors
    /// Where it is none.
    pub fn of_text(text: &str) -> Result<Self, InvalidKey> {
        let invalid = |why: String| InvalidKey::Secret(why);
        let signer = StandardSigner::new(text).map_err(|error| invalid(error.to_string()))?;
        // Names have no `+`, and the base64 behind them may have some.
        let seed = text.splitn(5, '+').nth(4).and_then(|seed| BASE64_STANDARD.decode(seed).ok());
        let seed = seed.and_then(|seed| <[u8; 32]>::try_from(seed.get(1..)?).ok());
        let seed = seed.ok_or_else(|| invalid("it has another length".into()))?;
        let verifying = SigningKey::from_bytes(&seed).verifying_key();
        let public = signed_note::new_ed25519_verifier_key(signer.name(), &verifying).parse()?;
        Ok(Self { signer, public, text: text.to_owned() })
    }

    /// The text that it can be made of again: a secret.
    #[must_use]
    pub fn secret_text(&self) -> &str {
        &self.text
    }

    /// What its signatures are checked with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public.clone()
    }

    pub(crate) fn signer(&self) -> &dyn Signer {
        &self.signer
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogKey").field(&self.public).finish()
    }
}

/// A public key.
#[derive(Clone)]
pub struct PublicKey {
    verifier: StandardVerifier,
    text: String,
}

impl PublicKey {
    /// The origin of the log that it is for.
    #[must_use]
    pub fn name(&self) -> &str {
        self.verifier.name()
    }

    pub(crate) fn verifier(&self) -> Box<dyn Verifier> {
        Box::new(self.verifier.clone())
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let text = text.trim();
        let verifier = StandardVerifier::new(text).map_err(|error| InvalidKey::Public(error.to_string()))?;
        Ok(Self { verifier, text: text.to_owned() })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_from_their_texts_and_others_are_refused() {
        let key = LogKey::of_seed("example.com/log", &[9; 32]).unwrap();
        assert_eq!(
            LogKey::of_text(key.secret_text()).unwrap().public().to_string(),
            key.public().to_string()
        );
        // Half of all keys have a `+` in their base64.
        for seed in 0..=255 {
            let key = LogKey::of_seed("example.com/log", &[seed; 32]).unwrap();
            let again = LogKey::of_text(key.secret_text()).unwrap().public().to_string();
            assert_eq!(again.parse::<PublicKey>().unwrap().to_string(), key.public().to_string());
        }
        let public: PublicKey = format!(" {}\n", key.public()).parse().unwrap();
        assert_eq!(public.name(), "example.com/log");
        assert!(!format!("{key:?}").contains(key.secret_text().rsplit('+').next().unwrap()));
        for name in ["", "a b", "a+b"] {
            assert_eq!(LogKey::of_seed(name, &[9; 32]).unwrap_err(), InvalidKey::Name(name.into()));
        }
        let text = key.public().to_string();
        for other in ["", "a+b", &text.replace("log+", "lag+"), &text[..text.len() - 4], key.secret_text()] {
            assert!(matches!(other.parse::<PublicKey>(), Err(InvalidKey::Public(_))), "{other}");
        }
        assert!(matches!(LogKey::of_text(&text), Err(InvalidKey::Secret(_))));
    }
}
