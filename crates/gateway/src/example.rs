//! Models for this crate's tests, which answer at once, never or not at all, as the test wants. `taxi` predicts the
//! last value plus 1, 2 and 3; `gait` says `walk` where the last value is positive; `pump` finds it unusual then.

use crate::api::Addresses;
use crate::door::Door;
use crate::record::OutcomeReader;
use crate::statistics::Statistics;
use crate::traffic::{Missing, Role, SplitAnswer};
use crate::{Gateway, LiveAccuracy, Parts};
use spinwell_core::{
    BatchCall, BatchPart, BatchPlan, BatchShare, Code, Fault, Micros, Millis, ModelHash, ModelName,
    ModelVersion, NodeId, NumericProfile, Outcome, Protocol, Ratio, ResultClass, SequenceKey, StateSource,
    TenantId, Timings,
};
use spinwell_protocol::{
    Call, Catalogue, Entry, ForecastFacts, IndexEntry, InferFuture, InferReply, InferRequest, LinkFuture,
    ModelDescription, ModelFacts, NodeLink, NodeLoad, NodeStanding, NodeStatus, OutputName, OutputTensor,
    Predictions, RegionStatus, RequestedOutput, SequenceReply, StateAnswer, StateCall, StateRequest, Task,
    Values,
};
use spinwell_registry::CapacityOptions;
use spinwell_runtime::clock;
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::options::{Limits, Options, Sources};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The classes of `gait`.
const LABELS: [&str; 2] = ["rest", "walk"];

/// How the node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Answers,
    /// It answers, and says of batch calls that it has divided them over the node `here` and no other.
    Divides,
    NeverAnswers,
    IsFull,
    /// It fails every request, of whichever version.
    Fails,
}

struct Link {
    catalogue: Arc<Catalogue>,
    mood: Mood,
    /// The nodes behind it, where it is not one itself.
    region: Option<RegionStatus>,
}

impl NodeLink for Link {
    fn models(&self) -> Arc<Catalogue> {
        self.catalogue.clone()
    }

    fn infer(&self, request: InferRequest) -> InferFuture {
        match self.mood {
            Mood::Answers | Mood::Divides => Box::pin(async move { Ok(predict(&request)) }),
            Mood::NeverAnswers => Box::pin(std::future::pending()),
            Mood::Fails => Box::pin(async { Err(Fault::new(Code::Internal, "it panicked")) }),
            Mood::IsFull => Box::pin(async {
                Err(Fault::new(Code::QueueFull, "the queue is full").retry_after(Millis(100)))
            }),
        }
    }

    fn infer_all(
        &self,
        requests: &mut dyn Iterator<Item = InferRequest>,
    ) -> (Vec<InferFuture>, Option<BatchPlan>) {
        let answers: Vec<InferFuture> = requests.map(|request| self.infer(request)).collect();
        let plan = (self.mood == Mood::Divides).then(|| BatchPlan {
            strategy_used: "predictive".to_owned(),
            estimated_completion_time: Some(Micros(1_500)),
            parts: vec![BatchPart { node: NodeId("here".into()), requests: answers.len() }],
        });
        (answers, plan)
    }

    fn sequence_state(&self, _: SequenceKey, call: StateCall) -> LinkFuture<StateAnswer> {
        if self.mood == Mood::NeverAnswers {
            return Box::pin(std::future::pending());
        }
        Box::pin(async move {
            match call.request {
                StateRequest::Get => Ok(StateAnswer { step: 7, state: b"state".to_vec() }),
                StateRequest::Put(state) if state == b"state" => {
                    Ok(StateAnswer { step: 7, state: Vec::new() })
                }
                StateRequest::Put(_) => Err(Fault::new(Code::RequestInvalid, "no state")),
                StateRequest::Delete | StateRequest::Fork { .. } => {
                    Err(Fault::new(Code::SequenceUnknown, "there is no such sequence"))
                }
            }
        })
    }

    fn index(&self) -> LinkFuture<Vec<IndexEntry>> {
        let entry = |name: &str, is_ready, reason: &str| IndexEntry {
            name: name.parse().unwrap(),
            version: ModelVersion(1),
            is_ready,
            reason: reason.to_owned(),
        };
        let all = vec![entry("taxi", true, ""), entry("broken", false, "corrupt")];
        Box::pin(async move { Ok(all) })
    }

    fn load_model(&self, name: ModelName) -> LinkFuture<Vec<IndexEntry>> {
        let known = self.catalogue.find(name.as_str(), None).map(|_| ());
        // Of `pump` a newer version is there and broken.
        let left_out = (name.as_str() == "pump").then(|| IndexEntry {
            name,
            version: ModelVersion(2),
            is_ready: false,
            reason: "SPW-FILE-CORRUPT: the model file is damaged".to_owned(),
        });
        Box::pin(async move { known.map(|()| left_out.into_iter().collect()) })
    }

    fn unload_model(&self, name: ModelName) -> LinkFuture<()> {
        let known = self.catalogue.find(name.as_str(), None).map(|_| ());
        Box::pin(async move { known })
    }

