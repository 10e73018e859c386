//! `spinwell audit fetch`.

use super::logs::given;
use crate::failure;
use crate::output::{self, remark, say};
use crate::serve::copy_to;
use anyhow::Result;
use serde_json::json;
use spinwell_core::Code;
use spinwell_runtime::files;
use spinwell_store::ledger::{CopyError, fetch};
use std::fs;
use std::path::PathBuf;

/// Options of `spinwell audit fetch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Brings the copy that `ledger.copy_to` makes into a folder, where `spinwell audit verify --offline` checks it without a network. What the folder
has stays, and what is new since then is added. Where S3 is and what it is asked with comes from AWS_ENDPOINT_URL, AWS_REGION,
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the other AWS_ variables of the environment.

Examples:
  spinwell audit fetch s3://ledgers/berlin copy --key auditor/log.vkey
  spinwell audit verify --offline copy --key auditor/log.vkey
  spinwell audit fetch file:///mnt/ledgers/berlin copy")]
pub(super) struct Args {
    /// Where the copy is: s3://bucket/prefix or file:///folder.
    #[arg(value_name = "FROM")]
    from: String,
    /// The folder that it comes into.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The public key of a log, as text or as a file of such lines [default: those beside the copy].
    #[arg(long = "key", value_name = "VKEY")]
    keys: Vec<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Brings and prints.
pub(super) fn run(args: &Args) -> Result<()> {
    let from = copy_to(&args.from)
        .map_err(|error| failure::fault(Code::OptionInvalid, format!("{}: {error:#}", args.from)))?;
    let keys = given("--key", &args.keys)?;
    fs::create_dir_all(&args.dir).map_err(|error| {
        failure::fault(Code::Io, format!("{} cannot be made: {error}", args.dir.display()))
    })?;
    let fetched = fetch(&from, &args.dir, &keys).map_err(|error| {
        // Who does not answer has changed nothing.
        let code = if matches!(error, CopyError::Storage { .. }) { Code::Io } else { Code::LedgerWrong };
        let error = anyhow::Error::from(error);
        failure::fault(code, format!("{}: {error:#}", args.from))
    })?;
    let lines: String = fetched.keys.iter().map(|key| format!("{key}\n")).collect();
    files::write_atomically(&args.dir.join("log.vkey"), lines.as_bytes())?;
    if args.json {
        let log =
            |(name, entries, new): &(String, u64, u64)| json!({"log": name, "entries": entries, "new": new});
        output::document(
            &json!({"from": args.from, "logs": fetched.logs.iter().map(log).collect::<Vec<_>>()}),
        );
    } else {
        for (name, entries, new) in &fetched.logs {
            say(&format!("{name}: {entries} entries, {new} of them new"));
        }
        say(&format!("verify it: spinwell audit verify --offline {}", args.dir.display()));
    }
    if keys.is_empty() {
        remark("the keys were read from beside the copy: give those that you keep yourself with --key");
    }
    Ok(())
}
