//! What a witness says under a log's checkpoint: that it has seen it, and when (C2SP tlog-cosignature, `cosignature/v1`).
//!
//! A witness keeps nothing of a log but its last checkpoint, and signs another one only where that has grown from it. So a log that
//! has a cosignature has not been two logs, and had so many entries at that time.

use crate::key::InvalidKey;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use signed_note::{Note, Verifier, VerifierList, is_key_name_valid, key_id};
use spinwell_core::UnixMicros;
use std::fmt;
use std::str::FromStr;

/// Ed25519 over a time and a note's text.
const COSIGNATURE: u8 = 4;
/// The time stands in front of the signature, in seconds.
const TIME_BYTES: usize = 8;
const SECOND_US: u64 = 1_000_000;

/// The key of a witness.
pub struct WitnessKey {
    signing: SigningKey,
    public: Witness,
}

impl WitnessKey {
    /// The key that these 32 bytes make, which must be random and secret.
    ///
    /// # Errors
    /// Where the name cannot be one.
    pub fn of_seed(name: &str, seed: &[u8; 32]) -> Result<Self, InvalidKey> {
        if !is_key_name_valid(name) {
            return Err(InvalidKey::Name(name.into()));
        }
        let signing = SigningKey::from_bytes(seed);
        let public = Witness { name: name.to_owned(), key: signing.verifying_key() };
        Ok(Self { signing, public })
    }

    /// The key of its text.
    ///
    /// # Errors
    /// Where it is none.
    pub fn of_text(text: &str) -> Result<Self, InvalidKey> {
        let invalid = |why: &str| InvalidKey::Secret(why.to_owned());
        let rest = text.strip_prefix("PRIVATE+KEY+").ok_or_else(|| invalid("it does not begin so"))?;
        let (name, id, bytes) = parts(rest).ok_or_else(|| invalid("it is not of this form"))?;
        let seed = bytes.strip_prefix(&[COSIGNATURE]).and_then(|seed| <[u8; 32]>::try_from(seed).ok());
        let key = Self::of_seed(name, &seed.ok_or_else(|| invalid("it is of another kind or length"))?)?;
        if key.public.id() == id { Ok(key) } else { Err(invalid("its id is another key's")) }
    }

    /// The text that it can be made of again: a secret.
    #[must_use]
    pub fn secret_text(&self) -> String {
        let Witness { name, .. } = &self.public;
        let secret = BASE64_STANDARD.encode([&[COSIGNATURE], &self.signing.to_bytes()[..]].concat());
        format!("PRIVATE+KEY+{name}+{:08x}+{secret}", self.public.id())
    }

    /// What its signatures are checked with.
    #[must_use]
    pub fn public(&self) -> Witness {
        self.public.clone()
    }

    /// The line that says under a note of this text that it was seen at that time.
    #[must_use]
    pub fn cosign(&self, text: &[u8], at: UnixMicros) -> Vec<u8> {
        let seconds = at.0 / SECOND_US;
        let signature = self.signing.sign(&message(seconds, text)).to_bytes();
        let bytes = [&seconds.to_be_bytes()[..], &signature].concat();
        // The name was one when the key was made.
        signed_note::Signature::new(self.public.name.clone(), self.public.id(), bytes)
            .map(|signature| signature.to_bytes())
            .unwrap_or_default()
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WitnessKey").field(&self.public).finish()
    }
}

/// Who cosigns: a name, and the public key that shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Witness {
    name: String,
    key: VerifyingKey,
}

impl Witness {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> u32 {
        key_id(&self.name, &[&[COSIGNATURE], &self.key.to_bytes()[..]].concat())
    }

    /// When it has seen this note; nothing where it has not cosigned it.
    #[must_use]
    pub fn has_seen(&self, note: &[u8]) -> Option<UnixMicros> {
        let note = Note::from_bytes(note).ok()?;
        let (holding, _) = note.verify(&VerifierList::new(vec![Box::new(self.clone())])).ok()?;
        let (seconds, _) = holding.first()?.signature().split_first_chunk::<TIME_BYTES>()?;
        Some(UnixMicros(u64::from_be_bytes(*seconds).saturating_mul(SECOND_US)))
    }
}

impl Verifier for Witness {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id()
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let Some((seconds, signature)) = signature.split_first_chunk::<TIME_BYTES>() else { return false };
        let message = message(u64::from_be_bytes(*seconds), text);
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(&message, &signature).is_ok())
    }
}

