//! What an auditor does: reads all of a log, trusts nothing but a public key, and names the first place that is wrong.
//!
//! What is found is found from the inside out. Entries are held against the hashes over them, those against the next ones, and the last
//! against the signed root; so whatever was changed afterwards is told by its own place, and not only by a root that is another one. Then
//! each entry is read: records must have the root of their batch, numbers must follow each other, times must not run backwards.
//!
//! The end of a log cannot vouch for itself: whoever holds the files and an old checkpoint could cut off what came later. So checkpoints
//! that somebody has seen are given from outside; each must be a part of this log.

mod failure;

pub use failure::{Failure, NotWitnessed, SeenBy};

use crate::batch::{Batch, Seal};
use crate::checkpoint::{Checkpoint, CheckpointError, Signed};
use crate::cosignature::Witness;
use crate::entry::Entry;
use crate::files::{Files, TILE, batch_path, tile_path, witnessed_path};
use crate::find::Hashes;
use crate::key::PublicKey;
use crate::prediction::number_and_time;
use crate::tree::{Tree, first_wrong, read_bundle, read_tile, root_of};
use spinwell_core::UnixMicros;
use tlog_tiles::{EMPTY_HASH, Hash, record_hash};

/// How far a clock may go back between entries that follow each other: it is set now and then.
const CLOCK_BACK_US: u64 = 5_000_000;

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
    /// What witnesses vouch for: how many entries each has seen, and when.
    pub witnessed: Vec<(Witness, u64, UnixMicros)>,
    /// Checkpoints of other logs that it has recorded, each with its entry.
    pub recorded: Vec<(u64, Checkpoint)>,
    /// Those that it has recorded of logs whose keys are not given.
    pub recorded_unknown: u64,
}

/// A checkpoint of the log that somebody has seen.
struct Known {
    checkpoint: Checkpoint,
    by: SeenBy,
}

/// Verifies all of a log: with these keys, and against these checkpoints, which somebody has seen and kept elsewhere.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(files: &impl Files, keys: &[PublicKey], seen: &[Vec<u8>]) -> Result<Report, Failure> {
    verify_witnessed(files, keys, seen, &[])
}

/// The same, and against the checkpoints beside it that these witnesses have cosigned, each of which must be there.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify_witnessed(
    files: &impl Files,
    keys: &[PublicKey],
    seen: &[Vec<u8>],
    witnesses: &[Witness],
) -> Result<Report, Failure> {
    let note = files
        .read("checkpoint")
        .map_err(|source| Failure::Unreadable { path: "checkpoint".into(), source })?;
    let note = note.ok_or(Failure::NoCheckpoint)?;
    let Signed { checkpoint, signed_by } = Checkpoint::open(&note, keys).map_err(Failure::Checkpoint)?;
    let Checkpoint { origin, size, root } = checkpoint;
    let mut known = seen_before(seen, keys, &origin, size)?;
    let seen = known.iter().map(|known| known.checkpoint.size).max();
    let mut witnessed = Vec::new();
    for witness in witnesses {
        let (checkpoint, at) = seen_by(witness, files, keys, &origin)?;
        witnessed.push((witness.clone(), checkpoint.size, at));
        let by = SeenBy::Witness(witness.name().to_owned());
        if checkpoint.size > size {
            return Err(Failure::CutOff { seen: checkpoint.size, size, by });
        }
        known.push(Known { checkpoint, by });
    }
    known.sort_by_key(|known| known.checkpoint.size);
    let mut walk = Walk {
        files,
        keys,
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
            seen,
            witnessed,
            recorded: Vec::new(),
            recorded_unknown: 0,
        },
    };
    let held = walk.entries(&known)?;
    if walk.tree.root() != root {
        return Err(Failure::Root { first: held, last: size.saturating_sub(1) });
    }
    Ok(walk.report)
}

