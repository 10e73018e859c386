//! What a gateway asks of a node.

use super::wire::to_node::Message;
use super::{Described, Describer, files, models, senseless, whole, wire};
use crate::{
    FileRequest, InferRequest, Order, Outputs, Packing, SequenceCall, StateCall, StateRequest,
    checked_sequence_id,
};
use bytes::Bytes;
use spinwell_core::{
    Code, Fault, ModelName, Priority, Samples, SequenceId, SequenceKey, Series, TenantId, UnixMillis,
};
use std::time::{Duration, Instant};

/// Something that a gateway asks of a node.
#[derive(Debug, Clone)]
pub enum Request {
    /// To predict.
    Infer(InferRequest),
    /// To do something with the state of a sequence.
    State(SequenceKey, StateCall),
    /// To say what there is.
    Index,
    /// To serve a model's files as they are now.
    Load(ModelName),
    /// To serve a model no more.
    Unload(ModelName),
    /// To stop in good order; where a plan has it, by that order.
    Drain(Option<Order>),
    /// Something about files of models.
    Files(FileRequest),
}

/// The message that asks for it, under that number, at that time.
///
/// # Errors
/// [`Code::ModelNotFound`] where the node has never spoken of the model to predict with.
pub fn encode_request(
    number: u64,
    request: &Request,
    described: &Described,
    now: Instant,
) -> Result<Message, Fault> {
    Ok(match request {
        Request::Infer(request) => Message::Infer(encode_infer(number, request, described, now)?),
        Request::State(key, call) => Message::State(wire::State {
            number,
            tenant: key.tenant.0.to_string(),
            model: key.model.as_str().to_owned(),
            sequence: key.id.as_str().to_owned(),
            sent_ms: call.sent.map(|sent| sent.0),
            request: Some(match &call.request {
                StateRequest::Get => wire::state::Request::Get(wire::Nothing {}),
                StateRequest::Put(state) => wire::state::Request::Put(state.clone().into()),
                StateRequest::Delete => wire::state::Request::Delete(wire::Nothing {}),
                StateRequest::Fork { to } => wire::state::Request::Fork(to.as_str().to_owned()),
            }),
        }),
        Request::Index => Message::Index(wire::Index { number }),
        Request::Load(model) => Message::Load(wire::Load { number, model: model.as_str().to_owned() }),
        Request::Drain(order) => {
            let order = order.map(|Order { generation, life }| wire::Order { generation, life });
            Message::Drain(wire::Drain { number, order })
        }
        Request::Files(request) => files::encode_request(number, request),
        Request::Unload(model) => Message::Unload(wire::Unload { number, model: model.as_str().to_owned() }),
    })
}

