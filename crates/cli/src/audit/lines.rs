//! Reads what stands in logs: records and events, newest or oldest first.

use super::logs::Ledger;
use crate::failure;
use anyhow::Result;
use serde_json::Value;
use spinwell_core::Code;
use spinwell_ledger::{Checkpoint, Entry, Files as _, Signed, read};
use spinwell_store::ledger::Folder;

/// A record or an event.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// The name of its log's folder.
    pub(super) log: String,
    /// The entry that it is, or is in.
    pub(super) entry: u64,
    /// What stands there: `kind` says what it is, of entries that are no batches.
    pub(super) value: Value,
}

impl Line {
    /// When it was written, in microseconds since 1970.
    pub(super) fn at(&self) -> u64 {
        self.value["at"].as_u64().unwrap_or_default()
    }

    /// Whether it is the record of a prediction that was asked for.
    pub(super) fn is_prediction(&self) -> bool {
        self.value.get("n").is_some() && self.value.get("phase").is_none()
    }

    /// What a member says, as text.
    pub(super) fn text(&self, member: &str) -> String {
        match &self.value[member] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// Calls `each` with the lines of a log, entry by entry from the newest or the oldest on, until it says that it is enough.
///
/// # Errors
/// Where the checkpoint does not hold or a file is not what it should be.
pub(super) fn walk(
    ledger: &Ledger,
    log: &Folder,
    newest_first: bool,
    wanted: &dyn Fn(&Entry) -> bool,
    each: &mut dyn FnMut(Line) -> bool,
) -> Result<()> {
    let wrong = |error: anyhow::Error| {
        failure::fault(Code::LedgerWrong, format!("{}: {error:#}", log.path().display()))
    };
    let note = log.read("checkpoint").map_err(|error| wrong(error.into()))?.unwrap_or_default();
    let Signed { checkpoint, .. } =
        Checkpoint::open(&note, &ledger.keys).map_err(|error| wrong(error.into()))?;
    let name = log.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let bundles = read::bundles(checkpoint.size);
    let numbers: Vec<u64> = if newest_first { bundles.rev().collect() } else { bundles.collect() };
    for number in numbers {
        let mut entries = read::bundle(log, checkpoint.size, number).map_err(|error| wrong(error.into()))?;
        if newest_first {
            entries.reverse();
        }
        for (entry, read) in entries.into_iter().filter(|(_, entry)| wanted(entry)) {
            let mut values = match &read {
                Entry::Batch { seal, .. } => {
                    let batch = read::batch(log, entry, *seal).map_err(|error| wrong(error.into()))?;
                    batch.lines().map(serde_json::from_slice).collect::<Result<Vec<Value>, _>>()
                }
                other => serde_json::from_slice(&other.to_bytes()).map(|value| vec![value]),
            }
            .map_err(|error| wrong(error.into()))?;
            if newest_first {
                values.reverse();
            }
            for value in values {
                if !each(Line { log: name.clone(), entry, value }) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
