//! `spinwell serve`: gateway and node in one process.
//!
//! This file wires and decides nothing: options become a node, a gateway and three listeners; a signal
//! becomes a drain. The order of the drain is the promise of no failed request: readiness off and a notice with each answer, no
//! new connections, requests in flight answered, then the node's queue, then the operations plane.

use crate::output::say;
use anyhow::{Context, Result};
use clap::Args;
use spinwell_core::{Code, Fault, Ratio};
use spinwell_gateway::{
    Addresses, Gateway, LiveAccuracy, Metrics, Parts, Readers, Traces, grpc_service, http_router, ops_router,
    serve_grpc, serve_http,
};
use spinwell_node::Node;
use spinwell_protocol::{NodeLink, Task};
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::options::{Device, Loaded, Options, Override, Sources};
use spinwell_runtime::{clock, entropy, listen, shutdown, telemetry};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

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
/// A [`Fault`] where the options are not valid, the models cannot be read, an address cannot be opened or
/// requests had to be abandoned at the end.
pub(crate) fn run(args: ServeArgs) -> Result<()> {
    let is_printed = args.print_config;
    let loaded = load(args)?;
    if is_printed {
        say(&loaded.print());
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("connections")
        .build()
        .context("the runtime cannot be started")?;
    let served = runtime.block_on(serve(loaded));
    // Dropping the runtime would wait for the node, and so for requests that the drain has given up.
    runtime.shutdown_background();
    served
}

fn load(args: ServeArgs) -> Result<Loaded, Fault> {
    let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    let path = |path: Option<PathBuf>| path.map(|path| path.display().to_string());
    let given = [
        ("data.dir", path(args.data), "--data"),
        ("models.dir", path(args.models), "--models"),
        ("http.address", address(args.http), "--http"),
        ("grpc.address", address(args.grpc), "--grpc"),
        ("ops.address", address(args.ops), "--ops"),
        ("node.device", args.device.map(|device| device.to_string()), "--device"),
        ("insecure", args.insecure.then(|| "true".to_owned()), "--insecure"),
    ];
    let overrides = given
        .into_iter()
        .filter_map(|(key, value, flag)| Some(Override { key, value: value?, flag }))
        .collect();
    Sources::of_this_process(args.config.as_deref(), overrides)
        .and_then(|sources| Options::load(&sources))
        .map_err(|error| error.fault())
}

/// The three listeners, open.
struct Listeners {
    http: TcpListener,
    grpc: TcpListener,
    ops: TcpListener,
}

async fn serve(loaded: Loaded) -> Result<()> {
    let options = &loaded.options;
    telemetry::start(&options.log).map_err(|message| Fault::new(Code::ConfigInvalid, message))?;
    for name in loaded.unknown_variables() {
        tracing::warn!(name, "the environment has a variable that is none of our keys");
    }
    let asked_to_stop = shutdown::on_signals().context("signals cannot be caught")?;
    // Before the models are loaded: a taken port is the commonest mistake and should be told at once.
    let listeners = open(options).map_err(|error| error.fault())?;
    let node = start_node(options).await?;
    let health = Health::default();
    let metrics = Arc::new(Metrics::new(&node.models()));
    let readers = Arc::new(Readers::start(&options.readers, metrics.clone(), &options.node_id)?);
    let gateway = Gateway::new(Parts {
        link: node.clone(),
        limits: options.limits.clone(),
        health: health.clone(),
        reader: readers.clone(),
        traces: readers.need_traces().then(|| traces(options)),
        statistics: metrics.statistics(),
        addresses: Addresses { http: listeners.http.local_addr()?, ops: listeners.ops.local_addr()? },
        accuracy: Arc::new(LiveAccuracy::new(options.accuracy)),
    });
    health.advance(Phase::Ready);
    announce(&listeners, &node)?;
    serve_until_stopped(Serving {
        options,
        listeners,
        node,
        gateway,
        metrics,
        readers,
        health,
        asked_to_stop,
    })
    .await
}

/// Where requests get their place in a trace. Without a collector no trace that begins here is recorded.
fn traces(options: &Options) -> Traces {
    let sampled = options.readers.otlp.as_ref().map_or(Ratio::ZERO, |otlp| otlp.sample_ratio);
    Traces::new(std::array::from_fn(|_| entropy::seed()), sampled)
}

/// What the access log, the traces and the operations plane get for their end, also where requests took all the time.
const LAST_WORDS: Duration = Duration::from_secs(1);

struct Serving<'a> {
    options: &'a Options,
    listeners: Listeners,
    node: Arc<Node>,
    gateway: Gateway,
    metrics: Arc<Metrics>,
    readers: Arc<Readers>,
    health: Health,
    asked_to_stop: shutdown::Shutdown,
}

