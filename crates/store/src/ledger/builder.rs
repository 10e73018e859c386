//! Makes the log's files out of what the journal holds, and signs how far they go.

use super::folder::Folder;
use super::spool::Item;
use super::writer::{Shared, now};
use spinwell_ledger::{Batch, Checkpoint, Entry, File, LogKey, Tree, batch_path};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Entries after which a checkpoint does not wait for its second.
const ENTRIES: u64 = 1_000;
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_millis(500);

pub(super) struct Builder {
    folder: Folder,
    key: LogKey,
    tree: Tree,
    /// Files that are not written yet.
    unwritten: Vec<File>,
    /// Files that the next checkpoint needs on the disk.
    new: Vec<String>,
    /// Files that are not full and that a checkpoint is over: they stay as they are until the full one is there.
    parts: BTreeSet<String>,
    /// The entries and records under the last checkpoint.
    signed: u64,
    records: u64,
    records_signed: u64,
}

/// Whether a file is not full.
fn is_part(path: &str) -> bool {
    path.contains(".p/")
}

impl Builder {
    /// Goes on with the log that has this tree.
    pub(super) fn new(folder: Folder, key: LogKey, mut tree: Tree, records: u64) -> Self {
        let signed = tree.size();
        // What is not full of the last checkpoint is there, and goes with the next one.
        let parts = tree.take_files().into_iter().map(|file| file.path).collect();
        Self {
            folder,
            key,
            tree,
            unwritten: Vec::new(),
            new: Vec::new(),
            parts,
            signed,
            records,
            records_signed: records,
        }
    }

    /// Makes the next entry.
    pub(super) fn take(&mut self, item: &Item) -> io::Result<()> {
        let entry = match item {
            Item::Entry(entry) => entry.clone(),
            Item::Lines { at, first, text } => {
                let batch = Batch::of_text(text.clone());
                let (seal, bytes) = batch.seal();
                let path = batch_path(self.tree.size());
                self.folder.write(&File { path: path.clone(), bytes })?;
                self.new.push(path);
                self.records = first + seal.records;
                Entry::Batch { at: *at, first: *first, seal }.to_bytes()
            }
        };
        // Entries were measured when they were taken.
        self.tree.append(&entry).map_err(io::Error::other)?;
        Ok(())
    }

    /// Signs all entries, once their files are on the disk.
    pub(super) fn sign(&mut self) -> io::Result<()> {
        if self.tree.size() == self.signed {
            return Ok(());
        }
        // The tree gives a file that became full once: one that cannot be written is kept. What is not full it gives each time.
        self.unwritten.retain(|file| !is_part(&file.path));
        let parts = &self.parts;
        // A checkpoint needs what stands there of the same name, which is the same.
        self.unwritten.extend(self.tree.take_files().into_iter().filter(|file| !parts.contains(&file.path)));
        while let Some(file) = self.unwritten.last() {
            self.folder.write(file)?;
            self.new.extend(self.unwritten.pop().map(|file| file.path));
        }
        self.folder.force(&self.new)?;
        let checkpoint = Checkpoint {
            origin: self.key.public().name().to_owned(),
            size: self.tree.size(),
            root: self.tree.root(),
        };
        let note = checkpoint.sign(&[&self.key]).map_err(io::Error::other)?;
        self.folder.set_checkpoint(&note)?;
        self.signed = checkpoint.size;
        self.records_signed = self.records;
        for path in std::mem::take(&mut self.new) {
            if is_part(&path) {
                self.parts.insert(path);
            } else if path.starts_with("tile/") {
                // Readers of older checkpoints find the beginning of the full one.
                self.folder.remove_parts(&path);
                let within = format!("{path}.p/");
                self.parts.retain(|part| !part.starts_with(&within));
            }
        }
        Ok(())
    }

    /// How many entries it has made.
    pub(super) fn entries(&self) -> u64 {
        self.tree.size()
    }

    /// Entries that are not signed yet.
    fn unsigned(&self) -> u64 {
        self.tree.size() - self.signed
    }

    /// How far the signed log goes: entries, and records.
    pub(super) fn signed(&self) -> (u64, u64) {
        (self.signed, self.records_signed)
    }

    /// Builds what comes, until nothing comes any more.
    pub(super) fn run(mut self, items: &Receiver<Vec<Item>>, shared: &Arc<Shared>, pause: Duration) {
        let mut signed = now();
        loop {
            let due = (signed + pause).saturating_duration_since(now());
            let wait = if self.unsigned() > 0 { due } else { pause };
            let is_over = match items.recv_timeout(wait) {
                Ok(items) => {
                    for item in items {
                        // What follows must not take its place.
                        if !shared.try_until_done(AGAIN, || self.take(&item)) {
                            return;
                        }
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if self.unsigned() >= ENTRIES || now().saturating_duration_since(signed) >= pause || is_over {
                if !shared.try_until_done(AGAIN, || self.sign()) {
                    return;
                }
                signed = now();
                let (entries, records) = self.signed();
                shared.signed(entries, records);
            }
            if is_over {
                return;
            }
        }
    }
}
