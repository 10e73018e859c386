//! `spinwell control`: leads a region, and looks after node processes on this machine.

use super::access;
use super::args::{Common, address};
use super::edge::Edge;
use super::levels::Looker;
use super::process::{self, Given, Process};
use super::recorder::Recorder;
use super::region::{Known, Place, follow};
use crate::output::say;
use anyhow::{Context, Result};
use clap::Args;
use spinwell_control::{Control, Guardian, Home, LeftOver, Parts, Provisioner, wanted_at_start};
use spinwell_core::{Code, Fault, NodeId};
use spinwell_gateway::{Cluster, ClusterOptions, ConnectionCounts, Listening, Purpose, Routes, serve_http};
use spinwell_runtime::health::Phase;
use spinwell_runtime::options::{Exposure, Nodes, Options};
use spinwell_runtime::tls::Spoken;
use spinwell_runtime::transport::Dial;
use spinwell_runtime::{entropy, listen, shutdown, tls};
use spinwell_store::postgres::Postgres;
use spinwell_store::{ControlStore, Lock};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::process::Command;

/// Options of `spinwell control`.
#[derive(Debug, Clone, Args)]
#[command(mut_arg("config", |config| config.help("Configuration file (TOML), also of the nodes that it starts")))]
#[command(after_help = "\
One control of a region leads, by a lease in the database of store.url; without one it keeps its plans in a file of \
its own and is the only control. Nodes that it starts (--nodes) go on without it, and the next control with the same \
data folder looks after them again.

Control's ledger has the newest checkpoints of all other logs that it can read: those in its own ledger's folder, and those of the gateways \
in the registry and in control.gateways. So what is cut off such a log later shows (spinwell audit verify).

Every ten seconds control reads the metrics of these gateways and judges by them whether service levels are kept (spinwell slo status).

Examples:
  spinwell control --config region.toml --id c1 --ops 127.0.0.1:8012
  spinwell control --config region.toml --nodes 2
  spinwell cluster restart --url http://127.0.0.1:8012
  spinwell cluster scale 4 --url http://127.0.0.1:8012

Every key of the configuration file can also be set as SPINWELL_SECTION_KEY in the environment;
--print-config shows all of them with their values and where those came from.")]
pub(crate) struct ControlArgs {
    #[command(flatten)]
    common: Common,
    /// The control's name, of its own in the region [default: control].
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// Address for metrics, health and administration [default: 127.0.0.1:8002].
    #[arg(long, value_name = "ADDR", value_parser = address)]
    ops: Option<SocketAddr>,
    /// Where control keeps its own files and those of its nodes [default: ./spinwell-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Node processes on this machine to start and look after, named ID-1, ID-2, .. [default: 0]. `spinwell cluster scale` changes it
    /// while control runs; that number holds until this one is changed.
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
}

/// Leads where nobody else does, until SIGTERM or SIGINT.
///
/// # Errors
/// A [`Fault`] where the options are not valid, the store or an address cannot be opened.
pub(crate) fn run(args: ControlArgs) -> Result<()> {
    let given = Given::default()
        .text("control.id", args.id, "--id")
        .text("ops.address", args.ops, "--ops")
        .path("data.dir", args.data, "--data")
        .text("control.nodes", args.nodes, "--nodes");
    let config = args.common.config.clone();
    let called = |options: &Options| Some(format!("control {}", options.control.id));
    process::run(&args.common, given, called, |process| serve(process, config))
}