/// Holds a log that has been verified, and has so many entries, against checkpoints of it that another log has recorded. Gives how many
/// entries the last one is over.
///
/// # Errors
/// The first that it does not hold.
pub fn hold_against<'a>(
    files: &impl Files,
    size: u64,
    by: &str,
    recorded: impl IntoIterator<Item = &'a (u64, Checkpoint)>,
) -> Result<Option<u64>, Failure> {
    let hashes = Hashes { files, size };
    let mut last = None;
    for (entry, checkpoint) in recorded {
        let by = || SeenBy::Log { origin: by.to_owned(), entry: *entry };
        let seen = checkpoint.size;
        if seen > size {
            return Err(Failure::CutOff { seen, size, by: by() });
        }
        let root = if seen == 0 { EMPTY_HASH } else { hashes.root(0..seen).map_err(Failure::Files)? };
        if root != checkpoint.root {
            return Err(Failure::Forked { size: seen, by: by() });
        }
        last = last.max(Some(seen));
    }
    Ok(last)
}

/// The checkpoint of this log that a witness has cosigned, and when.
fn seen_by(
    witness: &Witness,
    files: &impl Files,
    keys: &[PublicKey],
    origin: &str,
) -> Result<(Checkpoint, UnixMicros), Failure> {
    let path = witnessed_path(witness.name());
    let refused = |source| Failure::NotWitnessed { witness: witness.name().to_owned(), source };
    let note = files.read(&path).map_err(|source| Failure::Unreadable { path: path.clone(), source })?;
    let note = note.ok_or_else(|| refused(NotWitnessed::Missing(path.clone())))?;
    let at = witness.has_seen(&note).ok_or_else(|| refused(NotWitnessed::Cosignature(path.clone())))?;
    let signed = Checkpoint::open(&note, keys).and_then(|Signed { checkpoint, .. }| {
        if checkpoint.origin == *origin {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::Origin(checkpoint.origin))
        }
    });
    let checkpoint = signed.map_err(|source| refused(NotWitnessed::Checkpoint { path, source }))?;
    Ok((checkpoint, at))
}

/// The checkpoints of this log that were seen.
fn seen_before(seen: &[Vec<u8>], keys: &[PublicKey], origin: &str, size: u64) -> Result<Vec<Known>, Failure> {
    let mut all = Vec::new();
    for (place, note) in seen.iter().enumerate() {
        let signed =
            Checkpoint::open(note, keys).map_err(|source| Failure::Seen { place: place + 1, source })?;
        if signed.checkpoint.origin != origin {
            let source = CheckpointError::Origin(signed.checkpoint.origin);
            return Err(Failure::Seen { place: place + 1, source });
        }
        if signed.checkpoint.size > size {
            return Err(Failure::CutOff { seen: signed.checkpoint.size, size, by: SeenBy::Given });
        }
        all.push(Known { checkpoint: signed.checkpoint, by: SeenBy::Given });
    }
    Ok(all)
}

/// A way through a log.
struct Walk<'a, F> {
    files: &'a F,
    keys: &'a [PublicKey],
    size: u64,
    /// Grown from the entries alone.
    tree: Tree,
    report: Report,
}

impl<F: Files> Walk<'_, F> {
    /// Reads all entries. Gives how many of them checkpoints vouch for that were seen.
    fn entries(&mut self, known: &[Known]) -> Result<u64, Failure> {
        let (mut known, mut held) = (known.iter().peekable(), 0);
        let mut check = |tree: &Tree| -> Result<u64, Failure> {
            while let Some(Known { checkpoint, by }) =
                known.next_if(|known| known.checkpoint.size == tree.size())
            {
                if checkpoint.root != tree.root() {
                    return Err(Failure::Forked { size: checkpoint.size, by: by.clone() });
                }
                held = checkpoint.size;
            }
            Ok(held)
        };
        check(&self.tree)?;
        for number in 0..self.size.div_ceil(TILE) {
            let width = (self.size - number * TILE).min(TILE);
            let hashes = read_tile(self.files, 0, number, width).map_err(Failure::Files)?;
            let entries = read_bundle(self.files, number, width).map_err(|broken| {
                match first_wrong(self.files, number, &hashes) {
                    Some(place) => {
                        let index = number * TILE + place as u64;
                        Failure::Entry { index, tile: tile_path(0, number, width) }
                    }
                    None => Failure::Files(broken),
                }
            })?;
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
            Entry::Checkpoint { note, .. } => match Checkpoint::open(note.as_bytes(), self.keys) {
                Ok(signed) => self.report.recorded.push((index, signed.checkpoint)),
                Err(_) => self.report.recorded_unknown += 1,
            },
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
