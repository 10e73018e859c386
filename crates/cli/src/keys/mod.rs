//! `spinwell keys`: the keys of what rests encrypted.

mod create;
mod place;
mod rotate;
mod show;

pub(crate) use place::{RootKey, of_data};

use clap::Subcommand;

/// Options of `spinwell keys`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A server that is given a root key (`encryption.root_key_file`, or SPINWELL_ROOT_KEY) encrypts what it keeps: steps and states of sequences, the
secrets of its ledger, and who is named there. The root key wraps a key for each tenant, and that the keys of the tenant's data.

Examples:
  spinwell keys create /etc/spinwell/root.key
  spinwell serve --config spinwell.toml                # [encryption] root_key_file = \"/etc/spinwell/root.key\"
  spinwell keys show
  spinwell keys rotate --root-key-file /etc/spinwell/root.key")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a root key, and put it before those that its file has.
    Create(create::Args),
    /// Show which keys there are, without any root key.
    Show(show::Args),
    /// Put all keys under the newest root key, and replace those that data are encrypted with from now on.
    Rotate(rotate::Args),
}

/// Runs the command that was asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Create(args) => create::run(args),
        Command::Show(args) => show::run(args),
        Command::Rotate(args) => rotate::run(args),
    }
}
