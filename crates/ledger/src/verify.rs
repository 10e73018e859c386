//! What an auditor does: reads all of a log, trusts nothing but a public key, and names the first place that is wrong.
//!
//! What is found is found from the inside out. Entries are held against the hashes over them, those against the next ones, and the last
//! against the signed root; so whatever was changed afterwards is told by its own place, and not only by a root that is another one. Then
//! each entry is read: records must have the root of their batch, numbers must follow each other, times must not run backwards.
//!
//! The end of a log cannot vouch for itself: whoever holds the files and an old checkpoint could cut off what came later. So checkpoints
//! that somebody has seen are given from outside; each must be a part of this log.

use crate::batch::{Batch, BatchError, Seal};
use crate::checkpoint::{Checkpoint, CheckpointError, Signed};
use crate::entry::{Entry, EntryError};
use crate::files::{Files, TILE, batch_path, tile_path};
use crate::key::PublicKey;
use crate::prediction::number_and_time;
use crate::tree::{Broken, Tree, read_bundle, read_tile, root_of};
use spinwell_core::UnixMicros;
use std::io;
use tlog_tiles::{Hash, record_hash};

/// How far a clock may go back between entries that follow each other: it is set now and then.
const CLOCK_BACK_US: u64 = 5_000_000;

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
    #[error("the log was cut off: a checkpoint over {seen} entries was seen, and this one has {size}")]
    CutOff {
        /// How long it was.
        seen: u64,
        /// How long it is.
        size: u64,
    },
    /// The log that somebody saw is not the beginning of this one.
    #[error("the log was forked: its first {size} entries are not those of a checkpoint that was seen")]
    Forked {
        /// How many entries the checkpoint is over.
        size: u64,
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

/// What a log says of itself, where all of it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Its name.
    pub origin: String,
    /// Whose signatures its checkpoint has.
    pub signed_by: Vec<String>,
    /// Its entries.
    pub entries: u64,
    /// Its root.
    pub root: Hash,
    /// Records of predictions.
    pub records: u64,
    /// Events.
    pub events: u64,
    /// Spans of which records may be missing, as it says itself: its entry, from when and until when.
    pub gaps: Vec<(u64, UnixMicros, UnixMicros)>,
    /// The first moment and the last.
    pub span: Option<(UnixMicros, UnixMicros)>,
    /// The most entries that a checkpoint which was seen is over. Nothing is known of what was behind the end, if there was more.
    pub seen: Option<u64>,
}

/// Verifies all of a log: with these keys, and against these checkpoints, which somebody has seen and kept elsewhere.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(files: &impl Files, keys: &[PublicKey], seen: &[Vec<u8>]) -> Result<Report, Failure> {
    let note = files
        .read("checkpoint")
        .map_err(|source| Failure::Unreadable { path: "checkpoint".into(), source })?;
    let note = note.ok_or(Failure::NoCheckpoint)?;
    let Signed { checkpoint, signed_by } = Checkpoint::open(&note, keys).map_err(Failure::Checkpoint)?;
    let Checkpoint { origin, size, root } = checkpoint;
    let seen = seen_before(seen, keys, &origin, size)?;
    let mut walk = Walk {
        files,
        size,
        tree: Tree::default(),
        report: Report {
            origin,
            signed_by,
            entries: size,
            root,
            records: 0,
            events: 0,
            gaps: Vec::new(),
            span: None,
            seen: seen.iter().map(|checkpoint| checkpoint.size).max(),
        },
    };
    let held = walk.entries(&seen)?;
    if walk.tree.root() != root {
        return Err(Failure::Root { first: held, last: size.saturating_sub(1) });
    }
    Ok(walk.report)
}

/// The checkpoints of this log that were seen, in the order of their sizes.
fn seen_before(
    seen: &[Vec<u8>],
    keys: &[PublicKey],
    origin: &str,
    size: u64,
) -> Result<Vec<Checkpoint>, Failure> {
    let mut all = Vec::new();
    for (place, note) in seen.iter().enumerate() {
        let signed =
            Checkpoint::open(note, keys).map_err(|source| Failure::Seen { place: place + 1, source })?;
        if signed.checkpoint.origin != origin {
            let source = CheckpointError::Origin(signed.checkpoint.origin);
            return Err(Failure::Seen { place: place + 1, source });
        }
        if signed.checkpoint.size > size {
            return Err(Failure::CutOff { seen: signed.checkpoint.size, size });
        }
        all.push(signed.checkpoint);
    }
    all.sort_by_key(|checkpoint| checkpoint.size);
    Ok(all)
}

