//! Brings a copy to what a checkpoint is over.

use super::CopyError;
use super::place::Place;
use super::plan::{TILE, full_with, parts};
use super::progress::Progress;
use futures::{StreamExt as _, TryStreamExt as _};
use spinwell_ledger::{Broken, Checkpoint, Entry, PublicKey, batch_path, entries_path, read};
use std::collections::BTreeMap;

/// Files that are on their way at a time.
const TOGETHER: usize = 8;
/// Bundles after which it is kept how far a copy came.
const KEEP: u64 = 64;
/// Where the checkpoints are that witnesses have cosigned.
const WITNESSED: &str = "checkpoint.witnessed";
/// A checkpoint that is made while the last one is read may take its unfinished files away.
const TRIES: usize = 5;

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copied {
    /// Entries under its checkpoint.
    pub(super) entries: u64,
}

/// A checkpoint, with all that is not full under it, read together.
struct Standing {
    note: Vec<u8>,
    size: u64,
    parts: BTreeMap<String, Vec<u8>>,
}

/// A copy that goes on from checkpoint to checkpoint.
pub(super) struct Pass {
    from: Place,
    to: Place,
    keys: Vec<PublicKey>,
    progress: Option<Progress>,
    /// All files of so many entries are there.
    done: u64,
    /// The copy's checkpoint, as far as is known.
    note: Vec<u8>,
    entries: u64,
    /// The cosigned checkpoints that it has, by the names of their files.
    witnessed: BTreeMap<String, Vec<u8>>,
}

impl Pass {
    /// Asks the copy how far it is.
    pub(super) async fn begin(
        from: Place,
        to: Place,
        keys: Vec<PublicKey>,
        progress: Option<Progress>,
    ) -> Result<Self, CopyError> {
        let note = to.read("checkpoint").await?.unwrap_or_default();
        let mut entries = 0;
        if !note.is_empty() {
            entries = Checkpoint::open(&note, &keys).map_err(CopyError::Another)?.checkpoint.size;
        }
        let mut done = entries;
        if let Some(progress) = &progress {
            let kept = progress.read()?;
            let last = (kept / TILE).checked_sub(1).filter(|_| kept > entries);
            if let Some(last) = last
                && to.has(&entries_path(last, TILE)).await?
            {
                done = (last + 1) * TILE;
            }
        }
        Ok(Self { from, to, keys, progress, done, note, entries, witnessed: BTreeMap::new() })
    }

    /// The checkpoint that the copy has.
    pub(super) fn note(&self) -> &[u8] {
        &self.note
    }

    /// The entries under it.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Puts the public key beside the copy.
    pub(super) async fn write_key(&self, place: &Place, public: &PublicKey) -> Result<(), CopyError> {
        place.write("", format!("{public}\n").into_bytes()).await
    }

    /// Copies all that the newest checkpoint is over, and then the checkpoint.
    pub(super) async fn run(&mut self) -> Result<Copied, CopyError> {
        let standing = self.standing().await?;
        if standing.size < self.entries {
            return Err(CopyError::Ahead { copy: self.entries, log: standing.size });
        }
        let mut became_full = Vec::new();
        while self.done / TILE < standing.size / TILE {
            let number = self.done / TILE;
            let path = entries_path(number, TILE);
            let bundle = self.of_log(&path).await?;
            self.batches(number, (number + 1) * TILE, bundle).await?;
            let full = full_with(number);
            self.files(full.clone()).await?;
            self.done = (number + 1) * TILE;
            became_full.extend(full);
            if (number + 1).is_multiple_of(KEEP)
                && let Some(progress) = &self.progress
            {
                progress.keep(self.done)?;
            }
        }
        let number = standing.size / TILE;
        if let Some(bundle) = standing.parts.get(&entries_path(number, standing.size % TILE)) {
            self.batches(number, standing.size, bundle.clone()).await?;
        }
        let parts = standing.parts.into_iter().map(|(path, bytes)| {
            let to = &self.to;
            async move { to.write(&path, bytes).await }
        });
        futures::stream::iter(parts).buffer_unordered(TOGETHER).try_collect::<()>().await?;
        self.to.write("checkpoint", standing.note.clone()).await?;
        (self.note, self.done, self.entries) = (standing.note, standing.size, standing.size);
        for full in became_full {
            // Readers of older checkpoints find the beginning of the full one. What stays is in nobody's way.
            if let Err(error) = self.to.remove_under(&format!("{full}.p")).await {
                tracing::debug!(
                    error = super::chain(&error),
                    "the beginning of a full tile stays in the copy"
                );
                break;
            }
        }
        self.witnessed().await?;
        Ok(Copied { entries: self.entries })
    }

    /// Copies the checkpoints that witnesses have cosigned, as far as the copy has what they are over: they come behind the log's own.
    pub(super) async fn witnessed(&mut self) -> Result<(), CopyError> {
        for name in self.from.names(WITNESSED).await? {
            let path = format!("{WITNESSED}/{name}");
            let Some(note) = self.from.read(&path).await? else { continue };
            // One that is being written is none yet.
            let is_under = Checkpoint::claimed(&note).is_ok_and(|checkpoint| checkpoint.size <= self.entries);
            if is_under && self.witnessed.get(&name) != Some(&note) {
                self.to.write(&path, note.clone()).await?;
                self.witnessed.insert(name, note);
            }
        }
        Ok(())
    }

    async fn standing(&self) -> Result<Standing, CopyError> {
        let mut tries = 1;
        loop {
            let note = self.from.read("checkpoint").await?.ok_or(CopyError::NoCheckpoint)?;
            let signed = Checkpoint::open(&note, &self.keys).map_err(CopyError::Checkpoint)?;
            let size = signed.checkpoint.size;
            match self.parts(size).await {
                Ok(parts) => return Ok(Standing { note, size, parts }),
                Err(CopyError::Files(Broken::Missing(_))) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn parts(&self, size: u64) -> Result<BTreeMap<String, Vec<u8>>, CopyError> {
        let mut found = BTreeMap::new();
        for path in parts(size) {
            let bytes = self.of_log(&path).await?;
            found.insert(path, bytes);
        }
        Ok(found)
    }

    /// A file of the log that must be there.
    async fn of_log(&self, path: &str) -> Result<Vec<u8>, CopyError> {
        let read = self.from.read(path).await?;
        read.ok_or_else(|| CopyError::Files(Broken::Missing(path.to_owned())))
    }

    /// Copies the records of those batches whose entries are in this bundle and not copied yet.
    async fn batches(&self, number: u64, size: u64, bundle: Vec<u8>) -> Result<(), CopyError> {
        let width = size - number * TILE;
        let files = BTreeMap::from([(entries_path(number, width), bundle)]);
        let entries = read::bundle(&files, size, number).map_err(CopyError::Files)?;
        let new = entries.into_iter().filter(|(index, _)| *index >= self.done);
        let batches = new.filter(|(_, entry)| matches!(entry, Entry::Batch { .. }));
        self.files(batches.map(|(index, _)| batch_path(index)).collect()).await
    }

    async fn files(&self, paths: Vec<String>) -> Result<(), CopyError> {
        let one = |path: String| async move {
            let bytes = self.of_log(&path).await?;
            self.to.write(&path, bytes).await
        };
        futures::stream::iter(paths).map(one).buffer_unordered(TOGETHER).try_collect().await
    }
}
