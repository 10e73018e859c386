//! `spinwell audit verify`.

use super::logs::{Ledger, Place, doubt_keys, given};
use crate::failure;
use crate::output::{self, remark, say};
use anyhow::Result;
use serde_json::{Value, json};
use spinwell_core::{Code, UnixMicros, UnixMillis};
use spinwell_ledger::verify::{Failure, Report, hold_against, verify_witnessed};
use spinwell_ledger::{PublicKey, Witness};
use spinwell_runtime::clock;
use spinwell_store::ledger::Folder;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// Options of `spinwell audit verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
All is read: each entry against its hash, each hash up to the signed root, each record against its batch, their numbers, their times; and
what logs have recorded of each other.
What the end of a log cannot show is that nothing was cut off behind it. A checkpoint that somebody has kept shows that up to its size,
and so does one that a witness has cosigned; without one the output says so.
Two logs of one name are a fork, and a key whose log is not there is named.

Examples:
  spinwell audit verify
  spinwell audit verify --offline copy/ledger --key spinwell/gateway+12ab34cd+ASd…
  spinwell audit verify --offline copy/ledger --key log.vkey --witness example.com/witness+12ab34cd+BAf…
  spinwell audit verify --offline copy/ledger/gateway --key log.vkey --seen monday --seen friday --json")]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// A checkpoint that was kept elsewhere; once for each, of any of the logs.
    #[arg(long = "seen", value_name = "CHECKPOINT")]
    seen: Vec<PathBuf>,
    /// The public key of a witness that must have cosigned each log, as text or as a file of such lines.
    #[arg(long = "witness", value_name = "VKEY")]
    witnesses: Vec<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// A log, and what was found.
struct Checked<'a> {
    log: &'a Folder,
    result: Result<Report, Failure>,
    /// How many entries the last checkpoint of it is over that another log has recorded.
    recorded: Option<u64>,
}

/// Verifies and prints.
pub(super) fn run(args: &Args) -> Result<()> {
    let ledger = args.place.open()?;
    let witnesses: Vec<Witness> = given("--witness", &args.witnesses)?;
    let mut seen = Vec::new();
    for path in &args.seen {
        let note = fs::read(path).map_err(|error| {
            failure::fault(Code::Io, format!("{} cannot be read: {error}", path.display()))
        })?;
        seen.push((path, note));
    }
    let mut unused: Vec<&PathBuf> = args.seen.iter().collect();
    let mut all = Vec::new();
    for log in &ledger.logs {
        let origin = origin_of(log);
        let of_log = seen.iter().filter(|(_, note)| ledger.logs.len() == 1 || first_line(note) == origin);
        let mut notes = Vec::new();
        for (path, note) in of_log {
            unused.retain(|unused| unused != path);
            notes.push(note.clone());
        }
        let result = verify_witnessed(log, &ledger.keys, &notes, &witnesses);
        all.push(Checked { log, result, recorded: None });
    }
    hold_together(&mut all, &ledger.keys);
    find_twice(&mut all);
    let missing = missing(&ledger);
    if args.json {
        let documents: Vec<_> = all.iter().map(document).collect();
        let holds = unused.is_empty() && all.iter().all(|checked| checked.result.is_ok());
        output::document(
            &json!({"holds": holds, "keys_beside_the_logs": ledger.keys_are_beside, "missing": missing, "logs": documents}),
        );
    } else {
        all.iter().for_each(tell);
    }
    if !missing.is_empty() {
        remark(&format!(
            "there are keys of {}, and no log of that name here: whether there was one and somebody took it away cannot be told",
            missing.join(", ")
        ));
    }
    for Checked { log, result, .. } in all {
        if let Err(error) = result {
            let error = anyhow::Error::from(error);
            return Err(failure::fault(Code::LedgerWrong, format!("{}: {error:#}", log.path().display())));
        }
    }
    if let Some(path) = unused.first() {
        let message = format!("{}: a checkpoint of none of these logs", path.display());
        return Err(failure::fault(Code::LedgerWrong, message));
    }
    doubt_keys(&ledger);
    Ok(())
}

