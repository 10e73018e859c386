//! `spinwell token`: API keys.
//!
//! Keys stand in a file that running servers look at every second; so a key is made and revoked without a restart, and without a server.

mod create;
mod list;
mod revoke;

use clap::Subcommand;
use spinwell_core::{Code, Fault};
use spinwell_runtime::access::{KEYS, read_keys};
use spinwell_runtime::files;
use spinwell_security::guard::keys_to_text;
use spinwell_security::key::{KeyRecord, KeyRing};
use std::fs;
use std::path::{Path, PathBuf};

/// Options of `spinwell token`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A key is shown once, when it is made; what is kept of it is a hash. Servers with `access.required = true` take a new key, and refuse a revoked
one, within a second.

Examples:
  spinwell token create ci --role predictor --tenant acme --model 'acme-*' --expires 90d
  spinwell token list
  spinwell token revoke 1f0c9a2b7d3e4f50")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key, and show it once.
    Create(create::Args),
    /// List keys, without their secrets.
    List(list::Args),
    /// Refuse a key from now on.
    Revoke(revoke::Args),
}

/// Runs the command that was asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Create(args) => create::run(args),
        Command::List(args) => list::run(args),
        Command::Revoke(args) => revoke::run(args),
    }
}

/// Where keys are.
#[derive(Debug, clap::Args)]
struct Place {
    /// Folder of the access files (`access.dir`).
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/access")]
    dir: PathBuf,
    /// Print one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

/// Changes the keys of a folder. Nobody else changes them meanwhile.
fn change<T>(
    dir: &Path,
    change: impl FnOnce(Vec<KeyRecord>) -> Result<(Vec<KeyRecord>, T), Fault>,
) -> Result<T, Fault> {
    let cannot = |doing: &str, error: &std::io::Error| {
        Fault::new(Code::Io, format!("{doing} {}: {error}", dir.display()))
    };
    fs::create_dir_all(dir).map_err(|error| cannot("making", &error))?;
    let lock = fs::File::create(dir.join(".lock")).map_err(|error| cannot("locking", &error))?;
    lock.lock().map_err(|error| cannot("locking", &error))?;
    let records = read_keys(dir)?.records().cloned().collect();
    let (records, told) = change(records)?;
    let ring = KeyRing::new(records).map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
    let path = dir.join(KEYS);
    files::write_secret_atomically(&path, keys_to_text(&ring).as_bytes())
        .map_err(|error| Fault::new(Code::Io, format!("writing {}: {error}", path.display())))?;
    Ok(told)
}
