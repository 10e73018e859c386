//! `spinwell audit`: what the ledger says, and whether it holds.

mod export;
mod fetch;
mod index;
mod lines;
mod logs;
mod receipt;
mod replay;
mod search;
mod tail;
mod verify;

pub(crate) use logs::given;

use crate::serve;
use clap::Subcommand;

/// Options of `spinwell audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every process that answers callers keeps a log of its own: every request is a record in it before its answer leaves. `verify` needs
nothing but the files and a public key. Keep checkpoints elsewhere (the file `checkpoint` of a log): they show later that nothing
was cut off. A witness (`witness`) keeps them for you.

Examples:
  spinwell audit verify
  spinwell audit verify --offline /mnt/copy/ledger --key auditor/log.vkey --seen auditor/checkpoint-monday
  spinwell audit witness --log log.vkey --name example.com/witness
  spinwell audit fetch s3://ledgers/berlin copy --key auditor/log.vkey
  spinwell audit tail -n 5
  spinwell audit search --model taxi --result SPW-QUEUE-FULL --since 2026-11-28T00:00:00Z
  spinwell audit receipt gateway-0-4711 --out receipt.json
  spinwell audit receipt receipt.json --key auditor/log.vkey
  spinwell audit replay gateway-0-4711 --input request.json
  spinwell audit export --since 2026-11-01T00:00:00Z > november.jsonl")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check every entry, record, hash and signature of a ledger, and name the first that is wrong.
    Verify(verify::Args),
    /// Bring a ledger's copy out of object storage into a folder.
    Fetch(fetch::Args),
    /// Show the newest records and events.
    Tail(tail::Args),
    /// Find records and events by model, result, principal, time and more.
    Search(search::Args),
    /// Make or extend the indexes by which searches know where to look.
    Index(index::Args),
    /// Get the proof that a prediction stands in the ledger, or check one without the ledger.
    Receipt(receipt::Args),
    /// Compute a recorded prediction again, and say whether its bits are those that were answered.
    Replay(replay::Args),
    /// Write records and events as OCSF events, a JSON object a line.
    Export(export::Args),
    /// Cosign the checkpoints of logs that have only grown, as an independent witness.
    Witness(serve::WitnessArgs),
}

/// Runs the command that was asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Verify(args) => verify::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Tail(args) => tail::run(args),
        Command::Search(args) => search::run(args),
        Command::Index(args) => index::run(args),
        Command::Receipt(args) => receipt::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Export(args) => export::run(args),
        Command::Witness(args) => serve::run_witness(args),
    }
}