/// Holds logs against what the others have recorded of them.
fn hold_together(all: &mut [Checked<'_>], keys: &[PublicKey]) {
    let recordings: Vec<_> = (all.iter().filter_map(|checked| checked.result.as_ref().ok()))
        .map(|report| (report.origin.clone(), report.recorded.clone()))
        .collect();
    for Checked { log, result, recorded } in all {
        let Ok(report) = result else { continue };
        for (by, recording) in &recordings {
            let origin = report.origin.clone();
            let of_log = || recording.iter().filter(|(_, checkpoint)| checkpoint.origin == origin);
            let mut held = hold_against(*log, report.entries, by, of_log());
            // It may have grown since it was read, and then been recorded.
            if matches!(held, Err(Failure::CutOff { .. }))
                && let Ok(newer) = verify_witnessed(*log, keys, &[], &[])
                && newer.entries > report.entries
            {
                held = hold_against(*log, newer.entries, by, of_log());
                (report.entries, report.records, report.root) = (newer.entries, newer.records, newer.root);
            }
            match held {
                Ok(last) => *recorded = last.max(*recorded),
                Err(failure) => {
                    *result = Err(failure);
                    break;
                }
            }
        }
    }
}

/// Two logs of one name cannot both be the log.
fn find_twice(all: &mut [Checked<'_>]) {
    let holding: Vec<(String, String)> = (all.iter())
        .filter_map(|Checked { log, result, .. }| {
            Some((result.as_ref().ok()?.origin.clone(), log.path().display().to_string()))
        })
        .collect();
    for Checked { log, result, .. } in all {
        let Ok(Report { origin, .. }) = result else { continue };
        let own = log.path().display().to_string();
        let others = holding.iter().filter(|(name, path)| name == origin && *path != own);
        let others: Vec<&str> = others.map(|(_, path)| path.as_str()).collect();
        if !others.is_empty() {
            *result = Err(Failure::Twice { origin: origin.clone(), other: others.join(", ") });
        }
    }
}

/// The names for which there are keys, and no logs in a folder that has all of them.
fn missing(ledger: &Ledger) -> Vec<String> {
    if ledger.is_one {
        return Vec::new();
    }
    let there: BTreeSet<Vec<u8>> = ledger.logs.iter().map(origin_of).collect();
    let named: BTreeSet<&str> = ledger.keys.iter().map(PublicKey::name).collect();
    named.into_iter().filter(|name| !there.contains(name.as_bytes())).map(str::to_owned).collect()
}

fn first_line(note: &[u8]) -> Vec<u8> {
    note.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec()
}

/// The name of the log in its checkpoint; nothing where there is none.
fn origin_of(log: &Folder) -> Vec<u8> {
    fs::read(log.path().join("checkpoint")).map(|note| first_line(&note)).unwrap_or_default()
}

/// A moment, to the second.
pub(super) fn moment(at: UnixMicros) -> String {
    clock::civil(UnixMillis(at.0 / 1000))
}

fn document(Checked { log, result, recorded }: &Checked<'_>) -> Value {
    let path = log.path().display().to_string();
    match result {
        Ok(report) => {
            let gap = |(entry, from, until): &(u64, UnixMicros, UnixMicros)| json!({"entry": entry, "from_us": from.0, "until_us": until.0});
            let witness = |(witness, entries, at): &(Witness, u64, UnixMicros)| json!({"name": witness.name(), "entries": entries, "at_us": at.0});
            json!({
                "log": path, "holds": true, "origin": report.origin, "signed_by": report.signed_by,
                "entries": report.entries, "root": report.root.to_string(), "records": report.records, "events": report.events,
                "gaps": report.gaps.iter().map(gap).collect::<Vec<_>>(),
                "from_us": report.span.map(|span| span.0.0), "until_us": report.span.map(|span| span.1.0),
                "seen_up_to": report.seen,
                "witnessed": report.witnessed.iter().map(witness).collect::<Vec<_>>(),
                "recorded_by_others_up_to": recorded,
                "recorded_of_others": report.recorded.len(),
                "recorded_of_unknown_logs": report.recorded_unknown,
                "cannot_be_excluded": cannot_be_excluded(report, *recorded),
            })
        }
        Err(error) => {
            let text = chain(error);
            json!({"log": path, "holds": false, "error": text, "first_bad_entry": error.first_bad_entry()})
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// What verification does not show.
fn cannot_be_excluded(report: &Report, recorded: Option<u64>) -> String {
    let witnessed = report.witnessed.iter().map(|(_, entries, _)| *entries).max();
    match report.seen.max(witnessed).max(recorded) {
        None => "that entries were cut off behind this checkpoint: no checkpoint was given that somebody has seen (--seen, --witness)".into(),
        Some(seen) if seen < report.entries => format!(
            "that entries were cut off behind this checkpoint, or replaced from entry {seen} on by whoever holds the key: the newest \
             checkpoint that was seen is over {seen}"
        ),
        Some(_) => "that entries were cut off which came after the checkpoint that was seen".into(),
    }
}

fn tell(Checked { log, result, recorded }: &Checked<'_>) {
    say(&format!("log      {}", log.path().display()));
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            say(&format!("WRONG    {}", chain(error)));
            return;
        }
    };
    say(&format!("name     {}, signed by {}", report.origin, report.signed_by.join(", ")));
    let span = report
        .span
        .map_or_else(String::new, |(from, until)| format!(", {} to {}", moment(from), moment(until)));
    let (entries, records, events) = (report.entries, report.records, report.events);
    say(&format!("holds    {entries} entries, {records} records, {events} events{span}"));
    say(&format!("root     {}", report.root));
    for (entry, from, until) in &report.gaps {
        let span_ms = until.0.saturating_sub(from.0) as f64 / 1000.0;
        say(&format!(
            "gap      entry {entry}: records of {span_ms} ms may be missing, from {} on",
            moment(*from)
        ));
    }
    for (witness, entries, at) in &report.witnessed {
        say(&format!(
            "witness  {} has seen {entries} entries, at {}: none of them was cut off",
            witness.name(),
            moment(*at)
        ));
    }
    if let Some(entries) = recorded {
        say(&format!("recorded by another log up to {entries} entries: none of them was cut off"));
    }
    if !report.recorded.is_empty() || report.recorded_unknown > 0 {
        let (known, unknown) = (report.recorded.len(), report.recorded_unknown);
        say(&format!(
            "records  {known} checkpoints of other logs, and {unknown} of logs whose keys are not given"
        ));
    }
    say("every entry, record, hash and signature is what was signed");
    say(&format!("cannot be excluded: {}", cannot_be_excluded(report, *recorded)));
}