async fn serve_until_stopped(serving: Serving<'_>) -> Result<()> {
    let Serving { options, listeners, node, gateway, metrics, readers, health, mut asked_to_stop } = serving;
    let limits = &options.limits;
    let (stop_inference, inference_stops) = shutdown::channel();
    let (stop_operations, operations_stop) = shutdown::channel();
    let inference = [
        tokio::spawn(serve_http(
            listeners.http,
            http_router(gateway.clone()),
            limits.clone(),
            health.clone(),
            inference_stops.clone(),
        )),
        tokio::spawn(serve_grpc(
            listeners.grpc,
            grpc_service(gateway.clone()),
            limits.clone(),
            inference_stops,
        )),
    ];
    let operations = tokio::spawn(serve_http(
        listeners.ops,
        ops_router(gateway, metrics),
        limits.clone(),
        health.clone(),
        operations_stop,
    ));
    asked_to_stop.wait().await;
    let ends = clock::now() + Duration::from(options.drain_timeout);
    health.advance(Phase::Leaving);
    tokio::time::sleep(options.drain_notice.min(options.drain_timeout).into()).await;
    health.advance(Phase::Stopping);
    stop_inference.pull();
    let drain = async {
        for plane in inference {
            plane.await?;
        }
        tokio::task::spawn_blocking(move || node.stop()).await
    };
    let drained = tokio::time::timeout(ends.saturating_duration_since(clock::now()), drain).await;
    stop_readers(readers, ends).await;
    stop_operations.pull();
    match drained {
        Ok(drained) => drained.context("a part of the server failed while it stopped")?,
        Err(_) => {
            let message = format!(
                "requests were still in flight {} after the stop was asked for (drain.timeout_ms) and were abandoned",
                options.drain_timeout
            );
            return Err(Fault::new(Code::Stopping, message).into());
        }
    }
    let rest = ends.saturating_duration_since(clock::now()).max(LAST_WORDS);
    match tokio::time::timeout(rest, operations).await {
        Ok(stopped) => stopped.context("the operations plane failed while it stopped")?,
        Err(_) => tracing::warn!("a caller of the operations plane was not waited for"),
    }
    tracing::info!("stopped");
    Ok(())
}

/// Delivers the outcomes that wait, after the last request; the metrics can still be asked meanwhile.
async fn stop_readers(readers: Arc<Readers>, ends: Instant) {
    let rest = ends.saturating_duration_since(clock::now()).max(LAST_WORDS);
    let stopped = tokio::task::spawn_blocking(move || readers.stop());
    if tokio::time::timeout(rest, stopped).await.is_err() {
        tracing::warn!(
            "the access log or the collector did not take all outcomes in time (drain.timeout_ms)"
        );
    }
}

fn open(options: &Options) -> Result<Listeners, listen::Error> {
    let open = |name, address: SocketAddr| listen::bind(name, address, options.exposure);
    Ok(Listeners {
        http: open("http", options.addresses.http)?,
        grpc: open("grpc", options.addresses.grpc)?,
        ops: open("ops", options.addresses.ops)?,
    })
}

async fn start_node(options: &Options) -> Result<Arc<Node>> {
    let node = spinwell_node::Options::of(options);
    let folder = options.models_dir.clone();
    let started = tokio::task::spawn_blocking(move || Node::start(&folder, &node));
    Ok(Arc::new(started.await?.map_err(|error| error.fault())?))
}

/// What a model of this task answers.
fn answer(task: &Task) -> String {
    match task {
        Task::Forecast(facts) => format!("{} steps of {}", facts.horizon, facts.targets.join(",")),
        Task::Classify { labels } => format!("one of {} classes", labels.len()),
        Task::Detect { targets, .. } => format!("anomalies of {}", targets.join(",")),
    }
}

/// Says where the server listens and what it serves: the addresses are the real ones, also for port 0.
fn announce(listeners: &Listeners, node: &Node) -> Result<()> {
    let mut lines = vec![
        format!("serving http://{} (inference, HTTP)", listeners.http.local_addr()?),
        format!("serving grpc://{} (inference, gRPC)", listeners.grpc.local_addr()?),
        format!("serving http://{} (metrics and health)", listeners.ops.local_addr()?),
    ];
    lines.extend(node.devices().iter().map(|device| format!("device  {device}")));
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
    lines.push("ready   stop with Ctrl-C or SIGTERM".to_owned());
    lines.iter().for_each(|line| say(line));
    Ok(())
}
