//! `spinwell serve`, `spinwell gateway`, `spinwell node` and `spinwell control`: the processes that answer.
//!
//! What is here wires and decides nothing: options become a node, a gateway and listeners; a signal becomes a drain.

mod control;
mod gateway;
mod later;
mod node;
mod nodes;
mod planes;
mod process;
mod region;

pub(crate) use control::{ControlArgs, run as run_control};
pub(crate) use gateway::{GatewayArgs, run as run_gateway};
pub(crate) use node::{NodeArgs, run as run_node};

use crate::output::say;
use anyhow::Result;
use clap::Args;
use later::LaterNode;
use node::{served, start};
use planes::{Front, Planes, Serving};
use process::{Given, Process};
use spinwell_protocol::NodeLink;
use spinwell_runtime::health::Phase;
use spinwell_runtime::options::Device;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Options of `spinwell serve`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  spinwell serve --models ./spinwell-data/models\n  \
    curl localhost:8000/v2/models/taxi\n\n\
    Every key of the configuration file can also be set as SPINWELL_SECTION_KEY in the environment;\n\
    --print-config shows all of them with their values and where those came from.")]
pub(crate) struct ServeArgs {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the server keeps its own files [default: ./spinwell-data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where the models are [default: `models` in the data folder].
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Option<PathBuf>,
    /// Address for inference over HTTP; port 0 takes any free one [default: 127.0.0.1:8000].
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) http: Option<SocketAddr>,
    /// Address for inference over gRPC [default: 127.0.0.1:8001].
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) grpc: Option<SocketAddr>,
    /// Address for metrics and health [default: 127.0.0.1:8002].
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) ops: Option<SocketAddr>,
    /// Node processes to start beside the gateway, each with a part of the processors; with 0, gateway and node are one
    /// process [default: 0].
    #[arg(long, value_name = "N")]
    pub(crate) nodes: Option<usize>,
    /// Where reservoirs step: on the CPU, on all graphics cards or one of them; auto takes cards for models that are
    /// faster there [default: auto].
    #[arg(long, value_name = "auto|cpu|gpu[:I]", value_parser = device)]
    pub(crate) device: Option<Device>,
    /// Allow addresses that other machines can reach, without encryption and without identities.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Print the effective configuration, with the source of each value, and exit.
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Print it as one JSON document: each key with `value` and `source`.
    #[arg(long, requires = "print_config")]
    pub(crate) json: bool,
}

/// Reads `--device`.
pub(crate) fn device(text: &str) -> Result<Device, String> {
    text.parse().map_err(|()| format!("use {}", Device::FORMS))
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "it must be an IP address and a port, such as 127.0.0.1:8000")
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// A [`Fault`](spinwell_core::Fault) where the options are not valid, the models cannot be read, an address cannot be opened or
/// requests had to be abandoned at the end.
pub(crate) fn run(args: ServeArgs) -> Result<()> {
    let given = Given::default()
        .path("data.dir", args.data, "--data")
        .path("models.dir", args.models, "--models")
        .text("http.address", args.http, "--http")
        .text("grpc.address", args.grpc, "--grpc")
        .text("ops.address", args.ops, "--ops")
        .text("cluster.nodes", args.nodes, "--nodes")
        .text("node.device", args.device, "--device")
        .flag("insecure", args.insecure, "--insecure");
    let config = args.config.clone();
    process::run(args.config.as_deref(), given, args.print_config, args.json, |process| async {
        match process.options.region.own_nodes {
            0 => serve(process).await,
            count => nodes::serve(process, count, config).await,
        }
    })
}

async fn serve(mut process: Process) -> Result<()> {
    let planes = Planes::open(&process.options)?;
    let later = Arc::new(LaterNode::default());
    let front = Front::new(&process, later.clone(), &planes)?;
    planes.lines()?.iter().for_each(|line| say(line));
    let (place, options, health) = (later.clone(), process.options.clone(), process.health.clone());
    let metrics = front.metrics();
    let beginning = process.begin(async move {
        let node = start(&options).await?;
        metrics.show(&node.models());
        place.set(node.clone());
        health.advance(Phase::Ready);
        served(&node).iter().for_each(|line| say(line));
        say("ready   stop with Ctrl-C or SIGTERM");
        Err(node.failed().await)
    });
    let mut serving = Serving::new(process, front);
    serving.inference(planes.http, planes.grpc);
    let stopped = serving.until_stopped(planes.ops, move || later.stop()).await;
    beginning.ended(stopped).await
}