    fn load(&self) -> NodeLoad {
        NodeLoad::default()
    }

    fn region(&self) -> Option<RegionStatus> {
        self.region.clone()
    }
}

/// The region of the brief: three processing clusters of four graphics cards, a node each.
pub(crate) fn brief_region() -> RegionStatus {
    let node = |number: usize| NodeStatus {
        standing: NodeStanding {
            id: NodeId(format!("n{number:02}").into()),
            is_connected: true,
            is_leaving: false,
            is_trusted: true,
        },
        address: format!("127.0.0.1:{}", 9000 + number),
        weight: 1.0,
        cluster: format!("cluster-{}", number / 4 + 1),
        capacity_per_second: None,
        life: Some(number as u64),
        shares_sequences: true,
        gateways: None,
        unreachable: None,
        load: Some(NodeLoad::default()),
    };
    let nodes = (0..12).map(node).collect();
    RegionStatus { strategy: "weighted_least_connections".to_owned(), routes: BTreeMap::new(), nodes }
}

/// What the brief's capacity is worked out with.
pub(crate) fn brief_terms() -> CapacityOptions {
    CapacityOptions {
        predictions_per_node: 500.0,
        target_utilization: Ratio::new(0.66).unwrap(),
        processing_clusters: (1..=3).map(|number| format!("cluster-{number}").parse().unwrap()).collect(),
    }
}

/// A gateway of the region of the brief, ready.
pub(crate) fn gateway_of(region: RegionStatus) -> Gateway {
    let gateway = starting_gateway_of(region);
    gateway.health().advance(Phase::Ready);
    gateway
}

/// The same, not ready yet.
pub(crate) fn starting_gateway_of(region: RegionStatus) -> Gateway {
    made(Mood::Answers, Some(region), Arc::new(Door::open()), |_| {}).0
}

/// What `model` answers to a call.
pub(crate) fn reply(model: &Arc<ModelDescription>, call: &Call) -> InferReply {
    let Call { series, outputs, parameters, .. } = call.clone();
    let (priority, sequence) = (parameters.priority, parameters.sequence);
    let (model, tenant, deadline) = (model.clone(), TenantId("default".into()), clock::now());
    predict(&InferRequest { model, series, outputs, deadline, priority, is_spare: false, tenant, sequence })
}

/// What a node answers to it.
pub(crate) fn predict(request: &InferRequest) -> InferReply {
    let series = &request.series;
    let last: Vec<f32> =
        (0..series.batch()).map(|window| series.value(window, series.rows() - 1, 0) as f32).collect();
    let tensor =
        |output: RequestedOutput| OutputTensor { name: output.name, values: values(output.name, &last) };
    InferReply {
        model: request.model.clone(),
        node: NodeId("here".into()),
        profile: NumericProfile::CpuF32,
        predictions: Predictions {
            batch: series.batch(),
            tensors: request.outputs.iter().map(tensor).collect(),
        },
        queue: Micros(5),
        compute: Micros(7),
        batch: BatchShare { windows: series.batch(), counts: true },
        sequence: request.sequence.as_ref().map(|call| SequenceReply {
            step: call.step.unwrap_or(1),
            source: StateSource::Live,
            durable: true,
            warming_up: false,
        }),
        receipt: None,
    }
}

/// An output of windows that end with these values.
fn values(name: OutputName, last: &[f32]) -> Values {
    let around = |by: f32| {
        Values::Fp32(last.iter().flat_map(|last| [1.0, 2.0, 3.0].map(|step| last + step + by)).collect())
    };
    match name {
        OutputName::Forecast => around(0.0),
        OutputName::Lower => around(-0.5),
        OutputName::Upper => around(0.5),
        OutputName::Direction => Values::Int8(last.iter().flat_map(|_| [-1, 0, 1]).collect()),
        OutputName::Confidence => Values::Fp32(last.iter().flat_map(|_| [0.75, 0.5, 1.0]).collect()),
        OutputName::Label => {
            Values::Text(last.iter().map(|&last| LABELS[usize::from(last > 0.0)].to_owned()).collect())
        }
        OutputName::Probabilities => Values::Fp32(last.iter().flat_map(|_| [0.25, 0.75]).collect()),
        OutputName::Score | OutputName::Synchrony | OutputName::BurstRate | OutputName::DominantFrequency => {
            Values::Fp32(last.to_vec())
        }
        OutputName::Anomaly => Values::Bool(last.iter().map(|&last| last > 0.0).collect()),
    }
}

/// Keeps every outcome, and counts it.
#[derive(Default)]
pub(crate) struct Outcomes(
    Mutex<Vec<Outcome>>,
    Mutex<Vec<BatchCall>>,
    Mutex<Vec<Option<Missing>>>,
    Arc<Statistics>,
);

impl Outcomes {
    pub(crate) fn take(&self) -> Vec<Outcome> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// The batch calls that have begun or ended.
    pub(crate) fn batch_calls(&self) -> Vec<BatchCall> {
        std::mem::take(&mut self.1.lock().unwrap())
    }

