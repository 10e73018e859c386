//! `spinwell policy init`.

use crate::failure;
use crate::output::say;
use spinwell_core::{Code, Fault};
use spinwell_runtime::files;
use spinwell_security::access::{DEFAULT_POLICIES, DEFAULT_TESTS, SCHEMA};
use std::fs;
use std::path::PathBuf;

/// Options of `spinwell policy init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  spinwell policy init
  spinwell policy init --policies staged/policies")]
pub(super) struct Args {
    /// Folder of the policies.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/access/policies")]
    policies: PathBuf,
}

/// Writes the files, none of which may be there.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let dir = &args.policies;
    fs::create_dir_all(dir).map_err(|error| failure::io(dir, "making", &error))?;
    let all = [
        ("default.cedar", DEFAULT_POLICIES),
        ("default.test.toml", DEFAULT_TESTS),
        ("schema.cedarschema", SCHEMA),
    ];
    if let Some((name, _)) = all.iter().find(|(name, _)| dir.join(name).exists()) {
        let message = format!("{} is there already; nothing was written", dir.join(name).display());
        let hint = "choose another folder (--policies), or move the files away first";
        return Err(failure::with_hint(Fault::new(Code::FileExists, message), hint));
    }
    for (name, text) in all {
        let path = dir.join(name);
        files::write_atomically(&path, text.as_bytes())
            .map_err(|error| failure::io(&path, "writing", &error))?;
        say(&format!("wrote {}", path.display()));
    }
    say(
        "next: change default.cedar, say in default.test.toml what must hold, and run `spinwell policy test`",
    );
    Ok(())
}