async fn serve(process: Process, config: Option<PathBuf>) -> Result<()> {
    let Process { options, health, mut asked_to_stop } = process;
    let own = options.control.clone();
    let edge = Edge::of(&options)?;
    let ops = listen::bind("ops", options.addresses.ops, options.exposure).map_err(|error| error.fault())?;
    let address = ops.local_addr()?;
    let known = Known::of(&options.region, tls::Role::Control, &own.id)?;
    let folder = options.data_dir.join("control");
    let _lock = Lock::take(&folder).map_err(|error| error.fault())?;
    let store = tokio::select! {
        store = open_store(&options, &folder) => store?,
        () = asked_to_stop.wait() => return Ok(()),
    };
    let place = Place::open(&options.region)?;
    let doors = access::doors(&options.access)?;
    let _kept = access::keep(doors.clone(), None, PathBuf::new());
    let region = region(&options, known.dial(options.exposure));
    tokio::spawn(follow(region.clone(), place.watch()));
    let machine = Arc::new(Machine::of(&options, config)?);
    let configured = machine.names(own.nodes);
    let wanted = tokio::select! {
        wanted = wanted_at_start(&store, &own.id, configured.clone()) => wanted?,
        () = asked_to_stop.wait() => return Ok(()),
    };
    wanted.iter().try_for_each(|id| machine.can_have(id))?;
    let guardian = machine.guardian.clone();
    let control = Control::new(Parts {
        id: own.id.clone(),
        life: entropy::seed(),
        store,
        region,
        nodes: guardian.nodes(),
        node_starts: guardian.starts(),
        left_over: LeftOver::in_folder(machine.homes.clone()),
        provisioner: machine,
        wanted,
        configured: configured.len(),
    });
    let recorder = Recorder::open(&options, place.watch())?;
    let ledger = recorder.as_ref().map(Recorder::book);
    let looker = Looker::new(&options, place.watch(), ledger.clone())?;
    let levels = looker.levels();
    let (stop, stops) = shutdown::channel();
    let looking = tokio::spawn(looker.run(stops.clone()));
    let recording = recorder.map(|recorder| tokio::spawn(recorder.run(stops.clone())));
    let (leading, leads) = (control.clone(), stops.clone());
    let leading = tokio::spawn(async move { leading.run(leads).await });
    let listening = Listening {
        listener: ops,
        limits: options.limits.clone(),
        counts: ConnectionCounts::default(),
        tls: edge.acceptor(Spoken::Http1),
    };
    let certificate = edge.certificate().cloned();
    let plane = spinwell_control::Plane { health: health.clone(), doors, ledger, certificate, levels };
    let router = spinwell_control::router(control, plane);
    let operations = tokio::spawn(serve_http(listening, router, health.clone(), stops));
    let scheme = edge.scheme(Spoken::Http1);
    say(&format!("serving {scheme}://{address} (metrics, health and administration)"));
    health.advance(Phase::Ready);
    say(&format!("ready   control {}, stop with Ctrl-C or SIGTERM", own.id));
    asked_to_stop.wait().await;
    health.advance(Phase::Stopping);
    stop.pull();
    // Nodes wait for no store that is silent.
    let recorded = async {
        match recording {
            Some(recording) => recording.await,
            None => Ok(()),
        }
    };
    let (led, recorded, ()) = tokio::join!(leading, recorded, end(guardian, own.stops_nodes, &options));
    led.context("control failed while it stopped")?;
    looking.await.context("the look at service levels failed while it stopped")?;
    recorded.context("the ledger was not closed in good order")?;
    operations.await.context("the operations plane failed while it stopped")?;
    place.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Lets the nodes go on, or has them stop.
async fn end(guardian: Guardian, stops_nodes: bool, options: &Options) {
    if !stops_nodes {
        return guardian.leave().await;
    }
    // A node that does not end in its time ends itself a moment later.
    let limit = std::time::Duration::from(options.drain_timeout).saturating_mul(2);
    if tokio::time::timeout(limit, guardian.stop()).await.is_err() {
        tracing::warn!("a node has not stopped in time (drain.timeout_ms) and is not waited for");
    }
}

async fn open_store(options: &Options, folder: &Path) -> Result<ControlStore, Fault> {
    let opened = match &options.store {
        Some(url) => Postgres::open(url.expose()).await.map(ControlStore::Shared),
        // The folder is ours alone.
        None => ControlStore::alone(&folder.join("spinwell.db")).await,
    };
    opened.map_err(|error| error.fault())
}

/// The way to the nodes, to look and to give orders.
fn region(options: &Options, dial: Dial) -> Arc<Cluster> {
    let region = &options.region;
    Arc::new(Cluster::new(ClusterOptions {
        gateway: options.control.id.clone(),
        purpose: Purpose::Orders,
        dial,
        beat: region.beat,
        silence: region.silence,
        failover: region.failover_timeout,
        routes: Routes::default(),
        // Gateways do.
        spread_models: false,
        seed: entropy::seed(),
    }))
}

/// Node processes of a control on this machine.
struct Machine {
    guardian: Guardian,
    options: Options,
    /// The folder with the homes of all nodes.
    homes: PathBuf,
    /// How many are wanted: they share the processors.
    count: Arc<AtomicUsize>,
}

impl Machine {
    /// Nodes that are started with this configuration; none yet.
    fn of(options: &Options, config: Option<PathBuf>) -> Result<Self> {
        let program = std::env::current_exe().context("the program's own file cannot be found")?;
        let count = Arc::new(AtomicUsize::new(options.control.nodes));
        let (own, share) = (options.clone(), count.clone());
        let guardian = Guardian::new(move |id, home| {
            let executors = (own.executors / share.load(Ordering::Relaxed).max(1)).max(1);
            command(&program, id, home, &own, executors, config.as_deref())
        });
        Ok(Self { guardian, options: options.clone(), homes: options.data_dir.join("nodes"), count })
    }
}

impl Provisioner for Machine {
    fn names(&self, count: usize) -> Vec<NodeId> {
        (1..=count).map(|number| NodeId(format!("{}-{number}", self.options.control.id).into())).collect()
    }

    fn can_have(&self, node: &NodeId) -> Result<(), Fault> {
        node_address(&self.options, node).map(drop)
    }

    fn look_after(&self, wanted: &[NodeId]) {
        self.count.store(wanted.len(), Ordering::Relaxed);
        let home = |id: &NodeId| (id.clone(), Home { data: self.homes.join(&*id.0) });
        self.guardian.look_after(wanted.iter().map(home).collect());
    }
}

/// Where a node listens: where the configuration lists it, or anywhere on the host of `node.address`, where the registry is told.
fn node_address(options: &Options, id: &NodeId) -> Result<SocketAddr, Fault> {
    let Nodes::Static(nodes) = &options.region.nodes else {
        return Ok(SocketAddr::new(options.region.node_address.ip(), 0));
    };
    let listed = nodes.iter().find(|node| node.id == *id).map(|node| node.address.parse());
    listed.and_then(Result::ok).ok_or_else(|| {
        let message = format!(
            "control is to start the node {id}, and registry.nodes lists no {id}=IP:PORT, so that nobody would find it"
        );
        Fault::new(Code::ConfigInvalid, message)
    })
}

/// The command that starts a node: this program, with the same configuration and its part of the processors.
fn command(
    program: &Path,
    id: &NodeId,
    home: &Home,
    options: &Options,
    executors: usize,
    config: Option<&Path>,
) -> Command {
    let mut command = Command::new(program);
    command.args(["node", "--id", &id.0]);
    if let Ok(address) = node_address(options, id) {
        let ops = SocketAddr::new(options.addresses.ops.ip(), 0);
        command.args(["--address", &address.to_string(), "--ops", &ops.to_string()]);
    }
    command.arg("--claim").arg(home.process());
    command.arg("--data").arg(&home.data);
    command.arg("--models").arg(&options.models_dir);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    if options.exposure == Exposure::Insecure {
        command.arg("--insecure");
    }
    command.env("SPINWELL_NODE_EXECUTORS", executors.to_string());
    // Outcomes are the gateways'.
    command.env("SPINWELL_ACCESS_LOG_PATH", "").env("SPINWELL_OTLP_ENDPOINT", "");
    // Control's certificate is no node's.
    let certificates =
        options.control.nodes_certificates.as_ref().map(|folder| folder.join(format!("node-{id}")));
    command.env("SPINWELL_TLS_DIR", certificates.unwrap_or_default());
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_runtime::options::{Override, Sources};

    fn options(overrides: &[(&'static str, &str)]) -> Options {
        let one = |(key, value): &(&'static str, &str)| Override {
            key,
            value: (*value).to_owned(),
            flag: "--flag",
        };
        let sources = Sources { overrides: overrides.iter().map(one).collect(), ..Sources::default() };
        Options::load(&sources).unwrap().options
    }

    #[test]
    fn nodes_listen_where_others_look_for_them() {
        let check = |overrides: &[(&'static str, &str)], wanted: Option<&str>| {
            let got = node_address(&options(overrides), &NodeId("c-1".into()));
            assert_eq!(got.ok().map(|address| address.to_string()).as_deref(), wanted, "{overrides:?}");
        };
        check(&[("registry.nodes", "c-1=127.0.0.1:8104,c-2=127.0.0.1:8204")], Some("127.0.0.1:8104"));
        check(&[("registry.nodes", "c-2=127.0.0.1:8204")], None);
        check(&[("registry.nodes", "c-1=somewhere:8104")], None);
        check(&[("registry.kind", "consul"), ("node.address", "10.0.0.5:8004")], Some("10.0.0.5:0"));
    }

    #[test]
    fn a_node_gets_its_own_certificate_and_its_part_of_the_processors() {
        let overrides = [
            ("control.nodes", "2"),
            ("node.executors", "5"),
            ("tls.dir", "/pki/control-c"),
            ("control.nodes_tls_dir", "/pki"),
            ("registry.nodes", "c-1=127.0.0.1:8104"),
        ];
        let home = Home { data: "/d/nodes/c-1".into() };
        let command =
            command(Path::new("spinwell"), &NodeId("c-1".into()), &home, &options(&overrides), 2, None);
        let command = command.as_std();
        let set = |name: &str| command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
        assert_eq!(set("SPINWELL_TLS_DIR"), Some("/pki/node-c-1".as_ref()));
        assert_eq!(set("SPINWELL_NODE_EXECUTORS"), Some("2".as_ref()));
        assert!(command.get_args().any(|argument| argument == "/d/nodes/c-1/process"));
    }
}
