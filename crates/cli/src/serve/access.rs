//! Who comes in: the files that say so, and the detectors of attacks.

use anyhow::{Context, Result};
use spinwell_gateway::{Audit, Door, Proxies, Watch};
use spinwell_runtime::access::{Change, Doors};
use spinwell_runtime::entropy;
use spinwell_runtime::options::{AccessOptions, Threats};
use spinwell_runtime::shutdown::{self, Trigger};
use std::sync::Arc;

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

/// Keeps the doors up to date until what is given back is dropped, and writes down what changes. Must be called within a tokio runtime.
pub(super) fn keep(doors: Arc<Doors>, audit: Option<Arc<Audit>>) -> Trigger {
    let (trigger, stops) = shutdown::channel();
    let changed = move |change: &Change| {
        let Some(audit) = audit.clone() else { return };
        let change = change.clone();
        tokio::spawn(async move {
            if let Err(fault) = audit.access_changed(&change).await {
                tracing::error!(%fault, "a change of who may do what is not in the ledger");
            }
        });
    };
    tokio::spawn(doors.watch(changed, stops));
    trigger
}
