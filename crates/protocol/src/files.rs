//! The files of models, as nodes hold them and gateways carry them from one to the other.
//!
//! A file is named by the hash of its bytes and travels in parts of bounded length. What lies beside it, its card and how its
//! model is served, travels with it.

use bytes::Bytes;
use spinwell_core::{ModelHash, ModelName, ModelVersion, UnixMillis};

/// The longest part of a file in one message: requests of others wait behind it.
pub const PART_BYTES_MAX: usize = 256 * 1024;
/// The longest file that is carried.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
/// The longest card, or file that says how a model is served, that goes along. A longer one stays behind.
pub const BESIDE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Which file is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileKey {
    /// The model.
    pub name: ModelName,
    /// The version.
    pub version: ModelVersion,
    /// Its bytes.
    pub hash: ModelHash,
}

/// What a node has in the place of a version's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldFile {
    /// The version.
    pub version: ModelVersion,
    /// Its bytes; nothing where no model can be read from them.
    pub hash: Option<ModelHash>,
    /// When they were written first.
    pub modified: UnixMillis,
    /// Whether no model can be read from them and they have changed a moment ago: somebody may be writing them.
    pub is_unsettled: bool,
}

/// What lies beside a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beside {
    /// When the file was written first.
    pub modified: UnixMillis,
    /// Its card, where there is one.
    pub card: Option<Bytes>,
    /// How its model is served, where a file says so.
    pub settings: Option<Bytes>,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePart {
    /// At most [`PART_BYTES_MAX`] bytes from where it was asked for; fewer only at the end.
    pub bytes: Bytes,
    /// The length of the whole file.
    pub whole: u64,
    /// With the first part: what lies beside the file.
    pub beside: Option<Beside>,
}

/// A file that a node is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOffer {
    /// Which file.
    pub key: FileKey,
    /// A number for the parts that may follow, which no other offer has.
    pub transfer: u64,
    /// The length of the whole file.
    pub whole: u64,
    /// The bytes under that number that it takes the place of, where there are any. Other ones stay.
    pub replaces: Option<ModelHash>,
    /// What is to lie beside it.
    pub beside: Beside,
}

/// What is asked of a node about files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRequest {
    /// What it has of a model.
    Held(ModelName),
    /// A part of a file, from that byte on.
    Read(FileKey, u64),
    /// Whether it has a file now, or can have it without its parts being sent.
    Offer(FileOffer),
    /// To take the next part of an offered file, which begins at that byte.
    Part {
        /// The number of the offer.
        transfer: u64,
        /// Where it begins.
        offset: u64,
        /// The part.
        bytes: Bytes,
    },
}

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileAnswer {
    /// What it has.
    Held(Vec<HeldFile>),
    /// The part.
    Part(FilePart),
    /// Whether the file is in its place; if not, parts are to be sent.
    Placed(bool),
}
