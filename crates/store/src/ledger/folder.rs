//! A log's files in a folder.

use spinwell_ledger::{File, Files};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file that everything else is checked with.
const CHECKPOINT: &str = "checkpoint";

/// A folder that has a log.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// A log in this folder, which may not be there yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that nothing refers to yet; it is forced to the disk with the others.
    pub(super) fn write(&self, file: &File) -> io::Result<()> {
        let path = self.0.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::File::create(path)?.write_all(&file.bytes)
    }

    /// Forces these files to the disk, and the folders that they are in.
    pub(super) fn force(&self, paths: &[String]) -> io::Result<()> {
        let mut folders = BTreeSet::new();
        for path in paths {
            let path = self.0.join(path);
            fs::File::open(&path)?.sync_all()?;
            // New folders stand in others, which may be new as well.
            folders.extend(
                path.ancestors().skip(1).take_while(|above| above.starts_with(&self.0)).map(Path::to_owned),
            );
        }
        folders.iter().try_for_each(|folder| fs::File::open(folder)?.sync_all())
    }

    /// Puts a checkpoint in the place of the last one: whole, or not at all.
    pub(super) fn set_checkpoint(&self, note: &[u8]) -> io::Result<()> {
        let (new, path) = (self.0.join("checkpoint.new"), self.0.join(CHECKPOINT));
        let mut file = fs::File::create(&new)?;
        file.write_all(note)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        fs::File::open(&self.0)?.sync_all()
    }

    /// Removes the beginnings of a file that is full by now.
    pub(super) fn remove_parts(&self, full: &str) {
        // Those that stay are in nobody's way, and often there are none.
        let _ = fs::remove_dir_all(self.0.join(format!("{full}.p")));
    }
}

impl Files for Folder {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.0.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
