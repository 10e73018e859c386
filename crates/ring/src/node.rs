//! A node as a host of the simulation: the real one, with executors that take the seed's time.

use crate::history::{Arrival, Recorder, now};
use crate::model::OnDisk;
use crate::network::Connections;
use crate::scenario::{Plant, Scenario};
use spinwell_core::{ModelName, NodeId, Rng, SequenceKey};
use spinwell_node::stepped::Work;
use spinwell_node::{Exchange, Node, serve_connections};
use spinwell_protocol::{
    Catalogue, IndexEntry, InferFuture, InferRequest, LinkFuture, NodeLink, NodeLoad, Predictions,
    StateAnswer, StateCall,
};
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::options::{Device, Options};
use spinwell_runtime::{clock, shutdown};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

/// Batches that a node runs at the same time.
const EXECUTORS: usize = 2;
/// What a batch takes before its first row.
const BATCH: Duration = Duration::from_millis(4);
/// How often an executor that has nothing to do looks for something.
const LOOK: Duration = Duration::from_millis(1);
/// How often deadlines are looked after.
const LOOK_AT_DEADLINES: Duration = Duration::from_millis(5);
/// How long a node that leaves waits until everybody has noticed.
const NOTICE: Duration = Duration::from_secs(1);
/// Connections that may wait to be taken.
const UNTAKEN_MAX: usize = 64;
/// A queue of this length is none that a run fills.
const NO_BOUND: usize = 1_000_000;

/// What a node is started with, each time.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) place: usize,
    pub(crate) model: &'static OnDisk,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) options: Arc<Options>,
    pub(crate) recorder: Recorder,
    pub(crate) knobs: Arc<Knobs>,
}

/// What the scenario does to a node, beside the network, and learns from it.
#[derive(Default)]
pub(crate) struct Knobs {
    /// Executors stand still.
    pub(crate) is_stalled: AtomicBool,
    /// Its process is to die.
    pub(crate) is_killed: AtomicBool,
    /// Its process is at its end.
    pub(crate) has_ended: AtomicBool,
    /// Requests that wait and batches that run.
    pub(crate) has: AtomicUsize,
    /// How often it was started.
    lives: AtomicU64,
}

/// The name of the node at that place, and of its host.
pub(crate) fn name(place: usize) -> String {
    format!("n{place}")
}

/// The life of a node's process: answers until it is drained, and then in good order to the end.
pub(crate) async fn live(terms: Terms) -> turmoil::Result {
    let life = terms.knobs.lives.fetch_add(1, Ordering::Relaxed) + 1;
    let mut rng = Rng::seeded(terms.scenario.seed).fork(1_000 * life + terms.place as u64);
    let (node, work) = Node::start_stepped(terms.model.folder(), &options(&terms))?;
    let node = Arc::new(node);
    let (health, drained) = (Health::default(), Arc::new(Notify::new()));
    let asked = drained.clone();
    let exchange = Exchange {
        link: Arc::new(Watched::new(node.clone(), &terms)),
        id: NodeId(name(terms.place).into()),
        health: told_of(&health, &terms),
        beat: terms.options.region.beat,
        drain: Arc::new(move || asked.notify_one()),
        life: rng.next_u64(),
        callers: Arc::default(),
        fence: Arc::default(),
        processing_cluster: "default".to_owned(),
        capacity_per_second: None,
    };
    let (sender, connections) = mpsc::channel(UNTAKEN_MAX);
    let (stop, stops) = shutdown::channel();
    let accepted = Connections::default();
    tokio::spawn(accepted.clone().accept(sender));
    tokio::spawn(accepted.clone().send());
    tokio::spawn(die_when_killed(accepted.clone(), terms.knobs.clone()));
    let serving = tokio::spawn(serve_connections(connections, exchange, stops));
    for executor in 0..EXECUTORS {
        let pace = Pace { row: terms.scenario.row, rng: rng.fork(executor as u64) };
        tokio::spawn(execute(work.clone(), pace, terms.knobs.clone()));
    }
    tokio::spawn(look_after_deadlines(work, node.clone(), terms.knobs.clone()));
    health.advance(Phase::Ready);
    terms.recorder.write().ready.push((now(), terms.place));
    drained.notified().await;
    // The order of `spinwell node`, whose process waits for this and then ends.
    terms.recorder.write().leaving.push((now(), terms.place));
    health.advance(Phase::Leaving);
    sleep(NOTICE).await;
    health.advance(Phase::Stopping);
    stop.pull();
    serving.await??;
    node.stop();
    accepted.close();
    terms.recorder.write().exited.push((now(), terms.place));
    terms.knobs.has_ended.store(true, Ordering::Relaxed);
    std::future::pending().await
}

