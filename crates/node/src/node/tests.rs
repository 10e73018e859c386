//! Queue, batches and recovery, with a predictor that does what a test tells it.

mod exchange;

use super::*;
use crate::example::{forecaster, loaded_in};
use crate::repository::Repository;
use crate::{Predicted, Prediction, Predictor};
use spinwell_core::{ModelVersion, NumericProfile, Priority, Samples, Series, TenantId};
use spinwell_engine::{Forecast, Window};
use spinwell_policy::batch::ModelLimits;
use spinwell_protocol::{
    Entry as CatalogueEntry, ModelDescription, ModelFacts, OutputName, Outputs, Packing, Values,
};
use spinwell_runtime::options::Device;
use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Predicts the last value; panics on 13, refuses 14, answers infinity on 15. While `gate` is set, each batch
/// meets the test at the barrier twice: when it starts and when it may go on.
struct Echo {
    gate: AtomicBool,
    barrier: Barrier,
}

impl Predictor for Echo {
    fn predict(&self, windows: &[Window<'_>]) -> Predicted {
        if self.gate.load(Ordering::SeqCst) {
            self.barrier.wait();
            self.barrier.wait();
        }
        let results = windows.iter().map(|window| predict_one(window)).collect();
        Predicted { results, profile: NumericProfile::CpuF32 }
    }
}

fn predict_one(window: &Window<'_>) -> Result<Prediction, Fault> {
    let last = window.series.value(window.index, window.series.rows() - 1, 0) as f32;
    let answer = |forecast: f32| Forecast {
        forecast: vec![forecast],
        lower: vec![last - 1.0],
        upper: vec![last + 1.0],
        direction: vec![0],
        confidence: vec![0.5],
        activity: None,
    };
    match last {
        13.0 => panic!("thirteen"),
        14.0 => Err(Fault::new(Code::WindowTooShort, "fourteen")),
        15.0 => Ok(Prediction::Forecast(answer(f32::INFINITY))),
        _ => Ok(Prediction::Forecast(answer(last))),
    }
}

/// The forecasts in a reply.
fn forecasts(reply: &InferReply) -> &[f32] {
    floats(reply, OutputName::Forecast)
}

fn floats(reply: &InferReply, name: OutputName) -> &[f32] {
    match reply.predictions.get(name) {
        Some(Values::Fp32(values)) => values,
        other => panic!("{name:?} is {other:?}"),
    }
}

fn sequence_options() -> SequenceOptions {
    SequenceOptions {
        is_durable: true,
        idle_expiry: Millis(3_600_000),
        snapshot_interval: Millis(3_600_000),
        memory_bytes: 1 << 30,
    }
}

struct Bench {
    node: Arc<Node>,
    echo: Arc<Echo>,
    model: Arc<ModelDescription>,
}

impl Echo {
    fn closed() -> Self {
        Self { gate: AtomicBool::new(false), barrier: Barrier::new(2) }
    }
}

/// What a test's node is allowed.
pub(super) fn options(executors: usize, queue_len_max: usize) -> Options {
    Options {
        store: None,
        encryption: None,
        id: NodeId("n".into()),
        executors,
        queue_len_max,
        queue_target: Millis(600_000),
        queue_interval: Millis(600_000),
        batch_windows_max: 8,
        batch_rows_max: 80,
        rows_max: 10,
        device: Device::Cpu,
        sequences: sequence_options(),
        data: None,
    }
}

fn bench(executors: usize, queue_len_max: usize) -> Bench {
    let model = Arc::new(forecaster(1));
    let echo = Arc::new(Echo::closed());
    let options = options(executors, queue_len_max);
    let queue = Arc::new(Queue::new(limits(&options)));
    let lane = queue.open_lane(&model.name);
    let loaded = loaded_in(lane, forecaster(1), Arc::new(echo.clone()));
    let repository = Repository { models: vec![Arc::new(loaded)], ..Repository::default() };
    let bounds = Bounds { windows_max: 8, rows_max: 10, rows_in_all_max: 80 };
    let terms = Terms { bounds, cards: Arc::default(), queue: queue.clone(), executors, kept: None };
    let node = Node::with(Models::new(None, terms, repository), queue, None, &options).unwrap();
    let node = node.running(options.executors).unwrap();
    Bench { node: Arc::new(node), echo, model }
}

impl Predictor for Arc<Echo> {
    fn predict(&self, windows: &[Window<'_>]) -> Predicted {
        self.as_ref().predict(windows)
    }
}

impl Bench {
    fn infer(&self, values: &[f32], deadline: Instant) -> InferFuture {
        let series = Series::new(values.len(), 1, 1, Samples::F32(values.to_vec())).unwrap();
        let outputs = Outputs::usual(&self.model, Packing::Json);
        let (priority, tenant) = (Priority::Normal, TenantId("t".into()));
        let model = self.model.clone();
        let (is_spare, sequence) = (false, None);
        self.node.infer(InferRequest {
            model,
            series,
            outputs,
            deadline,
            priority,
            is_spare,
            tenant,
            sequence,
        })
    }

