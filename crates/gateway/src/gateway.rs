//! What both wires share: finding the model, keeping the deadline, asking the node.

use crate::accuracy::{Asked, LiveAccuracy, OfModel, OfVersion};
use crate::api::Addresses;
use crate::audit::Audit;
use crate::budget::{Budget, Share};
use crate::capacity::RegionCapacity;
use crate::door::{Door, Entry, Permit, Refusal};
use crate::load_reports::LoadReports;
use crate::record::{Arrival, BatchTicket, KnownBatch, OutcomeReader, Ticket};
use crate::statistics::{Statistics, Totals};
use crate::traces::Traces;
use crate::traffic::{self, Canary, Found, Patience, Plan, Shadow, Splitter};
use axum::http::HeaderMap;
use axum::response::Response;
use spinwell_core::{
    BatchPlan, Code, Fault, Micros, Millis, ModelName, Protocol, SequenceId, SequenceKey, TenantId, Trace,
};
use spinwell_ledger::Receipt;
use spinwell_protocol::load_report::Format;
use spinwell_protocol::rest::{Observation, Observed};
use spinwell_protocol::{
    Call, Catalogue, IndexEntry, InferFuture, InferReply, InferRequest, ModelDescription, ModelStatistics,
    NodeLink, NodeLoad, Outputs, RegionStatus, SequenceCall, quoted,
};
use spinwell_registry::CapacityOptions;
use spinwell_runtime::clock;
use spinwell_runtime::health::{Health, Readiness};
use spinwell_runtime::options::{Limits, LoadReporting};
use spinwell_security::access::{Action, Resource};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// When a caller should try again who came while the process started: a few models are loaded by then, and of thousands one is
/// not asked much too often.
const STARTING_RETRY: Millis = Millis(1000);

/// When whoever asks a gateway without nodes should ask again: nodes that were lost for a moment are back by then.
const CUT_OFF_RETRY: Millis = Millis(1000);

/// Values of a request that are copied, so that what binds its record to them is made while a node works; of larger ones it is made before.
const COPIED: usize = 8_192;

/// What a gateway is made of.
pub struct Parts {
    /// The way to the nodes.
    pub link: Arc<dyn NodeLink>,
    /// What a caller can ask for at most.
    pub limits: Limits,
    /// Whether this process should be sent requests.
    pub health: Health,
    /// Who learns of every outcome.
    pub reader: Arc<dyn OutcomeReader>,
    /// Where requests get their place in a trace, if somebody reads it.
    pub traces: Option<Traces>,
    /// What callers may know of past outcomes.
    pub statistics: Arc<Statistics>,
    /// Where the planes listen.
    pub addresses: Addresses,
    /// What is remembered of forecasts until their truth is known.
    pub accuracy: Arc<LiveAccuracy>,
    /// What the capacity of the region is worked out with.
    pub capacity: CapacityOptions,
    /// To whom a report of the load is sent with an answer.
    pub load_reporting: LoadReporting,
    /// Where the records of requests are kept, if anywhere.
    pub audit: Option<Arc<Audit>>,
    /// Who comes in.
    pub door: Arc<Door>,
}

/// A cheap handle on the gateway, shared by all connections.
#[derive(Clone)]
pub struct Gateway {
    parts: Arc<Parts>,
    /// What all bodies may hold.
    bodies: Arc<Budget>,
    /// Sends requests to the versions of their models.
    splitter: Arc<Splitter>,
    /// Tells callers who ask how busy the server is.
    load_reports: Arc<LoadReports>,
}

