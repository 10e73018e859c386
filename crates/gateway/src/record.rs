//! The record that every inference request ends in.
//!
//! A ticket is opened when a request is recognised as one and closed when its answer is known. Closing takes
//! the ticket, so it cannot happen twice; a ticket that is dropped unclosed (the caller hung up, the task was
//! cancelled, a handler panicked) says so. There is no path on which a request leaves no outcome.

use crate::audit::{Audit, Bound, Names};
use crate::door::{Door, Entry, Permit, Seen};
use crate::traffic::{Shadow, SplitAnswer};
use spinwell_core::{
    BatchCall, BatchCallId, BatchCallPhase, BatchPlan, Code, Fault, Micros, ModelName, Outcome, Protocol,
    ResultClass, Samples, SequenceStep, Series, TenantId, Timings, Trace,
};
use spinwell_policy::threat::Sketch;
use spinwell_protocol::{InferReply, ModelDescription, SequenceCall};
use spinwell_runtime::clock;
use spinwell_security::guard::Caller;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

/// Bytes of a caller's id that the record keeps: records wait in queues, and an id can be as long as a body.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Whoever wants to know what became of requests. Called on the request's own path: be quick.
pub trait OutcomeReader: Send + Sync + 'static {
    /// One request has ended.
    fn read(&self, outcome: &Outcome);

    /// A batch call has begun or is over.
    fn read_batch_call(&self, call: &BatchCall);

    /// A canary or a shadow has answered, or not. This is no outcome: what the caller of a canary got is one of its own.
    fn read_split(&self, _: &SplitAnswer<'_>) {}
}

/// Of whom nothing is known yet.
static NOBODY: LazyLock<(Arc<str>, TenantId)> = LazyLock::new(|| ("".into(), TenantId("default".into())));

/// An inference request whose end is not known yet.
pub(crate) struct Ticket {
    reader: Arc<dyn OutcomeReader>,
    door: Arc<Door>,
    /// Who sends it, once that is known.
    entry: Option<Entry>,
    /// The id of the API key that he has shown, if any.
    key: String,
    /// What was decided before its body was here.
    permit: Option<Permit>,
    /// What the detectors remember of its window.
    sketch: Option<Sketch>,
    /// By which a body is known that is sent again.
    body: u64,
    /// Whether it declares more than any request can hold.
    is_bomb: bool,
    /// Where it is recorded, if anywhere.
    audit: Option<Arc<Audit>>,
    bound: Bound,
    /// Who is named in its record, where that is known already.
    names: Option<Names>,
    /// Whether it is in the ledger, or could not be.
    is_recorded: bool,
    outcome: Outcome,
    received: Instant,
    /// Who hears the request when it has been answered.
    shadow: Option<Shadow>,
    is_closed: bool,
}

impl Ticket {
    /// A request that has just been recognised.
    pub(crate) fn open(
        reader: Arc<dyn OutcomeReader>,
        door: Arc<Door>,
        audit: Option<Arc<Audit>>,
        protocol: Protocol,
        trace: Option<Trace>,
    ) -> Self {
        if let Some(audit) = &audit {
            audit.expect();
        }
        let (principal, tenant) = NOBODY.clone();
        let outcome = Outcome {
            request_id: String::new(),
            trace,
            policy: principal.clone(),
            principal,
            tenant,
            protocol,
            batch_call: None,
            model: None,
            version: None,
            model_hash: None,
            profile: None,
            node: None,
            step: None,
            windows: 0,
            batch: None,
            timings: Timings::default(),
            result: ResultClass::Cancelled,
        };
        Self {
            reader,
            door,
            entry: None,
            key: String::new(),
            permit: None,
            sketch: None,
            body: 0,
            is_bomb: false,
            audit,
            bound: Bound::default(),
            names: None,
            is_recorded: false,
            outcome,
            received: clock::now(),
            shadow: None,
            is_closed: false,
        }
    }

    /// This is who sends it.
    ///
    /// # Errors
    /// Where he does not come in, or has not sent it himself.
    pub(crate) fn entered(&mut self, entry: Entry) -> Result<(), Fault> {
        let entry = self.entry.insert(entry);
        let caller = entry.caller.as_ref().map_err(Clone::clone)?;
        self.outcome.principal = caller.principal().clone();
        self.outcome.tenant = caller.tenant().clone();
        self.key = caller.key().map(|id| id.to_string()).unwrap_or_default();
        entry.let_in().map(drop)
    }

    /// Who sends it.
    ///
    /// # Errors
    /// Where he does not come in, or nobody has looked.
    pub(crate) fn caller(&self) -> Result<&Caller, Fault> {
        match &self.entry {
            Some(Entry { caller, .. }) => caller.as_ref().map_err(Clone::clone),
            None => Err(Fault::new(Code::Internal, "nobody has looked at the caller; the server goes on")),
        }
    }

