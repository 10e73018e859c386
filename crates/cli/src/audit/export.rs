//! `spinwell audit export`.

use super::lines::{Line, walk};
use super::logs::Place;
use super::search::{Wanted, tell_unread};
use crate::output::{remark, say};
use anyhow::Result;
use serde_json::{Value, json};

/// OCSF's version.
const OCSF: &str = "1.9.0";
/// OCSF: API Activity, of the category Application Activity; a prediction is made (Create).
const API_ACTIVITY: u64 = 6003;
const CREATE: u64 = 1;

/// Options of `spinwell audit export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Predictions are OCSF 1.9 events of the class API Activity (6003), with the receipt's id as metadata.uid; events of administration, security
and data access are what they are in the log, with LOG/entry/N as metadata.uid. Oldest first, log by log.

Examples:
  spinwell audit export > all.jsonl
  spinwell audit export --model taxi --since 2026-11-01T00:00:00Z --until 2026-12-01T00:00:00Z > november.jsonl")]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    wanted: Wanted,
}

/// Reads and prints.
pub(super) fn run(args: &Args) -> Result<()> {
    let filter = args.wanted.filter()?;
    let ledger = args.place.open_readable()?;
    let (mut predictions, mut events, mut veiled) = (0_u64, 0_u64, 0_u64);
    let (mut unread, is_blind) = (0_u64, filter.has_name() && !ledger.veil.opens());
    for log in &ledger.logs {
        walk(&ledger, log, false, &|entry| filter.may_have(entry), &mut |line| {
            if !filter.fits(&line) {
                unread += u64::from(is_blind && line.is_veiled());
                return true;
            }
            if line.is_prediction() {
                predictions += 1;
                say(&activity(&line).to_string());
            } else if line.value["kind"] == "event" {
                events += 1;
                say(&event(&line).to_string());
            } else {
                return true;
            }
            veiled += u64::from(line.is_veiled());
            true
        })?;
    }
    remark(&format!("{predictions} predictions and {events} events"));
    tell_unread(unread);
    if veiled > 0 {
        remark(&format!(
            "{veiled} of them have encrypted names; with the root key they are written in clear (--root-key-file, or SPINWELL_ROOT_KEY)"
        ));
    }
    Ok(())
}

/// An event as it is in the log, with a name of its own: log and entry.
fn event(line: &Line) -> Value {
    let mut event = line.value["event"].clone();
    if let Some(metadata) = event["metadata"].as_object_mut() {
        metadata.entry("uid").or_insert_with(|| format!("{}/entry/{}", line.log, line.entry).into());
    }
    event
}

/// A record as an OCSF event.
fn activity(line: &Line) -> Value {
    let text = |member: &str| line.text(member);
    let result = text("result");
    let status = if result == "answered" { (1, "Success") } else { (2, "Failure") };
    let mut event = json!({
        "activity_id": CREATE, "activity_name": "Create",
        "category_uid": 6, "category_name": "Application Activity",
        "class_uid": API_ACTIVITY, "class_name": "API Activity", "type_uid": API_ACTIVITY * 100 + CREATE,
        "severity_id": 1, "severity": "Informational",
        "status_id": status.0, "status": status.1, "status_code": result,
        "time": line.at() / 1000, "duration": line.value["took"].as_u64().unwrap_or_default() / 1000,
        "metadata": {
            "version": OCSF, "profiles": ["ai_operation"], "uid": line.receipt(),
            "product": {"name": "Spinwell", "vendor_name": "Spinwell"}, "log_name": line.log, "sequence": line.value["n"],
        },
        "actor": {"user": {"name": text("principal"), "org": {"name": text("tenant")}}},
        "api": {"operation": "ModelInfer", "service": {"name": text("model")}, "request": {"uid": text("request_id")}},
        "src_endpoint": {"svc_name": text("protocol")},
        "ai_model": {"name": text("model"), "version": text("version"), "ai_provider": "Spinwell"},
        "unmapped": {},
    });
    let key = text("key");
    if !key.is_empty() {
        event["actor"]["user"]["credential_uid"] = key.into();
    }
    for member in [
        "model_hash",
        "profile",
        "node",
        "policy",
        "sequence",
        "step",
        "input",
        "output",
        "batch_call",
        "trace",
    ] {
        if let Some(value) = line.value.get(member) {
            event["unmapped"][member] = value.clone();
        }
    }
    event
}
