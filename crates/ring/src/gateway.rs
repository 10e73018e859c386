//! A gateway as a host of the simulation: the real one, from its router down, and its callers.

use crate::callers::{self, Callers};
use crate::history::{Recorder, Standing};
use crate::model::OnDisk;
use crate::network::{PORT, Simulated};
use crate::node;
use crate::scenario::{NODES, Plant, Scenario};
use spinwell_core::{BatchCall, Fault, ModelName, NodeId, Outcome, ResultClass, Rng, SequenceKey};
use spinwell_gateway::{
    Addresses, Cluster, ClusterOptions, Door, Gateway, LiveAccuracy, Member, OutcomeReader, Parts, Purpose,
    Routes, http_router,
};
use spinwell_protocol::{
    Catalogue, IndexEntry, InferFuture, InferReply, InferRequest, LinkFuture, NodeLink, NodeLoad,
    StateAnswer, StateCall,
};
use spinwell_registry::{CapacityOptions, ClusterName};
use spinwell_runtime::clock;
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::options::Options;
use spinwell_runtime::transport::Dial;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, sleep_until};

/// What a gateway is started with.
pub(crate) struct Terms {
    pub(crate) place: usize,
    pub(crate) model: &'static OnDisk,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) options: Arc<Options>,
    pub(crate) recorder: Recorder,
    /// The nodes that an operator has drained through it.
    pub(crate) drains: UnboundedReceiver<usize>,
}

/// The name of the gateway at that place, and of its host.
pub(crate) fn name(place: usize) -> String {
    format!("g{place}")
}

/// The life of a gateway's process and of those who call it.
pub(crate) async fn live(terms: Terms) -> turmoil::Result {
    let start = tokio::time::Instant::now();
    let Terms { place, model, scenario, options, recorder, drains } = terms;
    let mut rng = Rng::seeded(scenario.seed).fork(2_000 + place as u64);
    let region = &options.region;
    let cluster = Cluster::new(ClusterOptions {
        gateway: NodeId(name(place).into()),
        purpose: Purpose::Requests,
        dial: Dial::Through(Arc::new(Simulated)),
        beat: region.beat,
        silence: region.silence,
        failover: region.failover_timeout,
        routes: Routes { usual: scenario.strategy, own: BTreeMap::new() },
        // All nodes have the one model.
        spread_models: false,
        seed: rng.next_u64(),
    });
    cluster.set_members((0..NODES).map(member).collect());
    let health = Health::default();
    let plant = scenario.plant;
    let gateway = Gateway::new(Parts {
        link: Arc::new(Planted { cluster: cluster.clone(), plant }),
        limits: options.limits.clone(),
        health: health.clone(),
        reader: Arc::new(Reader { recorder: recorder.clone(), plant }),
        traces: None,
        statistics: Arc::default(),
        addresses: Addresses::default(),
        accuracy: Arc::new(LiveAccuracy::new(options.accuracy)),
        capacity: CapacityOptions {
            predictions_per_node: options.region.capacity.predictions_per_node,
            target_utilization: options.region.capacity.target_utilization,
            processing_clusters: Vec::new(),
        },
        load_reporting: options.load_reporting,
        audit: None,
        door: Arc::new(Door::open()),
    });
    tokio::spawn(drain(cluster.clone(), drains));
    cluster.has_nodes(NODES).await;
    health.advance(Phase::Ready);
    let router = http_router(gateway);
    callers::call(
        Callers { gateway: place, router, model, recorder: recorder.clone(), start },
        &scenario,
        rng,
    )
    .await;
    sleep_until(start + scenario.ends).await;
    write_down(place, &cluster, &recorder);
    Ok(())
}

fn member(place: usize) -> Member {
    let name = node::name(place);
    let address = format!("{name}:{PORT}");
    let cluster = ClusterName::default();
    Member { id: NodeId(name.into()), address, weight: 1.0, cluster, capacity_per_second: None }
}

/// Has nodes drained, as an operator does.
async fn drain(cluster: Cluster, mut nodes: UnboundedReceiver<usize>) {
    while let Some(place) = nodes.recv().await {
        // One that cannot be reached is not drained, and the scenario starts it anew all the same.
        let _ = cluster.drain(NodeId(node::name(place).into()), None).await;
    }
}

fn write_down(gateway: usize, cluster: &Cluster, recorder: &Recorder) {
    let NodeLoad { nodes, attempts, .. } = cluster.load();
    let serving = nodes.iter().filter(|node| node.is_connected && !node.is_leaving).count();
    let mut history = recorder.write();
    history.standings.push(Standing { gateway, serving });
    history.retries += attempts.retries;
    history.timeouts += attempts.timeouts;
}

/// Writes outcomes down, by the numbers that callers gave their requests.
struct Reader {
    recorder: Recorder,
    plant: Option<Plant>,
}

impl OutcomeReader for Reader {
    fn read(&self, outcome: &Outcome) {
        if self.plant == Some(Plant::ForgetsCancelled) && outcome.result == ResultClass::Cancelled {
            return;
        }
        if let Ok(number) = outcome.request_id.parse() {
            self.recorder.write().outcomes.push((number, outcome.result));
        }
    }

    fn read_batch_call(&self, _: &BatchCall) {}
}

/// The nodes as a gateway reaches them, with a bug where one is planted.
struct Planted {
    cluster: Cluster,
    plant: Option<Plant>,
}

impl NodeLink for Planted {
    fn infer(&self, mut request: InferRequest) -> InferFuture {
        match self.plant {
            Some(Plant::NeverRetries) => {
                // What nobody waits for is tried once.
                request.is_spare = true;
                self.cluster.infer(request)
            }
            Some(Plant::RetriesWithoutEnd) => Box::pin(again_and_again(self.cluster.clone(), request)),
            _ => self.cluster.infer(request),
        }
    }

    fn models(&self) -> Arc<Catalogue> {
        self.cluster.models()
    }

    fn sequence_state(&self, key: SequenceKey, call: StateCall) -> LinkFuture<StateAnswer> {
        self.cluster.sequence_state(key, call)
    }

    fn index(&self) -> LinkFuture<Vec<IndexEntry>> {
        self.cluster.index()
    }

    fn load_model(&self, name: ModelName) -> LinkFuture<Vec<IndexEntry>> {
        self.cluster.load_model(name)
    }

    fn unload_model(&self, name: ModelName) -> LinkFuture<()> {
        self.cluster.unload_model(name)
    }

    fn load(&self) -> NodeLoad {
        self.cluster.load()
    }
}

async fn again_and_again(cluster: Cluster, request: InferRequest) -> Result<InferReply, Fault> {
    loop {
        match cluster.infer(request.clone()).await {
            Err(_) if clock::now() < request.deadline => sleep(Duration::from_millis(1)).await,
            ended => return ended,
        }
    }
}
