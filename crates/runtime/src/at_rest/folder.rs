//! Wrapped keys in a file.
//!
//! A line each, and one for each that was erased, so that whoever reads it sees what there is. The file shows nobody anything: its keys
//! are wrapped. It is replaced as a whole, by one process at a time.

use super::{Change, KeptKeys, KeyHome};
use crate::files;
use data_encoding::{BASE64, HEXLOWER};
use spinwell_core::{Code, Fault};
use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

const FILE_NAME: &str = "wrapped";
const FIRST_LINE: &str = "spinwell keys 1";

/// How long somebody else may take to change the keys, and how often it is tried.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// The keys in a folder.
#[derive(Debug, Clone)]
pub struct FolderKeys(PathBuf);

impl FolderKeys {
    /// Those of this folder, which need not be there.
    #[must_use]
    pub fn of(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Whether there are any.
    ///
    /// # Errors
    /// Where nobody can say.
    pub fn are_there(&self) -> Result<bool, Fault> {
        let path = self.path();
        path.try_exists().map_err(|error| Self::failed(&path, &error))
    }

    fn path(&self) -> PathBuf {
        self.0.join(FILE_NAME)
    }

    /// The folder, which is made where it is not there, while nobody else has it.
    fn locked(&self) -> io::Result<File> {
        fs::create_dir_all(&self.0)?;
        let folder = File::open(&self.0)?;
        for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
            match folder.try_lock() {
                Ok(()) => return Ok(folder),
                Err(TryLockError::WouldBlock) => thread::park_timeout(PAUSE),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other("another process changes the keys, and does not come to an end"))
    }

    fn failed(path: &Path, error: &io::Error) -> Fault {
        Fault::new(Code::Io, format!("{} cannot be read or written: {error}", path.display()))
    }
}

impl KeyHome for FolderKeys {
    fn read(&self) -> Result<KeptKeys, Fault> {
        let path = self.path();
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(KeptKeys::default()),
            Err(error) => Err(Self::failed(&path, &error)),
            Ok(text) => parse(&text).map_err(|line| {
                let message = format!(
                    "line {line} of {} is not what was written: restore it from a copy",
                    path.display()
                );
                Fault::new(Code::FileCorrupt, message)
            }),
        }
    }

    fn change(&self, change: &mut Change<'_>) -> Result<(), Fault> {
        let _locked = self.locked().map_err(|error| Self::failed(&self.0, &error))?;
        let Some(changed) = change(self.read()?)? else { return Ok(()) };
        let path = self.path();
        files::write_secret_atomically(&path, text(&changed).as_bytes())
            .map_err(|error| Self::failed(&path, &error))
    }

    fn name(&self) -> String {
        self.path().display().to_string()
    }
}

fn text(kept: &KeptKeys) -> String {
    let mut text = format!("{FIRST_LINE}\n");
    // Nothing that is written to memory fails.
    for record in &kept.records {
        let _ = writeln!(text, "key {}", BASE64.encode(record));
    }
    for id in &kept.erased {
        let _ = writeln!(text, "erased {}", HEXLOWER.encode(id));
    }
    text
}

/// What the text holds, or the line that is none of ours.
fn parse(text: &str) -> Result<KeptKeys, usize> {
    let mut kept = KeptKeys::default();
    let mut lines = text.lines().enumerate();
    if lines.next().is_none_or(|(_, first)| first != FIRST_LINE) || !text.ends_with('\n') {
        return Err(1);
    }
    for (place, line) in lines {
        let known = match line.split_once(' ') {
            Some(("key", record)) => {
                BASE64.decode(record.as_bytes()).ok().map(|record| kept.records.push(record))
            }
            Some(("erased", id)) => {
                let id = HEXLOWER.decode(id.as_bytes()).ok().and_then(|id| id.try_into().ok());
                id.map(|id: [u8; 16]| kept.erased.extend([id]))
            }
            _ => None,
        };
        known.ok_or(place + 1)?;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_comes_back_and_other_lines_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let keys = FolderKeys::of(folder.path().join("keys"));
        assert!(keys.read().unwrap() == KeptKeys::default() && !keys.are_there().unwrap());
        let kept = KeptKeys { records: vec![vec![1, 2], vec![3; 90]], erased: [[7; 16]].into() };
        keys.change(&mut |before| Ok((before == KeptKeys::default()).then(|| kept.clone()))).unwrap();
        assert_eq!(keys.read().unwrap(), kept);
        let refusal = keys.change(&mut |_| Err(Fault::new(Code::Internal, "no"))).unwrap_err();
        assert_eq!((refusal.code(), keys.read().unwrap()), (Code::Internal, kept.clone()));
        keys.change(&mut |_| Ok(None)).unwrap();
        let path = folder.path().join("keys/wrapped");
        let good = fs::read_to_string(&path).unwrap();
        for (bad, line) in [
            (good.replace("keys 1", "keys 2"), 1),
            (good.replacen("key AQI=", "key A", 1), 2),
            (good.replace("erased 07", "erased "), 4),
            (format!("{good}more\n"), 5),
            (good.trim_end().to_owned(), 1),
        ] {
            files::write_atomically(&path, bad.as_bytes()).unwrap();
            let fault = keys.read().unwrap_err();
            assert!(fault.message().starts_with(&format!("line {line} of ")), "{fault}");
        }
    }
}
