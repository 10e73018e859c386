//! A receipt: one prediction's record, and all that is needed to see that it stands in the log.
//!
//! As a file it is canonical JSON. The log's own part is a C2SP `tlog-proof`, so that any tool of that format can check it; the record's
//! way to its batch's root is beside it.

use crate::batch::{Batch, BatchError, Seal, root_by};
use crate::canonical;
use crate::checkpoint::{Checkpoint, CheckpointError, Signed};
use crate::entry::{Entry, EntryError};
use crate::files::{Files, batch_path};
use crate::find::{self, Found};
use crate::key::PublicKey;
use crate::prediction::number_and_time;
use crate::tree::Broken;
use serde_json::{Value, json};
use tlog_tiles::{Hash, record_hash};

/// The first line of the log's part.
const PROOF: &str = "c2sp.org/tlog-proof@v1";
/// What a receipt calls itself.
const RECEIPT: &str = "spinwell-receipt-1";

/// A receipt cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NoReceipt {
    /// The log has no checkpoint that holds.
    #[error("the log has no checkpoint that holds")]
    Checkpoint(#[source] CheckpointError),
    /// Its files do not hold what the checkpoint says.
    #[error("the log's files do not hold it")]
    Files(#[from] Broken),
    /// The records of its batch are not there, or are others.
    #[error("{path} does not hold it")]
    Batch {
        /// The file.
        path: String,
        /// Why.
        source: BatchError,
    },
}

/// A receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not a receipt at all.
    #[error("not a receipt: {0}")]
    Malformed(&'static str),
    /// The record does not lead to the root of its batch.
    #[error("the record is not number {number} of this batch")]
    Record {
        /// Its number in the log.
        number: u64,
    },
    /// The entry is none of a batch.
    #[error("the entry is not of a batch of predictions")]
    NoBatch,
    /// The entry cannot be read.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The entry does not lead to the root of the checkpoint.
    #[error("entry {index} does not lead to the root of the checkpoint")]
    Inclusion {
        /// Its index.
        index: u64,
    },
    /// The checkpoint does not hold.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// A record, its batch, and the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// The record's line.
    pub record: String,
    /// The hashes from it to its batch's root.
    pub batch_proof: Vec<Hash>,
    /// The batch's entry, as it stands in the log.
    pub entry: String,
    /// Its index.
    pub index: u64,
    /// The hashes from it to the checkpoint's root.
    pub log_proof: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

impl Receipt {
    /// The receipt of the record of this number, out of a log's files; nothing where the checkpoint is not over it.
    ///
    /// # Errors
    /// Where the files are not what the log's key has signed.
    pub fn of_log(files: &impl Files, keys: &[PublicKey], number: u64) -> Result<Option<Self>, NoReceipt> {
        let read = |path: &str| {
            let unreadable = |source| Broken::Unreadable { path: path.to_owned(), source };
            files.read(path).map_err(unreadable)?.ok_or_else(|| Broken::Missing(path.to_owned()))
        };
        let note = read("checkpoint")?;
        let signed = Checkpoint::open(&note, keys).map_err(NoReceipt::Checkpoint)?;
        let Checkpoint { size, .. } = signed.checkpoint;
        let Some(Found { index, entry, first, seal }) = find::batch_of(files, size, number)? else {
            return Ok(None);
        };
        let path = batch_path(index);
        let wrong = |source| NoReceipt::Batch { path: path.clone(), source };
        let batch = Batch::open(&read(&path)?, seal).map_err(wrong)?;
        // The batch is the one that has it.
        let place = (number - first) as usize;
        let (Some(record), Some(batch_proof)) = (batch.lines().nth(place), batch.proof(place)) else {
            return Ok(None);
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Some(Self {
            record: text(record),
            batch_proof,
            entry: text(&entry),
            index,
            log_proof: find::inclusion(files, size, index)?,
            checkpoint: text(&note),
        }))
    }

    /// The file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let hashes = |hashes: &[Hash]| hashes.iter().map(ToString::to_string).collect::<Vec<_>>();
        let lines = hashes(&self.log_proof).into_iter().map(|hash| hash + "\n").collect::<String>();
        let log = format!("{PROOF}\nindex {}\n{lines}\n{}", self.index, self.checkpoint);
        let receipt = json!({
            "batch_proof": hashes(&self.batch_proof), "entry": self.entry, "format": RECEIPT, "record": self.record, "tlog_proof": log,
        });
        format!("{receipt}\n")
    }

    /// Reads a file. What it says is not checked yet.
    ///
    /// # Errors
    /// Where it is none.
    pub fn of_text(text: &str) -> Result<Self, ReceiptError> {
        use ReceiptError::Malformed;
        let value =
            canonical::of_bytes(text.trim_end().as_bytes()).ok_or(Malformed("it is not canonical JSON"))?;
        if value["format"] != RECEIPT {
            return Err(Malformed("its format is not spinwell-receipt-1"));
        }
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let hash = |value: &Value| Hash::parse_hash(value.as_str()?).ok();
        let batch_proof = value["batch_proof"].as_array();
        let batch_proof = batch_proof.and_then(|hashes| hashes.iter().map(hash).collect::<Option<_>>());
        let log = text("tlog_proof").ok_or(Malformed("it has no tlog_proof"))?;
        let (index, log_proof, checkpoint) = log_part(&log).ok_or(Malformed("its tlog_proof is none"))?;
        Ok(Self {
            record: text("record").ok_or(Malformed("it has no record"))?,
            batch_proof: batch_proof.ok_or(Malformed("it has no batch_proof"))?,
            entry: text("entry").ok_or(Malformed("it has no entry"))?,
            index,
            log_proof,
            checkpoint,
        })
    }

    /// Checks that the record stands in the log whose key is among these, and gives the checkpoint that says so.
    ///
    /// # Errors
    /// The first link of the chain that does not hold.
    pub fn check(&self, keys: &[PublicKey]) -> Result<Signed, ReceiptError> {
        let Entry::Batch { first, seal: Seal { root, records, .. }, .. } =
            Entry::of_bytes(self.entry.as_bytes())?
        else {
            return Err(ReceiptError::NoBatch);
        };
        let (number, _) =
            number_and_time(self.record.as_bytes()).ok_or(ReceiptError::Malformed("its record is none"))?;
        let place = number.checked_sub(first).ok_or(ReceiptError::Record { number })?;
        if root_by(&self.batch_proof, record_hash(self.record.as_bytes()), place, records) != Some(root) {
            return Err(ReceiptError::Record { number });
        }
        let signed = Checkpoint::open(self.checkpoint.as_bytes(), keys)?;
        let Checkpoint { size, root, .. } = signed.checkpoint;
        match root_by(&self.log_proof, record_hash(self.entry.as_bytes()), self.index, size) {
            Some(found) if found == root => Ok(signed),
            _ => Err(ReceiptError::Inclusion { index: self.index }),
        }
    }
}

/// The index, the hashes and the checkpoint of a `tlog-proof`.
fn log_part(text: &str) -> Option<(u64, Vec<Hash>, String)> {
    let rest = text.strip_prefix(PROOF)?.strip_prefix("\nindex ")?;
    let (head, checkpoint) = rest.split_once("\n\n")?;
    let mut lines = head.split('\n');
    let number = lines.next()?;
    let index: u64 = number.parse().ok()?;
    let hashes = lines.map(|line| Hash::parse_hash(line).ok()).collect::<Option<Vec<_>>>()?;
    (index.to_string() == number && hashes.len() <= 63).then(|| (index, hashes, checkpoint.to_owned()))
}
