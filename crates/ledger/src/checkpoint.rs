//! What a log commits to: how many entries it has and what their root is, signed (C2SP tlog-checkpoint).

use crate::key::{LogKey, PublicKey};
use signed_note::{Note, VerifierList};
use tlog_tiles::Hash;

/// A checkpoint is not what it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// No signed checkpoint at all.
    #[error("not a signed checkpoint: {0}")]
    Malformed(String),
    /// None of the keys has signed it, or one of them something else.
    #[error("the signature does not hold: {0}")]
    Signature(String),
    /// None of the keys is of the log that it names.
    #[error("no key was given for {0}")]
    NoKey(String),
    /// The key of the log that it names is not among those that have signed it.
    #[error("it is of the log {0:?}, whose key has not signed it")]
    Origin(String),
}

/// How far a log has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The log's name, which is its key's name.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

/// A checkpoint that its log has signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Signed {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The names of the keys whose signatures hold, the log's among them.
    pub signed_by: Vec<String>,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// The signed note.
    ///
    /// # Errors
    /// Where the origin cannot stand in one.
    pub fn sign(&self, keys: &[&LogKey]) -> Result<Vec<u8>, CheckpointError> {
        let malformed = |error: &dyn ToString| CheckpointError::Malformed(error.to_string());
        let mut note = Note::new(self.text().as_bytes(), &[]).map_err(|error| malformed(&error))?;
        let signers: Vec<_> = keys.iter().map(|key| key.signer()).collect();
        note.add_sigs(&signers).map_err(|error| malformed(&error))?;
        Ok(note.to_bytes())
    }

    /// Reads a signed note and checks it with these keys.
    ///
    /// # Errors
    /// Where it is none, or the log that it names has not signed it with one of them.
    pub fn open(note: &[u8], keys: &[PublicKey]) -> Result<Signed, CheckpointError> {
        let (signed_by, checkpoint, _) = Self::checked(note, keys)?;
        Ok(Signed { checkpoint, signed_by })
    }

    /// The same, and the note with those signatures alone that hold.
    pub(crate) fn cleaned(note: &[u8], keys: &[PublicKey]) -> Result<(Self, Vec<u8>), CheckpointError> {
        let (_, checkpoint, note) = Self::checked(note, keys)?;
        Ok((checkpoint, note.to_bytes()))
    }

    fn checked(note: &[u8], keys: &[PublicKey]) -> Result<(Vec<String>, Self, Note), CheckpointError> {
        let (note, checkpoint) = Self::unchecked(note)?;
        if keys.iter().all(|key| key.name() != checkpoint.origin) {
            return Err(CheckpointError::NoKey(checkpoint.origin));
        }
        let known = VerifierList::new(keys.iter().map(PublicKey::verifier).collect());
        let (holding, _) =
            note.verify(&known).map_err(|error| CheckpointError::Signature(error.to_string()))?;
        let signed_by: Vec<_> = holding.iter().map(|signature| signature.name().to_owned()).collect();
        if !signed_by.contains(&checkpoint.origin) {
            return Err(CheckpointError::Origin(checkpoint.origin));
        }
        let note = Note::new(note.text(), &holding)
            .map_err(|error| CheckpointError::Malformed(error.to_string()))?;
        Ok((signed_by, checkpoint, note))
    }

    /// What a note says that nobody has checked.
    ///
    /// # Errors
    /// Where it is no signed checkpoint.
    pub fn claimed(note: &[u8]) -> Result<Self, CheckpointError> {
        Ok(Self::unchecked(note)?.1)
    }

    /// What a note says. Whether anybody has signed it is not looked at.
    pub(crate) fn unchecked(note: &[u8]) -> Result<(Note, Self), CheckpointError> {
        let malformed = |error: &dyn ToString| CheckpointError::Malformed(error.to_string());
        let note = Note::from_bytes(note).map_err(|error| malformed(&error))?;
        let parsed = tlog_tiles::Checkpoint::from_bytes(note.text()).map_err(|error| malformed(&error))?;
        let origin = parsed.origin().to_owned();
        let checkpoint = Self { origin, size: parsed.size(), root: *parsed.hash() };
        // Lines behind the root would be signed, and read by nobody here.
        if checkpoint.text().as_bytes() != note.text() {
            return Err(CheckpointError::Malformed("it says more than a checkpoint does".into()));
        }
        Ok((note, checkpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_holds_for_what_its_log_has_signed_and_nothing_else() {
        let key = LogKey::of_seed("example.com/log", &[1; 32]).unwrap();
        let other = LogKey::of_seed("example.com/other", &[2; 32]).unwrap();
        let checkpoint = Checkpoint { origin: "example.com/log".into(), size: 5, root: Hash([3; 32]) };
        let note = checkpoint.sign(&[&key, &other]).unwrap();
        let both = [key.public(), other.public()];
        let signed = Checkpoint::open(&note, &both).unwrap();
        assert_eq!((&signed.checkpoint, signed.signed_by.len()), (&checkpoint, 2));
        assert_eq!(Checkpoint::open(&note, &both[..1]).unwrap().signed_by, ["example.com/log"]);
        assert!(
            matches!(Checkpoint::open(&note, &both[1..]), Err(CheckpointError::NoKey(origin)) if origin == "example.com/log")
        );
        assert!(matches!(Checkpoint::open(&note, &[]), Err(CheckpointError::NoKey(_))));
        let text = String::from_utf8(note).unwrap();
        for changed in [text.replacen("\n5\n", "\n6\n", 1), text.replacen("AwMD", "AwMF", 1)] {
            assert!(
                matches!(Checkpoint::open(changed.as_bytes(), &both), Err(CheckpointError::Signature(_))),
                "{changed}"
            );
        }
        for changed in [
            text.replacen("\n5\n", "\n05\n", 1),
            text.replacen("\n\n", "\nmore\n\n", 1),
            text.replace('\n', ""),
            String::new(),
        ] {
            assert!(
                matches!(Checkpoint::open(changed.as_bytes(), &both), Err(CheckpointError::Malformed(_))),
                "{changed}"
            );
        }
        // One key of the right name that is not the log's.
        let namesake = LogKey::of_seed("example.com/log", &[4; 32]).unwrap();
        let forged = checkpoint.sign(&[&namesake]).unwrap();
        assert!(matches!(Checkpoint::open(&forged, &both), Err(CheckpointError::Signature(_))));
        // Signed by a log that is known, and not by the one that it names.
        let others = checkpoint.sign(&[&other]).unwrap();
        assert!(matches!(Checkpoint::open(&others, &both), Err(CheckpointError::Origin(_))));
    }
}
