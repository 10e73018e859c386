//! Control's ledger: the newest checkpoints of the other logs that it can read, so that their ends cannot be cut off any more unseen.
//!
//! What others say is recorded as they have signed it, and not judged here: whoever verifies the logs has the keys, and sees then whether a
//! checkpoint is part of its log. Each source is recorded at most once in [`PAUSE`].

use super::gateways::operations_planes;
use super::witnesses::Witnesses;
use super::{at_rest, ledger};
use anyhow::{Context, Result, bail};
use spinwell_control::Book;
use spinwell_ledger::{Checkpoint, Files as _};
use spinwell_registry::View;
use spinwell_runtime::at_rest::Veil;
use spinwell_runtime::options::Options;
use spinwell_runtime::pages::page;
use spinwell_runtime::shutdown::Shutdown;
use spinwell_store::ledger::{Folder, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// Between two looks at a log: what is cut off sooner is not seen here.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Checkpoints with a few signatures are much shorter, and an entry has room for it.
const NOTE_BYTES_MAX: usize = 8 << 10;
/// Logs that are looked at.
const SOURCES_MAX: usize = 256;

/// Where a log's checkpoint is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// A folder beside control's own log.
    Folder(PathBuf),
    /// A gateway's operations plane.
    Gateway(String),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Gateway(address) => f.write_str(address),
        }
    }
}

/// Records the checkpoints of other logs.
pub(super) struct Recorder {
    writer: Arc<Writer>,
    /// The folder of all logs on this machine, and that of control's own.
    dir: PathBuf,
    own: PathBuf,
    /// What encrypts who is named in it.
    veil: Veil,
    gateways: Vec<String>,
    view: watch::Receiver<Arc<View>>,
    /// Whom gateways' certificates are believed of, beside the authorities of the system.
    trusted: Option<PathBuf>,
    /// What was recorded last, and whether a source could be read.
    last: BTreeMap<Source, (String, bool)>,
}

impl Recorder {
    /// Opens control's ledger, where the options want one. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub(super) fn open(options: &Options, view: watch::Receiver<Arc<View>>) -> Result<Option<Self>> {
        let name = &options.control.id.0;
        let witnesses = Witnesses::of(&options.ledger)?;
        let at_rest = at_rest::of(options)?;
        let Some((writer, _)) = ledger::writer(&options.ledger, name, at_rest.as_ref())? else {
            return Ok(None);
        };
        let dir = options.ledger.dir.clone();
        let own = dir.join(&**name);
        witnesses.ask(&own, writer.public(), |_, _| ());
        let trusted = options.region.certificates.as_ref().map(|dir| dir.join("authority.pem"));
        let gateways = options.control.gateways.clone();
        let (writer, veil, last) = (Arc::new(writer), Veil::of(at_rest), BTreeMap::new());
        Ok(Some(Self { writer, dir, own, veil, gateways, view, trusted, last }))
    }

    /// What writes control's ledger.
    pub(super) fn book(&self) -> Book {
        Book { writer: self.writer.clone(), veil: self.veil.clone() }
    }

    /// Looks at all logs again and again, until it is told to stop; then its own is closed.
    pub(super) async fn run(mut self, mut stop: Shutdown) {
        let mut moments = tokio::time::interval(PAUSE);
        moments.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.wait() => break,
                _ = moments.tick() => {}
            }
            let all = async {
                for source in self.sources() {
                    self.look(source).await;
                }
            };
            // Gateways that do not answer take their time.
            tokio::select! {
                () = stop.wait() => break,
                () = all => {}
            }
        }
        let writer = self.writer;
        let closed = tokio::task::spawn_blocking(move || writer.close()).await;
        if closed.is_err() {
            tracing::error!("the ledger was not closed in good order; what it has taken is in its journal");
        }
    }

    /// The logs that there are now.
    fn sources(&self) -> BTreeSet<Source> {
        let view = self.view.borrow().clone();
        let gateways = operations_planes(&view, &self.gateways).into_iter().map(Source::Gateway);
        let folders = folders(&self.dir, &self.own).into_iter().map(Source::Folder);
        gateways.chain(folders).take(SOURCES_MAX).collect()
    }

    /// Records what one says, where that is another checkpoint than before. What cannot be read is said once.
    async fn look(&mut self, source: Source) {
        let before = self.last.get(&source).cloned();
        let (last, could_be_read) = before.unwrap_or((String::new(), true));
        let said = match self.record(&source, &last).await {
            Ok(said) => (said, true),
            Err(error) => {
                if could_be_read {
                    let error = format!("{error:#}");
                    tracing::warn!(%source, error, "a log's checkpoint is not recorded; trying again");
                }
                (last, false)
            }
        };
        self.last.insert(source, said);
    }

    async fn record(&self, source: &Source, last: &str) -> Result<String> {
        let note = match source {
            Source::Folder(path) => {
                let folder = Folder::new(path);
                let note = tokio::task::spawn_blocking(move || folder.read("checkpoint")).await??;
                note.context("it has no checkpoint")?
            }
            Source::Gateway(address) => {
                let url = format!("{address}/v1/ledger/checkpoint");
                page(&url, self.trusted.as_deref(), NOTE_BYTES_MAX, PATIENCE).await?
            }
        };
        if note == last.as_bytes() {
            return Ok(last.to_owned());
        }
        if note.len() > NOTE_BYTES_MAX {
            bail!("its checkpoint has {} bytes, at most {NOTE_BYTES_MAX} are recorded", note.len());
        }
        let checkpoint = Checkpoint::claimed(&note)?;
        if Checkpoint::claimed(last.as_bytes()).is_ok_and(|last| last.size > checkpoint.size) {
            tracing::error!(%source, size = checkpoint.size, "a log is shorter than it was: verify it");
        }
        let note = String::from_utf8(note)?;
        let (writer, entry) = (self.writer.clone(), note.clone());
        tokio::task::spawn_blocking(move || writer.checkpoint(entry)).await??;
        Ok(note)
    }
}

/// The folders of logs in this one, but for control's own.
fn folders(dir: &Path, own: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    entries.filter(|path| path != own && path.join("checkpoint").is_file()).collect()
}
