//! `spinwell pki`: an authority of our own, the certificates of our processes, and those that callers are shown or show.

mod init;
mod issue;

use crate::failure;
use clap::Subcommand;
use spinwell_core::{Code, UnixMillis};
use spinwell_runtime::clock;
use spinwell_runtime::files::{write_atomically, write_secret_atomically};
use spinwell_runtime::tls::Validity;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// The authority's certificate, in its folder and in those of processes.
const AUTHORITY: &str = "authority.pem";
/// The authority's key, in its folder alone.
const AUTHORITY_KEY: &str = "authority.key";
/// Clocks of machines may differ by so much before a new certificate is not valid yet for a peer.
const CLOCKS_DIFFER_MS: u64 = 5 * 60 * 1000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Options of `spinwell pki`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An authority is made once for a region. It then makes a certificate for each process, which says whether it is a gateway, a
node or control, and which one: gateways may call nodes, and a node's certificate opens nothing at another node.

Examples:
  spinwell pki init --region eu
  spinwell pki issue gateway g1 --san 10.0.0.4
  spinwell pki issue node n1 --san 10.0.0.5 --san n1.example.org
  spinwell pki issue control c1
  spinwell pki issue edge public --san 10.0.0.4      (for callers: edge.certificate and edge.key)
  spinwell pki issue caller forecaster               (of a caller: --certificate and --certificate-key)
  spinwell pki issue node n1 --san 10.0.0.5 --san n1.example.org --force")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the authority of a region: a certificate and the key that signs all others.
    Init(init::Args),
    /// Make the certificate of one process, one that callers are shown, or one that a caller shows: a folder with certificate, key and authority.
    Issue(issue::Args),
}

/// Runs the command that was asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Init(args) => init::run(args),
        Command::Issue(args) => issue::run(args),
    }
}

/// A file to be written.
struct Piece<'a> {
    path: PathBuf,
    text: &'a str,
    is_secret: bool,
}

impl<'a> Piece<'a> {
    fn open(path: PathBuf, text: &'a str) -> Self {
        Self { path, text, is_secret: false }
    }

    fn secret(path: PathBuf, text: &'a str) -> Self {
        Self { path, text, is_secret: true }
    }
}

/// Whether any of these files is there, where that is allowed.
///
/// # Errors
/// Where one is there and nobody said `--force`.
fn replaces<'a>(paths: impl IntoIterator<Item = &'a PathBuf>, force: bool) -> anyhow::Result<bool> {
    // A link that leads nowhere is something, too.
    let there = paths.into_iter().find(|path| path.symlink_metadata().is_ok());
    match there {
        Some(path) if !force => {
            let text = format!("{} is there already; nothing was written", path.display());
            Err(failure::fault(Code::FileExists, text))
        }
        there => Ok(there.is_some()),
    }
}

/// Writes files one after the other, each whole or not at all, into a folder that is made where it is missing.
fn write(folder: &Path, pieces: &[Piece<'_>]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| failure::io(folder, "making", &error))?;
    for Piece { path, text, is_secret } in pieces {
        let write = if *is_secret { write_secret_atomically } else { write_atomically };
        write(path, text.as_bytes()).map_err(|error| failure::io(path, "writing", &error))?;
    }
    Ok(())
}

/// From a little before now for so many days.
fn days_from_now(days: u32) -> Validity {
    let now = clock::unix();
    let until = UnixMillis(now.0.saturating_add(u64::from(days) * DAY_MS));
    Validity { from: UnixMillis(now.0.saturating_sub(CLOCKS_DIFFER_MS)), until }
}

/// The same for the library, to the second.
fn moment(time: UnixMillis) -> anyhow::Result<OffsetDateTime> {
    let seconds = i64::try_from(time.0 / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_err(unlikely)
}

/// A failure of the library that makes certificates: all it was given was checked before.
fn unlikely(error: impl std::fmt::Display) -> anyhow::Error {
    failure::fault(Code::Internal, format!("the certificate could not be made: {error}"))
}

/// A subject for people: a common name has 64 characters at most.
fn subject(text: &str) -> rcgen::DistinguishedName {
    let mut subject = rcgen::DistinguishedName::new();
    subject.push(rcgen::DnType::CommonName, text.chars().take(64).collect::<String>());
    subject
}
