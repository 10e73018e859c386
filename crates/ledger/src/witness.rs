//! What a witness does with a checkpoint that it is asked to cosign, and how it is asked (C2SP tlog-witness, `add-checkpoint`).
//!
//! It signs what has grown from what it has seen last, and nothing else: whoever is shown a cosigned checkpoint sees the same log as
//! everybody else. It has to have kept that before anybody gets its signature, which is up to whoever holds the [`Memory`].

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::consistency::{Extent, has_grown};
use crate::key::PublicKey;
use std::collections::BTreeMap;
use tlog_tiles::{EMPTY_HASH, Hash};

/// The longest request: 63 hashes, and a checkpoint with dozens of signatures.
pub const REQUEST_BYTES_MAX: usize = 16 << 10;
/// A log of 2^63 entries needs no more.
const PROOF_HASHES_MAX: usize = 63;
/// The media type of a size.
pub const SIZE_MEDIA_TYPE: &str = "text/x.tlog.size";

/// A checkpoint, and how it has grown from the one that the witness is thought to have.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// How many entries that one was over; 0 where there was none.
    pub old: u64,
    /// How it has grown.
    pub proof: Vec<Hash>,
    /// The signed checkpoint.
    pub note: Vec<u8>,
}

/// Why a checkpoint is not cosigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a request at all.
    #[error("not a request to cosign: {0}")]
    Malformed(String),
    /// It is over less than it says to have been over before.
    #[error("the checkpoint is over {size} entries, and is said to have grown from {old}")]
    Shrunk {
        /// What it is said to have grown from.
        old: u64,
        /// How many entries it is over.
        size: u64,
    },
    /// This witness does not know the log.
    #[error("the log {0:?} is not known here")]
    UnknownLog(String),
    /// The log has not signed it.
    #[error("the log has not signed it")]
    Signature(#[source] CheckpointError),
    /// It has grown from another one than this witness has.
    #[error("the checkpoint that was seen last is over {seen} entries")]
    Other {
        /// How many entries that one is over.
        seen: u64,
    },
    /// Two logs with one name.
    #[error("another checkpoint over {size} entries was seen: the log was forked")]
    Forked {
        /// How many entries both are over.
        size: u64,
    },
    /// It is not shown that it has only grown.
    #[error("it is not shown that the first {old} of its {size} entries are those that were seen")]
    NotShown {
        /// How many were seen.
        old: u64,
        /// How many there are said to be.
        size: u64,
    },
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Shrunk { .. } => 400,
            Self::Signature(_) => 403,
            Self::UnknownLog(_) => 404,
            Self::Other { .. } | Self::Forked { .. } => 409,
            Self::NotShown { .. } => 422,
        }
    }
}

impl Request {
    /// As it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let hashes: String = self.proof.iter().map(|hash| format!("{hash}\n")).collect();
        [format!("old {}\n{hashes}\n", self.old).as_bytes(), &self.note].concat()
    }

    /// Reads one.
    ///
    /// # Errors
    /// Where it is none.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, Refusal> {
        let malformed = |why: &str| Refusal::Malformed(why.to_owned());
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let text = str::from_utf8(bytes).map_err(|_| malformed("it is not text"))?;
        let (head, note) = text.split_once("\n\n").ok_or_else(|| malformed("it has no checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| number(line.strip_prefix("old ")?));
        let old = old.ok_or_else(|| malformed("its first line is not \"old\" and a number"))?;
        // Each is 44 characters of a request that is not too long.
        let proof = lines.map(hash).collect::<Option<Vec<_>>>();
        let proof = proof.filter(|proof| proof.len() <= PROOF_HASHES_MAX);
        let proof = proof.ok_or_else(|| malformed("its proof is not of at most 63 hashes in base64"))?;
        Ok(Self { old, proof, note: note.as_bytes().to_vec() })
    }
}

