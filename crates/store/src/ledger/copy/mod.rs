//! A copy of the log somewhere else: in object storage, or in another folder.
//!
//! Only what is signed is copied, and its checkpoint goes last: whoever reads the copy finds every file that its checkpoint needs, at each
//! moment and wherever the copying was cut off. So the copy itself says how far it came, and a start asks it for one file instead of listing what
//! is there. What witnesses have cosigned comes behind it. A first copy of a long log, which has no checkpoint for a while, is kept in a file beside the log ([`progress`]).
//!
//! It has a thread of its own that only reads the log's files. Nothing waits for it: where the other side is away, entries stay where they
//! are, it is tried again after longer and longer pauses, and figures say how old the copy is.

mod fetch;
mod pass;
mod place;
mod plan;
mod progress;
#[cfg(test)]
mod tests;

pub use fetch::{Fetched, fetch};
pub use place::{CopyTo, InvalidPlace};

use super::folder::Folder;
use super::writer::now;
use pass::{Copied, Pass};
use place::Place;
use progress::Progress;
use spinwell_core::Micros;
use spinwell_ledger::{Broken, CheckpointError, Files, PublicKey};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Between two looks for a new checkpoint.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// So long is tried at the end to copy the last checkpoint; whoever stops the server waits.
const LAST: Duration = Duration::from_secs(3);

