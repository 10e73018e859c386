//! `spinwell serve`, `spinwell gateway`, `spinwell node` and `spinwell control`: the processes that answer.
//!
//! What is here wires and decides nothing: options become a node, a gateway and listeners; a signal becomes a drain.

mod access;
mod args;
mod at_rest;
mod control;
mod edge;
mod gateway;
mod gateways;
mod later;
mod ledger;
mod levels;
mod node;
mod nodes;
mod planes;
mod process;
mod recorder;
mod region;
mod witness;
mod witnesses;

pub(crate) use args::device;
pub(crate) use at_rest::{of_data_folder, read_secret};
pub(crate) use control::{ControlArgs, run as run_control};
pub(crate) use gateway::{GatewayArgs, run as run_gateway};
pub(crate) use ledger::commitments;
pub(crate) use ledger::copy_to;
pub(crate) use node::{NodeArgs, run as run_node};
pub(crate) use witness::{WitnessArgs, run as run_witness};

use crate::output::say;
use anyhow::Result;
use args::{Common, PlaneArgs};
use clap::Args;
use later::LaterNode;
use node::{served, start};
use planes::{Front, Planes, Serving};
use process::{Given, Process};
use spinwell_protocol::NodeLink;
use spinwell_runtime::health::Phase;
use spinwell_runtime::options::Device;
use std::path::PathBuf;
use std::sync::Arc;

/// Options of `spinwell serve`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  spinwell serve --models ./spinwell-data/models\n  \
    curl localhost:8000/v2/models/taxi\n\n\
    Every key of the configuration file can also be set as SPINWELL_SECTION_KEY in the environment;\n\
    --print-config shows all of them with their values and where those came from.")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    common: Common,
    /// Where the server keeps its own files [default: ./spinwell-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the models are [default: `models` in the data folder].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    #[command(flatten)]
    planes: PlaneArgs,
    /// Node processes to start beside the gateway, each with a part of the processors; with 0, gateway and node are one
    /// process [default: 0].
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// Where reservoirs step: on the CPU, on all graphics cards or one of them; auto takes cards for models that are
    /// faster there [default: auto].
    #[arg(long, value_name = "auto|cpu|gpu[:I]", value_parser = device)]
    device: Option<Device>,
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
        .text("cluster.nodes", args.nodes, "--nodes")
        .text("node.device", args.device, "--device");
    let given = args.planes.given(given);
    let config = args.common.config.clone();
    // The one process of its kind, and the parent of nodes that say who they are.
    process::run(
        &args.common,
        given,
        |_| None,
        |process| async {
            match process.options.region.own_nodes {
                0 => serve(process).await,
                count => nodes::serve(process, count, config).await,
            }
        },
    )
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
    let mut serving = Serving::new(process, front, planes.edge);
    serving.inference(planes.http, planes.grpc);
    let stopped = serving.until_stopped(planes.ops, move || later.stop()).await;
    beginning.ended(stopped).await
}
