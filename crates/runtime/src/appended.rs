//! A file that grows by whole lines, and says how many of them it took.
//!
//! A full disk may take a part of what is written. The writer must know how many lines are whole, because it accounts
//! for each; and the line after a torn one must not be read as its end.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Takes the bytes of whole lines.
#[derive(Debug)]
pub struct Appended<W> {
    to: W,
    /// Whether the last line is torn.
    is_torn: bool,
}

/// Not all lines were taken.
#[derive(Debug, thiserror::Error)]
#[error("only {whole} lines could be written")]
pub struct Refused {
    /// Lines that were written whole.
    pub whole: usize,
    /// Why not more.
    #[source]
    pub source: io::Error,
}

impl<W: Write> Appended<W> {
    /// Lines that go to `to`.
    pub fn new(to: W) -> Self {
        Self { to, is_torn: false }
    }

    /// Writes `lines`, each of which ends with a line break.
    ///
    /// # Errors
    /// Where not all are taken; none is written a second time.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), Refused> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.is_torn {
            self.to.write_all(b"\n").map_err(|source| Refused { whole: 0, source })?;
            self.is_torn = false;
        }
        let mut written = 0;
        let refused = loop {
            match self.to.write(&lines[written..]) {
                Ok(0) => break ErrorKind::WriteZero.into(),
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
            if written == lines.len() {
                return Ok(());
            }
        };
        let taken = &lines[..written];
        self.is_torn = taken.last().is_some_and(|last| *last != b'\n');
        Err(Refused { whole: taken.iter().filter(|byte| **byte == b'\n').count(), source: refused })
    }
}

/// Lines for the end of a file, which is made where it is missing.
#[derive(Debug)]
pub struct AppendedFile {
    path: PathBuf,
    lines: Appended<File>,
}

impl AppendedFile {
    /// The file at `path`.
    ///
    /// # Errors
    /// Where it cannot be opened for writing.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), lines: Appended::new(open(path)?) })
    }

    /// The file that has the name now: another one after the old was renamed.
    ///
    /// # Errors
    /// Where it cannot be opened for writing; lines go on to the old one.
    pub fn reopen(&mut self) -> io::Result<()> {
        let file = open(&self.path)?;
        // Without a rename it is the same file, and may end in half a line.
        let is_torn = self.lines.is_torn && file.metadata()?.len() > 0;
        self.lines = Appended { is_torn, ..Appended::new(file) };
        Ok(())
    }

    /// Writes whole lines.
    ///
    /// # Errors
    /// Where not all are taken.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), Refused> {
        self.lines.write(lines)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    struct Disk {
        room: usize,
        bytes: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room - self.bytes.len());
            if taken == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.bytes.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_says_how_many_lines_it_took_and_the_next_begins_on_its_own() {
        let mut lines = Appended::new(Disk { room: 6, bytes: Vec::new() });
        assert_eq!(lines.write(b"one\ntwo\nthree\n").unwrap_err().whole, 1);
        assert_eq!(lines.write(b"four\n").unwrap_err().whole, 0);
        lines.to.room = 100;
        lines.write(b"five\n").unwrap();
        assert_eq!(lines.to.bytes, b"one\ntw\nfive\n");
    }

    #[test]
    fn a_renamed_file_keeps_its_lines_and_a_new_one_gets_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let mut file = AppendedFile::open(&path).unwrap();
        file.write(b"one\n").unwrap();
        std::fs::rename(&path, &old).unwrap();
        file.write(b"two\n").unwrap();
        file.reopen().unwrap();
        file.write(b"three\n").unwrap();
        let text = |path| std::fs::read_to_string(path).unwrap();
        assert_eq!((text(&old), text(&path)), ("one\ntwo\n".to_owned(), "three\n".to_owned()));
        assert!(AppendedFile::open(&folder.path().join("missing/log")).is_err());
    }
}