/// A number as it is written, and in no other way.
fn number(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

fn hash(line: &str) -> Option<Hash> {
    Hash::parse_hash(line).ok().filter(|hash| hash.to_string() == line)
}

/// The size that a witness answers with which has another checkpoint.
#[must_use]
pub fn size_in(body: &[u8]) -> Option<u64> {
    number(str::from_utf8(body).ok()?.strip_suffix('\n')?)
}

/// A checkpoint that is to be cosigned.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The note, with the signatures of its log and no others.
    pub note: Vec<u8>,
}

/// What a witness has seen.
#[derive(Debug, Clone)]
pub struct Memory {
    logs: Vec<PublicKey>,
    /// The last checkpoint of each log, by its name.
    seen: BTreeMap<String, Extent>,
}

impl Memory {
    /// A witness of these logs that has seen none of them.
    #[must_use]
    pub fn of(logs: Vec<PublicKey>) -> Self {
        Self { logs, seen: BTreeMap::new() }
    }

    /// The logs.
    #[must_use]
    pub fn logs(&self) -> &[PublicKey] {
        &self.logs
    }

    /// Whether a checkpoint is to be cosigned. It is to be remembered, and kept, before anybody gets the signature.
    ///
    /// # Errors
    /// Why it is not.
    pub fn judge(&self, request: &Request) -> Result<Accepted, Refusal> {
        let Request { old, proof, note } = request;
        let malformed = |error: CheckpointError| Refusal::Malformed(error.to_string());
        let checkpoint = Checkpoint::unchecked(note).map_err(malformed)?.1;
        let keys: Vec<_> = self.logs.iter().filter(|key| key.name() == checkpoint.origin).cloned().collect();
        if keys.is_empty() {
            return Err(Refusal::UnknownLog(checkpoint.origin));
        }
        let (checkpoint, note) = Checkpoint::cleaned(note, &keys).map_err(Refusal::Signature)?;
        let new = Extent { size: checkpoint.size, root: checkpoint.root };
        if *old > new.size {
            return Err(Refusal::Shrunk { old: *old, size: new.size });
        }
        let seen = self.seen(&checkpoint.origin).unwrap_or(Extent { size: 0, root: EMPTY_HASH });
        if *old != seen.size {
            return Err(Refusal::Other { seen: seen.size });
        }
        if new.size == seen.size && new.root != seen.root {
            return Err(Refusal::Forked { size: new.size });
        }
        if !has_grown(proof, seen, new) {
            return Err(Refusal::NotShown { old: *old, size: new.size });
        }
        Ok(Accepted { checkpoint, note })
    }

    /// From now on this is the last one of its log.
    pub fn remember(&mut self, checkpoint: &Checkpoint) {
        let extent = Extent { size: checkpoint.size, root: checkpoint.root };
        self.seen.insert(checkpoint.origin.clone(), extent);
    }

