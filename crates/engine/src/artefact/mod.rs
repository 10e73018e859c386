//! The model file: one file, versioned, checksummed, without a time stamp, so that equal models are equal bytes.
//!
//! ```text
//! 8 bytes   "SPINWELL"
//! 4 bytes   format version, little-endian
//! 8 bytes   length of the payload
//! 32 bytes  SHA-256 of the payload
//! payload   1 byte: the kind of model; then its fields in a fixed order, little-endian, arrays preceded by their length
//! ```
//!
//! A file is untrusted input: nothing is allocated by a length that the bytes present do not cover, and after
//! the checksum every cross-reference is checked before a kernel may rely on it.

mod blocks;
mod fields;
mod quantum;
mod reader;
mod spiking;
mod writer;

pub(crate) use fields::UNITS_MAX;
pub(crate) use fields::{read_core, write_core};
pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

use crate::model::Core;
use sha2::{Digest, Sha256};
use spinwell_core::{Code, ModelHash};
use std::fmt;

const MAGIC: &[u8; 8] = b"SPINWELL";
/// What a model file begins with before its payload, in bytes.
pub const HEADER: usize = 8 + 4 + 8 + 32;
/// The format written, and the newest one read.
const FORMAT: u32 = 2;

/// What kind of model a file holds. The number of a kind never changes, because files keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Says what comes next: [`Model`](crate::Model).
    Forecaster,
    /// Names the class of a window: [`Classifier`](crate::classify::Classifier).
    Classifier,
    /// Says how unlikely a row is: [`Detector`](crate::detect::Detector).
    Detector,
}

impl Kind {
    /// The kind as the payload's first byte.
    const fn byte(self) -> u8 {
        match self {
            Kind::Forecaster => 0,
            Kind::Classifier => 1,
            Kind::Detector => 2,
        }
    }

    fn of_byte(byte: u8) -> Result<Self, Error> {
        let all = [Kind::Forecaster, Kind::Classifier, Kind::Detector];
        all.into_iter().find(|kind| kind.byte() == byte).ok_or(corrupt("its kind of model is unknown"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Forecaster => "a forecaster",
            Kind::Classifier => "a classifier",
            Kind::Detector => "a detector",
        })
    }
}

/// Why bytes are not a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another kind of file.
    #[error("this is not a Spinwell model file: it does not begin with \"SPINWELL\"")]
    Foreign,
    /// The file ends too early.
    #[error("the model file is cut off: {present} of {expected} bytes are there")]
    Truncated {
        /// Bytes present.
        present: u64,
        /// Bytes that the header promises.
        expected: u64,
    },
    /// Written by a newer program.
    #[error("the model file has format {found}, this program reads up to {FORMAT}; use a newer spinwell")]
    FromTheFuture {
        /// The file's format.
        found: u32,
    },
    /// The contents do not match the checksum or contradict themselves.
    #[error("the model file is damaged: {what}")]
    Corrupt {
        /// What does not fit.
        what: &'static str,
    },
    /// A whole model file of another kind than was asked for.
    #[error("the model file holds {found}, not {wanted}")]
    OtherKind {
        /// What it holds.
        found: Kind,
        /// What was asked for.
        wanted: Kind,
    },
}

impl Error {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::Foreign => Code::FileForeign,
            Error::Truncated { .. } => Code::FileTruncated,
            Error::FromTheFuture { .. } => Code::FileFromTheFuture,
            Error::Corrupt { .. } => Code::FileCorrupt,
            Error::OtherKind { .. } => Code::TaskMismatch,
        }
    }
}

pub(crate) fn corrupt(what: &'static str) -> Error {
    Error::Corrupt { what }
}

pub(crate) fn ensure(holds: bool, what: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(corrupt(what)) }
}

pub(crate) fn index_of<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|other| other == one).expect("every variant is listed") as u8
}

pub(crate) fn variant<T: Copy>(all: &[T], index: u8) -> Result<T, Error> {
    all.get(usize::from(index)).copied().ok_or(corrupt("a choice is unknown"))
}

/// The name of a model: the SHA-256 of its file.
pub(crate) fn hash(file: &[u8]) -> ModelHash {
    ModelHash(Sha256::digest(file).into())
}

/// The file of a model of some kind, whose fields `write` appends.
pub(crate) fn seal(kind: Kind, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.u8(kind.byte());
    write(&mut writer);
    let payload = writer.bytes;
    let mut file = Vec::with_capacity(HEADER + payload.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&FORMAT.to_le_bytes());
    file.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    file.extend_from_slice(&Sha256::digest(&payload));
    file.extend_from_slice(&payload);
    file
}

/// The kind of the model in a file that is whole, and its fields.
pub(crate) fn open(file: &[u8]) -> Result<(Kind, Reader<'_>), Error> {
    let mut reader = Reader::new(checked_payload(file)?);
    let kind = Kind::of_byte(reader.u8()?)?;
    Ok((kind, reader))
}

/// The model of a file that holds one of the `wanted` kind, whose fields `read` takes: all of them.
pub(crate) fn open_as<M>(
    file: &[u8],
    wanted: Kind,
    read: impl FnOnce(&mut Reader<'_>) -> Result<M, Error>,
) -> Result<M, Error> {
    let (found, mut reader) = open(file)?;
    if found != wanted {
        return Err(Error::OtherKind { found, wanted });
    }
    let model = read(&mut reader)?;
    ensure(reader.is_empty(), "there are fields after its end")?;
    Ok(model)
}

/// The file of a forecaster.
pub(crate) fn encode(core: &Core) -> Vec<u8> {
    seal(Kind::Forecaster, |writer| write_core(writer, core))
}

/// The forecaster of a file.
pub(crate) fn decode(file: &[u8]) -> Result<Core, Error> {
    open_as(file, Kind::Forecaster, read_core)
}

/// The payload of a file whose header and checksum are right.
fn checked_payload(file: &[u8]) -> Result<&[u8], Error> {
    check_header(file, file.len() as u64)?;
    let payload = &file[HEADER..];
    if Sha256::digest(payload).as_slice() != &file[20..HEADER] {
        return Err(Error::Corrupt { what: "the contents do not match the checksum" });
    }
    Ok(payload)
}

/// Whether a file of `present` bytes that begins with `head` ([`HEADER`] bytes of it, or more) may be a model, so that it is
/// worth reading.
///
/// # Errors
/// Where it is none, of another format, or longer or shorter than it says.
pub fn check_header(head: &[u8], present: u64) -> Result<(), Error> {
    let magic = &head[..head.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic) {
        return Err(Error::Foreign);
    }
    let (Some(version), Some(length), true) = (head.get(8..12), head.get(12..20), head.len() >= HEADER)
    else {
        return Err(Error::Truncated { present: head.len() as u64, expected: HEADER as u64 });
    };
    let version = u32::from_le_bytes(version.try_into().expect("4 bytes"));
    let length = u64::from_le_bytes(length.try_into().expect("8 bytes"));
    match version {
        FORMAT => {}
        0 => return Err(Error::Corrupt { what: "format 0 does not exist" }),
        1 => return Err(Error::Corrupt { what: "format 1 was never released; train the model again" }),
        found => return Err(Error::FromTheFuture { found }),
    }
    let expected = (HEADER as u64).saturating_add(length);
    if present < expected {
        return Err(Error::Truncated { present, expected });
    }
    if present > expected {
        return Err(Error::Corrupt { what: "there are bytes after its end" });
    }
    Ok(())
}

/// The SHA-256 of any bytes, such as a training file's, in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hash(bytes).to_string()
}
