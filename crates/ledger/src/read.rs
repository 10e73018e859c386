//! Reading a log part by part, for whoever looks for something in it. Nothing is verified but that parts are what they claim to be.

use crate::batch::{Batch, Seal};
use crate::entry::Entry;
use crate::files::{Files, TILE, batch_path, entries_path};
use crate::receipt::NoReceipt;
use crate::tree::{Broken, read_bundle};
use std::ops::Range;

/// The numbers of the bundles that hold the first `size` entries.
#[must_use]
pub fn bundles(size: u64) -> Range<u64> {
    0..size.div_ceil(TILE)
}

/// The entries of a bundle of a log that has `size`, each with its index.
///
/// # Errors
/// Where the file is not there, or is no bundle.
pub fn bundle(files: &impl Files, size: u64, number: u64) -> Result<Vec<(u64, Entry)>, Broken> {
    let first = number * TILE;
    let width = size.saturating_sub(first).min(TILE);
    let wrong = |_| Broken::Wrong(entries_path(number, width));
    let entries = read_bundle(files, number, width)?.into_iter().enumerate();
    entries
        .map(|(place, entry)| Ok((first + place as u64, Entry::of_bytes(&entry).map_err(wrong)?)))
        .collect()
}

/// The records of the batch whose entry has this index and says this of it.
///
/// # Errors
/// Where the file is not there, or does not hold them.
pub fn batch(files: &impl Files, index: u64, seal: Seal) -> Result<Batch, NoReceipt> {
    let path = batch_path(index);
    let read = files.read(&path).map_err(|source| Broken::Unreadable { path: path.clone(), source })?;
    let file = read.ok_or_else(|| Broken::Missing(path.clone()))?;
    Batch::open(&file, seal).map_err(|source| NoReceipt::Batch { path, source })
}
