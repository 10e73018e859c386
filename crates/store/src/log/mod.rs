//! A log that is written before anybody is told: appended in groups, forced to the disk, read back after a crash.
//!
//! Whoever appends is told by a callback when his entry is on the disk. While the disk works on one group the next one
//! gathers, so that the number of forced writes follows from the disk's speed and not from the number of callers, and
//! nobody waits for company.
//!
//! The log is a row of segments, files named after the position of their first entry. A group that cannot be written is
//! cut off again and its callers are told that it is not there. What a crash leaves half-written at the very end is cut
//! off when the log is opened; damage anywhere else is an error, because entries behind it had been promised.

pub(crate) mod frame;
pub(crate) mod segment;
mod writer;

use segment::{Segment, list};
use spinwell_core::{Code, Fault};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use writer::{Shared, Waiting};

/// The place of an entry: positions rise from entry to entry and may leave gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

/// The longest entry.
pub const ENTRY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why an entry is not in the log, or the log not readable.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk refused.
    #[error("the step log {} cannot be read or written: {message}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// What the disk holds is not what was written, and it is not the end of the log.
    #[error(
        "the step log {} is damaged at byte {offset}, and {follows}; restore the file from a copy, or move it away and lose \
         its entries",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// What makes it damage.
        follows: Follows,
    },
    /// A file that is named like one of the log's does not begin like one.
    #[error(
        "{} is no step log: it does not begin like one; restore the file from a copy, or move it away and lose what it holds",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The entry is longer than [`ENTRY_BYTES_MAX`].
    #[error("the step log takes entries of at most {ENTRY_BYTES_MAX} bytes; send fewer rows in one step")]
    TooLong,
    /// The log takes nothing more.
    #[error("the step log is closed")]
    Closed,
}

/// What shows that something is damaged and not merely unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// Entries behind it, of which the last had been promised.
    Entries,
    /// Newer files of the log.
    Files,
}

impl std::fmt::Display for Follows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Follows::Entries => "whole entries follow",
            Follows::Files => "it is not the newest file of the log",
        })
    }
}

impl LogError {
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        LogError::Io { path: path.to_owned(), message: error.to_string() }
    }

    fn code(&self) -> Code {
        match self {
            LogError::Io { .. } => Code::LogFailed,
            LogError::Damaged { .. } | LogError::Foreign { .. } => Code::FileCorrupt,
            LogError::TooLong => Code::BodyTooLarge,
            LogError::Closed => Code::Stopping,
        }
    }

    /// The error as it is shown to operators.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::new(self.code(), self.to_string())
    }

    /// The error as it is shown to callers, who need not know where this machine keeps what.
    #[must_use]
    pub fn fault_for_callers(&self) -> Fault {
        let message = match self {
            LogError::Io { message, .. } => {
                format!("the step log cannot be read or written: {message}; the server's log says more")
            }
            LogError::Damaged { .. } | LogError::Foreign { .. } => {
                "the step log is damaged; the server's log says where".to_owned()
            }
            LogError::TooLong | LogError::Closed => self.to_string(),
        };
        Fault::new(self.code(), message)
    }
}

/// An open log.
pub struct Log {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    /// Opens the log in `folder`, making the folder where it is not there, and cuts off what a crash left half-written.
    /// New entries stand behind `after`, also where the log holds nothing so new.
    ///
    /// # Errors
    /// Where the folder cannot be used, or an entry that is not the last is damaged.
    pub fn open(folder: &Path, after: Position) -> Result<Self, LogError> {
        std::fs::create_dir_all(folder).map_err(|error| LogError::io(folder, &error))?;
        let mut next = Position(after.0 + 1);
        let segments = list(folder)?;
        for (place, segment) in segments.iter().enumerate() {
            next = next.max(segment.first);
            let last = place + 1 == segments.len();
            if let Some(newest) = segment.mend(last)? {
                next = next.max(Position(newest.0 + 1));
            }
        }
        let shared = Arc::new(Shared::new(folder, Segment::create(folder, next)?, next)?);
        let for_writer = shared.clone();
        let writer = std::thread::Builder::new()
            .name("step-log".to_owned())
            .spawn(move || for_writer.write())
            .map_err(|error| LogError::io(folder, &error))?;
        Ok(Self { shared, writer: Mutex::new(Some(writer)) })
    }

    /// Appends an entry. `done` is called once, with its position when it is on the disk, or with the reason why it is
    /// not in the log; on the log's own thread, so it must be quick.
    pub fn append(&self, entry: Vec<u8>, done: impl FnOnce(Result<Position, &LogError>) + Send + 'static) {
        if entry.len() > ENTRY_BYTES_MAX {
            return done(Err(&LogError::TooLong));
        }
        if let Err(waiting) = self.shared.push(Waiting { entry, done: Box::new(done) }) {
            (waiting.done)(Err(&LogError::Closed));
        }
    }

    /// Calls `each` with every entry on the disk from `from` on, in order. Entries that are appended meanwhile may or may
    /// not be among them.
    ///
    /// # Errors
    /// Where a segment cannot be read or is damaged before its end.
    pub fn read(&self, from: Position, mut each: impl FnMut(Position, &[u8])) -> Result<(), LogError> {
        let segments = list(self.shared.folder())?;
        for (place, segment) in segments.iter().enumerate() {
            let next = segments.get(place + 1).map(|next| next.first);
            if next.is_some_and(|next| next <= from) {
                continue;
            }
            let mut each = |position, entry: &[u8]| {
                if position >= from {
                    each(position, entry);
                }
            };
            segment.read(next.is_none(), &mut each)?;
        }
        Ok(())
    }

    /// Begins a new segment, so that older ones can be forgotten later. Gives the position from which on entries go
    /// there.
    ///
    /// # Errors
    /// Where it cannot be made; the log goes on in the old one.
    pub fn rotate(&self) -> Result<Position, LogError> {
        self.shared.rotate()
    }

    /// Removes the segments of which every entry stands before `position`.
    ///
    /// # Errors
    /// Where one cannot be removed; it stays and is read again.
    pub fn forget_before(&self, position: Position) -> Result<(), LogError> {
        let segments = list(self.shared.folder())?;
        for pair in segments.windows(2) {
            if pair[1].first <= position {
                std::fs::remove_file(&pair[0].path).map_err(|error| LogError::io(&pair[0].path, &error))?;
            }
        }
        Ok(())
    }

    /// The position before which no entry is here any more, or ever was.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn first(&self) -> Result<Position, LogError> {
        Ok(list(self.shared.folder())?.first().map_or(self.next(), |segment| segment.first))
    }

    /// A position behind all entries so far.
    #[must_use]
    pub fn next(&self) -> Position {
        self.shared.next()
    }

    /// Bytes appended since the newest segment began.
    #[must_use]
    pub fn bytes_since_rotation(&self) -> u64 {
        self.shared.bytes()
    }

    /// Takes nothing more, and returns when all that was taken is on the disk. Blocks.
    pub fn close(&self) {
        self.shared.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // It panics nowhere; if it did, its callbacks were dropped, which their owners notice.
            let _ = writer.join();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
