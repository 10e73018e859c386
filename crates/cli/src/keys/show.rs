//! `spinwell keys show`.

use super::place::Place;
use crate::output::{self, aligned, remark, say};
use anyhow::Result;
use serde_json::{Value, json};
use spinwell_core::UnixMillis;
use spinwell_runtime::at_rest::HOUSE;
use spinwell_runtime::clock;
use spinwell_security::envelope::{Keys, Level, WrappedKey};

/// Options of `spinwell keys show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing secret is shown, and no root key is needed. Under BY stands the key that each is wrapped with: of a tenant's key that is a root key, as
`spinwell keys create` has named it.

Examples:
  spinwell keys show --tenant acme --tenant default
  spinwell keys show --store postgres://spinwell@db/spinwell --json")]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Tenants whose keys are to be named: keys do not say whose they are.
    #[arg(long = "tenant", value_name = "NAME")]
    tenants: Vec<String>,
}

/// Lists keys.
pub(super) fn run(args: &Args) -> Result<()> {
    let home = args.place.open()?;
    let keys = home.keys.read()?.keys(&home.keys.name())?;
    let named = [HOUSE, "default"].map(str::to_owned).into_iter().chain(args.tenants.iter().cloned());
    let named: Vec<String> = named.collect();
    let rows: Vec<Value> = keys.records().map(|record| row(record, &keys, &named)).collect();
    let erased: Vec<String> = keys.erased().iter().map(ToString::to_string).collect();
    if args.place.json {
        output::document(&json!({"home": home.keys.name(), "keys": rows, "erased": erased}));
        return Ok(());
    }
    if rows.is_empty() {
        remark(&format!("no keys in {}: nothing that rests there is encrypted", home.keys.name()));
        return Ok(());
    }
    let head = ["KEY", "LEVEL", "OF", "CREATED", "BY"].map(str::to_owned);
    let cells = |row: &Value| {
        ["key", "level", "of", "created", "by"]
            .map(|cell| row[cell].as_str().unwrap_or("-").to_owned())
            .into()
    };
    let table: Vec<Vec<String>> = std::iter::once(head.into()).chain(rows.iter().map(cells)).collect();
    say(aligned(&table).trim_end());
    if !erased.is_empty() {
        say(&format!("erased  {} keys, for ever", erased.len()));
    }
    Ok(())
}

fn row(record: &WrappedKey, keys: &Keys, named: &[String]) -> Value {
    let is_of = |tenant: &&String| {
        let (own, data) = keys.ids_of(tenant);
        record.key.id == own || record.key.id == data
    };
    let of = named.iter().find(is_of).map(|tenant| match tenant.as_str() {
        HOUSE => "the servers' own secrets",
        tenant => tenant,
    });
    let level = match record.level {
        Level::Tenant => "tenant",
        Level::Data => "data",
    };
    let created = clock::civil(UnixMillis(record.created.0 / 1_000));
    json!({"key": record.key.to_string(), "level": level, "of": of, "created": created, "by": record.by.to_string()})
}
