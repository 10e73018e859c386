//! Writing a file so that a reader sees the old contents or the new, never a part.
//!
//! A crash between `create` and the last `write` leaves a truncated model or card behind, and such a file is
//! found weeks later by somebody else. So the bytes go to a temporary file in the same folder (a rename
//! across file systems is a copy), are forced to the disk, and take the final name in one step; then the
//! folder is forced too, because the name lives there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Makes the temporary names of one process differ from each other.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Who may read and write a file, less what the process's mask takes away.
const EVERYBODY: u32 = 0o666;
const OWNER: u32 = 0o600;

/// Writes `bytes` to `path`, whole or not at all, and returns when they are on the disk.
///
/// # Errors
/// Where the folder is missing or not writable, or the disk is full. What stood at `path` before still does.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, bytes, EVERYBODY, None)
}

/// The same for a copy that is to be as old as what it is a copy of: the time is on the disk with the bytes.
///
/// # Errors
/// Those of [`write_atomically`].
pub fn write_dated_atomically(path: &Path, bytes: &[u8], modified: SystemTime) -> io::Result<()> {
    write(path, bytes, EVERYBODY, Some(modified))
}

/// The same for a secret: only its owner may read the file, from its first byte on.
///
/// # Errors
/// Those of [`write_atomically`].
pub fn write_secret_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, bytes, OWNER, None)
}

fn write(path: &Path, bytes: &[u8], mode: u32, modified: Option<SystemTime>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let temporary = temporary_beside(path, folder)?;
    let written = create(&temporary, mode).and_then(|mut file| {
        if mode == OWNER {
            keep_owner(&file, path, folder)?;
        }
        file.write_all(bytes)?;
        // Before the file is forced to the disk: a time that is set later may be lost with the power.
        modified.map_or(Ok(()), |at| file.set_modified(at))?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        // The first error is the one to report; a leftover file is worth less than the reason.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()
}

/// Gives a folder another name beside its own, and returns when that is on the disk.
///
/// # Errors
/// Where `from` is not there, or something that is not an empty folder has the name `to`.
pub fn rename_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    File::open(to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
        .sync_all()
}

/// Takes a folder, or a file, out of sight: under a name that begins with a dot, beside its own, which it returns. Whoever reads the
/// folder above never sees it half removed. [`fs::remove_dir_all`] may then take its time, [`rename_folder`] brings it back.
///
/// # Errors
/// Where the folder is not there or may not be renamed; it is then as it was.
pub fn hide_folder(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no folder"))?
        .to_string_lossy();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let hidden = path.with_file_name(format!(".{name}.{}-{number}.removed", std::process::id()));
    rename_folder(path, &hidden)?;
    Ok(hidden)
}

/// Gives a secret that the administrator writes to whoever owned it before, or owns the folder: nobody else could read it, and whoever was meant
/// to could not either.
fn keep_owner(file: &File, path: &Path, folder: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let before = fs::metadata(path).or_else(|_| fs::metadata(folder))?;
    match before.uid() {
        0 => Ok(()),
        owner => std::os::unix::fs::fchown(file, Some(owner), Some(before.gid())),
    }
}

fn temporary_beside(path: &Path, folder: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?
        .to_string_lossy();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Ok(folder.join(format!(".{name}.{}-{number}.partial", std::process::id())))
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_contents_replace_the_old_and_leave_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.spinwell");
        for contents in [b"first".as_slice(), b"second", b""] {
            write_atomically(&path, contents).unwrap();
            assert_eq!(fs::read(&path).unwrap(), contents);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_is_its_owners_alone_also_where_the_file_before_it_was_not() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        write_atomically(&path, b"open").unwrap();
        write_secret_atomically(&path, b"secret").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_secret_that_the_administrator_writes_stays_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wrapped");
        write_secret_atomically(&path, b"one").unwrap();
        let nobody = 65_534;
        // Only the administrator can give files away.
        if std::os::unix::fs::chown(&path, Some(nobody), Some(nobody)).is_err() {
            return;
        }
        write_secret_atomically(&path, b"two").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().uid(), nobody);
        std::os::unix::fs::chown(folder.path(), Some(nobody), Some(nobody)).unwrap();
        let new = folder.path().join("new");
        write_secret_atomically(&new, b"one").unwrap();
        assert_eq!(fs::metadata(&new).unwrap().uid(), nobody);
    }

    #[test]
    fn a_copy_has_the_time_that_it_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.spinwell");
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_123);
        write_dated_atomically(&path, b"model", at).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"model");
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), at);
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_no_partial_one() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(write_atomically(&taken, b"a file cannot replace a folder").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_atomically(&folder.path().join("missing/model"), b"x").is_err());
    }

    #[test]
    fn a_hidden_folder_is_out_of_sight_and_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let version = folder.path().join("3");
        fs::create_dir(&version).unwrap();
        write_atomically(&version.join("model"), b"model").unwrap();
        let hidden = hide_folder(&version).unwrap();
        assert!(!version.exists() && hidden.file_name().unwrap().to_str().unwrap().starts_with('.'));
        assert!(hide_folder(&version).is_err());
        rename_folder(&hidden, &version).unwrap();
        assert_eq!(fs::read(version.join("model")).unwrap(), b"model");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // Nothing that holds something is replaced.
        fs::create_dir(folder.path().join("4")).unwrap();
        assert!(rename_folder(&folder.path().join("4"), &version).is_err());
    }
}
