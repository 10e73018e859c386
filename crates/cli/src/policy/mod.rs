//! `spinwell policy`: who may do what, before it takes effect.

mod init;
mod test;

use clap::Subcommand;

/// Options of `spinwell policy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Policies are files in Cedar (*.cedar) in the folder `policies` of the access folder; without any, the usual six roles hold. Servers take new ones
within a second, all together, and keep the old ones where anything is wrong with the new ones.

Examples:
  spinwell policy init
  spinwell policy test
  spinwell policy test --policies staged/policies staged/policies/mine.test.toml")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check policies against the schema, and try what they decide.
    Test(test::Args),
    /// Write the usual policies and their tests into files, to change them.
    Init(init::Args),
}

/// Runs the command that was asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Test(args) => test::run(args),
        Command::Init(args) => init::run(args),
    }
}
