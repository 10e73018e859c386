//! `spinwell audit verify`.

use super::logs::{Place, doubt_keys};
use crate::failure;
use crate::output::{self, say};
use anyhow::Result;
use serde_json::{Value, json};
use spinwell_core::{Code, UnixMicros, UnixMillis};
use spinwell_ledger::verify::{Failure, Report, verify};
use spinwell_runtime::clock;
use spinwell_store::ledger::Folder;
use std::fs;
use std::path::PathBuf;

/// Options of `spinwell audit verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
All is read: each entry against its hash, each hash up to the signed root, each record against its batch, their numbers, their times.
What the end of a log cannot show is that nothing was cut off behind it. A checkpoint that somebody has kept shows that up to its size;
without one the output says so.

Examples:
  spinwell audit verify
  spinwell audit verify --offline copy/ledger --key spinwell/gateway+12ab34cd+ASd…
  spinwell audit verify --offline copy/ledger/gateway --key log.vkey --seen monday --seen friday --json")]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// A checkpoint that was kept elsewhere; once for each, of any of the logs.
    #[arg(long = "seen", value_name = "CHECKPOINT")]
    seen: Vec<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Verifies and prints.
pub(super) fn run(args: &Args) -> Result<()> {
    let ledger = args.place.open()?;
    let mut seen = Vec::new();
    for path in &args.seen {
        let note = fs::read(path).map_err(|error| {
            failure::fault(Code::Io, format!("{} cannot be read: {error}", path.display()))
        })?;
        seen.push((path, note));
    }
    let mut unused: Vec<&PathBuf> = args.seen.iter().collect();
    let (mut documents, mut first) = (Vec::new(), None);
    for log in &ledger.logs {
        let origin = origin_of(log);
        let of_log = seen.iter().filter(|(_, note)| ledger.logs.len() == 1 || first_line(note) == origin);
        let mut notes = Vec::new();
        for (path, note) in of_log {
            unused.retain(|unused| unused != path);
            notes.push(note.clone());
        }
        let result = verify(log, &ledger.keys, &notes);
        documents.push(document(log, &result));
        if !args.json {
            tell(log, &result);
        }
        if let Err(error) = result {
            first.get_or_insert((log.path().display().to_string(), error));
        }
    }
    if args.json {
        output::document(
            &json!({"holds": first.is_none() && unused.is_empty(), "keys_beside_the_logs": ledger.keys_are_beside, "logs": documents}),
        );
    }
    if let Some((path, error)) = first {
        let error = anyhow::Error::from(error);
        return Err(failure::fault(Code::LedgerWrong, format!("{path}: {error:#}")));
    }
    if let Some(path) = unused.first() {
        let message = format!("{}: a checkpoint of none of these logs", path.display());
        return Err(failure::fault(Code::LedgerWrong, message));
    }
    doubt_keys(&ledger);
    Ok(())
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

fn document(log: &Folder, result: &Result<Report, Failure>) -> Value {
    let path = log.path().display().to_string();
    match result {
        Ok(report) => {
            let gap = |(entry, from, until): &(u64, UnixMicros, UnixMicros)| json!({"entry": entry, "from_us": from.0, "until_us": until.0});
            json!({
                "log": path, "holds": true, "origin": report.origin, "signed_by": report.signed_by,
                "entries": report.entries, "root": report.root.to_string(), "records": report.records, "events": report.events,
                "gaps": report.gaps.iter().map(gap).collect::<Vec<_>>(),
                "from_us": report.span.map(|span| span.0.0), "until_us": report.span.map(|span| span.1.0),
                "seen_up_to": report.seen,
                "cannot_be_excluded": cannot_be_excluded(report),
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
fn cannot_be_excluded(report: &Report) -> String {
    match report.seen {
        None => "that entries were cut off behind this checkpoint: no checkpoint was given that somebody has seen (--seen)".into(),
        Some(seen) if seen < report.entries => format!(
            "that entries were cut off behind this checkpoint, or replaced from entry {seen} on by whoever holds the key: the newest \
             checkpoint that was seen is over {seen}"
        ),
        Some(_) => "that entries were cut off which came after the checkpoint that was seen".into(),
    }
}

fn tell(log: &Folder, result: &Result<Report, Failure>) {
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
    say("every entry, record, hash and signature is what was signed");
    say(&format!("cannot be excluded: {}", cannot_be_excluded(report)));
}