fn encode_infer(
    number: u64,
    request: &InferRequest,
    described: &Described,
    now: Instant,
) -> Result<wire::Infer, Fault> {
    let InferRequest { model, series, outputs, deadline, priority, is_spare, tenant, sequence } = request;
    let model = described.number(model).ok_or_else(|| {
        let message = format!("model {} version {} is not on this node", model.name, model.version);
        Fault::new(Code::ModelNotFound, message)
    })?;
    let (mut f32, mut f64) = (Bytes::new(), Bytes::new());
    match series.samples() {
        Samples::F32(values) => f32 = values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Samples::F64(values) => f64 = values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
    let left = deadline.saturating_duration_since(now);
    Ok(wire::Infer {
        number,
        model,
        batch: series.batch() as u64,
        rows: series.rows() as u64,
        channels: series.channels() as u64,
        f32,
        f64,
        outputs: outputs.iter().map(|output| output.name.as_str().to_owned()).collect(),
        timeout_us: u64::try_from(left.as_micros()).unwrap_or(u64::MAX),
        priority: *priority as u32,
        is_spare: *is_spare,
        tenant: tenant.0.to_string(),
        sequence: sequence.as_ref().map(|call| wire::Step {
            id: call.id.as_str().to_owned(),
            starts: call.starts,
            ends: call.ends,
            step: call.step,
            sent_ms: call.sent.map(|sent| sent.0),
            names_version: call.names_version,
        }),
    })
}

/// What a gateway asks, and the number that its answer has. Nothing where the message asks for no answer.
#[must_use]
pub fn request_of(
    message: Message,
    described: &Describer,
    now: Instant,
) -> Option<(u64, Result<Request, Fault>)> {
    Some(match message {
        Message::Hello(_) | Message::Cancel(_) | Message::View(_) => return None,
        Message::Infer(infer) => (infer.number, infer_of(infer, described, now).map(Request::Infer)),
        Message::State(state) => (state.number, state_of(state)),
        Message::Index(index) => (index.number, Ok(Request::Index)),
        Message::Load(load) => (load.number, models::name(&load.model).map(Request::Load)),
        Message::Drain(drain) => {
            let order = drain.order.map(|wire::Order { generation, life }| Order { generation, life });
            (drain.number, Ok(Request::Drain(order)))
        }
        Message::HeldFiles(asked) => (asked.number, files::held_of(&asked).map(Request::Files)),
        Message::ReadFile(asked) => (asked.number, files::read_of(asked).map(Request::Files)),
        Message::OfferFile(offer) => (offer.number, files::offer_of(offer).map(Request::Files)),
        Message::FilePart(part) => (part.number, Ok(Request::Files(files::part_of(part)))),
        Message::Unload(unload) => (unload.number, models::name(&unload.model).map(Request::Unload)),
    })
}

fn infer_of(infer: wire::Infer, described: &Describer, now: Instant) -> Result<InferRequest, Fault> {
    let model = described.model(infer.model)?.clone();
    let (batch, rows, channels) = (whole(infer.batch)?, whole(infer.rows)?, whole(infer.channels)?);
    let samples = if infer.f64.is_empty() {
        Samples::F32(numbers(&infer.f32, f32::from_le_bytes)?)
    } else {
        Samples::F64(numbers(&infer.f64, f64::from_le_bytes)?)
    };
    let series = Series::new(batch, rows, channels, samples)
        .ok_or_else(|| senseless("a series whose values do not fit its shape"))?;
    let sequence = infer.sequence.map(|step| {
        Ok(SequenceCall {
            id: checked_sequence_id(&step.id)?,
            starts: step.starts,
            ends: step.ends,
            step: step.step,
            sent: step.sent_ms.map(UnixMillis),
            names_version: step.names_version,
        })
    });
    let sequence = sequence.transpose()?;
    if channels != model.channels.len() || (sequence.is_none() && !model.takes_windows(&series)) {
        return Err(senseless("windows that the model does not take"));
    }
    let names = infer.outputs.iter().map(|name| (name.as_str(), None));
    let outputs = Outputs::requested(names, Packing::Json, &model)?;
    let priority = Priority::ALL.get(infer.priority as usize).copied();
    Ok(InferRequest {
        model,
        series,
        outputs,
        deadline: deadline(now, Duration::from_micros(infer.timeout_us)),
        priority: priority.ok_or_else(|| senseless("a priority that is none"))?,
        is_spare: infer.is_spare,
        tenant: TenantId(infer.tenant.into()),
        sequence,
    })
}

/// A time so far away that it cannot be told is never waited for either.
fn deadline(now: Instant, left: Duration) -> Instant {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    now + left.min(DAY)
}

fn numbers<T, const BYTES: usize>(bytes: &Bytes, read: fn([u8; BYTES]) -> T) -> Result<Vec<T>, Fault> {
    let (chunks, rest) = bytes.as_chunks::<BYTES>();
    if !rest.is_empty() {
        return Err(senseless("half a number"));
    }
    Ok(chunks.iter().map(|chunk| read(*chunk)).collect())
}

fn state_of(state: wire::State) -> Result<Request, Fault> {
    let id = |text: &str| -> Result<SequenceId, Fault> { checked_sequence_id(text) };
    let key = SequenceKey {
        tenant: TenantId(state.tenant.into()),
        model: models::name(&state.model)?,
        id: id(&state.sequence)?,
    };
    let request = match state.request.ok_or_else(|| senseless("a state and nothing to do with it"))? {
        wire::state::Request::Get(_) => StateRequest::Get,
        wire::state::Request::Put(state) => StateRequest::Put(state.to_vec()),
        wire::state::Request::Delete(_) => StateRequest::Delete,
        wire::state::Request::Fork(to) => StateRequest::Fork { to: id(&to)? },
    };
    Ok(Request::State(key, StateCall { request, sent: state.sent_ms.map(UnixMillis) }))
}