fn options(terms: &Terms) -> spinwell_node::Options {
    let is_unbounded = terms.scenario.plant == Some(Plant::UnboundedQueues);
    spinwell_node::Options {
        id: NodeId(name(terms.place).into()),
        executors: EXECUTORS,
        queue_len_max: if is_unbounded { NO_BOUND } else { terms.scenario.queue_len_max },
        device: Device::Cpu,
        data: None,
        store: None,
        encryption: None,
        ..spinwell_node::Options::of(&terms.options)
    }
}

/// The phase that gateways are told of.
fn told_of(health: &Health, terms: &Terms) -> Health {
    if terms.scenario.plant != Some(Plant::HidesLeaving) {
        return health.clone();
    }
    let own = Health::default();
    own.advance(Phase::Ready);
    own
}

/// How long batches take.
struct Pace {
    row: Duration,
    rng: Rng,
}

impl Pace {
    fn of(&mut self, rows: usize) -> Duration {
        let usual = BATCH + self.row * u32::try_from(rows).unwrap_or(u32::MAX);
        usual.mul_f64(self.rng.uniform_in(0.7, 1.5))
    }
}

/// The life of an executor.
async fn execute(work: Work, mut pace: Pace, knobs: Arc<Knobs>) {
    let goes_on = async || {
        while knobs.is_stalled.load(Ordering::Relaxed) {
            sleep(LOOK).await;
        }
    };
    loop {
        goes_on().await;
        match work.take() {
            None => sleep(LOOK).await,
            Some(taken) => {
                sleep(pace.of(taken.cost().rows)).await;
                goes_on().await;
                work.finish(taken);
            }
        }
    }
}

async fn look_after_deadlines(work: Work, node: Arc<Node>, knobs: Arc<Knobs>) {
    loop {
        sleep(LOOK_AT_DEADLINES).await;
        work.refuse_late();
        let load = node.load();
        knobs.has.store(load.queue_len + load.batches_executing, Ordering::Relaxed);
    }
}

/// Lets go of all that others can see; the world does the rest.
async fn die_when_killed(connections: Connections, knobs: Arc<Knobs>) {
    while !knobs.is_killed.swap(false, Ordering::Relaxed) {
        sleep(LOOK).await;
    }
    connections.close();
    knobs.has_ended.store(true, Ordering::Relaxed);
}

/// A node whose requests are written down as they come.
struct Watched {
    node: Arc<Node>,
    place: usize,
    recorder: Recorder,
    plant: Option<Plant>,
    /// What was predicted last.
    last: Arc<Mutex<Option<Predictions>>>,
}

impl Watched {
    fn new(node: Arc<Node>, terms: &Terms) -> Self {
        let (recorder, plant) = (terms.recorder.clone(), terms.scenario.plant);
        Self { node, place: terms.place, recorder, plant, last: Arc::default() }
    }

    /// Writes down that a request has come: its caller has put its number into its first value, and gateways say how much of its
    /// time was left when they sent it.
    fn arrived(&self, request: &InferRequest) {
        let number = request.series.value(0, 0, 0) as usize;
        let left = request.deadline.saturating_duration_since(clock::now());
        let mut history = self.recorder.write();
        let sent = history.asked.get(number).map(|asked| (asked.at + asked.timeout).saturating_sub(left));
        if let Some(sent) = sent {
            history.arrivals.push(Arrival { request: number, node: self.place, sent });
        }
    }

    fn waits(&self) {
        let waiting = self.node.load().queue_len;
        if let Some(most) = self.recorder.write().queue_len_max.get_mut(self.place) {
            *most = waiting.max(*most);
        }
    }
}

impl NodeLink for Watched {
    fn infer(&self, request: InferRequest) -> InferFuture {
        self.arrived(&request);
        let answer = self.node.infer(request);
        self.waits();
        if self.plant != Some(Plant::SwapsAnswers) {
            return answer;
        }
        let last = self.last.clone();
        Box::pin(async move {
            let mut reply = answer.await?;
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let before = last.replace(reply.predictions.clone());
            reply.predictions = before.unwrap_or(reply.predictions);
            Ok(reply)
        })
    }

    fn models(&self) -> Arc<Catalogue> {
        self.node.models()
    }

    fn sequence_state(&self, key: SequenceKey, call: StateCall) -> LinkFuture<StateAnswer> {
        self.node.sequence_state(key, call)
    }

    fn index(&self) -> LinkFuture<Vec<IndexEntry>> {
        self.node.index()
    }

    fn load_model(&self, name: ModelName) -> LinkFuture<Vec<IndexEntry>> {
        self.node.load_model(name)
    }

    fn unload_model(&self, name: ModelName) -> LinkFuture<()> {
        self.node.unload_model(name)
    }

    fn load(&self) -> NodeLoad {
        self.node.load()
    }

    fn shares_sequences(&self) -> bool {
        self.node.shares_sequences()
    }

    fn seen(&self, gateway: &str, nodes: Option<Vec<(NodeId, f64)>>) {
        self.node.seen(gateway, nodes);
    }
}
