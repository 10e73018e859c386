//! `spinwell serve --nodes N`: a gateway, and node processes on this machine that it looks after.

use super::gateway::{cluster, models};
use super::planes::{Front, Planes, Serving};
use super::process::Process;
use crate::output::say;
use anyhow::{Context, Result};
use spinwell_control::{Nodes, Running, Supervisor};
use spinwell_core::NodeId;
use spinwell_gateway::{Cluster, Member, watch_nodes};
use spinwell_registry::ClusterName;
use spinwell_runtime::health::Phase;
use spinwell_runtime::options::{Exposure, Options};
use spinwell_runtime::tls::Spoken;
use spinwell_runtime::transport::Dial;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::process::Command;
use tokio::sync::watch;

/// Serves with so many node processes until SIGTERM or SIGINT. They go when this process goes, however it ends.
pub(super) async fn serve(process: Process, count: usize, config: Option<PathBuf>) -> Result<()> {
    let planes = Planes::open(&process.options)?;
    let program = std::env::current_exe().context("the program's own file cannot be found")?;
    let ids = (1..=count).map(|number| NodeId(format!("node-{number}").into())).collect();
    let options = process.options.clone();
    let supervisor =
        Supervisor::start(ids, move |id| command(&program, id, &options, count, config.as_deref()));
    let cluster = cluster(&process.options.region, Dial::Clear(Exposure::LoopbackOnly));
    tokio::spawn(follow(cluster.clone(), count, supervisor.nodes()));
    let front = Front::new(&process, cluster.clone(), &planes)?;
    planes.lines()?.iter().for_each(|line| say(line));
    let (health, nodes) = (process.health.clone(), supervisor.nodes());
    // They have the certificate from the same options.
    let scheme = planes.edge.scheme(Spoken::Http1);
    tokio::spawn(async move {
        cluster.has_nodes(count).await;
        health.advance(Phase::Ready);
        tokio::spawn(watch_nodes(Cluster::clone(&cluster), health));
        let known: Vec<String> = nodes.borrow().iter().map(|node| line(node, scheme)).collect();
        known.iter().chain(&models(&cluster)).for_each(|line| say(line));
        say("ready   stop with Ctrl-C or SIGTERM");
    });
    let mut serving = Serving::new(process, front, planes.edge);
    serving.inference(planes.http, planes.grpc);
    let runtime = tokio::runtime::Handle::current();
    serving.until_stopped(planes.ops, move || runtime.block_on(supervisor.stop())).await
}

/// The command that starts a node: this program, with this process's own options where they mean the same for a node.
fn command(program: &Path, id: &NodeId, options: &Options, count: usize, config: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    command.arg("node").arg("--until-stdin-ends").args(["--id", &id.0]);
    command.args(["--address", "127.0.0.1:0", "--ops", "127.0.0.1:0"]);
    command.arg("--data").arg(options.data_dir.join("nodes").join(&*id.0));
    command.arg("--models").arg(&options.models_dir);
    command.args(["--device", &options.device.to_string()]);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command.env("SPINWELL_NODE_EXECUTORS", (options.executors / count).max(1).to_string());
    // Outcomes are the gateway's.
    command.env("SPINWELL_ACCESS_LOG_PATH", "").env("SPINWELL_OTLP_ENDPOINT", "");
    // They are this process's own, on loopback, and in no list.
    command.env("SPINWELL_REGISTRY_KIND", "static").env("SPINWELL_TLS_DIR", "");
    // Ctrl-C in a terminal is for this process, which drains before its nodes.
    command.process_group(0);
    command
}

/// Tells the gateway which nodes there are, as soon as all have been there once. One that is away stays a member: its sequences
/// wait for it.
async fn follow(cluster: Arc<Cluster>, count: usize, mut nodes: watch::Receiver<Nodes>) {
    let mut known: BTreeMap<NodeId, Member> = BTreeMap::new();
    loop {
        for node in nodes.borrow_and_update().iter() {
            known.insert(node.id.clone(), member(node));
        }
        if known.len() == count {
            cluster.set_members(known.values().cloned().collect());
        }
        if nodes.changed().await.is_err() {
            return;
        }
    }
}

fn member(node: &Running) -> Member {
    let Running { id, address, .. } = node.clone();
    Member {
        id,
        address: address.to_string(),
        weight: 1.0,
        // The node says itself.
        cluster: ClusterName::default(),
        capacity_per_second: None,
    }
}

fn line(node: &Running, scheme: &str) -> String {
    let Running { id, address, pid, ops, .. } = node;
    format!("node    {id} at {address} (process {pid}, metrics at {scheme}://{ops})")
}
