//! The audit trail as a Merkle log that an outsider verifies offline: bytes in, bytes out.
//!
//! A log is a folder of files in the layout of C2SP tlog-tiles, so that any client of that format reads it: entries, the hashes over them,
//! and a checkpoint in which the log's key signs how many entries there are and what their root is. A prediction is no entry of its own:
//! its record is one of a batch, and the batch's root is an entry. Whoever has a record, its batch's proof and the log's proof holds a
//! receipt that needs nothing but a public key to be checked.
//!
//! Nothing here reads a file, a clock or a random number: files are a trait, keys are made of bytes that the caller brings, and times
//! stand in what is written.
//!
//! ```
//! use spinwell_core::UnixMicros;
//! use spinwell_ledger::{Checkpoint, Entry, LogKey, Tree, verify};
//! use std::collections::BTreeMap;
//!
//! let key = LogKey::of_seed("example.com/log", &[7; 32]).unwrap();
//! let (mut tree, mut files) = (Tree::default(), BTreeMap::new());
//! let entry = Entry::Closed { at: UnixMicros(5) };
//! tree.append(&entry.to_bytes()).unwrap();
//! files.extend(tree.take_files().into_iter().map(|file| (file.path, file.bytes)));
//! let checkpoint = Checkpoint { origin: "example.com/log".into(), size: tree.size(), root: tree.root() };
//! files.insert("checkpoint".into(), checkpoint.sign(&[&key]).unwrap());
//! let report = verify::verify(&files, &[key.public()], &[]).unwrap();
//! assert_eq!(report.entries, 1);
//! ```

mod batch;
mod canonical;
mod checkpoint;
mod commitment;
mod consistency;
mod cosignature;
mod entry;
mod files;
mod find;
mod key;
pub mod line;
pub mod ocsf;
mod prediction;
pub mod read;
mod receipt;
mod receipt_id;
mod tree;
pub mod verify;
pub mod witness;

pub use batch::{Batch, BatchError, Seal};
pub use canonical::NotCanonical;
pub use checkpoint::{Checkpoint, CheckpointError, Signed};
pub use commitment::{Commitment, Commitments};
pub use consistency::{Extent, consistency, has_grown};
pub use cosignature::{Witness, WitnessKey};
pub use entry::{Entry, EntryError, Event};
pub use files::{File, Files, batch_path, entries_path, file_name, tile_path, witnessed_path};
pub use find::records_of;
pub use key::{InvalidKey, LogKey, PublicKey};
pub use prediction::{BatchCall, Prediction, Result as PredictionResult, bytes_text};
pub use receipt::{NoReceipt, Receipt, ReceiptError};
pub use receipt_id::{NoReceiptId, ReceiptId};
pub use tlog_tiles::Hash;
pub use tree::{Broken, EntryTooLong, Tree};
