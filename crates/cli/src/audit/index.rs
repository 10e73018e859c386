//! `spinwell audit index`, and searches by it.

use super::lines::{Line, at};
use super::logs::{Ledger, Place};
use super::search::Filter;
use crate::output::{self, remark, say};
use anyhow::{Context, Result};
use serde_json::json;
use spinwell_ledger::PublicKey;
use spinwell_store::ledger::Folder;
use spinwell_store::ledger::index::{Extent, Index};

/// Options of `spinwell audit index`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The index is a SQLite file in each log's folder, index.db, from which `spinwell audit search` knows where to look; searches extend it by what the
log has grown. It is verified against the signed root as it is made. It holds no more than where things stand: remove it as you like.

Examples:
  spinwell audit index
  spinwell audit index --offline copy/ledger --key log.vkey --json")]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Makes or extends the indexes, and prints.
pub(super) fn run(args: &Args) -> Result<()> {
    let ledger = args.place.open()?;
    let mut documents = Vec::new();
    for log in &ledger.logs {
        let Extent { entries, lines, new } = with(log, &ledger.keys, async |_, extent| Ok(extent))?;
        let path = log.path().display().to_string();
        if !args.json {
            say(&format!("index    {path}: {entries} entries, {lines} lines; {new} entries are new"));
        }
        documents.push(json!({"log": path, "entries": entries, "lines": lines, "new_entries": new}));
    }
    if args.json {
        output::document(&json!({"logs": documents}));
    }
    Ok(())
}

/// The newest lines of a log that fit, at most so many, the newest first; nothing where it has no index that can be used.
pub(super) fn search(
    ledger: &Ledger,
    log: &Folder,
    filter: &Filter<'_>,
    limit: usize,
) -> Result<Option<Vec<Line>>> {
    if !Index::is_there(log) {
        return Ok(None);
    }
    let found = with(log, &ledger.keys, async |index, _| {
        index.find(&filter.sought(&ledger.veil), limit).await.map_err(|error| error.fault().into())
    });
    let places = match found {
        Ok(places) => places,
        Err(error) => {
            remark(&format!("without the index, the log is read through: {error:#}"));
            return Ok(None);
        }
    };
    let lines = at(ledger, log, &places)?;
    if lines.len() == places.len() && lines.iter().all(|line| filter.fits(line)) {
        return Ok(Some(lines));
    }
    remark(&format!(
        "the index of {} does not fit its log, which is read through; remove it",
        log.path().display()
    ));
    Ok(None)
}

/// Does something with the index of a log, once that has all of it.
fn with<T>(
    log: &Folder,
    keys: &[PublicKey],
    work: impl AsyncFnOnce(&Index, Extent) -> Result<T>,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(async {
        let index = Index::open(log).await.map_err(|error| error.fault())?;
        let done = match index.extend(keys).await {
            Ok(extent) => work(&index, extent).await,
            Err(error) => Err(error.fault().into()),
        };
        index.close().await;
        done
    })
}
