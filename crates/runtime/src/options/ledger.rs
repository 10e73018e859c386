//! How the ledger is kept.

use super::error::Error;
use super::sources::Layered;
use spinwell_core::Millis;
use std::path::PathBuf;

/// How the ledger is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerOptions {
    /// Whether there is one.
    pub is_enabled: bool,
    /// Where: each process that writes has a folder of its own in it.
    pub dir: PathBuf,
    /// What its logs' names begin with: the name of a process follows, behind a `/`.
    pub origin: String,
    /// The longest time of which records are missing behind a power cut.
    pub span: Millis,
    /// The longest time from an entry to a signature over it.
    pub checkpoint: Millis,
}

pub(super) fn ledger(layered: &Layered) -> Result<LedgerOptions, Error> {
    let origin = layered.text("ledger.origin");
    // It stands before each signature and in front of the `+` of a key's text.
    let is_name = !origin.is_empty()
        && origin.len() <= 128
        && origin.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+');
    if !is_name {
        return Err(layered
            .invalid("ledger.origin", "a name such as example.com/ledger, without spaces and without +"));
    }
    Ok(LedgerOptions {
        is_enabled: layered.flag("ledger.enabled")?,
        dir: PathBuf::from(layered.text("ledger.dir")),
        origin: origin.to_owned(),
        span: Millis(layered.number("ledger.span_ms", 20..=10_000)? as u64),
        checkpoint: Millis(layered.number("ledger.checkpoint_ms", 100..=60_000)? as u64),
    })
}
