//! `spinwell gateway`: answers callers with the nodes of its region.

use super::args::{Common, PlaneArgs, address};
use super::planes::{Front, Planes, Serving};
use super::process::{self, Given, Process};
use super::region::{GatewayPlanes, Known, Place, follow};
use crate::output::say;
use anyhow::Result;
use clap::Args;
use spinwell_core::Fault;
use spinwell_gateway::{Cluster, ClusterOptions, Purpose, Routes, Strategy, serve_agent, watch_nodes};
use spinwell_protocol::NodeLink;
use spinwell_registry::{Health as RegistryHealth, Registry, Sufficiency};
use spinwell_runtime::health::{Health, Phase, Readiness};
use spinwell_runtime::options::{Nodes, Options, Region};
use spinwell_runtime::transport::Dial;
use spinwell_runtime::{entropy, listen, shutdown, tls};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// A wait for nodes that is no longer is not worth a line. The next line comes after twice that, and so on.
const WAITS_QUIETLY: Duration = Duration::from_secs(2);

/// Options of `spinwell gateway`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  spinwell gateway --node n1=127.0.0.1:8104 --node n2=127.0.0.1:8204\n  \
    curl localhost:8000/v2/models/taxi\n\n\
Every key of the configuration file can also be set as SPINWELL_SECTION_KEY in the environment;\n\
--print-config shows all of them with their values and where those came from.")]
pub(crate) struct GatewayArgs {
    #[command(flatten)]
    common: Common,
    /// The gateway's name, of its own in the region [default: gateway].
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// A node with its name and its address, once for each; *W behind it for another weight than 100.
    #[arg(long = "node", value_name = "NAME=HOST:PORT[*W]")]
    nodes: Vec<String>,
    /// Folder for the gateway's own files, which are its ledger [default: ./spinwell-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    planes: PlaneArgs,
    /// Address for HAProxy's agent check [default: 127.0.0.1:8003].
    #[arg(long, value_name = "ADDR", value_parser = address)]
    agent: Option<SocketAddr>,
}

/// Answers callers until SIGTERM or SIGINT.
///
/// # Errors
/// A [`Fault`] where the options are not valid, an address cannot be opened or requests had to be
/// abandoned at the end.
pub(crate) fn run(args: GatewayArgs) -> Result<()> {
    let given = Given::default()
        .text("gateway.id", args.id, "--id")
        .text("registry.nodes", (!args.nodes.is_empty()).then(|| args.nodes.join(",")), "--node")
        .path("data.dir", args.data, "--data")
        .text("gateway.agent_address", args.agent, "--agent");
    let given = args.planes.given(given);
    let called = |options: &Options| Some(format!("gateway {}", options.region.gateway_id));
    process::run(&args.common, given, called, serve)
}

/// A region of no nodes yet. Must be called within a tokio runtime.
pub(super) fn cluster(region: &Region, dial: Dial) -> Arc<Cluster> {
    Arc::new(Cluster::new(ClusterOptions {
        gateway: region.gateway_id.clone(),
        purpose: Purpose::Requests,
        dial,
        beat: region.beat,
        silence: region.silence,
        failover: region.failover_timeout,
        routes: routes(region),
        spread_models: region.spread_models,
        seed: entropy::seed(),
    }))
}

/// The strategies that the options name: only such as there are.
fn routes(region: &Region) -> Routes {
    let strategy = |name: &String| Strategy::of_name(name).unwrap_or_default();
    let own = region.routes.iter().map(|(model, name)| (model.clone(), strategy(name))).collect();
    Routes { usual: strategy(&region.strategy), own }
}

async fn serve(mut process: Process) -> Result<()> {
    let planes = Planes::open(&process.options)?;
    let region = process.options.region.clone();
    // HAProxy asks without TLS. It is told one word and tells nothing, so what protects callers is enough to open it to others.
    let agent = listen::bind("agent", region.agent_address, process.options.exposure);
    let agent = agent.map_err(|error| error.fault())?;
    let known = Known::of(&region, tls::Role::Gateway, &region.gateway_id)?;
    let place = Arc::new(Place::open(&region)?);
    let cluster = cluster(&region, known.dial(process.options.exposure));
    tokio::spawn(follow(cluster.clone(), place.watch()));
    let front = Front::new(&process, cluster.clone(), &planes)?;
    planes.lines()?.iter().for_each(|line| say(line));
    say(&format!("serving {} (agent checks)", agent.local_addr()?));
    let (end_agent, agent_ends) = shutdown::channel();
    let answering = tokio::spawn(serve_agent(agent, process.health.clone(), agent_ends));
    // Callers that come before are refused for now.
    let addresses = GatewayPlanes {
        http: planes.http.local_addr()?,
        grpc: planes.grpc.local_addr()?,
        ops: planes.ops.local_addr()?,
        is_encrypted: planes.edge.is_encrypted(),
    };
    let begins = begin(cluster, region, place.clone(), addresses, process.health.clone());
    let beginning = process.begin(begins);
    tokio::spawn(tell(place.registry(), process.health.clone()));
    let mut serving = Serving::new(process, front, planes.edge);
    serving.inference(planes.http, planes.grpc);
    let stopped = serving.until_stopped(planes.ops, || ()).await;
    place.close().await;
    end_agent.pull();
    answering.await?;
    beginning.ended(stopped).await
}

