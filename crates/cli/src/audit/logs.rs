//! The logs of a ledger, and the keys that they are checked with.

use crate::failure;
use crate::keys::{RootKey, of_data};
use crate::output::remark;
use crate::serve::of_data_folder;
use anyhow::{Context, Result};
use spinwell_core::Code;
use spinwell_ledger::{InvalidKey, PublicKey};
use spinwell_runtime::at_rest::{AtRest, Veil};
use spinwell_store::ledger::Folder;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The public keys beside the logs.
const PUBLIC_KEYS: &str = "log.vkey";

/// Which ledger.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Place {
    /// The data folder of the server.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data", conflicts_with = "offline")]
    data: PathBuf,
    /// A ledger's folder, or that of one log, wherever it came from.
    #[arg(long, value_name = "DIR")]
    offline: Option<PathBuf>,
    /// The public key of a log, as text or as a file of such lines [default: log.vkey beside the logs].
    #[arg(long = "key", value_name = "VKEY")]
    keys: Vec<String>,
    #[command(flatten)]
    root_key: RootKey,
}

/// Logs, and keys for them.
pub(super) struct Ledger {
    pub(super) logs: Vec<Folder>,
    /// Whether the folder of one log was named.
    pub(super) is_one: bool,
    pub(super) keys: Vec<PublicKey>,
    /// Whether the keys were found where whoever changed the logs could have changed them too.
    pub(super) keys_are_beside: bool,
    /// What names are read with that stand there encrypted.
    pub(super) veil: Veil,
}

impl Place {
    /// The folder that was named: a ledger's, or that of one log.
    pub(super) fn dir(&self) -> PathBuf {
        self.offline.clone().unwrap_or_else(|| self.data.join("ledger"))
    }

    /// What its encrypted files and texts are read with, where a root key is given: the keys of the data folder that it is of, or those beside
    /// it.
    ///
    /// # Errors
    /// Where the root key opens none of the keys.
    pub(super) fn at_rest(&self) -> Result<Option<Arc<AtRest>>> {
        let Some(roots) = self.root_key.roots()? else { return Ok(None) };
        let (dir, data) = (self.dir(), || self.data.clone());
        let above = |dir: &Path| dir.parent().map(Path::to_owned);
        let near = [Some(dir.clone()), above(&dir), above(&dir).and_then(|dir| above(&dir))];
        let found = near.into_iter().flatten().find(|folder| of_data(folder).are_there().unwrap_or(false));
        Ok(of_data_folder(Some(&roots), &found.unwrap_or_else(data))?)
    }

    /// Opens the ledger.
    ///
    /// # Errors
    /// Where there is none, or no key.
    pub(super) fn open(&self) -> Result<Ledger> {
        let dir = self.dir();
        let is_one = dir.join("checkpoint").is_file();
        let (logs, beside) = if is_one {
            (vec![Folder::new(&dir)], dir.parent().unwrap_or(Path::new(".")).to_owned())
        } else {
            (of_folder(&dir)?, dir.clone())
        };
        if logs.is_empty() {
            let message = format!("{} has no log with a checkpoint", dir.display());
            return Err(failure::fault(Code::LedgerWrong, message));
        }
        let keys_are_beside = self.keys.is_empty();
        let keys = if keys_are_beside { read_keys(&beside.join(PUBLIC_KEYS))? } else { self.given()? };
        Ok(Ledger { logs, is_one, keys, keys_are_beside, veil: Veil::default() })
    }

    /// The same, with names to be read.
    ///
    /// # Errors
    /// The same, and where the root key opens none of the keys.
    pub(super) fn open_readable(&self) -> Result<Ledger> {
        Ok(Ledger { veil: Veil::of(self.at_rest()?), ..self.open()? })
    }

    fn given(&self) -> Result<Vec<PublicKey>> {
        given("--key", &self.keys)
    }
}

/// Keys that were named with an option, each as text or as a file of them.
pub(crate) fn given<K: FromStr<Err = InvalidKey>>(option: &str, keys: &[String]) -> Result<Vec<K>> {
    let mut found = Vec::new();
    for key in keys {
        match key.parse() {
            Ok(key) => found.push(key),
            Err(_) if Path::new(key).exists() => found.extend(read_keys(Path::new(key))?),
            Err(error) => {
                return Err(failure::fault(Code::OptionInvalid, format!("{option} {key:?}: {error}")));
            }
        }
    }
    Ok(found)
}

fn read_keys<K: FromStr<Err = InvalidKey>>(path: &Path) -> Result<Vec<K>> {
    let text = fs::read_to_string(path)
        .map_err(|error| failure::fault(Code::Io, format!("{} cannot be read: {error}", path.display())))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let keys = lines.map(|line| {
        line.parse()
            .map_err(|error| failure::fault(Code::LedgerWrong, format!("{}: {error}", path.display())))
    });
    keys.collect()
}

/// The folders in this one that have a checkpoint, by name.
fn of_folder(dir: &Path) -> Result<Vec<Folder>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(dir)
        .map_err(|error| failure::fault(Code::Io, format!("{} cannot be read: {error}", dir.display())))?;
    for entry in entries {
        let path = entry.with_context(|| format!("{} cannot be read", dir.display()))?.path();
        // One whose checkpoint was removed is one, and wrong.
        if path.join("checkpoint").is_file() || path.join("tile").is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found.iter().map(|path| Folder::new(path)).collect())
}

/// Says that keys beside the logs prove less.
pub(super) fn doubt_keys(ledger: &Ledger) {
    if ledger.keys_are_beside {
        remark(
            "the key was read from beside the log, where whoever changes the one can change the other: keep it elsewhere and give it with --key",
        );
    }
}

impl Place {
    /// The keys that were named, as they were written.
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }
}
