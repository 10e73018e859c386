//! Entries of sequences that cannot be made again, kept beside the step log.
//!
//! The log is pruned up to one position for all. A sequence of which no state comes, because its model is not here or its records
//! contradict each other, would hold back everything that was ever written behind its newest copy, for as long as nobody mends
//! it. So its entries are copied to a file of their own, with their positions, before the log forgets them: whoever makes the
//! sequence again reads them first, and then the log. Entries that stand in both are folded once, for they have the same position.
//!
//! The file is written as a whole and seldom, and there is none while nothing is wrong.

use super::record::{key_of, seal, unseal};
use spinwell_core::{Code, Fault, SequenceKey};
use spinwell_runtime::files::write_atomically;
use spinwell_store::Position;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

/// An entry of the log, with its position.
pub(super) type Entry = (Position, Vec<u8>);

/// The file.
#[derive(Debug, Clone)]
pub(crate) struct Aside(PathBuf);

impl Aside {
    /// The file of that path, which need not be there.
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Calls `each` with every entry, those of one sequence in order.
    ///
    /// # Errors
    /// Where it cannot be read, or is damaged.
    pub(super) fn read(&self, mut each: impl FnMut(Position, &[u8])) -> Result<(), Fault> {
        let bytes = match std::fs::read(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read.map_err(|error| self.failed(&error))?,
        };
        let contents = unseal(&bytes).and_then(|contents| postcard::from_bytes(contents).ok());
        let entries: Vec<(u64, &[u8])> = contents.ok_or_else(|| {
            let message = format!(
                "{} is damaged: restore it from a copy, or move it away and lose the sequences in it, which could not be had anyway",
                self.0.display()
            );
            Fault::new(Code::FileCorrupt, message)
        })?;
        entries.into_iter().for_each(|(position, entry)| each(Position(position), entry));
        Ok(())
    }

    /// Keeps these entries and no others, and returns when that is on the disk.
    ///
    /// # Errors
    /// Where it cannot be written; then it holds what it held.
    pub(super) fn keep(&self, entries: &[Entry]) -> Result<(), Fault> {
        if entries.is_empty() {
            return match std::fs::remove_file(&self.0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(&error)),
                _ => Ok(()),
            };
        }
        let plain: Vec<(u64, &[u8])> =
            entries.iter().map(|(position, entry)| (position.0, entry.as_slice())).collect();
        let bytes = seal(postcard::to_stdvec(&plain).unwrap_or_default());
        write_atomically(&self.0, &bytes).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Fault {
        Fault::new(Code::LogFailed, format!("{} cannot be read or written: {error}", self.0.display()))
    }
}

/// Adds an entry to those of its sequence, where it is one that is `wanted` and not there yet.
pub(super) fn gather(wanted: &mut HashMap<SequenceKey, Vec<Entry>>, position: Position, entry: &[u8]) {
    if let Some(entries) = key_of(entry).and_then(|key| wanted.get_mut(&key))
        && entries.last().is_none_or(|(last, _)| *last < position)
    {
        entries.push((position, entry.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aside");
        let aside = Aside::at(path.clone());
        let read = || {
            let mut all = Vec::new();
            aside.read(|position, entry| all.push((position, entry.to_vec()))).map(|()| all)
        };
        assert_eq!(read().unwrap(), []);
        let entries = vec![(Position(3), b"three".to_vec()), (Position(9), Vec::new())];
        aside.keep(&entries).unwrap();
        assert_eq!(read().unwrap(), entries);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[4] ^= 1;
        write_atomically(&path, &bytes).unwrap();
        assert_eq!(read().unwrap_err().code(), Code::FileCorrupt);
        aside.keep(&[]).unwrap();
        aside.keep(&[]).unwrap();
        assert!(read().unwrap().is_empty() && !path.exists());
    }
}
