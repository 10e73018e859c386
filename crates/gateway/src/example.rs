//! A model for this crate's tests: it predicts the last value plus 1, 2 and 3, and answers at once, late,
//! never or not at all, as the test wants.

use crate::record::OutcomeReader;
use crate::{Gateway, Parts};
use spinwell_core::{
    BatchShare, Code, Fault, Micros, Millis, ModelHash, ModelVersion, NodeId, NumericProfile, Outcome,
    Protocol, ResultClass, Timings,
};
use spinwell_protocol::{
    Catalogue, Entry, Forecasts, InferFuture, InferReply, InferRequest, ModelDescription, ModelFacts,
    NodeLink, NodeLoad,
};
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::options::{Limits, Options, Sources};
use std::sync::{Arc, Mutex};

/// How the node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Answers,
    NeverAnswers,
    IsFull,
}

struct Link {
    catalogue: Arc<Catalogue>,
    mood: Mood,
}

impl NodeLink for Link {
    fn models(&self) -> Arc<Catalogue> {
        self.catalogue.clone()
    }

    fn infer(&self, request: InferRequest) -> InferFuture {
        match self.mood {
            Mood::Answers => Box::pin(async move { Ok(predict(&request)) }),
            Mood::NeverAnswers => Box::pin(std::future::pending()),
            Mood::IsFull => Box::pin(async {
                Err(Fault::new(Code::QueueFull, "the queue is full").retry_after(Millis(100)))
            }),
        }
    }

    fn load(&self) -> NodeLoad {
        NodeLoad::default()
    }
}

fn predict(request: &InferRequest) -> InferReply {
    let series = &request.series;
    let around = |by: f32| -> Vec<f32> {
        (0..series.batch())
            .flat_map(|window| {
                let last = series.value(window, series.rows() - 1, 0) as f32;
                [1.0, 2.0, 3.0].map(|step| last + step + by)
            })
            .collect()
    };
    InferReply {
        model: request.model.clone(),
        node: NodeId("here".into()),
        forecasts: Forecasts {
            batch: series.batch(),
            forecast: around(0.0),
            lower: around(-0.5),
            upper: around(0.5),
        },
        queue: Micros(5),
        compute: Micros(7),
        batch: BatchShare { windows: series.batch(), counts: true },
    }
}

/// Keeps every outcome.
#[derive(Default)]
pub(crate) struct Outcomes(Mutex<Vec<Outcome>>);

impl Outcomes {
    pub(crate) fn take(&self) -> Vec<Outcome> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub(crate) fn results(&self) -> Vec<ResultClass> {
        self.take().into_iter().map(|outcome| outcome.result).collect()
    }
}

impl OutcomeReader for Outcomes {
    fn read(&self, outcome: &Outcome) {
        self.0.lock().unwrap().push(outcome.clone());
    }
}

/// One model that answers, `taxi`, and one whose file is broken, `broken`.
pub(crate) fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let facts = ModelFacts {
        name: "taxi".parse().unwrap(),
        version: ModelVersion(1),
        hash: ModelHash([1; 32]),
        family: "linear".into(),
        horizon: 3,
        season: 1,
        channels: vec!["value".into()],
        targets: vec!["value".into()],
        coverage: 0.95,
        window_min: 2,
        window_recommended: 8,
        window_max: 100,
        time_column: None,
        profile: NumericProfile::CpuF32,
        max_batch_size: 8,
        request_rows_max: 500,
    };
    let model = Arc::new(ModelDescription::new(facts));
    catalogue.insert(&model.name.clone(), ModelVersion(1), Entry::Ready(model));
    catalogue.insert(&"broken".parse().unwrap(), ModelVersion(1), Entry::Broken(Code::FileCorrupt));
    catalogue
}

/// A gateway to a node of this mood, ready, and what it records.
pub(crate) fn gateway(mood: Mood) -> (Gateway, Arc<Outcomes>) {
    gateway_with(mood, |_| {})
}

/// The same with other limits.
pub(crate) fn gateway_with(mood: Mood, change: impl FnOnce(&mut Limits)) -> (Gateway, Arc<Outcomes>) {
    let outcomes = Arc::new(Outcomes::default());
    let health = Health::default();
    health.advance(Phase::Ready);
    let mut limits = Options::load(&Sources::default()).unwrap().options.limits;
    limits.body_bytes = 4096;
    change(&mut limits);
    let gateway = Gateway::new(Parts {
        link: Arc::new(Link { catalogue: Arc::new(catalogue()), mood }),
        limits,
        health,
        reader: outcomes.clone(),
    });
    (gateway, outcomes)
}

/// The outcome of a request of two windows to `taxi` over gRPC.
pub(crate) fn outcome(result: ResultClass) -> Outcome {
    Outcome {
        request_id: String::new(),
        protocol: Protocol::Grpc,
        model: "taxi".parse().ok(),
        version: Some(ModelVersion(1)),
        model_hash: None,
        profile: None,
        node: None,
        windows: 2,
        batch: None,
        timings: Timings { total: Micros(30_000), ..Timings::default() },
        result,
    }
}
