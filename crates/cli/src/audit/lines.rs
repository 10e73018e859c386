//! Reads what stands in logs: records and events, newest or oldest first.

use super::logs::Ledger;
use crate::failure;
use anyhow::Result;
use serde_json::Value;
use spinwell_core::Code;
use spinwell_ledger::{Checkpoint, Entry, Files as _, ReceiptId, Signed, line, read};
use spinwell_runtime::at_rest::{Veil, is_veiled};
use spinwell_store::ledger::Folder;
use spinwell_store::ledger::index::Place;

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

    /// What its receipt is asked for by, where it is a record.
    pub(super) fn receipt(&self) -> String {
        let number = |member: &str| self.value[member].as_u64().unwrap_or_default();
        ReceiptId { log: self.log.clone(), life: number("life"), number: number("n") }.to_string()
    }

    /// Whether a text in it is encrypted.
    pub(super) fn is_veiled(&self) -> bool {
        let texts = VEILED.iter().filter_map(|(pointer, _)| self.value.pointer(pointer)?.as_str());
        texts.into_iter().any(is_veiled)
    }

    /// The text that it is found by where this member is sought.
    pub(super) fn sought(&self, member: &str) -> Option<String> {
        line::text(&self.value, member)
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
    let wrong = |error: anyhow::Error| wrong(log, &error);
    let (size, name) = (size_of(ledger, log)?, name_of(log));
    let bundles = read::bundles(size);
    let numbers: Vec<u64> = if newest_first { bundles.rev().collect() } else { bundles.collect() };
    for number in numbers {
        let mut entries = read::bundle(log, size, number).map_err(|error| wrong(error.into()))?;
        if newest_first {
            entries.reverse();
        }
        for (entry, read) in entries.into_iter().filter(|(_, entry)| wanted(entry)) {
            let mut values = values_of(log, entry, &read).map_err(wrong)?;
            if newest_first {
                values.reverse();
            }
            for mut value in values {
                unveil(&ledger.veil, &mut value);
                if !each(Line { log: name.clone(), entry, value }) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// The lines at these places, those of one entry one after the other.
///
/// # Errors
/// Those of [`walk`].
pub(super) fn at(ledger: &Ledger, log: &Folder, places: &[Place]) -> Result<Vec<Line>> {
    let (size, name) = (size_of(ledger, log)?, name_of(log));
    let (mut found, mut bundle, mut values) = (Vec::new(), (u64::MAX, Vec::new()), (u64::MAX, Vec::new()));
    for place in places.iter().filter(|place| place.entry < size) {
        let number = read::bundles(place.entry + 1).end - 1;
        if bundle.0 != number {
            let entries = read::bundle(log, size, number).map_err(|error| wrong(log, &error.into()))?;
            bundle = (number, entries);
        }
        if values.0 != place.entry {
            let entry = bundle.1.iter().find(|(index, _)| *index == place.entry);
            let of_entry = entry.map(|(index, entry)| values_of(log, *index, entry)).transpose();
            values = (place.entry, of_entry.map_err(|error| wrong(log, &error))?.unwrap_or_default());
        }
        let value = usize::try_from(place.line).ok().and_then(|line| values.1.get(line));
        if let Some(value) = value {
            let mut value = value.clone();
            unveil(&ledger.veil, &mut value);
            found.push(Line { log: name.clone(), entry: place.entry, value });
        }
    }
    Ok(found)
}

/// Where lines and events have texts that may be encrypted, and what those are called there.
const VEILED: [(&str, &str); 8] = [
    ("/principal", "principal"),
    ("/request_id", "request_id"),
    ("/sequence", "sequence"),
    ("/event/actor/user/name", "principal"),
    ("/event/src_endpoint/ip", "address"),
    ("/event/api/service/name", "place"),
    ("/event/entity/name", "name"),
    ("/event/entity/data/principal", "principal"),
];

/// Puts the texts in place that are encrypted and can be read.
fn unveil(veil: &Veil, line: &mut Value) {
    for (pointer, member) in VEILED {
        if let Some(Value::String(text)) = line.pointer_mut(pointer)
            && let Some(opened) = veil.open(member, text)
        {
            *text = opened;
        }
    }
}

fn wrong(log: &Folder, error: &anyhow::Error) -> anyhow::Error {
    failure::fault(Code::LedgerWrong, format!("{}: {error:#}", log.path().display()))
}

/// How many entries a log's checkpoint is over.
fn size_of(ledger: &Ledger, log: &Folder) -> Result<u64> {
    let note = log.read("checkpoint").map_err(|error| wrong(log, &error.into()))?.unwrap_or_default();
    let signed: Signed = Checkpoint::open(&note, &ledger.keys).map_err(|error| wrong(log, &error.into()))?;
    Ok(signed.checkpoint.size)
}

fn name_of(log: &Folder) -> String {
    log.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What stands in an entry: its records, or itself.
fn values_of(log: &Folder, index: u64, entry: &Entry) -> Result<Vec<Value>> {
    match entry {
        Entry::Batch { seal, .. } => {
            let batch = read::batch(log, index, *seal)?;
            Ok(batch.lines().map(serde_json::from_slice).collect::<Result<_, _>>()?)
        }
        other => Ok(vec![serde_json::from_slice(&other.to_bytes())?]),
    }
}