    fn soon(&self, values: &[f32]) -> InferFuture {
        self.infer(values, clock::now() + Duration::from_secs(600))
    }

    /// Occupies the only executor until [`Bench::open`], so that what comes next waits together.
    fn occupied(&self) -> InferFuture {
        self.echo.gate.store(true, Ordering::SeqCst);
        let first = self.soon(&[0.0]);
        self.echo.barrier.wait();
        self.echo.gate.store(false, Ordering::SeqCst);
        first
    }

    fn open(&self) {
        self.echo.barrier.wait();
    }
}

fn code<T>(result: Result<T, Fault>) -> Code {
    result.err().map(|fault| fault.code()).unwrap()
}

#[tokio::test]
async fn each_window_gets_its_own_forecast() {
    let bench = bench(2, 100);
    let reply = bench.soon(&[3.0, 4.0]).await.unwrap();
    assert_eq!((forecasts(&reply), floats(&reply, OutputName::Lower)), (&[3.0, 4.0][..], &[2.0, 3.0][..]));
    assert_eq!(reply.predictions.get(OutputName::Direction), None, "it was not asked for");
    assert_eq!((reply.node, reply.batch.windows), (NodeId("n".into()), 2));
    assert!(reply.batch.counts);
    bench.node.stop();
}

#[tokio::test]
async fn what_waits_for_one_model_runs_together_and_is_counted_once() {
    let bench = bench(1, 100);
    let first = bench.occupied();
    let waiting = [bench.soon(&[1.0]), bench.soon(&[2.0, 3.0]), bench.soon(&[4.0])];
    assert_eq!(bench.node.load().queue_len, 3);
    bench.open();
    assert_eq!(first.await.unwrap().batch.windows, 1);
    let mut counted = 0;
    for answer in waiting {
        let reply = answer.await.unwrap();
        assert_eq!(reply.batch.windows, 4);
        counted += usize::from(reply.batch.counts);
    }
    assert_eq!(counted, 1);
    bench.node.stop();
}

#[tokio::test]
async fn a_batch_whose_first_caller_hung_up_is_still_counted_once() {
    let bench = bench(1, 100);
    let first = bench.occupied();
    bench.open();
    first.await.unwrap();
    bench.echo.gate.store(true, Ordering::SeqCst);
    let blocker = bench.soon(&[0.0]);
    bench.echo.barrier.wait();
    let mut waiting = [bench.soon(&[1.0]), bench.soon(&[14.0]), bench.soon(&[2.0]), bench.soon(&[3.0])];
    bench.open();
    // The batch of those four runs now: the first hangs up after it was found to be wanted.
    bench.echo.barrier.wait();
    waiting[0] = Box::pin(std::future::pending());
    bench.echo.gate.store(false, Ordering::SeqCst);
    bench.open();
    let [_, refused, second, third] = waiting;
    assert_eq!(code(refused.await), Code::WindowTooShort);
    assert!(second.await.unwrap().batch.counts);
    assert!(!third.await.unwrap().batch.counts);
    blocker.await.unwrap();
    bench.node.stop();
}

#[tokio::test]
async fn a_bad_request_never_harms_its_batch_neighbours() {
    let bench = bench(1, 100);
    let first = bench.occupied();
    let waiting = [
        bench.soon(&[1.0]),
        bench.soon(&[13.0]),
        bench.soon(&[14.0]),
        bench.soon(&[15.0]),
        bench.soon(&[2.0]),
    ];
    bench.open();
    first.await.unwrap();
    let [good, panics, refused, infinite, also_good] = waiting;
    assert_eq!(forecasts(&good.await.unwrap()), [1.0]);
    assert_eq!(code(panics.await), Code::Internal);
    assert_eq!(code(refused.await), Code::WindowTooShort);
    assert_eq!(code(infinite.await), Code::TensorNotFinite);
    assert_eq!(forecasts(&also_good.await.unwrap()), [2.0]);
    assert_eq!(forecasts(&bench.soon(&[5.0]).await.unwrap()), [5.0], "the executor must survive");
    bench.node.stop();
}

#[tokio::test]
async fn the_expired_are_refused_and_the_abandoned_skipped() {
    let bench = bench(1, 100);
    let first = bench.occupied();
    let expired = bench.infer(&[1.0], clock::now());
    let abandoned = bench.soon(&[2.0]);
    let wanted = bench.soon(&[3.0]);
    drop(abandoned);
    bench.open();
    first.await.unwrap();
    assert_eq!(code(expired.await), Code::DeadlineExceeded);
    assert_eq!(wanted.await.unwrap().batch.windows, 1);
    bench.node.stop();
}

#[tokio::test]
async fn a_model_at_its_limit_waits_and_another_is_answered() {
    let (options, echo) = (options(2, 100), Arc::new(Echo::closed()));
    let queue = Arc::new(Queue::new(limits(&options)));
    let other =
        ModelDescription::new(ModelFacts { name: "other".parse().unwrap(), ..(*forecaster(1)).clone() });
    let other_echo = Arc::new(Echo::closed());
    let models = [(forecaster(1), echo.clone()), (other.clone(), other_echo)].map(|(model, echo)| {
        let lane = queue.open_lane(&model.name);
        Arc::new(loaded_in(lane, model, Arc::new(echo)))
    });
    let repository = Repository { models: models.to_vec(), ..Repository::default() };
    let bounds = Bounds { windows_max: 8, rows_max: 10, rows_in_all_max: 80 };
    let terms = Terms { bounds, cards: Arc::default(), queue: queue.clone(), executors: 2, kept: None };
    let limits = ModelLimits { concurrency_max: Some(1), queue_len_max: Some(1) };
    queue.set_limits(&forecaster(1).name, limits);
    let node = Node::with(Models::new(None, terms, repository), queue, None, &options).unwrap();
    let node = node.running(options.executors).unwrap();
    let bench = Bench { node: Arc::new(node), echo, model: Arc::new(forecaster(1)) };
    let others = Bench { node: bench.node.clone(), echo: bench.echo.clone(), model: Arc::new(other) };
    let first = bench.occupied();
    let waits = bench.soon(&[1.0]);
    let waiting = bench.node.load().waiting;
    let of: Vec<_> = waiting.iter().map(|of| (of.model.as_str(), of.version.0, of.requests)).collect();
    assert_eq!(of, [("echo", 1, 1), ("other", 1, 0)]);
    let refused = bench.soon(&[2.0]).await.unwrap_err();
    assert_eq!((refused.code(), refused.retry_after_hint()), (Code::QueueFull, Some(RETRY_AFTER)));
    assert!(refused.message().contains("the queue of model echo is full"), "{refused}");
    for value in [3.0, 4.0, 5.0] {
        assert_eq!(forecasts(&others.soon(&[value]).await.unwrap()), [value]);
    }
    // A panic of the other model is its own affair as well.
    assert_eq!(code(others.soon(&[13.0]).await), Code::Internal);
    assert_eq!(bench.node.load().queue_len, 1, "an executor is idle, and the model may not have it");
    bench.open();
    first.await.unwrap();
    assert_eq!(forecasts(&waits.await.unwrap()), [1.0]);
    bench.node.stop();
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let bench = bench(1, 1);
    let first = bench.occupied();
    let waits = bench.soon(&[1.0]);
    let refused = bench.soon(&[2.0]).await.unwrap_err();
    assert_eq!((refused.code(), refused.retry_after_hint()), (Code::QueueFull, Some(RETRY_AFTER)));
    bench.open();
    first.await.unwrap();
    waits.await.unwrap();
    bench.node.stop();
}

#[tokio::test]
async fn a_stop_finishes_what_waits_and_refuses_the_rest() {
    let bench = bench(1, 1_000_000);
    let first = bench.occupied();
    let waits = bench.soon(&[1.0]);
    let stopping = thread::spawn({
        let node = bench.node.clone();
        move || node.stop()
    });
    // Requests from before the stop is seen wait like the first; dropping them abandons them.
    let refused = loop {
        let mut late = bench.soon(&[2.0]);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(answer) = late.as_mut().poll(&mut context) {
            break answer;
        }
        thread::yield_now();
    };
    assert_eq!(code(refused), Code::Stopping);
    bench.open();
    stopping.join().unwrap();
    first.await.unwrap();
    assert_eq!(forecasts(&waits.await.unwrap()), [1.0]);
}

#[test]
fn the_catalogue_lists_what_is_loaded() {
    let bench = bench(1, 1);
    let mut catalogue = Catalogue::default();
    catalogue.insert(&bench.model.name, ModelVersion(1), CatalogueEntry::Ready(bench.model.clone()));
    assert_eq!(bench.node.models().ready(), catalogue.ready());
    bench.node.stop();
}
