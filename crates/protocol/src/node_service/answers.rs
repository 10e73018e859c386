//! What a node answers, and what it says of itself.

use super::wire::answer::Answer as Kind;
use super::wire::from_node::Message;
use super::{Described, files, models, senseless, whole, wire};
use crate::{
    Caller, FileAnswer, GpuLoad, IndexEntry, InferReply, NodeLoad, OutputName, OutputTensor, Predictions,
    SequenceLoad, SequenceReply, StateAnswer, Values, WaitingFor,
};
use spinwell_core::{BatchShare, Code, Fault, Micros, Millis, ModelVersion, NodeId, StateSource};

/// An answer of a node.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To a request for predictions.
    Predicted(InferReply),
    /// To one about a state.
    State(StateAnswer),
    /// To the question what there is.
    Index(Vec<IndexEntry>),
    /// A model was loaded, but for these versions.
    Loaded(Vec<IndexEntry>),
    /// It is done.
    Done,
    /// To something about files of models.
    Files(FileAnswer),
}

/// The message that answers the request of that number. `model` is the number of the model that predicted.
#[must_use]
pub fn encode_answer(number: u64, answer: Result<Answer, Fault>, model: u32) -> Message {
    let answer = match answer {
        Err(fault) => Kind::Fault(wire::Fault {
            code: fault.code().as_str().to_owned(),
            message: fault.message().to_owned(),
            retry_after_ms: fault.retry_after_hint().map(|wait| wait.0),
            expected_step: fault.expected_step_hint(),
        }),
        Ok(Answer::Predicted(reply)) => Kind::Predicted(predicted(&reply, model)),
        Ok(Answer::State(StateAnswer { step, state })) => {
            Kind::State(wire::StateAnswer { step, state: state.into() })
        }
        Ok(Answer::Index(entries)) => Kind::Index(entries_to_wire(entries)),
        Ok(Answer::Loaded(entries)) => Kind::Loaded(entries_to_wire(entries)),
        Ok(Answer::Done) => Kind::Done(wire::Nothing {}),
        Ok(Answer::Files(answer)) => Kind::Files(files::answer_to_wire(answer)),
    };
    Message::Answer(wire::Answer { number, answer: Some(answer) })
}

fn predicted(reply: &InferReply, model: u32) -> wire::Predicted {
    let tensors = reply.predictions.tensors.iter().map(|OutputTensor { name, values }| {
        let mut bytes = Vec::new();
        values.write_bytes(&mut bytes);
        wire::Tensor { name: name.as_str().to_owned(), values: bytes.into() }
    });
    wire::Predicted {
        model,
        profile: reply.profile.as_str().to_owned(),
        batch: reply.predictions.batch as u64,
        tensors: tensors.collect(),
        queue_us: reply.queue.0,
        compute_us: reply.compute.0,
        batch_windows: reply.batch.windows as u64,
        batch_counts: reply.batch.counts,
        sequence: reply.sequence.as_ref().map(|sequence| wire::Stepped {
            step: sequence.step,
            source: sequence.source.as_str().to_owned(),
            durable: sequence.durable,
            warming_up: sequence.warming_up,
        }),
    }
}

/// What a node answered.
///
/// # Errors
/// The node's own fault, or one that says that the answer makes no sense.
pub fn answer_of(answer: wire::Answer, node: &NodeId, described: &Described) -> Result<Answer, Fault> {
    match answer.answer.ok_or_else(|| senseless("an answer that says nothing"))? {
        Kind::Fault(fault) => Err(fault_of(fault)),
        Kind::Predicted(predicted) => reply_of(predicted, node, described).map(Answer::Predicted),
        Kind::State(wire::StateAnswer { step, state }) => {
            Ok(Answer::State(StateAnswer { step, state: state.to_vec() }))
        }
        Kind::Index(index) => entries_of_wire(index).map(Answer::Index),
        Kind::Loaded(index) => entries_of_wire(index).map(Answer::Loaded),
        Kind::Done(_) => Ok(Answer::Done),
        Kind::Files(answer) => files::answer_of_wire(answer).map(Answer::Files),
    }
}

fn entries_to_wire(entries: Vec<IndexEntry>) -> wire::IndexAnswer {
    let entries = entries.into_iter().map(|entry| wire::Entry {
        name: entry.name.as_str().to_owned(),
        version: entry.version.0,
        is_ready: entry.is_ready,
        reason: entry.reason,
    });
    wire::IndexAnswer { entries: entries.collect() }
}

fn entries_of_wire(index: wire::IndexAnswer) -> Result<Vec<IndexEntry>, Fault> {
    let entries = index.entries.into_iter().map(|entry| {
        Ok(IndexEntry {
            name: models::name(&entry.name)?,
            version: ModelVersion(entry.version),
            is_ready: entry.is_ready,
            reason: entry.reason,
        })
    });
    entries.collect()
}

/// A node of a later release may know codes that this one does not.
fn fault_of(fault: wire::Fault) -> Fault {
    let mut own = match Code::named(&fault.code) {
        Some(code) => Fault::new(code, fault.message),
        None => Fault::new(Code::Internal, format!("{}: {}", fault.code, fault.message)),
    };
    if let Some(wait) = fault.retry_after_ms {
        own = own.retry_after(Millis(wait));
    }
    match fault.expected_step {
        Some(step) => own.expected_step(step),
        None => own,
    }
}

