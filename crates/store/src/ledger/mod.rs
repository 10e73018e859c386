//! One process's log of the audit trail: a journal that is written before anybody is told, and files that anybody can verify.
//!
//! A record of a prediction is written to the journal before its answer leaves, and not forced: a process that is killed has lost nothing. It
//! is forced within a twentieth of a second, with all others of that time, and becomes one of a batch. Events of administration and security are
//! forced before anybody is told that they are there. Out of the journal a second thread makes the log's files; once a second they are
//! forced and signed. What was not signed when a process ends is made again of the journal, in the same way.
//!
//! Nothing is signed that is not in the journal on the disk, so no two checkpoints can contradict each other. A machine that loses its power
//! loses what was not forced. How much that can be is promised in the journal beforehand, and records wait for the next promise:
//! the gap that the log then admits is no longer than [`Settings::span`].

mod builder;
mod copy;
mod folder;
pub mod index;
mod spool;
#[cfg(test)]
mod tests;
mod writer;

pub use copy::{Copier, CopyCounts, CopyError, CopySettings, CopyTo, Fetched, InvalidPlace, fetch};
pub use folder::Folder;
pub use writer::Counts;

use crate::{Lock, LockError, LogError};
use builder::Builder;
use spinwell_core::{Code, Fault, Micros, UnixMicros};
use spinwell_ledger::{
    Broken, Checkpoint, CheckpointError, Entry, Event, Files, LogKey, NoReceipt, PublicKey, Receipt, Tree,
    records_of,
};
use spool::{Frame, Item, Spool, Standing};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use writer::Shared;

/// The longest that somebody waits for a checkpoint over his record.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(5);

/// Why something is not in the ledger, or the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The folder is another process's.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The journal cannot be read.
    #[error("the ledger's journal cannot be read")]
    Journal(#[from] LogError),
    /// The files are not those of the checkpoint.
    #[error("the ledger in {} does not hold what its checkpoint says; verify it", path.display())]
    Files {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        source: Broken,
    },
    /// The checkpoint is not by this key.
    #[error("the ledger in {} was not signed with this key", path.display())]
    Checkpoint {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        source: CheckpointError,
    },
    /// There are files, and nothing that says how far they go.
    #[error("{} has files of a log and no checkpoint: it was removed; restore it, or move the folder away", .0.display())]
    NoCheckpoint(PathBuf),
    /// The journal ends before the checkpoint: to go on would make another log with the same name.
    #[error(
        "the journal in {} ends at entry {journal}, and the log is signed up to {log}: it is an older copy; restore the newest, or move the \
         journal away, which the log will admit",
        path.display()
    )]
    Older {
        /// The folder.
        path: PathBuf,
        /// Entries in the journal.
        journal: u64,
        /// Entries that are signed.
        log: u64,
    },
    /// The journal begins behind the end of the log: what is between them is nowhere.
    #[error(
        "the journal in {} goes on behind entry {journal}, and the log ends at {log}: its files are an older copy; restore the newest",
        path.display()
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Entries before the journal's own.
        journal: u64,
        /// Entries that there are.
        log: u64,
    },
    /// A file cannot be written or read.
    #[error("the ledger in {} cannot be read or written", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written now.
    #[error("the ledger cannot be written: {0}")]
    Disk(String),
    /// The disk has not taken it in time.
    #[error("the ledger's disk takes too long")]
    Slow,
    /// It is being closed.
    #[error("the ledger is closed")]
    Closed,
}

impl LedgerError {
    /// The error as it is shown.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Lock(error) => error.fault(),
            _ => {
                let mut message = self.to_string();
                let mut source = std::error::Error::source(self);
                while let Some(error) = source {
                    message = format!("{message}: {error}");
                    source = error.source();
                }
                let code = match self {
                    Self::Files { .. }
                    | Self::Checkpoint { .. }
                    | Self::NoCheckpoint(_)
                    | Self::Newer { .. }
                    | Self::Older { .. } => Code::LedgerWrong,
                    _ => Code::LedgerFailed,
                };
                Fault::new(code, message)
            }
        }
    }
}

/// How a log is kept.
#[derive(Debug)]
pub struct Settings {
    /// Its folder; the journal is in `spool/` in it.
    pub folder: PathBuf,
    /// What signs it, and what it is called.
    pub key: LogKey,
    /// The program and its version.
    pub program: String,
    /// What the machine calls its time since it was switched on.
    pub boot: String,
    /// The longest time of which records are missing behind a power cut.
    pub span: Duration,
    /// The longest time from an entry to a checkpoint over it.
    pub checkpoint: Duration,
    /// The time of day.
    pub clock: fn() -> UnixMicros,
}

/// A log, open for writing.
pub struct Writer {
    shared: Arc<Shared>,
    folder: Folder,
    public: PublicKey,
    life: u64,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _lock: Lock,
}

