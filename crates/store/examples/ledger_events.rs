//! Writes events of administration into a ledger until it is killed, and says of each when it is acknowledged; with `read`, says which ones are
//! there. `make ledger-kills` kills it and compares the two: `ledger_events write FOLDER FIRST`, `ledger_events read FOLDER`.

use serde_json::{Map, json};
use spinwell_core::UnixMicros;
use spinwell_ledger::{Entry, Event, LogKey, read, verify};
use spinwell_store::ledger::{Folder, Settings, Writer};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

type Failed = Box<dyn std::error::Error>;

#[allow(clippy::disallowed_methods, reason = "an example reads the clock")]
fn clock() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

fn key() -> Result<LogKey, spinwell_ledger::InvalidKey> {
    LogKey::of_seed("example/events", &[6; 32])
}

fn event(number: u64) -> Result<Event, Failed> {
    let mut object = Map::new();
    object.insert("class_uid".into(), json!(3005));
    object.insert("activity_name".into(), json!("Grant"));
    object.insert("number".into(), json!(number));
    Ok(Event::new(object)?)
}

fn open(folder: &Path) -> Result<Writer, Failed> {
    Ok(Writer::open(Settings {
        folder: folder.to_owned(),
        key: key()?,
        program: "ledger_events".into(),
        boot: "here".into(),
        span: Duration::from_millis(100),
        checkpoint: Duration::from_millis(100),
        clock,
    })?)
}

/// Writes events from this number on. Records of predictions stand between them, as they do in a server.
fn write(folder: &Path, first: u64) -> Result<(), Failed> {
    let writer = open(folder)?;
    let mut out = std::io::stdout().lock();
    for number in first.. {
        for _ in 0..5 {
            writer.record(|number, at, line| {
                line.extend_from_slice(json!({"at": at.0, "n": number}).to_string().as_bytes());
            })?;
        }
        writer.event(event(number)?)?;
        writeln!(out, "{number}")?;
        out.flush()?;
    }
    Ok(())
}

/// Opens the log once more, which makes of the journal what was not signed; then verifies it and prints the numbers of its events.
fn show(folder: &Path) -> Result<(), Failed> {
    open(folder)?.close();
    let files = Folder::new(folder);
    let report = verify::verify(&files, &[key()?.public()], &[])?;
    let mut out = std::io::stdout().lock();
    for bundle in read::bundles(report.entries) {
        for (_, entry) in read::bundle(&files, report.entries, bundle)? {
            if let Entry::Event { event, .. } = entry {
                writeln!(out, "{}", event.object()["number"])?;
            }
        }
    }
    Ok(())
}

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["write", folder, first] => write(Path::new(folder), first.parse()?),
        ["read", folder] => show(Path::new(folder)),
        _ => Err("usage: ledger_events write FOLDER FIRST | read FOLDER".into()),
    }
}