fn reply_of(told: wire::Predicted, node: &NodeId, described: &Described) -> Result<InferReply, Fault> {
    let model = described.model(told.model)?.clone();
    let batch = whole(told.batch)?;
    let tensors = told.tensors.into_iter().map(|tensor| {
        let output = model.outputs().iter().find(|output| output.name.as_str() == tensor.name);
        let output = output.ok_or_else(|| senseless(format!("no output {:?}", tensor.name)))?;
        let name: OutputName = output.name;
        let wanted = output.extents.iter().try_fold(batch, |count, extent| count.checked_mul(*extent));
        let values = Values::read_bytes(name.datatype(), &tensor.values);
        let values = values.filter(|values| Some(values.len()) == wanted);
        let values = values.ok_or_else(|| senseless("an output whose values do not fit its shape"))?;
        Ok(OutputTensor { name, values })
    });
    let tensors = tensors.collect::<Result<_, Fault>>()?;
    let sequence = told.sequence.map(|sequence| {
        let all = [StateSource::Cold, StateSource::Live, StateSource::Standby, StateSource::Snapshot];
        let source = all.into_iter().find(|source| source.as_str() == sequence.source);
        Ok(SequenceReply {
            step: sequence.step,
            source: source.ok_or_else(|| senseless("a state from nowhere"))?,
            durable: sequence.durable,
            warming_up: sequence.warming_up,
        })
    });
    Ok(InferReply {
        model,
        node: node.clone(),
        profile: models::profile(&told.profile)?,
        predictions: Predictions { batch, tensors },
        queue: Micros(told.queue_us),
        compute: Micros(told.compute_us),
        batch: BatchShare { windows: whole(told.batch_windows)?, counts: told.batch_counts },
        sequence: sequence.transpose()?,
        receipt: None,
    })
}

/// The sign of life of a node that is so busy, and that these gateways are connected to.
#[must_use]
pub fn encode_beat(load: NodeLoad, is_leaving: bool, gateways: Vec<Caller>) -> wire::Beat {
    let gpus = load.gpus.into_iter().map(|gpu| wire::Gpu {
        uuid: gpu.uuid,
        utilization: gpu.utilization,
        memory_total_bytes: gpu.memory_total_bytes,
        memory_used_bytes: gpu.memory_used_bytes,
        power_watts: gpu.power_watts,
    });
    let waiting =
        load.waiting.into_iter().filter(|waiting| waiting.requests > 0).map(|waiting| wire::Waiting {
            model: waiting.model.as_str().to_owned(),
            version: waiting.version.0,
            requests: waiting.requests as u64,
        });
    wire::Beat {
        queue_len: load.queue_len as u64,
        queue_len_max: load.queue_len_max as u64,
        waiting: waiting.collect(),
        batches_executing: load.batches_executing as u64,
        executors: load.executors as u64,
        row_micros: load.row_micros,
        sequences_in_memory: load.sequences.in_memory,
        sequences_copied: load.sequences.copied,
        sequences_expired: load.sequences.expired,
        sequences_lost: load.sequences.lost,
        sequences_fenced: load.sequences.fenced,
        sequences_followed: load.sequences.followed,
        store_silent_ms: load.sequences.store_silent.map(|silent| silent.0),
        gpus: gpus.collect(),
        is_leaving,
        cpu_free: load.cpu_free,
        memory_free: load.memory_free,
        callers: Some(callers(gateways)),
    }
}

fn callers(all: Vec<Caller>) -> wire::Callers {
    let lives = all.iter().map(|caller| caller.life.unwrap_or_default()).collect();
    wire::Callers { gateways: all.into_iter().map(|caller| caller.name).collect(), lives }
}

/// The gateways that a node says are connected to it.
#[must_use]
pub fn callers_of(told: wire::Callers) -> Vec<Caller> {
    let wire::Callers { gateways, lives } = told;
    let are_told = lives.len() == gateways.len();
    let life = |place: usize| are_told.then(|| lives[place]);
    gateways.into_iter().enumerate().map(|(place, name)| Caller { name, life: life(place) }).collect()
}

/// How busy a node says it is.
#[must_use]
pub fn beat_of(beat: wire::Beat) -> NodeLoad {
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let gpus = beat.gpus.into_iter().map(|gpu| GpuLoad {
        uuid: gpu.uuid,
        utilization: gpu.utilization,
        memory_total_bytes: gpu.memory_total_bytes,
        memory_used_bytes: gpu.memory_used_bytes,
        power_watts: gpu.power_watts,
    });
    let waiting = beat.waiting.into_iter().filter_map(|waiting| {
        Some(WaitingFor {
            model: waiting.model.parse().ok()?,
            version: ModelVersion(waiting.version),
            requests: count(waiting.requests),
        })
    });
    NodeLoad {
        queue_len: count(beat.queue_len),
        queue_len_max: count(beat.queue_len_max),
        waiting: waiting.collect(),
        batches_executing: count(beat.batches_executing),
        executors: count(beat.executors),
        row_micros: beat.row_micros,
        cpu_free: beat.cpu_free,
        memory_free: beat.memory_free,
        sequences: SequenceLoad {
            in_memory: beat.sequences_in_memory,
            copied: beat.sequences_copied,
            expired: beat.sequences_expired,
            lost: beat.sequences_lost,
            fenced: beat.sequences_fenced,
            followed: beat.sequences_followed,
            store_silent: beat.store_silent_ms.map(Millis),
        },
        gpus: gpus.collect(),
        ..NodeLoad::default()
    }
}