/// A way through a log.
struct Walk<'a, F> {
    files: &'a F,
    size: u64,
    /// Grown from the entries alone.
    tree: Tree,
    report: Report,
}

impl<F: Files> Walk<'_, F> {
    /// Reads all entries. Gives how many of them checkpoints vouch for that were seen.
    fn entries(&mut self, seen: &[Checkpoint]) -> Result<u64, Failure> {
        let (mut seen, mut held) = (seen.iter().peekable(), 0);
        let mut check = |tree: &Tree| -> Result<u64, Failure> {
            while let Some(checkpoint) = seen.next_if(|checkpoint| checkpoint.size == tree.size()) {
                if checkpoint.root != tree.root() {
                    return Err(Failure::Forked { size: checkpoint.size });
                }
                held = checkpoint.size;
            }
            Ok(held)
        };
        check(&self.tree)?;
        for number in 0..self.size.div_ceil(TILE) {
            let width = (self.size - number * TILE).min(TILE);
            let hashes = read_tile(self.files, 0, number, width).map_err(Failure::Files)?;
            let entries = read_bundle(self.files, number, width).map_err(Failure::Files)?;
            for (place, (entry, hash)) in entries.iter().zip(&hashes).enumerate() {
                let index = number * TILE + place as u64;
                if record_hash(entry) != *hash {
                    return Err(Failure::Entry { index, tile: tile_path(0, number, width) });
                }
                self.entry(index, entry)?;
                // None is longer than its bundle could hold.
                let _ = self.tree.append(entry);
                check(&self.tree)?;
            }
            // Tiles above, as soon as they end here.
            self.above(number, &hashes)?;
            self.tree.forget_files();
        }
        check(&self.tree)
    }

    /// Holds the hashes of a tile against the tile above it, and so on where that ends with it.
    fn above(&self, number: u64, hashes: &[Hash]) -> Result<(), Failure> {
        let (mut number, mut level, mut hashes) = (number, 0u8, hashes.to_vec());
        while hashes.len() as u64 == TILE {
            let (parent, place) = (number / TILE, number % TILE);
            let whole = (self.size >> (8 * (u32::from(level) + 1))) - parent * TILE;
            let width = whole.min(TILE);
            let above = read_tile(self.files, level + 1, parent, width).map_err(Failure::Files)?;
            if above[place as usize] != root_of(&hashes) {
                let under = TILE.pow(u32::from(level) + 1);
                return Err(Failure::Tile {
                    tile: tile_path(level, number, TILE),
                    first: number * under,
                    last: (number + 1) * under - 1,
                    above: tile_path(level + 1, parent, width),
                });
            }
            if place + 1 != width {
                return Ok(());
            }
            (number, level, hashes) = (parent, level + 1, above);
        }
        Ok(())
    }

    fn entry(&mut self, index: u64, bytes: &[u8]) -> Result<(), Failure> {
        let entry = Entry::of_bytes(bytes).map_err(|source| Failure::NotUnderstood { index, source })?;
        let at = entry.at();
        if let Some((_, last)) = self.report.span {
            let back_us = last.0.saturating_sub(at.0);
            if back_us > CLOCK_BACK_US {
                return Err(Failure::Time { index, back_us });
            }
        }
        let (first, last) = self.report.span.unwrap_or((at, at));
        self.report.span = Some((first, last.max(at)));
        match entry {
            Entry::Batch { first, seal, .. } => self.batch(index, first, seal)?,
            Entry::Gap { from, until, .. } => self.report.gaps.push((index, from, until)),
            Entry::Event { .. } => self.report.events += 1,
            Entry::Opened { .. } | Entry::Closed { .. } => {}
        }
        Ok(())
    }

    fn batch(&mut self, index: u64, first: u64, seal: Seal) -> Result<(), Failure> {
        let wanted = self.report.records;
        if first != wanted || seal.records == 0 {
            return Err(Failure::Record { index, wanted, found: first.to_string() });
        }
        let (path, last) = (batch_path(index), first.saturating_add(seal.records - 1));
        let file =
            self.files.read(&path).map_err(|source| Failure::Unreadable { path: path.clone(), source })?;
        let file = file.ok_or_else(|| Failure::NoBatch { path: path.clone(), index, first, last })?;
        let batch =
            Batch::open(&file, seal).map_err(|source| Failure::Batch { path, index, first, last, source })?;
        for line in batch.lines() {
            let wanted = self.report.records;
            match number_and_time(line) {
                Some((number, _)) if number == wanted => self.report.records += 1,
                Some((number, _)) => {
                    return Err(Failure::Record { index, wanted, found: number.to_string() });
                }
                None => return Err(Failure::Record { index, wanted, found: "no record".into() }),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
