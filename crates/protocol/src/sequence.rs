//! What a request says of the sequence that it belongs to, and what the answer says.

use crate::{ModelDescription, ParameterValue, Parameters, Task, quoted};
use spinwell_core::{Code, Fault, SequenceId, StateSource, UnixMillis};

/// A step of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceCall {
    /// What the caller calls the sequence.
    pub id: SequenceId,
    /// Whether it begins with this step, whatever was before.
    pub starts: bool,
    /// Whether it is over after this step.
    pub ends: bool,
    /// The number of the step, from 1, where the caller counts: it is then applied once, however often it is sent.
    pub step: Option<u64>,
    /// When it was sent to a node for the first time, where another node may have answered it since.
    pub sent: Option<UnixMillis>,
    /// Whether the caller named the version of the model: then no other may answer.
    pub names_version: bool,
}

/// What an answer says of its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceReply {
    /// The number of the step, from 1.
    pub step: u64,
    /// Where the state came from.
    pub source: StateSource,
    /// Whether the step survives the loss of the process.
    pub durable: bool,
    /// Whether the sequence has seen too few rows for the model itself: the answer is a naive one.
    pub warming_up: bool,
}

/// What a caller wants with the state of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateRequest {
    /// To take a copy away.
    Get,
    /// To put one there that was taken away before, whatever was there.
    Put(Vec<u8>),
    /// To remove the sequence.
    Delete,
    /// To begin another sequence with the same state.
    Fork {
        /// The other's id.
        to: SequenceId,
    },
}

/// The same on its way to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCall {
    /// What is wanted.
    pub request: StateRequest,
    /// When the gateway got it, where another node may have gone on with the sequence since.
    pub sent: Option<UnixMillis>,
}

impl From<StateRequest> for StateCall {
    /// By a way on which nobody can have overtaken it.
    fn from(request: StateRequest) -> Self {
        Self { request, sent: None }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateAnswer {
    /// The newest step in the state.
    pub step: u64,
    /// The state, where it was asked for.
    pub state: Vec<u8>,
}

/// The parameters of a request that speak of a sequence, as they are found one by one.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) id: Option<SequenceId>,
    pub(crate) starts: bool,
    pub(crate) ends: bool,
    pub(crate) step: Option<u64>,
}

impl Gathered {
    /// The step that they make together; nothing where none of them is there.
    ///
    /// # Errors
    /// [`Code::RequestInvalid`] where something is said of a sequence that has no id.
    pub(crate) fn call(self) -> Result<Option<SequenceCall>, Fault> {
        let Self { id, starts, ends, step } = self;
        match id {
            Some(id) => Ok(Some(SequenceCall { id, starts, ends, step, sent: None, names_version: false })),
            None if starts || ends || step.is_some() => {
                let message = "sequence_start, sequence_end and sequence_step need a sequence_id that is not 0 or empty";
                Err(Fault::new(Code::RequestInvalid, message))
            }
            None => Ok(None),
        }
    }
}

/// The id in a parameter; 0 and the empty text are none.
pub(crate) fn id(value: &ParameterValue) -> Result<Option<SequenceId>, Fault> {
    match value {
        ParameterValue::Whole(0) => Ok(None),
        ParameterValue::Whole(number) => Ok(Some(SequenceId::of_number(*number))),
        ParameterValue::Text(text) if text.is_empty() => Ok(None),
        ParameterValue::Text(text) => checked_id(text).map(Some),
        _ => {
            let message = "parameter sequence_id must be a whole number from 0 or a text";
            Err(Fault::new(Code::RequestInvalid, message))
        }
    }
}

/// The id of that text.
///
/// # Errors
/// [`Code::RequestInvalid`] where it is none, or 0: a number is the id that is its text, and the number 0 is no id.
pub fn checked_id(text: &str) -> Result<SequenceId, Fault> {
    if text == "0" {
        let message = "sequence_id 0 means no sequence; name one by another number or text";
        return Err(Fault::new(Code::RequestInvalid, message));
    }
    SequenceId::of_text(text).ok_or_else(|| {
        let most = SequenceId::BYTES_MAX;
        let message = format!("sequence_id {} must be 1 to {most} bytes of printable text", quoted(text));
        Fault::new(Code::RequestInvalid, message)
    })
}

/// What a tensor is fed to, which decides on the shapes that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feeds {
    /// Fresh streams, one for each window.
    Windows,
    /// The stream of a sequence, with as many rows as there are.
    Sequence,
}

impl Feeds {
    /// What the tensor of a request is fed to.
    ///
    /// # Errors
    /// [`Code::NotOffered`] where the model can have no sequences.
    pub(crate) fn of(call: Option<&SequenceCall>, model: &ModelDescription) -> Result<Self, Fault> {
        match (call, &model.task) {
            (None, _) => Ok(Feeds::Windows),
            (Some(_), Task::Classify { .. }) => {
                let message = format!(
                    "model {} classifies whole series and keeps no state: send the series without sequence_id",
                    model.name
                );
                Err(Fault::new(Code::NotOffered, message))
            }
            (Some(_), _) => Ok(Feeds::Sequence),
        }
    }
}

/// What an answer says of its sequence, as names and values.
pub(crate) fn parameters(reply: &SequenceReply) -> Parameters {
    let truth = |value| ParameterValue::Bool(value);
    Parameters(vec![
        ("sequence_step".to_owned(), ParameterValue::Whole(reply.step)),
        ("state_source".to_owned(), ParameterValue::Text(reply.source.as_str().to_owned())),
        ("durable".to_owned(), truth(reply.durable)),
        ("warming_up".to_owned(), truth(reply.warming_up)),
    ])
}
