//! Files of models on their way between nodes, as messages.

use super::wire::to_node::Message;
use super::{models, senseless, wire};
use crate::{Beside, FileAnswer, FileKey, FileOffer, FilePart, FileRequest, HeldFile};
use spinwell_core::{Fault, ModelHash, ModelVersion, UnixMillis};

/// The message that asks for something about files.
pub(super) fn encode_request(number: u64, request: &FileRequest) -> Message {
    match request {
        FileRequest::Held(model) => {
            Message::HeldFiles(wire::HeldFiles { number, model: model.as_str().to_owned() })
        }
        FileRequest::Read(key, offset) => {
            Message::ReadFile(wire::ReadFile { number, key: Some(key_to_wire(key)), offset: *offset })
        }
        FileRequest::Offer(offer) => Message::OfferFile(wire::OfferFile {
            number,
            key: Some(key_to_wire(&offer.key)),
            transfer: offer.transfer,
            whole: offer.whole,
            replaces: offer.replaces.map(hash_to_wire),
            beside: Some(beside_to_wire(&offer.beside)),
        }),
        FileRequest::Part { transfer, offset, bytes } => Message::FilePart(wire::FilePart {
            number,
            transfer: *transfer,
            offset: *offset,
            bytes: bytes.clone(),
        }),
    }
}

/// What a gateway asks about files.
pub(super) fn held_of(asked: &wire::HeldFiles) -> Result<FileRequest, Fault> {
    models::name(&asked.model).map(FileRequest::Held)
}

/// The same of a part of a file.
pub(super) fn read_of(asked: wire::ReadFile) -> Result<FileRequest, Fault> {
    Ok(FileRequest::Read(key_of(asked.key)?, asked.offset))
}

/// The same of an offer.
pub(super) fn offer_of(offer: wire::OfferFile) -> Result<FileRequest, Fault> {
    Ok(FileRequest::Offer(FileOffer {
        key: key_of(offer.key)?,
        transfer: offer.transfer,
        whole: offer.whole,
        replaces: offer.replaces.map(|hash| hash_of(&hash)).transpose()?,
        beside: beside_of(offer.beside.unwrap_or_default()),
    }))
}

/// A part that a gateway brings.
pub(super) fn part_of(part: wire::FilePart) -> FileRequest {
    FileRequest::Part { transfer: part.transfer, offset: part.offset, bytes: part.bytes }
}

/// What a node answers.
pub(super) fn answer_to_wire(answer: FileAnswer) -> wire::FileAnswer {
    use wire::file_answer::Answer;
    let answer = match answer {
        FileAnswer::Held(files) => {
            let files = files.into_iter().map(|file| wire::HeldFile {
                version: file.version.0,
                hash: file.hash.map(hash_to_wire),
                modified_ms: file.modified.0,
                is_unsettled: file.is_unsettled,
            });
            Answer::Held(wire::HeldAnswer { files: files.collect() })
        }
        FileAnswer::Part(part) => Answer::Part(wire::PartAnswer {
            bytes: part.bytes,
            whole: part.whole,
            beside: part.beside.as_ref().map(beside_to_wire),
        }),
        FileAnswer::Placed(is_placed) => Answer::IsPlaced(is_placed),
    };
    wire::FileAnswer { answer: Some(answer) }
}

/// What a node has answered.
pub(super) fn answer_of_wire(answer: wire::FileAnswer) -> Result<FileAnswer, Fault> {
    use wire::file_answer::Answer;
    match answer.answer.ok_or_else(|| senseless("an answer about files that says nothing"))? {
        Answer::Held(held) => {
            let files = held.files.into_iter().map(|file| {
                Ok(HeldFile {
                    version: version_of(file.version)?,
                    hash: file.hash.map(|hash| hash_of(&hash)).transpose()?,
                    modified: UnixMillis(file.modified_ms),
                    is_unsettled: file.is_unsettled,
                })
            });
            files.collect::<Result<_, Fault>>().map(FileAnswer::Held)
        }
        Answer::Part(part) => {
            let beside = part.beside.map(beside_of);
            Ok(FileAnswer::Part(FilePart { bytes: part.bytes, whole: part.whole, beside }))
        }
        Answer::IsPlaced(is_placed) => Ok(FileAnswer::Placed(is_placed)),
    }
}

fn key_to_wire(key: &FileKey) -> wire::FileKey {
    wire::FileKey {
        model: key.name.as_str().to_owned(),
        version: key.version.0,
        hash: hash_to_wire(key.hash),
    }
}

fn key_of(key: Option<wire::FileKey>) -> Result<FileKey, Fault> {
    let key = key.ok_or_else(|| senseless("a file without a name"))?;
    Ok(FileKey {
        name: models::name(&key.model)?,
        version: version_of(key.version)?,
        hash: hash_of(&key.hash)?,
    })
}

/// A version's number is the name of its folder, and there is no folder 0.
fn version_of(number: u32) -> Result<ModelVersion, Fault> {
    if number > 0 { Ok(ModelVersion(number)) } else { Err(senseless("version 0 of a model")) }
}

fn hash_to_wire(hash: ModelHash) -> bytes::Bytes {
    hash.0.to_vec().into()
}

fn hash_of(bytes: &[u8]) -> Result<ModelHash, Fault> {
    bytes.try_into().map(ModelHash).map_err(|_| senseless("a hash that is none"))
}

fn beside_to_wire(beside: &Beside) -> wire::Beside {
    wire::Beside {
        modified_ms: beside.modified.0,
        card: beside.card.clone(),
        settings: beside.settings.clone(),
    }
}

fn beside_of(beside: wire::Beside) -> Beside {
    Beside { modified: UnixMillis(beside.modified_ms), card: beside.card, settings: beside.settings }
}
