//! `spinwell keys rotate`.

use super::place::{Place, RootKey};
use crate::failure;
use crate::output::{self, say};
use anyhow::Result;
use serde_json::json;
use spinwell_core::Code;
use spinwell_runtime::at_rest::AtRest;
use spinwell_security::envelope::RootKey as _;

/// Options of `spinwell keys rotate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing that is encrypted is written again: keys are re-wrapped, and what was encrypted with older ones stays readable. Servers may run; they take the
new keys within five seconds, if they know the newest root key already.

To exchange a root key: `spinwell keys create FILE`, restart the servers, `spinwell keys rotate --root-key-file FILE` for each data folder and for
the region's store, then remove the older lines of FILE.

Examples:
  spinwell keys rotate --root-key-file /etc/spinwell/root.key
  spinwell keys rotate --root-key-file root.key --store postgres://spinwell@db/spinwell")]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    root_key: RootKey,
}

/// Rotates and says what was done.
pub(super) fn run(args: &Args) -> Result<()> {
    let roots = args.root_key.roots()?.ok_or_else(|| {
        let message = "name the file with the root key (--root-key-file), or set SPINWELL_ROOT_KEY";
        failure::fault(Code::OptionInvalid, message)
    })?;
    let home = args.place.open()?;
    let (name, root) = (home.keys.name(), roots.key_ref());
    if home.keys.read()?.records.is_empty() {
        let message = format!("no keys in {name}: nothing that rests there is encrypted");
        return Err(failure::fault(Code::OptionInvalid, message));
    }
    let done = AtRest::open(roots, home.keys)?.rotate()?;
    if args.place.json {
        output::document(&json!({
            "home": name, "root_key": root.to_string(), "under_new_root": done.under_new_root, "tenant_keys": done.tenants,
            "re_wrapped": done.re_wrapped, "data_keys": done.data,
        }));
        return Ok(());
    }
    say(&format!(
        "rotated {name}: {} tenant keys, {} of them were under another root key; {} data keys re-wrapped, {} with a new version",
        done.tenants, done.under_new_root, done.re_wrapped, done.data
    ));
    say(&format!("all keys are under root key {root} now"));
    Ok(())
}