/// Tells the registry how this gateway is, until it stops: whoever finds gateways there is to find those that can answer.
async fn tell(registry: Registry, health: Health) {
    let mut told = None;
    while told != Some(Readiness::Stopping) {
        let now = health.readiness_after(told).await;
        match now {
            // Nobody can find it yet.
            Readiness::Starting => {}
            Readiness::Ready => registry.set_health(RegistryHealth::Passing),
            Readiness::CutOff | Readiness::Leaving | Readiness::Stopping => {
                registry.set_health(RegistryHealth::Critical);
            }
        }
        told = Some(now);
    }
}

/// Makes the gateway known when there are nodes, and says so. Does not come back without an error.
///
/// # Errors
/// Where there are too few, or another gateway lives under the same id.
async fn begin(
    cluster: Arc<Cluster>,
    region: Region,
    place: Arc<Place>,
    addresses: GatewayPlanes,
    health: Health,
) -> Result<(), Fault> {
    wait_for_nodes(&cluster, &region).await?;
    place.announce_gateway(&region, addresses).await?;
    health.advance(Phase::Ready);
    tokio::spawn(watch_nodes(Cluster::clone(&cluster), health));
    models(&cluster).iter().for_each(|line| say(line));
    say(&format!("ready   gateway {}, stop with Ctrl-C or SIGTERM", region.gateway_id));
    Err(place.replaced().await)
}

/// Waits for as many nodes as the options want to begin with.
///
/// # Errors
/// Where there are too few when the time is over.
async fn wait_for_nodes(cluster: &Cluster, region: &Region) -> Result<(), Fault> {
    let wanted = region.min_nodes;
    if matches!(&region.nodes, Nodes::Static(nodes) if nodes.is_empty()) {
        tracing::warn!(
            "no nodes are named, so that none will ever answer: set registry.nodes (--node), or registry.kind to consul"
        );
    }
    let coming = told_of(cluster, wanted);
    if tokio::time::timeout(region.start_timeout.into(), coming).await.is_ok() {
        return Ok(());
    }
    let usable = cluster.reachable_nodes();
    match Sufficiency::at_start(usable, wanted).map_err(|error| error.fault())? {
        Sufficiency::BelowMinimum { .. } if usable == 0 => {
            tracing::warn!("no node can be reached yet; requests are refused until one can be");
            cluster.has_nodes(1).await;
        }
        Sufficiency::BelowMinimum { missing } => {
            tracing::warn!(
                usable,
                wanted,
                missing,
                "this gateway begins with fewer nodes than it should have"
            );
        }
        Sufficiency::Enough => {}
    }
    Ok(())
}

/// Comes when there are so many nodes. Until then the log says at times what is waited for.
async fn told_of(cluster: &Cluster, wanted: usize) {
    let mut coming = pin!(cluster.has_nodes(wanted));
    let mut patience = WAITS_QUIETLY;
    while tokio::time::timeout(patience, &mut coming).await.is_err() {
        let connected = cluster.reachable_nodes();
        tracing::info!(
            connected,
            wanted,
            "waiting for nodes (cluster.min_nodes); requests are refused until they come"
        );
        patience *= 2;
    }
}

/// What the nodes serve together, a line each.
pub(super) fn models(cluster: &Cluster) -> Vec<String> {
    let models = cluster.models();
    models.ready().iter().map(|model| format!("model   {}:{}", model.name, model.version)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_registry::{Member, Options, Role};
    use std::time::Duration;

    #[tokio::test]
    async fn the_registry_is_told_that_the_gateway_is_cut_off_is_back_and_leaves() {
        let (registry, _service) = Registry::new(Options::Local, 1).unwrap();
        registry.announce(Member::new(Role::Gateway, "g1", "127.0.0.1:8000".parse().unwrap())).unwrap();
        let health = Health::default();
        health.advance(Phase::Ready);
        let telling = tokio::spawn(tell(registry.clone(), health.clone()));
        let mut view = registry.watch();
        let mut is_listed_as = async |wanted: RegistryHealth| {
            let listed = view.wait_for(|view| view.listed().iter().map(|listed| listed.health).eq([wanted]));
            let seen = tokio::time::timeout(Duration::from_secs(60), listed).await;
            assert!(seen.is_ok_and(|seen| seen.is_ok()), "{wanted}");
        };
        is_listed_as(RegistryHealth::Passing).await;
        health.set_cut_off(true);
        is_listed_as(RegistryHealth::Critical).await;
        health.set_cut_off(false);
        is_listed_as(RegistryHealth::Passing).await;
        health.advance(Phase::Leaving);
        is_listed_as(RegistryHealth::Critical).await;
        health.advance(Phase::Stopping);
        telling.await.unwrap();
    }
}