/// Why the copy is not as far as the log.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The other side does not answer, or says no.
    #[error("{path} cannot be read or written there")]
    Storage {
        /// Which object.
        path: String,
        /// Why.
        source: Box<object_store::Error>,
    },
    /// What is there is of another log.
    #[error("there is a checkpoint that this log's key has not signed: it is the copy of another log")]
    Another(#[source] CheckpointError),
    /// What is there goes further than this log.
    #[error("the copy has {copy} entries and the log {log}: the log is an older one")]
    Ahead {
        /// Entries under the copy's checkpoint.
        copy: u64,
        /// Entries under the log's own.
        log: u64,
    },
    /// There is no checkpoint to copy.
    #[error("there is no log with a checkpoint")]
    NoCheckpoint,
    /// The log's checkpoint does not hold.
    #[error("the log's own checkpoint does not hold")]
    Checkpoint(#[source] CheckpointError),
    /// The log's files do not hold what the checkpoint says.
    #[error("the log's files do not hold what its checkpoint says")]
    Files(#[source] Broken),
    /// How far it came cannot be kept or found.
    #[error("how far the copy came cannot be kept in {}", path.display())]
    Progress {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no thread for it.
    #[error("the copying cannot begin")]
    Begin(#[source] io::Error),
}

/// What is copied, and where to.
#[derive(Debug)]
pub struct CopySettings {
    /// The log's folder.
    pub folder: PathBuf,
    /// What its checkpoints are checked with.
    pub public: PublicKey,
    /// What the copy is called there: the name of the process.
    pub name: String,
    /// Where.
    pub to: CopyTo,
}

/// Figures of the copying.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyCounts {
    /// Entries under the copy's checkpoint, as far as is known.
    pub entries: u64,
    /// For how long it has not had all that is signed.
    pub lag: Micros,
    /// Tries that failed.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Shared {
    entries: u64,
    behind_since: Option<Instant>,
    failed: u64,
}

/// Copies a log for as long as it is there.
#[derive(Debug)]
pub struct Copier {
    shared: Arc<Mutex<Shared>>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Copier {
    /// Begins to copy.
    ///
    /// # Errors
    /// Where there can be no thread for it. Whether the other side answers is not waited for.
    pub fn start(settings: CopySettings) -> Result<Self, CopyError> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (stop, stopped) = watch::channel(false);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CopyError::Begin)?;
        let copying = Copying { settings, shared: Arc::clone(&shared), is_told: false };
        let run = move || runtime.block_on(copying.run(stopped));
        let thread = std::thread::Builder::new().name("ledger-copy".into()).spawn(run);
        Ok(Self { shared, stop, thread: Mutex::new(Some(thread.map_err(CopyError::Begin)?)) })
    }

    /// What has been counted.
    #[must_use]
    pub fn counts(&self) -> CopyCounts {
        let Shared { entries, behind_since, failed } = &*locked(&self.shared);
        let lag = behind_since.map_or(0, |since| now().saturating_duration_since(since).as_micros());
        CopyCounts { entries: *entries, lag: Micros(u64::try_from(lag).unwrap_or(u64::MAX)), failed: *failed }
    }

    /// Copies what was signed last, if the other side takes it soon, and ends. Call it when the log is closed.
    pub fn close(&self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // One that panicked has been heard.
            let _ = thread.join();
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.close();
    }
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

struct Copying {
    settings: CopySettings,
    shared: Arc<Mutex<Shared>>,
    /// Whether the log says that the copying does not work.
    is_told: bool,
}

impl Copying {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut failures = 0;
        let mut pass = None;
        while !*stopped.borrow_and_update() {
            let tried = tokio::select! {
                tried = self.look(&mut pass) => tried,
                // What was begun is tried once more below.
                _ = stopped.changed() => break,
            };
            failures = self.judge(tried, failures);
            if failures > 0 {
                pass = None;
            }
            let pause = PAUSE.saturating_mul(1 << failures.min(6)).min(PAUSE_MAX);
            let pause = if failures == 0 { PAUSE } else { pause };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopped.changed() => {}
            }
        }
        match tokio::time::timeout(LAST, self.look(&mut pass)).await {
            Ok(tried) => drop(self.judge(tried, failures)),
            Err(_) => {
                tracing::warn!(
                    "the copy of the ledger does not have its end; the next start brings it there"
                );
            }
        }
    }

    /// Copies what is new, if there is something.
    async fn look(&self, pass: &mut Option<Pass>) -> Result<(), CopyError> {
        let Some(note) = self.checkpoint()? else { return Ok(()) };
        if let Some(pass) = pass.as_mut().filter(|pass| pass.note() == note) {
            return pass.witnessed().await;
        }
        locked(&self.shared).behind_since.get_or_insert_with(now);
        let pass = match pass {
            Some(pass) => pass,
            none => none.insert(self.begin().await?),
        };
        let Copied { entries } = pass.run().await?;
        let mut shared = locked(&self.shared);
        shared.entries = entries;
        // What was signed meanwhile is seen a moment later.
        shared.behind_since = None;
        Ok(())
    }

    async fn begin(&self) -> Result<Pass, CopyError> {
        let CopySettings { folder, public, name, to } = &self.settings;
        let progress = Progress::of(folder, &to.to_string());
        let pass =
            Pass::begin(Place::of_folder(folder)?, to.place(name), vec![public.clone()], Some(progress))
                .await?;
        pass.write_key(&to.place(&format!("{name}.vkey")), public).await?;
        locked(&self.shared).entries = pass.entries();
        Ok(pass)
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, CopyError> {
        let path = "checkpoint".to_owned();
        let read = Folder::new(&self.settings.folder).read(&path);
        read.map_err(|source| CopyError::Files(Broken::Unreadable { path, source }))
    }

    /// Says what became of a try, once, and gives how many have failed since one worked.
    fn judge(&mut self, tried: Result<(), CopyError>, failures: u32) -> u32 {
        let Err(error) = tried else {
            if std::mem::take(&mut self.is_told) {
                tracing::info!(to = %self.settings.to, "the ledger is copied again");
            }
            return 0;
        };
        locked(&self.shared).failed += 1;
        if !std::mem::replace(&mut self.is_told, true) {
            let error = chain(&error);
            tracing::warn!(to = %self.settings.to, error, "the ledger is not copied; it is tried again, and serving goes on");
        }
        failures.saturating_add(1)
    }
}
