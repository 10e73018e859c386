//! What can be wrong with a log.

use crate::batch::BatchError;
use crate::checkpoint::CheckpointError;
use crate::entry::EntryError;
use crate::tree::Broken;
use std::fmt;
use std::io;

/// Who has seen a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeenBy {
    /// Whoever has given it.
    Given,
    /// A witness.
    Witness(String),
    /// Another log, which has recorded it.
    Log {
        /// The log.
        origin: String,
        /// The entry.
        entry: u64,
    },
}

impl fmt::Display for SeenBy {
    /// Follows "was seen".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => Ok(()),
            Self::Witness(name) => write!(f, " by the witness {name}"),
            Self::Log { origin, entry } => write!(f, " and stands in entry {entry} of {origin}"),
        }
    }
}

/// Why a witness does not vouch for a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWitnessed {
    /// There is no such file.
    #[error("{0} is missing")]
    Missing(String),
    /// It has not cosigned it.
    #[error("it has not cosigned {0}")]
    Cosignature(String),
    /// It is no checkpoint of this log.
    #[error("{path} is no checkpoint of this log")]
    Checkpoint {
        /// The file.
        path: String,
        /// Why.
        source: CheckpointError,
    },
}

/// What is wrong, and where first.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no checkpoint.
    #[error("the file checkpoint is missing")]
    NoCheckpoint,
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which one.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The checkpoint does not hold.
    #[error("the checkpoint does not hold")]
    Checkpoint(#[source] CheckpointError),
    /// A file is missing, or is not of its form.
    #[error("the files do not hold all entries")]
    Files(#[source] Broken),
    /// An entry was changed, or stands in another's place.
    #[error("entry {index} is not the one that was logged: its hash is not in {tile}")]
    Entry {
        /// Its index.
        index: u64,
        /// Where its hash should be.
        tile: String,
    },
    /// The hashes over entries were changed.
    #[error("{tile}, over entries {first} to {last}, is not what was logged: its root is not in {above}")]
    Tile {
        /// The file.
        tile: String,
        /// The first entry under it.
        first: u64,
        /// The last one.
        last: u64,
        /// Where its root should be.
        above: String,
    },
    /// All fits together and is not what was signed.
    #[error(
        "entries {first} to {last} are not those that were signed: they have another root than the checkpoint"
    )]
    Root {
        /// The first entry that no seen checkpoint vouches for.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// An entry is none.
    #[error("entry {index} cannot be understood")]
    NotUnderstood {
        /// Its index.
        index: u64,
        /// Why.
        source: EntryError,
    },
    /// The records of a batch are missing.
    #[error("{path}, the records {first} to {last} of entry {index}, is missing")]
    NoBatch {
        /// The file.
        path: String,
        /// The entry.
        index: u64,
        /// The first record in it.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// The records of a batch are others.
    #[error("{path}, the records {first} to {last} of entry {index}, is not what was logged")]
    Batch {
        /// The file.
        path: String,
        /// The entry.
        index: u64,
        /// The first record in it.
        first: u64,
        /// The last one.
        last: u64,
        /// What is wrong with it.
        source: BatchError,
    },
    /// A record is missing, is there twice, or cannot be read.
    #[error("entry {index}: record {wanted} should stand where {found} is")]
    Record {
        /// The batch's entry.
        index: u64,
        /// The number that should be there.
        wanted: u64,
        /// What is there.
        found: String,
    },
    /// Time runs backwards.
    #[error("entry {index} is older than the one before it, by {back_us} us")]
    Time {
        /// The entry.
        index: u64,
        /// By how much.
        back_us: u64,
    },
    /// A checkpoint that was seen does not hold by itself.
    #[error("checkpoint {place} of those that were seen does not hold")]
    Seen {
        /// Which one, from 1.
        place: usize,
        /// Why.
        source: CheckpointError,
    },
    /// The log was longer once.
    #[error("the log was cut off: a checkpoint over {seen} entries was seen{by}, and this one has {size}")]
    CutOff {
        /// How long it was.
        seen: u64,
        /// How long it is.
        size: u64,
        /// Who has seen it.
        by: SeenBy,
    },
    /// The log that somebody saw is not the beginning of this one.
    #[error("the log was forked: its first {size} entries are not those of a checkpoint that was seen{by}")]
    Forked {
        /// How many entries the checkpoint is over.
        size: u64,
        /// Who has seen it.
        by: SeenBy,
    },
    /// Another log has its name.
    #[error(
        "{other} is a log of the same name, {origin}: one of them is a fork, or a copy that does not belong here"
    )]
    Twice {
        /// The name.
        origin: String,
        /// Where the other one is.
        other: String,
    },
    /// There is no checkpoint that a witness has cosigned.
    #[error("the witness {witness} does not vouch for this log")]
    NotWitnessed {
        /// The witness.
        witness: String,
        /// Why.
        source: NotWitnessed,
    },
}

impl Failure {
    /// The first entry that is not what it should be, where it can be told.
    #[must_use]
    pub fn first_bad_entry(&self) -> Option<u64> {
        match self {
            Self::Entry { index, .. }
            | Self::NotUnderstood { index, .. }
            | Self::NoBatch { index, .. }
            | Self::Batch { index, .. }
            | Self::Record { index, .. }
            | Self::Time { index, .. } => Some(*index),
            Self::Tile { first, .. } | Self::Root { first, .. } => Some(*first),
            Self::CutOff { size, .. } => Some(*size),
            _ => None,
        }
    }
}
