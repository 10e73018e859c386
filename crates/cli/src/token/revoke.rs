//! `spinwell token revoke`.

use super::{Place, change};
use crate::output::{self, say};
use serde_json::json;
use spinwell_core::{Code, Fault};
use spinwell_runtime::clock;
use spinwell_security::key::KeyId;

/// Options of `spinwell token revoke`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  spinwell token revoke 1f0c9a2b7d3e4f50")]
pub(super) struct Args {
    /// The key's id: the part of it between the two underscores; `spinwell token list` shows it.
    id: String,
    #[command(flatten)]
    place: Place,
}

/// Revokes a key. One that was revoked before stays so since then.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    // Somebody may paste the whole key.
    let text = args.id.strip_prefix("spw_").map_or(&*args.id, |rest| rest.split('_').next().unwrap_or(rest));
    let wrong =
        || Fault::new(Code::OptionInvalid, "an id has 16 hexadecimal digits; `spinwell token list` shows it");
    let id = KeyId::parse(text).ok_or_else(wrong)?;
    let now = clock::unix_micros();
    let record = change(&args.place.dir, |mut records| {
        let found = records.iter_mut().find(|record| record.id == id);
        let unknown = || Fault::new(Code::OptionInvalid, format!("no key has the id {id}"));
        let record = found.ok_or_else(unknown)?;
        *record = record.clone().revoked_at(now);
        let record = record.clone();
        Ok((records, record))
    })?;
    if args.place.json {
        output::document(
            &json!({"id": id.to_string(), "principal": &*record.identity().principal, "state": "revoked"}),
        );
    } else {
        say(&format!(
            "revoked key {id} of {}; servers refuse it within a second",
            record.identity().principal
        ));
    }
    Ok(())
}
