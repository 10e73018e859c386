//! Has the checkpoints of a log cosigned by its witnesses, beside everything else: nobody waits for them.
//!
//! Each witness is asked on its own, at most once a second, for what the log's folder says. What it has cosigned last stands in
//! the folder as well, a file for each.

use anyhow::{Context, Result, anyhow, bail};
use spinwell_core::{Code, Fault};
use spinwell_ledger::witness::{Request, size_in};
use spinwell_ledger::{Broken, Checkpoint, Files as _, PublicKey, Witness, consistency, witnessed_path};
use spinwell_runtime::files;
use spinwell_runtime::options::{LedgerOptions, WitnessAddress};
use spinwell_store::ledger::Folder;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often a witness is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// An answer is a few lines.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Hears up to which entry a witness has cosigned.
type Tell = Arc<dyn Fn(&str, u64) + Send + Sync>;

/// The witnesses of a log, who are not asked yet.
pub(super) struct Witnesses(Vec<(String, Witness)>);

impl Witnesses {
    /// Those that the options name.
    ///
    /// # Errors
    /// Where the key of one is none.
    pub(super) fn of(options: &LedgerOptions) -> Result<Self, Fault> {
        let one = |WitnessAddress { url, key }: &WitnessAddress| {
            let witness = key.parse().map_err(|error| {
                Fault::new(Code::ConfigInvalid, format!("ledger.witnesses: {key:?}: {error}"))
            })?;
            Ok((format!("{url}/add-checkpoint"), witness))
        };
        options.witnesses.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Asks them from now on, and tells up to which entry each has cosigned. Must be called within a tokio runtime.
    pub(super) fn ask(self, log: &Path, key: &PublicKey, tell: impl Fn(&str, u64) + Send + Sync + 'static) {
        let tell: Tell = Arc::new(tell);
        for (url, witness) in self.0 {
            tell(witness.name(), 0);
            let asked = Asked {
                log: Folder::new(log),
                key: key.clone(),
                url,
                witness,
                known: 0,
                cosigned: Vec::new(),
            };
            tokio::spawn(asked.run(tell.clone()));
        }
    }
}

/// A witness that is asked.
#[derive(Clone)]
struct Asked {
    log: Folder,
    key: PublicKey,
    url: String,
    witness: Witness,
    /// How many entries the checkpoint is over that it is believed to have.
    known: u64,
    /// The checkpoint that it has cosigned last.
    cosigned: Vec<u8>,
}

impl Asked {
    async fn run(mut self, tell: Tell) {
        let http = match reqwest::Client::builder().timeout(PATIENCE).no_proxy().build() {
            Ok(http) => http,
            Err(error) => return tracing::error!(%error, "witnesses cannot be asked"),
        };
        let mut moments = tokio::time::interval(EVERY);
        moments.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_away = false;
        loop {
            moments.tick().await;
            match self.turn(&http).await {
                Ok(()) => {
                    if std::mem::take(&mut is_away) {
                        tracing::info!(witness = self.witness.name(), "the witness cosigns again");
                    }
                    tell(self.witness.name(), self.known);
                }
                // Once is enough: it is tried again and again.
                Err(error) if !std::mem::replace(&mut is_away, true) => {
                    tracing::warn!(
                        witness = self.witness.name(),
                        error = format!("{error:#}"),
                        "the witness does not cosign; the ledger goes on without it"
                    );
                }
                Err(_) => {}
            }
        }
    }

    /// Has the newest checkpoint cosigned, where there is another one.
    async fn turn(&mut self, http: &reqwest::Client) -> Result<()> {
        // A witness that has another one says which.
        for _ in 0..2 {
            let Some(request) = self.request().await? else { return Ok(()) };
            let sent = http.post(&self.url).body(request.to_bytes()).send().await;
            let answer = sent.with_context(|| format!("{} cannot be reached", self.url))?;
            let status = answer.status().as_u16();
            let body = read(answer).await.context("the answer cannot be read")?;
            match (status, size_in(&body)) {
                (200, _) => return self.keep(request.note, &body).await,
                (409, Some(size)) => self.known = size,
                _ => {
                    let said = String::from_utf8_lossy(&body);
                    bail!("it refuses with {status}: {}", said.trim().escape_debug())
                }
            }
        }
        bail!("it has another checkpoint each time; somebody else may be asking it for this log")
    }

    /// What is to be asked; nothing where it has cosigned the newest checkpoint.
    async fn request(&self) -> Result<Option<Request>> {
        let asked = self.clone();
        tokio::task::spawn_blocking(move || asked.next()).await?
    }

    fn next(&self) -> Result<Option<Request>> {
        let note = self.log.read("checkpoint").context("the checkpoint cannot be read")?.unwrap_or_default();
        if note.is_empty() || note == self.cosigned {
            return Ok(None);
        }
        let size = Checkpoint::open(&note, std::slice::from_ref(&self.key))?.checkpoint.size;
        if self.known > size {
            bail!("it has seen {} entries of this log, which has {size}: it was cut off", self.known);
        }
        match consistency(&self.log, self.known, size) {
            Ok(proof) => Ok(Some(Request { old: self.known, proof, note })),
            // A checkpoint that was made meanwhile may have taken the last one's unfinished files away.
            Err(Broken::Missing(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps a checkpoint with its cosignature.
    async fn keep(&mut self, note: Vec<u8>, cosignature: &[u8]) -> Result<()> {
        let cosigned = [&note[..], cosignature].concat();
        if self.witness.has_seen(&cosigned).is_none() {
            bail!("what it answers is not its cosignature; is the key in ledger.witnesses its own?");
        }
        let size = Checkpoint::open(&cosigned, std::slice::from_ref(&self.key))?.checkpoint.size;
        let path = self.log.path().join(witnessed_path(self.witness.name()));
        let written = tokio::task::spawn_blocking(move || {
            let folder = path.parent().ok_or_else(|| anyhow!("{} is in no folder", path.display()))?;
            fs::create_dir_all(folder)?;
            Ok::<_, anyhow::Error>(files::write_atomically(&path, &cosigned)?)
        });
        written.await?.context("the cosigned checkpoint cannot be kept")?;
        (self.known, self.cosigned) = (size, note);
        Ok(())
    }
}

/// A body that is not too long.
pub(super) async fn read(mut answer: reqwest::Response) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            bail!("it is longer than {ANSWER_BYTES_MAX} bytes");
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}
