//! `spinwell node`: a processing node, for gateways elsewhere; and the node of `spinwell serve`.

use super::args::{Common, address, device};
use super::edge::Edge;
use super::later::LaterNode;
use super::planes::{Front, Serving};
use super::process::{self, Given, Process};
use super::region::{Known, Place};
use crate::output::say;
use anyhow::Result;
use clap::Args;
use spinwell_control::Claim;
use spinwell_core::{Code, Fault};
use spinwell_node::{Exchange, Node};
use spinwell_protocol::{NodeLink, Task};
use spinwell_runtime::health::Phase;
use spinwell_runtime::options::{Device, Options};
use spinwell_runtime::tls::Spoken;
use spinwell_runtime::transport::Door;
use spinwell_runtime::{entropy, listen, tls};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Notify;

/// Options of `spinwell node`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  spinwell node --id n1 --address 127.0.0.1:8104 --ops 127.0.0.1:8102 --data ./n1 \\\n    \
    --models ./spinwell-data/models\n  \
    spinwell gateway --node n1=127.0.0.1:8104\n\n\
Every key of the configuration file can also be set as SPINWELL_SECTION_KEY in the environment;\n\
--print-config shows all of them with their values and where those came from."
)]
pub(crate) struct NodeArgs {
    #[command(flatten)]
    common: Common,
    /// The node's name, of its own in the region [default: local].
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// Address for gateways; port 0 takes any free one [default: 127.0.0.1:8004].
    #[arg(long, value_name = "ADDR", value_parser = address)]
    address: Option<SocketAddr>,
    /// Address for metrics and health [default: 127.0.0.1:8002].
    #[arg(long, value_name = "ADDR", value_parser = address)]
    ops: Option<SocketAddr>,
    /// Where the node keeps its own files [default: ./spinwell-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the models are [default: `models` in the data folder].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Where reservoirs step: on the CPU, on all graphics cards or one of them; auto takes cards for models that are
    /// faster there [default: auto].
    #[arg(long, value_name = "auto|cpu|gpu[:I]", value_parser = device)]
    device: Option<Device>,
    /// Say in this folder what this process is, for control to find it.
    #[arg(long, hide = true, value_name = "DIR")]
    claim: Option<PathBuf>,
    /// Stop when standard input ends: then whoever started the node is gone.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

/// Answers gateways until SIGTERM or SIGINT.
///
/// # Errors
/// A [`Fault`] where the options are not valid, the models cannot be read, an address cannot be opened or
/// requests had to be abandoned at the end.
pub(crate) fn run(args: NodeArgs) -> Result<()> {
    let given = Given::default()
        .text("node.id", args.id, "--id")
        .text("node.address", args.address, "--address")
        .text("ops.address", args.ops, "--ops")
        .path("data.dir", args.data, "--data")
        .path("models.dir", args.models, "--models")
        .text("node.device", args.device, "--device");
    let (is_followed, claim) = (args.until_stdin_ends, args.claim);
    let called = |options: &Options| Some(format!("node {}", options.node_id));
    process::run(&args.common, given, called, |mut process| {
        if is_followed {
            process.stop_with_stdin();
        }
        serve(process, claim)
    })
}

async fn serve(mut process: Process, claim: Option<PathBuf>) -> Result<()> {
    let drained = Arc::new(Notify::new());
    let asked = drained.clone();
    process.stop_also_when(async move {
        asked.notified().await;
    });
    let options = process.options.clone();
    let known = Known::of(&options.region, tls::Role::Node, &options.node_id)?;
    let edge = Edge::of(&options)?;
    let exposure = known.exposure(options.exposure);
    let listener = listen::bind_own("node", options.region.node_address, exposure);
    let listener = listener.map_err(|error| error.fault())?;
    let ops = listen::bind("ops", options.addresses.ops, options.exposure).map_err(|error| error.fault())?;
    let (address, ops_address) = (listener.local_addr()?, ops.local_addr()?);
    let life = entropy::seed();
    let claim = claim.map(|folder| Claim::take(&folder, address, ops_address, life)).transpose()?;
    let later = Arc::new(LaterNode::default());
    let exchange = Exchange {
        link: later.clone(),
        id: options.node_id.clone(),
        health: process.health.clone(),
        beat: options.region.beat,
        drain: Arc::new(move || drained.notify_one()),
        life,
        callers: Arc::default(),
        fence: Arc::default(),
        processing_cluster: options.region.processing_cluster.clone(),
        capacity_per_second: options.region.node_capacity_per_second,
    };
    let front = Front::of_node(&process, later.clone(), ops_address, &edge)?;
    let place = Arc::new(Place::open(&options.region)?);
    say(&format!("serving {address} (gateways)"));
    say(&format!("serving {}://{ops_address} (metrics and health)", edge.scheme(Spoken::Http1)));
    let (own, listed, health, metrics) =
        (later.clone(), place.clone(), process.health.clone(), front.metrics());
    let beginning = process.begin(async move {
        let node = start(&options).await?;
        metrics.show(&node.models());
        own.set(node.clone());
        listed.announce_node(&options, address, ops_address).await?;
        health.advance(Phase::Ready);
        served(&node).iter().for_each(|line| say(line));
        say(&format!("ready   node {}, stop with Ctrl-C or SIGTERM", options.node_id));
        tokio::select! {
            fault = node.failed() => Err(fault),
            fault = listed.replaced() => Err(fault),
        }
    });
    let (health, door) = (process.health.clone(), known.door());
    if let Door::Mutual(acceptor) = &door {
        front.metrics().show_handshakes("node", acceptor.handshakes());
    }
    if let Some(certificate) = known.certificate() {
        front.metrics().show_certificate("node", certificate.clone());
    }
    let mut serving = Serving::new(process, front, edge);
    serving.plane(|stop| async move {
        // To a gateway that came before, this would be a node without models.
        if health.after(Some(Phase::Starting)).await != Phase::Ready {
            return;
        }
        if let Err(error) = spinwell_node::serve(listener, door, exchange, stop).await {
            tracing::error!(?error, "gateways are not answered any more");
        }
    });
    // Gateways hear of it by the beats.
    let stopped = serving.until_stopped(ops, move || later.stop()).await;
    place.stay_listed().await;
    // Until here the folder is this process's own.
    drop(claim);
    beginning.ended(stopped).await
}

/// Starts a node.
pub(super) async fn start(options: &Options) -> Result<Arc<Node>, Fault> {
    let node = spinwell_node::Options::of(options);
    let folder = options.models_dir.clone();
    let started = tokio::task::spawn_blocking(move || Node::start(&folder, &node)).await;
    let started = started
        .map_err(|error| Fault::new(Code::Internal, format!("the models could not be loaded: {error}")))?;
    Ok(Arc::new(started.map_err(|error| error.fault())?))
}

/// What a model of this task answers.
fn answer(task: &Task) -> String {
    match task {
        Task::Forecast(facts) => format!("{} steps of {}", facts.horizon, facts.targets.join(",")),
        Task::Classify { labels } => format!("one of {} classes", labels.len()),
        Task::Detect { targets, .. } => format!("anomalies of {}", targets.join(",")),
    }
}

/// What a node serves, on what, and what it does not serve; a line each.
pub(super) fn served(node: &Node) -> Vec<String> {
    let mut lines: Vec<String> = node.devices().iter().map(|device| format!("device  {device}")).collect();
    let models = node.models();
    for model in models.ready() {
        let (family, channels, window_min) = (&model.family, model.channels.join(","), model.window_min);
        let answer = answer(&model.task);
        let facts = format!("{family}, {channels} -> {answer}, windows from {window_min} rows");
        lines.push(format!("model   {}:{} ({facts})", model.name, model.version));
    }
    for problem in node.problems() {
        lines.push(format!("skipped {}: {}: {}", problem.path.display(), problem.code, problem.message));
    }
    if node.restored() > 0 {
        let what = if node.restored() == 1 { "sequence" } else { "sequences" };
        lines.push(format!("kept    {} {what} brought back from the step log", node.restored()));
    }
    if models.ready().is_empty() {
        lines.push("no model is loaded; train one with `spinwell train`".to_owned());
    }
    lines
}
