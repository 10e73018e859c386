//! `spinwell audit receipt`.

use super::logs::{Place, given};
use super::verify::moment;
use crate::client::Client;
use crate::connection::Connection;
use crate::failure;
use crate::output::{self, say};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use spinwell_core::{Code, UnixMicros};
use spinwell_ledger::{PublicKey, Receipt, ReceiptId};
use spinwell_runtime::files::write_atomically;
use std::fs;
use std::path::{Path, PathBuf};

/// Options of `spinwell audit receipt`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An answer names its receipt in the parameter `receipt`. The receipt is a file that proves by itself, with the log's public key, that the
record stands in the log.

Examples:
  spinwell audit receipt gateway-0-4711
  spinwell audit receipt gateway-0-4711 --url http://127.0.0.1:8000 --key log.vkey --out receipt.json
  spinwell audit receipt receipt.json --key log.vkey --json")]
pub(super) struct Args {
    /// The id of a receipt, or a file that is one.
    #[arg(value_name = "ID|FILE")]
    receipt: String,
    #[command(flatten)]
    place: Place,
    /// Ask a running server instead of reading its files, such as http://127.0.0.1:8000.
    #[arg(long, value_name = "URL", requires = "keys")]
    url: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// Write the receipt to this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Gets, checks and prints.
pub(super) fn run(args: &Args) -> Result<()> {
    let (receipt, keys) = get(args)?;
    let signed =
        receipt.check(&keys).map_err(|error| failure::fault(Code::LedgerWrong, error.to_string()))?;
    let record: Value = serde_json::from_str(&receipt.record).context("the record is no JSON")?;
    if let Some(id) = args.receipt.parse().ok().filter(|_| !Path::new(&args.receipt).is_file()) {
        check_is_of(&id, &receipt, &signed.checkpoint.origin)?;
    }
    if let Some(path) = &args.out {
        write_atomically(path, receipt.to_text().as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let checkpoint = signed.checkpoint;
    if args.json {
        output::document(&json!({
            "holds": true, "record": record, "entry": receipt.index, "log": checkpoint.origin, "entries": checkpoint.size,
            "signed_by": signed.signed_by,
        }));
        return Ok(());
    }
    say(&format!("record   {}", receipt.record));
    let at =
        record["at"].as_u64().map_or_else(String::new, |at| format!(", written {}", moment(UnixMicros(at))));
    say(&format!(
        "in       entry {} of {} in the log {}{at}",
        receipt.index, checkpoint.size, checkpoint.origin
    ));
    say(&format!("signed   by {}", signed.signed_by.join(", ")));
    if let Some(path) = &args.out {
        say(&format!("written  {}", path.display()));
    }
    say(&format!(
        "holds    the record is what was logged then, and stands under the signature of {}",
        checkpoint.origin
    ));
    Ok(())
}

/// Refuses the receipt of another record than the one that the id names.
fn check_is_of(id: &ReceiptId, receipt: &Receipt, origin: &str) -> Result<()> {
    if id.is_of(&receipt.record) && origin.ends_with(&format!("/{}", id.log)) {
        return Ok(());
    }
    let message =
        format!("this is the receipt of another record, in {origin}, and not {id}: {}", receipt.record);
    Err(failure::fault(Code::LedgerWrong, message))
}

fn get(args: &Args) -> Result<(Receipt, Vec<PublicKey>)> {
    let path = Path::new(&args.receipt);
    let wrong = |error: &dyn std::fmt::Display| {
        failure::fault(Code::LedgerWrong, format!("{}: {error}", args.receipt))
    };
    if path.is_file() {
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let receipt = Receipt::of_text(&text).map_err(|error| wrong(&error))?;
        let keys = match args.place.keys() {
            [] => {
                return Err(failure::fault(
                    Code::OptionInvalid,
                    "a file is checked with --key, the log's public key",
                ));
            }
            keys => given("--key", keys)?,
        };
        return Ok((receipt, keys));
    }
    if let Some(url) = &args.url {
        let text = Client::new(url, &args.connection)?.receipt(&args.receipt)?;
        return Ok((
            Receipt::of_text(&text).map_err(|error| wrong(&error))?,
            given("--key", args.place.keys())?,
        ));
    }
    of_files(&args.place, &args.receipt)
}

/// The receipt of that id out of a ledger's files, which nobody has checked yet, and the ledger's keys.
pub(super) fn of_files(place: &Place, id: &str) -> Result<(Receipt, Vec<PublicKey>)> {
    let ledger = place.open()?;
    let unknown = |message: String| failure::fault(Code::ReceiptUnknown, message);
    let Ok(id) = id.parse::<ReceiptId>() else {
        return Err(unknown(format!(
            "{id:?} is neither a file nor the id of a receipt, such as gateway-0-4711"
        )));
    };
    let (name, number) = (&id.log, id.number);
    let log =
        ledger.logs.iter().find(|log| log.path().file_name().is_some_and(|folder| folder == name.as_str()));
    let log = log.ok_or_else(|| unknown(format!("there is no log of {name} here")))?;
    let receipt = Receipt::of_log(log, &ledger.keys, number);
    let receipt = receipt
        .map_err(|error| failure::fault(Code::LedgerWrong, format!("{:#}", anyhow::Error::from(error))))?;
    let receipt = receipt
        .ok_or_else(|| unknown(format!("the signed log of {name} has no record of the number {number}")))?;
    if !id.is_of(&receipt.record) {
        return Err(unknown(format!(
            "the record {number} of {name} is of another life than {}: what the id names was lost in a power cut, or was never here",
            id.life
        )));
    }
    Ok((receipt, ledger.keys))
}