    /// What canaries answered, or why they did not.
    pub(crate) fn canaries(&self) -> Vec<Option<Missing>> {
        std::mem::take(&mut self.2.lock().unwrap())
    }

    pub(crate) fn results(&self) -> Vec<ResultClass> {
        self.take().into_iter().map(|outcome| outcome.result).collect()
    }
}

impl OutcomeReader for Outcomes {
    fn read(&self, outcome: &Outcome) {
        self.3.count(outcome);
        self.0.lock().unwrap().push(outcome.clone());
    }

    fn read_batch_call(&self, call: &BatchCall) {
        self.1.lock().unwrap().push(call.clone());
    }

    fn read_split(&self, answer: &SplitAnswer<'_>) {
        if answer.role == Role::Canary {
            self.2.lock().unwrap().push(answer.result.err());
        }
    }
}

/// Three models that answer, `taxi`, `gait` and `pump`, one whose file is broken, `broken`, and one whose
/// `serving.toml` is, `misled`.
pub(crate) fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let targets = vec!["value".into()];
    let forecast = ForecastFacts { horizon: 3, season: 1, targets, coverage: 0.95, is_spiking: false };
    let models = [
        ("taxi", Task::Forecast(forecast)),
        ("gait", Task::Classify { labels: LABELS.map(str::to_owned).to_vec() }),
        ("pump", Task::Detect { targets: vec!["value".into()], alpha: 0.001 }),
    ];
    for (name, task) in models {
        let model = Arc::new(ModelDescription::new(facts(name, task)));
        catalogue.insert(&model.name, ModelVersion(1), Entry::Ready(model.clone()));
    }
    catalogue.insert(&"broken".parse().unwrap(), ModelVersion(1), Entry::Broken(Code::FileCorrupt));
    catalogue.insert(&"misled".parse().unwrap(), ModelVersion(1), Entry::Broken(Code::ConfigInvalid));
    catalogue
}

fn facts(name: &str, task: Task) -> ModelFacts {
    ModelFacts {
        name: name.parse().unwrap(),
        version: ModelVersion(1),
        hash: ModelHash([1; 32]),
        family: "linear".into(),
        task,
        channels: vec!["value".into()],
        window_min: 2,
        window_recommended: 8,
        window_max: 100,
        time_column: None,
        profile: NumericProfile::CpuF32,
        device: "cpu".to_owned(),
        max_batch_size: 8,
        request_rows_max: 500,
    }
}

/// A gateway to a node of this mood, ready, and what it records.
pub(crate) fn gateway(mood: Mood) -> (Gateway, Arc<Outcomes>) {
    gateway_with(mood, |_| {})
}

/// The same with other limits.
pub(crate) fn gateway_with(mood: Mood, change: impl FnOnce(&mut Limits)) -> (Gateway, Arc<Outcomes>) {
    let (gateway, outcomes) = starting_gateway(mood, change);
    gateway.health().advance(Phase::Ready);
    (gateway, outcomes)
}

/// The same, not ready yet.
pub(crate) fn starting_gateway(mood: Mood, change: impl FnOnce(&mut Limits)) -> (Gateway, Arc<Outcomes>) {
    made(mood, None, Arc::new(Door::open()), change)
}

/// A gateway to a node of this mood, ready, behind this door.
pub(crate) fn guarded_gateway(mood: Mood, door: Arc<Door>) -> Gateway {
    let (gateway, _) = made(mood, None, door, |_| {});
    gateway.health().advance(Phase::Ready);
    gateway
}

fn made(
    mood: Mood,
    region: Option<RegionStatus>,
    door: Arc<Door>,
    change: impl FnOnce(&mut Limits),
) -> (Gateway, Arc<Outcomes>) {
    let outcomes = Arc::new(Outcomes::default());
    let health = Health::default();
    let options = Options::load(&Sources::default()).unwrap().options;
    let mut limits = options.limits;
    limits.body_bytes = 4096;
    change(&mut limits);
    let gateway = Gateway::new(Parts {
        link: Arc::new(Link { catalogue: Arc::new(catalogue()), mood, region }),
        limits,
        health,
        reader: outcomes.clone(),
        traces: None,
        statistics: outcomes.3.clone(),
        addresses: Addresses::default(),
        accuracy: Arc::new(LiveAccuracy::new(options.accuracy)),
        capacity: brief_terms(),
        load_reporting: options.load_reporting,
        audit: None,
        door,
    });
    (gateway, outcomes)
}

/// The outcome of a request of two windows to `taxi` over gRPC.
pub(crate) fn outcome(result: ResultClass) -> Outcome {
    Outcome {
        request_id: String::new(),
        trace: None,
        principal: "".into(),
        tenant: TenantId("default".into()),
        policy: "".into(),
        protocol: Protocol::Grpc,
        batch_call: None,
        model: "taxi".parse().ok(),
        version: Some(ModelVersion(1)),
        model_hash: None,
        profile: None,
        node: None,
        step: None,
        windows: 2,
        batch: None,
        timings: Timings { total: Micros(30_000), ..Timings::default() },
        result,
    }
}