impl Gateway {
    /// A gateway of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let bodies = Budget::new(parts.limits.bodies_bytes_max);
        let splitter = Arc::new(Splitter::new(parts.limits.bodies_bytes_max));
        let load_reports = Arc::new(LoadReports::new(parts.load_reporting, clock::now()));
        Self { parts: Arc::new(parts), bodies, splitter, load_reports }
    }

    /// Where the planes listen.
    pub(crate) fn addresses(&self) -> Addresses {
        self.parts.addresses
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.parts.limits
    }

    /// What a body takes from the budget of all.
    pub(crate) fn body_share(&self) -> Share {
        self.bodies.share()
    }

    /// A sequence of a tenant's.
    ///
    /// # Errors
    /// Where no model can have that name.
    pub(crate) fn sequence(
        &self,
        tenant: &TenantId,
        model: &str,
        id: SequenceId,
    ) -> Result<SequenceKey, Fault> {
        Ok(SequenceKey { tenant: tenant.clone(), model: named(model)?, id })
    }

    /// Who comes in.
    pub(crate) fn door(&self) -> &Door {
        &self.parts.door
    }

    /// Where acts are written down, if anywhere.
    pub(crate) fn audit(&self) -> Option<&Arc<Audit>> {
        self.parts.audit.as_ref()
    }

    /// Lets the sender of a request in who may ask this model for predictions, or step sequences with it.
    ///
    /// # Errors
    /// Where he may not.
    pub(crate) fn let_in(&self, ticket: &mut Ticket, entry: Entry, model: &str) -> Result<(), Fault> {
        ticket.entered(entry)?;
        // What no model can be called, none is: that is said where it is looked for.
        let Ok(model) = model.parse::<ModelName>() else { return Ok(()) };
        let (door, caller) = (self.door(), ticket.caller()?);
        let rules = door.rules();
        let sequences = Resource::Sequence { model: model.clone(), tenant: caller.tenant().clone() };
        match door.permit(caller, Action::PredictionCreate, &door.model(&model)) {
            Err(_) if door.may(caller, Action::SequenceStep, &sequences) => Ok(()),
            Err(refusal) => Err(self.refused(ticket, refusal)),
            Ok(policy) => {
                ticket.may_predict(Permit { rules, model, policy });
                Ok(())
            }
        }
    }

    /// Lets a request in whose caller may do what it asks, and whose tenant has quota left.
    ///
    /// # Errors
    /// Where that is not so.
    pub(crate) fn permit_call(
        &self,
        ticket: &mut Ticket,
        model: &ModelName,
        call: &Call,
    ) -> Result<(), Fault> {
        let door = self.door();
        let before = ticket.take_permit().filter(|permit| permit.model == *model && permit.is_under(door));
        if let (None, Some(Permit { policy, .. })) = (&call.parameters.sequence, before) {
            ticket.decided_by(policy);
            return door.take(ticket.tenant(), call.series.batch());
        }
        let caller = ticket.caller()?;
        let (action, resource) = match &call.parameters.sequence {
            Some(_) => {
                let tenant = caller.tenant().clone();
                (Action::SequenceStep, Resource::Sequence { model: model.clone(), tenant })
            }
            None => (Action::PredictionCreate, door.model(model)),
        };
        match door.permit(caller, action, &resource) {
            Ok(policy) => ticket.decided_by(policy),
            Err(refusal) => return Err(self.refused(ticket, refusal)),
        }
        door.take(ticket.tenant(), call.series.batch())
    }

    fn refused(&self, ticket: &mut Ticket, refusal: Refusal) -> Fault {
        ticket.decided_by(refusal.policy);
        self.door().counted(refusal.fault)
    }

    /// Who learns of what becomes of requests.
    pub(crate) fn reader(&self) -> &dyn OutcomeReader {
        &*self.parts.reader
    }

    /// The way to the nodes.
    ///
    /// # Errors
    /// While the process starts.
    pub(crate) fn link(&self) -> Result<&dyn NodeLink, Fault> {
        self.started()?;
        Ok(&*self.parts.link)
    }

    /// The way to the nodes for whoever looks after them: also while there are too few to begin with.
    pub(crate) fn nodes(&self) -> &dyn NodeLink {
        &*self.parts.link
    }

    /// Asks a node that has the model.
    pub(crate) fn infer(&self, request: InferRequest) -> InferFuture {
        self.parts.link.infer(request)
    }

    /// Asks nodes for all that a batch call asks for, in that order.
    pub(crate) fn infer_all(
        &self,
        requests: &mut dyn Iterator<Item = InferRequest>,
    ) -> (Vec<InferFuture>, Option<BatchPlan>) {
        self.parts.link.infer_all(requests)
    }

    /// The process's phase.
    pub(crate) fn health(&self) -> &Health {
        &self.parts.health
    }

    /// What was counted of the models of that name and version; of all that are served, where there is none.
    ///
    /// # Errors
    /// Where a model is named that is not served, and while the process starts.
    pub(crate) fn statistics(
        &self,
        name: Option<&str>,
        version: Option<&str>,
    ) -> Result<Vec<ModelStatistics>, Fault> {
        let models = self.models()?;
        let version = version.filter(|version| !version.is_empty());
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(models.ready().iter().map(|model| self.parts.statistics.of(model)).collect());
        };
        let found = models.find(name, version)?;
        let mut all = models.ready();
        all.retain(|model| model.name == found.name && (version.is_none() || model.version == found.version));
        Ok(all.iter().map(|model| self.parts.statistics.of(model)).collect())
    }

    /// Takes the truth for an earlier forecast of a model.
    pub(crate) fn observe(
        &self,
        tenant: &TenantId,
        model: &ModelName,
        observation: Observation,
    ) -> Result<Observed, Fault> {
        self.parts.accuracy.observe(tenant, model, observation)
    }

    /// The state of a sequence at that step is not the one that its forecasts were made from.
    pub(crate) fn replaced_state(&self, key: &SequenceKey, step: u64) {
        self.parts.accuracy.break_at(&key.tenant, &key.model, key.id.clone(), step);
    }

    /// Counts a request that a version failed.
    pub(crate) fn count_failed(&self, model: &ModelDescription) {
        self.parts.accuracy.failed(model);
    }

    /// Whether forecasts are remembered.
    pub(crate) fn remembers(&self) -> Result<(), Fault> {
        self.parts.accuracy.is_on()
    }

    /// How right the forecasts of a model's versions turned out to be, and which are better.
    pub(crate) fn accuracy(&self, model: &ModelName) -> Result<OfModel, Fault> {
        self.parts.accuracy.of(model)
    }

    /// The same figures of all models.
    pub(crate) fn live_figures(&self) -> Vec<OfVersion> {
        self.parts.accuracy.all()
    }

    /// What is served, to look up what a caller asks for.
    ///
    /// # Errors
    /// While the process starts: what is not there yet is not unknown.
    pub(crate) fn models(&self) -> Result<Arc<Catalogue>, Fault> {
        Ok(self.link()?.models())
    }

    /// What is served, to count it.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.parts.link.models()
    }

    pub(crate) fn load(&self) -> NodeLoad {
        self.parts.link.load()
    }

    /// In which form the caller who sent these headers gets a report of the load, if any.
    pub(crate) fn load_report_wanted(&self, headers: &HeaderMap) -> Option<Format> {
        self.load_reports.wanted(headers)
    }

    /// The answer with a report of the load, where one is wanted.
    pub(crate) fn reported(&self, mut response: Response, wanted: Option<Format>) -> Response {
        if let Some(format) = wanted {
            self.load_reports.add(&mut response, format, clock::now(), || self.look_at_load());
        }
        response
    }

    /// Adds a report of the load to the end of an answer over gRPC.
    pub(crate) fn report_in(&self, trailers: &mut HeaderMap) {
        self.load_reports.add_to_trailers(trailers, clock::now(), || self.look_at_load());
    }

    fn look_at_load(&self) -> (NodeLoad, Totals) {
        (self.load(), self.parts.statistics.totals())
    }

    /// What the processing clusters of the region can carry; nothing where this process is its own node.
    pub(crate) fn capacity(&self) -> Option<RegionCapacity> {
        self.nodes().region().map(|region| self.capacity_of(&region))
    }

    /// What the processing clusters of a region with these nodes can carry.
    pub(crate) fn capacity_of(&self, region: &RegionStatus) -> RegionCapacity {
        RegionCapacity::of(region, &self.parts.capacity)
    }

    /// The place in a trace of a request that came with these headers.
    pub(crate) fn trace(&self, headers: &HeaderMap) -> Option<Trace> {
        self.parts.traces.as_ref().map(|traces| traces.of(headers))
    }

    /// The place of a request of a batch call that has this one.
    pub(crate) fn trace_within(&self, trace: Option<Trace>) -> Option<Trace> {
        self.parts.traces.as_ref().zip(trace).map(|(traces, trace)| traces.within(trace))
    }

    pub(crate) fn open_ticket(&self, protocol: Protocol, trace: Option<Trace>) -> Ticket {
        Ticket::open(
            self.parts.reader.clone(),
            self.parts.door.clone(),
            self.parts.audit.clone(),
            protocol,
            trace,
        )
    }

    pub(crate) fn open_batch_call(&self, call: KnownBatch, arrival: Arrival) -> BatchTicket {
        BatchTicket::open(self.parts.reader.clone(), self.parts.audit.clone(), call, arrival)
    }

    /// The receipt of that id.
    ///
    /// # Errors
    /// Where there is none here.
    pub(crate) async fn receipt(&self, entry: &Entry, id: &str) -> Result<Receipt, Fault> {
        let Some(audit) = &self.parts.audit else {
            return Err(Fault::new(Code::NotOffered, "this server keeps no ledger (ledger.enabled)"));
        };
        let caller = entry.caller.clone()?;
        let receipt = audit.receipt(id).await?;
        // Ids are numbers: whoever asks for one of another tenant's learns as little as of one that is not there.
        let record: serde_json::Value = serde_json::from_str(&receipt.record).unwrap_or_default();
        let tenant = TenantId(record["tenant"].as_str().unwrap_or_default().into());
        match self.door().may(&caller, Action::ReceiptRead, &Resource::Ledger(Some(tenant))) {
            true => Ok(receipt),
            false => {
                Err(Fault::new(Code::ReceiptUnknown, "none of your predictions has a receipt of that id"))
            }
        }
    }

    /// Leaves only those in a list of models of whom the caller may know.
    ///
    /// # Errors
    /// Where he does not come in.
    pub(crate) fn shown<T>(
        &self,
        entry: &Entry,
        action: Action,
        all: &mut Vec<T>,
        name: impl Fn(&T) -> &ModelName,
    ) -> Result<(), Fault> {
        let caller = entry.caller.clone()?;
        all.retain(|one| self.door().may(&caller, action, &self.door().model(name(one))));
        Ok(())
    }

    /// The newest checkpoint of the ledger.
    ///
    /// # Errors
    /// Where there is none here.
    pub(crate) async fn checkpoint(&self) -> Result<Vec<u8>, Fault> {
        match &self.parts.audit {
            Some(audit) => audit.checkpoint().await,
            None => Err(Fault::new(Code::NotOffered, "this server keeps no ledger (ledger.enabled)")),
        }
    }

    /// Whether this process should be sent requests, or why not.
    pub(crate) fn ready(&self) -> Result<(), Fault> {
        match self.parts.health.readiness() {
            Readiness::Ready => Ok(()),
            Readiness::Starting => {
                let mut message = "the server is starting and takes no requests yet".to_owned();
                if let Some(RegionStatus { nodes, .. }) = self.parts.link.region() {
                    let connected = nodes.iter().filter(|node| node.standing.is_connected).count();
                    let _ = write!(
                        message,
                        "; it has reached {connected} of the {} nodes that it knows",
                        nodes.len()
                    );
                }
                Err(Fault::new(Code::Starting, message).retry_after(STARTING_RETRY))
            }
            Readiness::CutOff => {
                let message = "no node can be reached; send requests to another gateway until one can be";
                Err(Fault::new(Code::NodeUnreachable, message).retry_after(CUT_OFF_RETRY))
            }
            Readiness::Leaving | Readiness::Stopping => {
                Err(Fault::new(Code::Stopping, "the server is stopping and takes no new requests"))
            }
        }
    }

    /// Whether this process can look for what it is asked, or why not: from when it was ready until it ends, also while nobody
    /// should send it more.
    pub(crate) fn started(&self) -> Result<(), Fault> {
        if self.parts.health.was_ready() { Ok(()) } else { self.ready() }
    }

    /// The model that a caller asks for.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<ModelDescription>, Fault> {
        self.models()?.find(name, version).cloned()
    }

    /// The model that an inference request asks for, whose requests may be split.
    pub(crate) fn find_split(&self, name: &str, version: Option<&str>) -> Result<Found, Fault> {
        let models = self.models()?;
        Found::among(&models, name, version)
    }

    /// Serves a model's files as they are now. Comes with the versions that could not be loaded beside those that were.
    pub(crate) async fn load_model(&self, name: &str) -> Result<Vec<IndexEntry>, Fault> {
        self.link()?.load_model(named(name)?).await
    }

    /// Serves no version of a model any more.
    pub(crate) async fn unload_model(&self, name: &str) -> Result<(), Fault> {
        self.link()?.unload_model(named(name)?).await
    }

    /// When the answer must be there: after the caller's own patience, up to a limit, or after the usual one.
    pub(crate) fn deadline(&self, ticket: &Ticket, timeout: Option<Micros>) -> std::time::Instant {
        let Limits { deadline, deadline_max, .. } = &self.parts.limits;
        let own = timeout.map(|timeout| Duration::from_micros(timeout.0).min((*deadline_max).into()));
        ticket.received_at() + own.unwrap_or((*deadline).into())
    }

    /// Hands a request over to a node, which takes requests of one sequence in the order of these calls.
    pub(crate) fn begin(
        &self,
        ticket: &mut Ticket,
        found: Found,
        call: Call,
        patience: Option<Micros>,
    ) -> Begun {
        let (request, expected) = self.made_ready(ticket, found, call, patience);
        let values = request.series.samples().len();
        let copy = (ticket.looks() && values <= COPIED).then(|| request.series.clone());
        if copy.is_none() {
            ticket.asks(&request.series);
        }
        let answer = self.infer(request);
        if let Some(series) = copy {
            // While the node works.
            ticket.asks(&series);
        }
        expected.answered_by(answer)
    }

    /// What a node is asked, and what is done with its answer. The ticket still is to hear what it asks.
    pub(crate) fn made_ready(
        &self,
        ticket: &mut Ticket,
        found: Found,
        call: Call,
        patience: Option<Micros>,
    ) -> (InferRequest, Expected) {
        let is_named = found.is_named;
        let tenant = ticket.tenant().clone();
        let Plan { model, is_canary, shadow } = self.splitter.plan(self, &tenant, found, &call);
        if is_canary {
            ticket.found(&model);
        }
        let asked = self.parts.accuracy.asked(&tenant, &model, &call);
        let shadow = shadow.map(|shadow| shadow.remembered(asked.clone()));
        let Call { id, series, outputs, parameters } = call;
        let timeout = [parameters.timeout, patience].into_iter().flatten().min();
        let deadline = self.deadline(ticket, timeout);
        let usual = Duration::from(self.parts.limits.deadline);
        let patience = match timeout {
            Some(timeout) if Duration::from_micros(timeout.0) < usual => Patience::Short,
            _ => Patience::Enough,
        };
        let priority = parameters.priority;
        let sequence = parameters.sequence.map(|step| SequenceCall { names_version: is_named, ..step });
        ticket.is_step(sequence.as_ref());
        let canary = is_canary.then(|| Canary {
            gateway: self.clone(),
            model: model.clone(),
            tenant: tenant.clone(),
            sequence: sequence.as_ref().map(|step| step.id.clone()),
            patience,
        });
        // A later step goes to whichever version its sequence was begun with.
        let failing = sequence.as_ref().is_none_or(|step| step.starts).then(|| (self.clone(), model.clone()));
        let is_spare = false;
        let request = InferRequest { model, series, outputs, deadline, priority, is_spare, tenant, sequence };
        (request, Expected { id, outputs, deadline, patience, asked, canary, failing, shadow })
    }
}