impl Writer {
    /// Opens the log, or begins one. What a process before has not signed is made of its journal.
    ///
    /// # Errors
    /// Where it is another process's, cannot be read, or is not what its key has signed.
    pub fn open(settings: Settings) -> Result<Self, LedgerError> {
        let Settings { folder: path, key, program, boot, span, checkpoint: pause, clock } = settings;
        let lock = Lock::take(&path)?;
        let (folder, public) = (Folder::new(&path), key.public());
        let failed = |source| LedgerError::Io { path: path.clone(), source };
        let broken = |source| LedgerError::Files { path: path.clone(), source };
        let tree = load(&folder, &path, &public)?;
        let (size, records) = (tree.size(), records_of(&folder, tree.size()).map_err(broken)?);
        let mut builder = Builder::new(folder.clone(), key, tree, records);
        let spool_folder = path.join("spool");
        let mut built = Ok(());
        let mut spool = Spool::open(&spool_folder, (records, size), &mut |index, item| {
            if index >= size && built.is_ok() {
                built = match index == builder.entries() {
                    true => builder.take(&item).map_err(failed),
                    false => Err(LedgerError::NoCheckpoint(path.clone())),
                };
            }
        })?;
        built?;
        // Whoever begins a journal says first in which life of the machine he does.
        let is_lost = size > 0 && spool.standing.boot.is_empty();
        if spool.standing.entries < size {
            return Err(LedgerError::Older { path, journal: spool.standing.entries, log: size });
        }
        if spool.standing.entries > builder.entries() {
            return Err(LedgerError::Newer { path, journal: spool.standing.entries, log: builder.entries() });
        }
        for item in begin(&mut spool, clock, &boot, &program, is_lost).map_err(failed)? {
            builder.take(&item).map_err(failed)?;
        }
        // The last entry so far says that this process has begun, and is on the disk before anything that it takes.
        let life = spool.standing.entries.saturating_sub(1);
        let (file, position) = spool.to_force().map_err(failed)?;
        file.sync_data().map_err(failed)?;
        spool.forced(position);
        builder.sign().map_err(failed)?;
        let shared = Arc::new(Shared::new(spool, span, clock, builder.signed()));
        let (sender, receiver) = mpsc::channel();
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(failed)
        };
        let (forcing, building) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            spawn("ledger-force", Box::new(move || forcing.run(&sender)))?,
            spawn("ledger-build", Box::new(move || builder.run(&receiver, &building, pause)))?,
        ];
        Ok(Self { shared, folder, public, life, threads: Mutex::new(threads), _lock: lock })
    }

    /// Writes the record of a prediction, and gives its number. `line` is given the number and the time, and writes the line without its
    /// end. Returns when the system has it: behind a pause, or with a slow disk, after a moment.
    ///
    /// # Errors
    /// Where it cannot be written: then it must not be answered either.
    pub fn record(&self, line: impl FnOnce(u64, UnixMicros, &mut Vec<u8>)) -> Result<u64, LedgerError> {
        self.shared.record(line)
    }

    /// A record is about to be written: where the disk has to be asked first, it is asked now.
    pub fn expect(&self) {
        self.shared.expect();
    }

    /// Writes an event; `done` is called when it is on the disk, or cannot be: then what it tells of must not happen.
    pub fn event_then(&self, event: Event, done: impl FnOnce(Result<(), LedgerError>) + Send + 'static) {
        self.shared.entry(|at| Entry::Event { at, event }.to_bytes(), Box::new(done));
    }

    /// Writes an event, and waits until it is on the disk.
    ///
    /// # Errors
    /// Where it cannot be written: then what it tells of must not happen.
    pub fn event(&self, event: Event) -> Result<(), LedgerError> {
        self.entry(|at| Entry::Event { at, event })
    }

    /// Writes the checkpoint of another log, and waits until it is on the disk.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn checkpoint(&self, note: String) -> Result<(), LedgerError> {
        self.entry(|at| Entry::Checkpoint { at, note })
    }

    fn entry(&self, entry: impl FnOnce(UnixMicros) -> Entry) -> Result<(), LedgerError> {
        let (sender, receiver) = mpsc::channel();
        let done = move |done| {
            // Who waits for it is here.
            let _ = sender.send(done);
        };
        self.shared.entry(|at| entry(at).to_bytes(), Box::new(done));
        receiver.recv().unwrap_or(Err(LedgerError::Closed))
    }

    /// The newest checkpoint, as it was signed.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn newest(&self) -> Result<Vec<u8>, LedgerError> {
        let failed = |source| LedgerError::Io { path: self.folder.path().to_owned(), source };
        let note = self.folder.read("checkpoint").map_err(failed)?;
        note.ok_or_else(|| LedgerError::NoCheckpoint(self.folder.path().to_owned()))
    }

    /// The receipt of the record of this number; nothing where there is none. Waits for the next checkpoint where it must.
    ///
    /// # Errors
    /// Where the log's files are not what was signed, or cannot be signed now.
    pub fn receipt(&self, number: u64) -> Result<Option<Receipt>, LedgerError> {
        if number >= self.shared.records().0 {
            return Ok(None);
        }
        if !self.shared.wait_signed(number, CHECKPOINT_PATIENCE) {
            return Err(LedgerError::Slow);
        }
        let path = self.folder.path().to_owned();
        // A checkpoint that is made meanwhile may take the last one's unfinished files away: then it is looked for in the new one.
        let mut tries = 0..3;
        loop {
            match Receipt::of_log(&self.folder, std::slice::from_ref(&self.public), number) {
                Ok(receipt) => return Ok(receipt),
                Err(NoReceipt::Files(Broken::Missing(_))) if tries.next().is_some() => {}
                Err(NoReceipt::Files(source)) => return Err(LedgerError::Files { path, source }),
                Err(error) => return Err(LedgerError::Io { path, source: io::Error::other(error) }),
            }
        }
    }

    /// What the log is checked with.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The entry with which this process has begun to write. Numbers of records that a power cut has taken are given again, and never in the
    /// same life.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Records so far, and how many of them are signed.
    #[must_use]
    pub fn records(&self) -> (u64, u64) {
        self.shared.records()
    }

    /// Entries so far, and how many of them are signed.
    #[must_use]
    pub fn entries(&self) -> (u64, u64) {
        self.shared.entries()
    }

    /// What has been counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// The longest time from a record to the disk, each time it was forced since this was last asked.
    #[must_use]
    pub fn take_lags(&self) -> Vec<Micros> {
        self.shared.take_lags()
    }

    /// Whether records are taken.
    ///
    /// # Errors
    /// Why they are not.
    pub fn ready(&self) -> Result<(), LedgerError> {
        self.shared.refusal()
    }

    /// Counts a record that whoever makes it could not make.
    pub fn refuse(&self) {
        self.shared.refuse();
    }

    /// Seals and signs all that was taken, and ends the log in good order. Nothing is taken afterwards.
    pub fn close(&self) {
        self.shared.close();
        for thread in std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner)) {
            // One that panicked has been heard.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// The tree under the checkpoint; an empty one where there is no log yet.
fn load(folder: &Folder, path: &Path, public: &PublicKey) -> Result<Tree, LedgerError> {
    let failed = |source| LedgerError::Io { path: path.to_owned(), source };
    let Some(note) = folder.read("checkpoint").map_err(failed)? else {
        // Files of a first checkpoint that was never signed are written again, out of the journal.
        let is_old = path.join("tile").exists() && !path.join("spool").exists();
        return if is_old { Err(LedgerError::NoCheckpoint(path.to_owned())) } else { Ok(Tree::default()) };
    };
    let opened = Checkpoint::open(&note, std::slice::from_ref(public));
    let signed = opened.map_err(|source| LedgerError::Checkpoint { path: path.to_owned(), source })?;
    let Checkpoint { size, root, .. } = signed.checkpoint;
    Tree::load(folder, size, root).map_err(|source| LedgerError::Files { path: path.to_owned(), source })
}

/// Ends what the process before has left, says what may be missing, and that another begins.
fn begin(
    spool: &mut Spool,
    clock: fn() -> UnixMicros,
    boot: &str,
    program: &str,
    is_lost: bool,
) -> io::Result<Vec<Item>> {
    let at = clock().max(spool.standing.at);
    let Standing { at: last, until, is_closed, .. } = spool.standing;
    let is_cut = !is_closed && spool.standing.boot != boot;
    let mut items = Vec::new();
    if !spool.standing.lines.is_empty() {
        // As old as they are: a gap behind them must not look as if it were before.
        items.extend(spool.append(last, Frame::Seal)?);
    }
    let gap = if is_lost {
        Some((UnixMicros(0), at, "the journal is missing"))
    } else if is_cut && until > last {
        Some((last, until, "the machine lost its power or was restarted"))
    } else {
        None
    };
    let mut append = |spool: &mut Spool, entry: &Entry| -> io::Result<()> {
        items.extend(spool.append(at, Frame::Entry(&entry.to_bytes()))?);
        Ok(())
    };
    if let Some((from, until, reason)) = gap {
        append(spool, &Entry::Gap { at, from, until, reason: reason.to_owned() })?;
    }
    append(spool, &Entry::Opened { at, boot: boot.to_owned(), program: program.to_owned() })?;
    spool.append(at, Frame::Opened(boot))?;
    Ok(items)
}
