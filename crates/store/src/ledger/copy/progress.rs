//! How far a copy came that has no checkpoint over it yet: two lines in the file `copied` beside the log.
//!
//! It is believed only where the last file that it stands for is there: somebody may have emptied the bucket.

use super::CopyError;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    to: String,
}

impl Progress {
    /// The progress of the log in this folder on its way there.
    pub(super) fn of(folder: &Path, to: &str) -> Self {
        Self { path: folder.join("copied"), to: to.to_owned() }
    }

    /// The entries that have been copied; none where it says nothing, or something of another place.
    pub(super) fn read(&self) -> Result<u64, CopyError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(source) => return Err(self.failed(source)),
        };
        let said = text.split_once('\n').filter(|(to, _)| *to == self.to);
        Ok(said.and_then(|(_, entries)| entries.trim().parse().ok()).unwrap_or(0))
    }

    /// Keeps it: whole, or as it was.
    pub(super) fn keep(&self, entries: u64) -> Result<(), CopyError> {
        let new = self.path.with_extension("new");
        let write = || {
            let mut file = fs::File::create(&new)?;
            write!(file, "{}\n{entries}\n", self.to)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        };
        write().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> CopyError {
        CopyError::Progress { path: self.path.clone(), source }
    }
}
