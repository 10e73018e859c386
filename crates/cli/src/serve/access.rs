//! Who comes in: the files that say so, and the detectors of attacks.

use anyhow::{Context, Result};
use spinwell_gateway::{Audit, Door, Proxies, Watch};
use spinwell_runtime::access::{Change, Doors, Standing};
use spinwell_runtime::options::{AccessOptions, Threats};
use spinwell_runtime::shutdown::{self, Trigger};
use spinwell_runtime::{entropy, files};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The doors of a process: guarded where the options say so.
///
/// # Errors
/// What is wrong with the files.
pub(super) fn doors(options: &AccessOptions) -> Result<Arc<Doors>> {
    if !options.is_required {
        return Ok(Doors::open());
    }
    let secret = entropy::secret().context("the system gives no random bytes")?;
    let mut seed = [0; 16];
    seed.copy_from_slice(&secret[..16]);
    Ok(Doors::guarded(&options.dir, &seed)?)
}

/// The door of a gateway.
pub(super) fn door(options: &AccessOptions, doors: Arc<Doors>, audit: Option<Arc<Audit>>) -> Arc<Door> {
    let watch = (options.threats != Threats::Off).then(|| {
        Watch::new(&options.proxies, options.threats == Threats::Log, entropy::seed(), audit.clone())
    });
    Arc::new(Door::new(doors, Proxies::at(options.proxies.clone()), watch, audit))
}

/// Keeps the doors up to date until what is given back is dropped, and writes down what changes; also what was changed while no process looked,
/// by the file of what was written down last. Must be called within a tokio runtime.
pub(super) fn keep(doors: Arc<Doors>, audit: Option<Arc<Audit>>, written: PathBuf) -> Trigger {
    let (trigger, stops) = shutdown::channel();
    let (sender, mut told) = mpsc::unbounded_channel();
    if let Some(audit) = audit.filter(|_| !doors.guard().is_open()) {
        // Before anything changes from here on.
        let before = fs::read_to_string(&written).ok().and_then(|text| Standing::of_text(&text));
        let first = (doors.changes_since(&before.unwrap_or_default()), doors.standing());
        tokio::spawn(async move {
            let mut next = Some(first);
            while let Some((changes, standing)) = next {
                record(&audit, &written, changes, standing).await;
                next = told.recv().await;
            }
        });
    }
    // Where nobody writes it down, nobody hears.
    let changed = move |changes: Vec<Change>, standing: Standing| drop(sender.send((changes, standing)));
    tokio::spawn(doors.watch(changed, stops));
    trigger
}

/// Writes changes to the ledger, and then what holds with them, so that none is written twice and none is missed.
async fn record(audit: &Audit, written: &Path, changes: Vec<Change>, standing: Standing) {
    for change in changes {
        if let Err(fault) = audit.access_changed(&change).await {
            tracing::error!(%fault, "a change of who may do what is not in the ledger");
            // Said again at the next start.
            return;
        }
    }
    let (path, text) = (written.to_owned(), standing.to_text());
    let kept = tokio::task::spawn_blocking(move || files::write_atomically(&path, text.as_bytes())).await;
    if !matches!(kept, Ok(Ok(()))) {
        tracing::error!(path = %written.display(), "what is written down of who may do what cannot be kept");
    }
}
