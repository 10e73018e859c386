//! Brings a copy back into a folder, where it can be verified without a network.

use super::pass::Pass;
use super::place::Place;
use super::{CopyError, CopyTo};
use spinwell_ledger::PublicKey;
use std::path::Path;

/// What was brought.
#[derive(Debug)]
pub struct Fetched {
    /// The logs, by name, with how many entries each has and how many of them are new.
    pub logs: Vec<(String, u64, u64)>,
    /// The public keys that lay beside them: they prove less than those that were kept elsewhere.
    pub keys: Vec<PublicKey>,
}

/// Brings all logs that are there into this folder. What it has of them stays, so that a second time brings what is new. Blocks.
///
/// # Errors
/// Where the other side cannot be read, a file is missing, or a checkpoint is not signed by one of these keys. Without any, those count that lie
/// beside the logs.
pub fn fetch(from: &CopyTo, folder: &Path, keys: &[PublicKey]) -> Result<Fetched, CopyError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CopyError::Begin)?;
    runtime.block_on(async {
        let (folders, files) = from.names().await?;
        let mut beside = Vec::new();
        for file in files.iter().filter(|file| file.ends_with(".vkey")) {
            let text = from.place(file).read("").await?.unwrap_or_default();
            beside.extend(
                String::from_utf8_lossy(&text).lines().filter_map(|line| line.parse::<PublicKey>().ok()),
            );
        }
        let keys = if keys.is_empty() { beside.clone() } else { keys.to_vec() };
        let mut fetched = Fetched { logs: Vec::new(), keys: beside };
        for name in folders {
            let place = from.place(&name);
            if !place.has("checkpoint").await? {
                continue;
            }
            let path = folder.join(&name);
            std::fs::create_dir_all(&path)
                .map_err(|source| CopyError::Progress { path: path.clone(), source })?;
            let mut pass = Pass::begin(place, Place::of_folder(&path)?, keys.clone(), None).await?;
            let before = pass.entries();
            let copied = pass.run().await?;
            fetched.logs.push((name, copied.entries, copied.entries - before));
        }
        if fetched.logs.is_empty() { Err(CopyError::NoCheckpoint) } else { Ok(fetched) }
    })
}
