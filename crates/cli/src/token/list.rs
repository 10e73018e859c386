//! `spinwell token list`.

use super::Place;
use crate::output::{self, aligned, remark, say};
use serde_json::{Value, json};
use spinwell_core::{UnixMicros, UnixMillis};
use spinwell_runtime::access::read_keys;
use spinwell_runtime::clock;
use spinwell_security::key::KeyRecord;

/// Options of `spinwell token list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  spinwell token list
  spinwell token list --json | jq '.keys[] | select(.state == \"good\")'")]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
}

/// Lists keys, oldest first.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let ring = read_keys(&args.place.dir)?;
    let mut records: Vec<&KeyRecord> = ring.records().collect();
    records.sort_by_key(|record| (record.created, record.id));
    let now = clock::unix_micros();
    let rows: Vec<Value> = records.into_iter().map(|record| row(record, now)).collect();
    if args.place.json {
        output::document(&json!({ "keys": rows }));
        return Ok(());
    }
    if rows.is_empty() {
        remark(&format!("no keys in {}; `spinwell token create` makes one", args.place.dir.display()));
        return Ok(());
    }
    let head = ["ID", "NAME", "PRINCIPAL", "ROLES", "LIMITED TO", "EXPIRES", "STATE"].map(str::to_owned);
    let cell = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let cells = |row: &Value| {
        let mut cells: Vec<String> = ["id", "name", "principal"].map(|key| cell(&row[key])).into();
        let roles = row["roles"].as_array().into_iter().flatten().map(cell);
        cells.push(roles.collect::<Vec<_>>().join(","));
        cells.extend(["scopes", "expires", "state"].map(|key| cell(&row[key])));
        cells
    };
    let table: Vec<Vec<String>> = std::iter::once(head.into()).chain(rows.iter().map(cells)).collect();
    say(aligned(&table).trim_end());
    Ok(())
}

fn row(record: &KeyRecord, now: UnixMicros) -> Value {
    let civil = |at: UnixMicros| clock::civil(UnixMillis(at.0 / 1_000));
    let grants = &record.identity().grants;
    let state = match (record.revoked, record.expires) {
        (Some(at), _) if at <= now => "revoked",
        (_, Some(at)) if at <= now => "expired",
        _ => "good",
    };
    json!({
        "id": record.id.to_string(), "name": record.name, "principal": &*record.identity().principal,
        "tenant": &*grants.tenant().0, "roles": grants.roles(), "scopes": grants.scopes().to_string(),
        "created": civil(record.created), "expires": record.expires.map(civil), "revoked": record.revoked.map(civil),
        "state": state,
    })
}