    /// Whose request it is.
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.outcome.tenant
    }

    /// He may ask this model for predictions.
    pub(crate) fn may_predict(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// What was decided before, if anything.
    pub(crate) fn take_permit(&mut self) -> Option<Permit> {
        self.permit.take()
    }

    /// These policies let it in, or keep it out.
    pub(crate) fn decided_by(&mut self, policy: Arc<str>) {
        self.outcome.policy = policy;
    }

    /// Its body has so many bytes, and begins with these.
    pub(crate) fn has_body(&mut self, length: usize, bytes: impl Iterator<Item = u8>) {
        const FIRST: usize = 256;
        let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.body = bytes.take(FIRST).fold(length as u64, step);
    }

    /// The last byte of the request is here: the time that it takes starts now.
    pub(crate) fn received(&mut self) {
        self.received = clock::now();
    }

    /// The last byte was here at that time, with those of the other requests of a batch call.
    pub(crate) fn received_with(&mut self, received: Instant) {
        self.received = received;
    }

    /// The request is one of a batch call.
    pub(crate) fn belongs_to(&mut self, batch: &BatchTicket) {
        self.outcome.batch_call = Some(batch.call.id.clone());
    }

    /// What this stood for turned out to be several requests, which have tickets of their own.
    pub(crate) fn withdraw(mut self) {
        self.is_closed = true;
    }

    /// When the last byte of the request was here.
    pub(crate) fn received_at(&self) -> Instant {
        self.received
    }

    /// The caller asked for a model of this name, which may not exist.
    pub(crate) fn asked_for(&mut self, name: &str) {
        self.outcome.model = name.parse::<ModelName>().ok();
    }

    /// The model was found.
    pub(crate) fn found(&mut self, model: &ModelDescription) {
        self.outcome.model = Some(model.name.clone());
        self.outcome.version = Some(model.version);
    }

    /// The request was decoded into `windows` windows.
    pub(crate) fn decoded(&mut self, id: &str, windows: usize) {
        let end = id.floor_char_boundary(REQUEST_ID_BYTES_MAX);
        self.outcome.request_id.push_str(&id[..end]);
        self.outcome.windows = windows;
        self.outcome.timings.decode = clock::since(self.received);
    }

    /// The request is a step of a sequence, or is none.
    pub(crate) fn is_step(&mut self, call: Option<&SequenceCall>) {
        self.outcome.step = call.map(|call| SequenceStep { id: call.id.clone(), number: call.step });
    }

    /// Another version is to hear the request when it has been answered.
    pub(crate) fn shadowed_by(&mut self, shadow: Option<Shadow>) {
        self.shadow = shadow;
    }

    /// A node has answered.
    pub(crate) fn answered(&mut self, reply: &InferReply) {
        let outcome = &mut self.outcome;
        outcome.model_hash = Some(reply.model.hash);
        outcome.version = Some(reply.model.version);
        outcome.profile = Some(reply.profile);
        outcome.node = Some(reply.node.clone());
        outcome.batch = Some(reply.batch);
        if let (Some(step), Some(taken)) = (&mut outcome.step, &reply.sequence) {
            step.number = Some(taken.step);
        }
        outcome.timings.queue = reply.queue;
        outcome.timings.compute = reply.compute;
    }

    /// Whether what a request asks for is looked at.
    pub(crate) fn looks(&self) -> bool {
        self.audit.is_some() || self.door.watch().is_some()
    }

    /// This is what the request asks for; who asks is known by now.
    pub(crate) fn asks(&mut self, series: &Series) {
        self.bound.input = self.audit.as_ref().map(|audit| audit.input(series));
        // Where they cannot be made, that is said when the record is written.
        self.names = self.audit.as_ref().and_then(|audit| audit.names(&self.outcome).ok().flatten());
        self.sketch = self.door.watch().map(|watch| match series.samples() {
            Samples::F32(values) => watch.sketch(values),
            Samples::F64(values) => {
                let narrow: Vec<f32> = values.iter().map(|value| *value as f32).collect();
                watch.sketch(&narrow)
            }
        });
    }

    /// Writes the answer's record before it leaves. Gives the id of its receipt, where there is a ledger.
    ///
    /// # Errors
    /// Where it cannot be written: then there is no answer.
    pub(crate) fn record(&mut self, reply: &InferReply) -> Result<Option<String>, Fault> {
        let Some(audit) = &self.audit else { return Ok(None) };
        self.bound.output = Some(audit.output(reply));
        self.is_recorded = true;
        self.outcome.result = ResultClass::Answered;
        let took = clock::since(self.received);
        audit.record(&self.outcome, &self.key, took, &self.bound, self.names.take()).map(Some)
    }

    /// The answer is encoded and about to leave.
    pub(crate) fn close_answered(mut self, encode: Micros) {
        self.outcome.timings.encode = encode;
        self.outcome.result = ResultClass::Answered;
        self.close();
        if let Some(shadow) = self.shadow.take() {
            shadow.start();
        }
    }

    /// The caller is told of `fault` instead of getting an answer.
    pub(crate) fn close_failed(mut self, fault: &Fault) {
        self.is_bomb = fault.is_out_of_proportion();
        self.close_with(fault.code());
    }

    /// The same, where no more than its code is known.
    pub(crate) fn close_with(mut self, code: Code) {
        self.outcome.result = ResultClass::Failed(code);
        self.close();
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.outcome.timings.total = clock::since(self.received);
        let (names, took) = (self.names.take(), self.outcome.timings.total);
        if let Some(audit) = self.audit.as_ref().filter(|_| !self.is_recorded)
            && let Err(fault) = audit.record(&self.outcome, &self.key, took, &self.bound, names)
        {
            // Counted there. Nothing was predicted, and what becomes of it is told all the same.
            tracing::debug!(%fault, "a request that was not answered is not in the ledger");
        }
        self.reader.read(&self.outcome);
        if let Some(entry) = &self.entry {
            let model = self.outcome.model.as_ref().map_or("", |model| model.as_str());
            let seen = match self.is_bomb {
                true => Some(Seen::bomb(model, self.body)),
                false => Seen::prediction(model, self.outcome.result, self.sketch, self.body),
            };
            if let Some(seen) = seen {
                self.door.observe(entry, seen);
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_closed {
            self.close();
        }
    }
}

/// A batch call that is not over yet. Dropped, it ends with all its requests cancelled.
pub(crate) struct BatchTicket {
    reader: Arc<dyn OutcomeReader>,
    audit: Option<Arc<Audit>>,
    call: BatchCall,
    received: Instant,
}

/// A batch call whose requests are known.
pub(crate) struct KnownBatch {
    pub(crate) id: BatchCallId,
    pub(crate) requests: usize,
    /// How they were divided over nodes, where there are nodes to choose from.
    pub(crate) plan: Option<Arc<BatchPlan>>,
}

/// When a batch call came, and where it stands in a trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Its last byte.
    pub(crate) at: Instant,
    pub(crate) trace: Option<Trace>,
}

impl BatchTicket {
    /// A batch call whose requests are known.
    pub(crate) fn open(
        reader: Arc<dyn OutcomeReader>,
        audit: Option<Arc<Audit>>,
        call: KnownBatch,
        arrival: Arrival,
    ) -> Self {
        let (Arrival { at: received, trace }, phase) = (arrival, BatchCallPhase::Started);
        let KnownBatch { id, requests, plan } = call;
        let call = BatchCall { id, trace, requests, plan, total: clock::since(received), phase };
        reader.read_batch_call(&call);
        if let Some(audit) = &audit {
            audit.batch_call(&call);
        }
        Self { reader, audit, call, received }
    }

    /// The answer is encoded and about to leave.
    pub(crate) fn complete(mut self, answered: usize, failed: usize) {
        self.call.phase = BatchCallPhase::Completed { answered, failed, cancelled: 0 };
    }
}

impl Drop for BatchTicket {
    fn drop(&mut self) {
        if self.call.phase == BatchCallPhase::Started {
            let cancelled = self.call.requests;
            self.call.phase = BatchCallPhase::Completed { answered: 0, failed: 0, cancelled };
        }
        self.call.total = clock::since(self.received);
        self.reader.read_batch_call(&self.call);
        if let Some(audit) = &self.audit {
            audit.batch_call(&self.call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Seen(Mutex<Vec<ResultClass>>);

    impl OutcomeReader for Seen {
        fn read(&self, outcome: &Outcome) {
            self.0.lock().unwrap().push(outcome.result);
        }

        fn read_batch_call(&self, _: &BatchCall) {}
    }

    #[test]
    fn a_ticket_leaves_exactly_one_outcome_however_it_ends() {
        let check = |end: fn(Ticket), wanted: ResultClass| {
            let seen = Arc::new(Seen::default());
            end(Ticket::open(seen.clone(), Arc::new(Door::open()), None, Protocol::Grpc, None));
            assert_eq!(*seen.0.lock().unwrap(), [wanted]);
        };
        check(|ticket| ticket.close_answered(Micros(1)), ResultClass::Answered);
        check(|ticket| ticket.close_with(Code::QueueFull), ResultClass::Failed(Code::QueueFull));
        check(drop, ResultClass::Cancelled);
    }
}