impl FromStr for Witness {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let invalid = |why: &str| InvalidKey::Public(why.to_owned());
        let (name, id, bytes) = parts(text.trim()).ok_or_else(|| invalid("it is not of this form"))?;
        if !is_key_name_valid(name) {
            return Err(InvalidKey::Name(name.into()));
        }
        let key = bytes.strip_prefix(&[COSIGNATURE]).and_then(|key| <[u8; 32]>::try_from(key).ok());
        let key = key.ok_or_else(|| invalid("it is no witness's, or has another length"))?;
        let key = VerifyingKey::from_bytes(&key).map_err(|error| invalid(&error.to_string()))?;
        let witness = Self { name: name.to_owned(), key };
        if witness.id() == id { Ok(witness) } else { Err(invalid("its id is another key's")) }
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64_STANDARD.encode([&[COSIGNATURE], &self.key.to_bytes()[..]].concat());
        write!(f, "{}+{:08x}+{key}", self.name, self.id())
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Witness({self})")
    }
}

/// Name, id and bytes of a key's text.
fn parts(text: &str) -> Option<(&str, u32, Vec<u8>)> {
    // Names have no `+`, and the base64 behind them may have some.
    let mut parts = text.splitn(3, '+');
    let (name, id, bytes) = (parts.next()?, parts.next()?, parts.next()?);
    let id = u32::from_str_radix(id, 16).ok().filter(|read| format!("{read:08x}") == id)?;
    Some((name, id, BASE64_STANDARD.decode(bytes).ok()?))
}

fn message(seconds: u64, text: &[u8]) -> Vec<u8> {
    [format!("cosignature/v1\ntime {seconds}\n").as_bytes(), text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, Hash, LogKey, PublicKey};

    const AT: UnixMicros = UnixMicros(1_795_000_000_000_000);

    fn witness(name: &str, seed: u8) -> WitnessKey {
        WitnessKey::of_seed(name, &[seed; 32]).unwrap()
    }

    #[test]
    fn a_cosignature_holds_for_its_note_its_time_and_its_witness() {
        let log = LogKey::of_seed("example.com/log", &[1; 32]).unwrap();
        let checkpoint = Checkpoint { origin: "example.com/log".into(), size: 5, root: Hash([3; 32]) };
        let note = checkpoint.sign(&[&log]).unwrap();
        let text = "example.com/log\n5\nAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\n".as_bytes();
        let key = witness("w", 2);
        let cosigned = [note.clone(), key.cosign(text, AT)].concat();
        assert_eq!(key.public().has_seen(&cosigned), Some(AT));
        assert_eq!(key.public().has_seen(&note), None);
        // Whoever knows the log alone reads it as before.
        assert_eq!(Checkpoint::open(&cosigned, &[log.public()]).unwrap().checkpoint, checkpoint);
        for other in [witness("w", 3), witness("v", 2)] {
            assert_eq!(other.public().has_seen(&cosigned), None, "{other:?}");
        }
        let line = String::from_utf8(key.cosign(text, AT)).unwrap();
        let (head, base64) = line.trim_end().rsplit_once(' ').unwrap();
        let bytes = BASE64_STANDARD.decode(base64).unwrap();
        assert_eq!((head, bytes.len()), ("— w", 4 + 8 + 64));
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            let line = format!("{head} {}\n", BASE64_STANDARD.encode(other));
            assert_eq!(key.public().has_seen(&[&note[..], line.as_bytes()].concat()), None, "{place}");
        }
    }

    #[test]
    fn keys_come_back_from_their_texts_and_a_logs_key_is_none() {
        for seed in 0..=255 {
            let key = witness("example.com/witness", seed);
            assert_eq!(WitnessKey::of_text(&key.secret_text()).unwrap().public(), key.public());
            assert_eq!(format!(" {}\n", key.public()).parse::<Witness>().unwrap(), key.public());
            assert!(!format!("{key:?}").contains(&key.secret_text()[40..]));
        }
        let key = witness("w", 9);
        let log = LogKey::of_seed("w", &[9; 32]).unwrap();
        assert!(key.public().to_string().parse::<PublicKey>().is_err(), "no log is signed with it");
        for other in
            ["", "w+1+2", &log.public().to_string(), &key.public().to_string()[..40], &key.secret_text()]
        {
            assert!(other.parse::<Witness>().is_err(), "{other}");
        }
        for other in
            ["", log.secret_text(), &key.public().to_string(), &key.secret_text().replace("+w+", "+v+")]
        {
            assert!(WitnessKey::of_text(other).is_err(), "{other}");
        }
        assert!(WitnessKey::of_seed("a b", &[1; 32]).is_err());
    }
}
