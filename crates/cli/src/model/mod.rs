//! `spinwell model`: which models a folder or a server has, what one is, taking one in, taking one away.

mod entry;
mod list;
mod push;
mod rm;
mod roles;
mod show;

use clap::Subcommand;

/// Options of `spinwell model`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  spinwell model list
  spinwell model show taxi:2
  spinwell model push taxi.spinwell --name taxi --url http://127.0.0.1:8000
  spinwell model rm taxi:1 --yes")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the models of a folder, or of a running server.
    List(list::Args),
    /// Show what a model is: its card, its sizes, its figures, and whether its file is whole.
    Show(show::Args),
    /// Put a model file into a models folder, whole or not at all, and perhaps have a server load it.
    Push(push::Args),
    /// Remove a version of a model, or all of them, from a models folder.
    Rm(rm::Args),
}

/// Runs the command that was asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Push(args) => push::run(args),
        Command::Rm(args) => rm::run(args),
    }
}
