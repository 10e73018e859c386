//! What stands where in a log, without reading all of it.

use crate::batch::Seal;
use crate::entry::Entry;
use crate::files::{Files, TILE, entries_path};
use crate::tree::{Broken, read_bundle, read_tile, root_of};
use std::ops::Range;
use tlog_tiles::{Hash, node_hash};

/// A batch's entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// Its index.
    pub(crate) index: u64,
    /// As it stands in the log.
    pub(crate) entry: Vec<u8>,
    /// The number of its first record.
    pub(crate) first: u64,
    pub(crate) seal: Seal,
}

/// The batch that has the record of this number, among the first `size` entries.
pub(crate) fn batch_of(files: &impl Files, size: u64, number: u64) -> Result<Option<Found>, Broken> {
    // The bundles of which the first batch begins at the record or before it: the last of them has it.
    let (mut low, mut high) = (0, size.div_ceil(TILE));
    let mut found = None;
    while low < high {
        let middle = low.midpoint(high);
        // A bundle without a batch is like the next one that has one.
        let mut at = middle;
        let mut batches = Vec::new();
        while at < high && batches.is_empty() {
            batches = batches_of(files, size, at)?;
            at += 1;
        }
        match batches.first() {
            Some(batch) if batch.first <= number => {
                found = batches.into_iter().rfind(|batch| batch.first <= number);
                low = at;
            }
            _ => high = middle,
        }
    }
    Ok(found.filter(|Found { first, seal, .. }| number - first < seal.records))
}

/// How many records the first `size` entries hold.
///
/// # Errors
/// Where the files do not hold them.
pub fn records_of(files: &impl Files, size: u64) -> Result<u64, Broken> {
    for number in (0..size.div_ceil(TILE)).rev() {
        if let Some(Found { first, seal, .. }) = batches_of(files, size, number)?.last() {
            return Ok(first + seal.records);
        }
    }
    Ok(0)
}

/// The batches among the entries of a bundle.
fn batches_of(files: &impl Files, size: u64, number: u64) -> Result<Vec<Found>, Broken> {
    let width = (size - number * TILE).min(TILE);
    let mut found = Vec::new();
    for (place, entry) in read_bundle(files, number, width)?.into_iter().enumerate() {
        match Entry::of_bytes(&entry) {
            Ok(Entry::Batch { first, seal, .. }) => {
                found.push(Found { index: number * TILE + place as u64, entry, first, seal });
            }
            Ok(_) => {}
            Err(_) => return Err(Broken::Wrong(entries_path(number, width))),
        }
    }
    Ok(found)
}

/// The hashes from an entry to the root of the first `size`, by RFC 6962, section 2.1.1.
pub(crate) fn inclusion(files: &impl Files, size: u64, index: u64) -> Result<Vec<Hash>, Broken> {
    let hashes = Hashes { files, size };
    let (mut range, mut proof) = (0..size, Vec::new());
    while range.end - range.start > 1 {
        let middle = middle(&range);
        let (with, without) = match index < middle {
            true => (range.start..middle, middle..range.end),
            false => (middle..range.end, range.start..middle),
        };
        proof.push(hashes.root(without)?);
        range = with;
    }
    proof.reverse();
    Ok(proof)
}

/// Where the tree over these leaves, more than one, is parted.
pub(crate) fn middle(range: &Range<u64>) -> u64 {
    range.start + (range.end - range.start).next_power_of_two() / 2
}

/// The hashes of a log that has so many entries.
pub(crate) struct Hashes<'a, F> {
    pub(crate) files: &'a F,
    pub(crate) size: u64,
}

impl<F: Files> Hashes<'_, F> {
    /// The root over these leaves, which are a part of the tree.
    pub(crate) fn root(&self, range: Range<u64>) -> Result<Hash, Broken> {
        let leaves = range.end - range.start;
        if leaves.is_power_of_two() {
            return self.complete(range.start, leaves.trailing_zeros());
        }
        let middle = middle(&range);
        Ok(node_hash(self.root(range.start..middle)?, self.root(middle..range.end)?))
    }

    /// The root over 2^`height` leaves: of hashes that stand in one tile.
    fn complete(&self, start: u64, height: u32) -> Result<Hash, Broken> {
        let (level, within) = (height / 8, height % 8);
        let (first, count) = (start >> (8 * level), 1usize << within);
        let (number, place) = (first / TILE, (first % TILE) as usize);
        let width = ((self.size >> (8 * level)) - number * TILE).min(TILE);
        // A tree of 2^64 leaves has eight levels.
        let hashes = read_tile(self.files, level as u8, number, width)?;
        Ok(root_of(&hashes[place..place + count]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, root_by};
    use crate::prediction::tests::prediction;
    use crate::tree::Tree;
    use spinwell_core::UnixMicros;
    use std::collections::BTreeMap;
    use tlog_tiles::record_hash;

    #[test]
    fn the_way_from_every_entry_leads_to_the_root() {
        for size in [1, 2, 3, 7, 255, 256, 257, 511, 700, 66_000] {
            let mut tree = Tree::default();
            for index in 0..size {
                tree.append(format!("entry {index}").as_bytes()).unwrap();
            }
            let files: BTreeMap<_, _> =
                tree.take_files().into_iter().map(|file| (file.path, file.bytes)).collect();
            let step = if size > 1000 { 997 } else { 1 };
            for index in (0..size).step_by(step).chain([size - 1]) {
                let proof = inclusion(&files, size, index).unwrap();
                let leaf = record_hash(format!("entry {index}").as_bytes());
                assert_eq!(root_by(&proof, leaf, index, size), Some(tree.root()), "{index} of {size}");
            }
        }
    }

    #[test]
    fn a_record_is_found_in_its_batch_whatever_stands_between() {
        let (mut tree, mut batches, mut number) = (Tree::default(), Vec::new(), 0);
        for index in 0..1500u64 {
            // A long stretch without a batch, and others here and there.
            let is_other = index % 3 == 0 || (400..1100).contains(&index);
            let entry = if is_other {
                Entry::Closed { at: UnixMicros(index) }
            } else {
                let (mut batch, first) = (Batch::default(), number);
                for _ in 0..=index % 4 {
                    let mut line = Vec::new();
                    prediction(number).write(&mut line);
                    batch.push(&line);
                    batches.push(index);
                    number += 1;
                }
                Entry::Batch { at: UnixMicros(index), first, seal: batch.seal().0 }
            };
            tree.append(&entry.to_bytes()).unwrap();
        }
        let files: BTreeMap<_, _> =
            tree.take_files().into_iter().map(|file| (file.path, file.bytes)).collect();
        for (number, index) in batches.iter().enumerate() {
            let found = batch_of(&files, 1500, number as u64).unwrap().unwrap();
            assert_eq!(found.index, *index, "record {number}");
        }
        assert_eq!(batch_of(&files, 1500, number).unwrap(), None);
        assert_eq!(records_of(&files, 1500).unwrap(), number);
        assert_eq!(records_of(&files, 0).unwrap(), 0);
    }
}