/// A model's name; a text that cannot be one names no model.
fn named(text: &str) -> Result<ModelName, Fault> {
    text.parse().map_err(|_| Fault::new(Code::ModelNotFound, format!("no model is named {}", quoted(text))))
}

/// What is done with the answer to a request.
pub(crate) struct Expected {
    id: String,
    outputs: Outputs,
    deadline: std::time::Instant,
    /// Whether that is sooner than is usual.
    patience: Patience,
    /// What its answer is remembered under, where it is.
    asked: Option<Asked>,
    /// Where a canary is asked.
    canary: Option<Canary>,
    /// The version that fails where there is no answer, where that is known.
    failing: Option<(Gateway, Arc<ModelDescription>)>,
    shadow: Option<Shadow>,
}

/// A request that a node has.
pub(crate) struct Begun {
    expected: Expected,
    answer: InferFuture,
}

/// An answer, and what it is written with.
pub(crate) struct Answered {
    pub(crate) id: String,
    pub(crate) outputs: Outputs,
    pub(crate) reply: InferReply,
}

impl Expected {
    /// A node was asked: there the answer comes from.
    pub(crate) fn answered_by(self, answer: InferFuture) -> Begun {
        Begun { expected: self, answer }
    }
}

impl Begun {
    /// The answer, before the request's deadline.
    pub(crate) async fn end(self, ticket: &mut Ticket) -> Result<Answered, Fault> {
        let Self { expected, answer } = self;
        let Expected { id, outputs, deadline, patience, asked, canary, failing, shadow } = expected;
        let reply = timeout_at(Instant::from_std(deadline), answer).await.unwrap_or_else(|_| {
            let allowed = deadline.saturating_duration_since(ticket.received_at());
            let message = format!("there was no answer within {} ms", allowed.as_secs_f64() * 1e3);
            Err(Fault::new(Code::DeadlineExceeded, message))
        });
        if let Some(canary) = canary {
            canary.record(&id, reply.as_ref(), failing.is_some());
        }
        if let (Some((gateway, model)), Err(fault)) = (failing, &reply)
            && traffic::fails(fault, patience)
        {
            gateway.count_failed(&model);
        }
        let mut reply = reply?;
        ticket.answered(&reply);
        reply.receipt = ticket.record(&reply)?;
        if let Some(asked) = asked {
            asked.answered(&reply);
        }
        ticket.shadowed_by(shadow.map(|shadow| shadow.compared_with(&reply)));
        Ok(Answered { id, outputs, reply })
    }
}
