//! One process at a time in a folder.

use spinwell_core::{Code, Fault};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The file that is locked; what it holds does not matter.
const FILE_NAME: &str = "lock";

/// A folder cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} is used by another running spinwell; give this one a folder of its own (--data)", .0.display())]
    Taken(PathBuf),
    /// It cannot be made or opened.
    #[error("{} cannot be used for this server's own files", .0.display())]
    Io(PathBuf, #[source] io::Error),
}

impl LockError {
    /// The error as it is shown to the operator.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            LockError::Taken(_) => Fault::new(Code::DataInUse, self.to_string()),
            LockError::Io(_, source) => Fault::new(Code::Io, format!("{self}: {source}")),
        }
    }
}

/// A folder that is this process's own until this is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the folder, where it is not there, and takes it.
    ///
    /// # Errors
    /// Where another process has it, or it cannot be made.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io(folder.to_owned(), source);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join(FILE_NAME);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken(folder.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("deep/data");
        let first = Lock::take(&own).unwrap();
        let second = Lock::take(&own).unwrap_err();
        assert_eq!(second.fault().code(), Code::DataInUse);
        drop(first);
        assert!(Lock::take(&own).is_ok());
    }
}