    /// How far a log had come when it was seen last.
    #[must_use]
    pub fn seen(&self, origin: &str) -> Option<Extent> {
        self.seen.get(origin).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consistency::consistency;
    use crate::key::LogKey;
    use crate::tree::Tree;

    const ORIGIN: &str = "example.com/log";

    fn key() -> LogKey {
        LogKey::of_seed(ORIGIN, &[7; 32]).unwrap()
    }

    /// A log as it grew.
    struct Log {
        files: BTreeMap<String, Vec<u8>>,
        notes: Vec<Vec<u8>>,
    }

    /// One of so many entries, of which those from `fork` on are others.
    fn log(size: u64, fork: u64) -> Log {
        let mut tree = Tree::default();
        let mut log = Log { files: BTreeMap::new(), notes: Vec::new() };
        for index in 0..=size {
            let checkpoint = Checkpoint { origin: ORIGIN.into(), size: index, root: tree.root() };
            log.notes.push(checkpoint.sign(&[&key()]).unwrap());
            log.files.extend(tree.take_files().into_iter().map(|file| (file.path, file.bytes)));
            let kind = if index < fork { "entry" } else { "other" };
            tree.append(format!("{kind} {index}").as_bytes()).unwrap();
        }
        log
    }

    impl Log {
        fn request(&self, old: u64, size: u64) -> Request {
            let proof = consistency(&self.files, old, size).unwrap();
            Request { old, proof, note: self.notes[size as usize].clone() }
        }
    }

    #[test]
    fn what_has_grown_is_cosigned_and_a_fork_never_is() {
        let (log, fork) = (log(40, 99), log(40, 12));
        let mut memory = Memory::of(vec![key().public()]);
        for (old, size) in [(0, 7), (7, 7), (7, 20), (20, 33)] {
            let mut request = log.request(old, size);
            request.note.extend("— stranger AAAAAAAA\n".bytes());
            let accepted = memory.judge(&request).unwrap();
            assert_eq!(accepted.note, log.notes[size as usize], "without what others have written under it");
            memory.remember(&accepted.checkpoint);
            assert_eq!(memory.seen(ORIGIN).unwrap().size, size);
        }
        let refused = |request: &Request| memory.judge(request).unwrap_err();
        assert_eq!(refused(&log.request(7, 40)), Refusal::Other { seen: 33 });
        assert_eq!(refused(&log.request(0, 5)), Refusal::Other { seen: 33 });
        assert_eq!(refused(&Request { old: 33, ..log.request(0, 5) }), Refusal::Shrunk { old: 33, size: 5 });
        assert_eq!(refused(&fork.request(33, 33)), Refusal::Forked { size: 33 });
        assert_eq!(refused(&fork.request(33, 40)), Refusal::NotShown { old: 33, size: 40 });
        assert_eq!(
            refused(&Request { proof: vec![], ..log.request(33, 40) }),
            Refusal::NotShown { old: 33, size: 40 }
        );
        assert_eq!(refused(&fork.request(12, 40)), Refusal::Other { seen: 33 });
        let stranger = Memory::of(vec![LogKey::of_seed("other", &[7; 32]).unwrap().public()]);
        assert_eq!(stranger.judge(&log.request(0, 5)), Err(Refusal::UnknownLog(ORIGIN.into())));
        let namesake = Memory::of(vec![LogKey::of_seed(ORIGIN, &[8; 32]).unwrap().public()]);
        assert_eq!(namesake.judge(&log.request(0, 5)).unwrap_err().status(), 403);
        let statuses =
            [refused(&log.request(7, 40)), refused(&fork.request(33, 40))].map(|error| error.status());
        assert_eq!(statuses, [409, 422]);
    }

    #[test]
    fn requests_are_written_one_way_and_nothing_else_is_read() {
        let log = log(40, 99);
        let request = log.request(7, 40);
        let text = String::from_utf8(request.to_bytes()).unwrap();
        assert!(text.starts_with("old 7\n"));
        assert_eq!(Request::of_bytes(text.as_bytes()), Ok(request.clone()));
        assert_eq!(Request::of_bytes(&log.request(0, 3).to_bytes()), Ok(log.request(0, 3)));
        let many = Request { proof: vec![Hash([0; 32]); 64], ..request.clone() };
        let long = Request { note: vec![b'a'; REQUEST_BYTES_MAX], ..request };
        for other in [
            String::new(),
            text.replacen("old 7", "old 07", 1),
            text.replacen("old 7", "old -7", 1),
            text.replacen("old 7", "old 99999999999999999999", 1),
            text.replacen("old 7\n", "", 1),
            text.replacen("=\n", "\n", 1),
            text.replace("\n\n", "\n"),
            String::from_utf8(many.to_bytes()).unwrap(),
            String::from_utf8(long.to_bytes()).unwrap(),
        ] {
            assert!(matches!(Request::of_bytes(other.as_bytes()), Err(Refusal::Malformed(_))), "{other}");
        }
        assert!(Request::of_bytes(b"old 1\n\xff\n\n").is_err());
        let no_note = Request { note: b"nothing".to_vec(), ..log.request(0, 3) };
        assert_eq!(Memory::of(vec![key().public()]).judge(&no_note).unwrap_err().status(), 400);
        assert_eq!(
            (size_in(b"50\n"), size_in(b"50"), size_in(b"050\n"), size_in(b"-1\n")),
            (Some(50), None, None, None)
        );
    }
}
