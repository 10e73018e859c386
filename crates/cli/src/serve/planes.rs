//! The listeners of a process, and its drain.
//!
//! The order of the drain is the promise of no failed request: readiness off and a notice with each answer, no new connections,
//! requests in flight answered, then the node's queue, then the operations plane.

use super::edge::Edge;
use super::process::Process;
use super::region::capacity_options;
use super::{access, at_rest, ledger};
use anyhow::{Context, Result};
use spinwell_core::{Code, Fault, Millis, Ratio};
use spinwell_gateway::{
    Addresses, Audit, Gateway, Listening, LiveAccuracy, Metrics, Parts, Readers, Traces, grpc_service,
    http_router, ops_router, serve_grpc, serve_http,
};
use spinwell_protocol::NodeLink;
use spinwell_runtime::health::Phase;
use spinwell_runtime::options::Options;
use spinwell_runtime::shutdown::{Shutdown, Trigger};
use spinwell_runtime::tls::Spoken;
use spinwell_runtime::{clock, entropy, listen, shutdown};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The three listeners of a process that answers callers, open.
pub(super) struct Planes {
    pub(super) http: TcpListener,
    pub(super) grpc: TcpListener,
    pub(super) ops: TcpListener,
    /// What callers are shown at all of them.
    pub(super) edge: Edge,
}

impl Planes {
    pub(super) fn open(options: &Options) -> Result<Self, Fault> {
        let edge = Edge::of(options)?;
        let open = |name, address: SocketAddr| {
            listen::bind(name, address, options.exposure).map_err(|error| error.fault())
        };
        Ok(Self {
            http: open("http", options.addresses.http)?,
            grpc: open("grpc", options.addresses.grpc)?,
            ops: open("ops", options.addresses.ops)?,
            edge,
        })
    }

    /// Where they are, a line each: the addresses are the real ones, also for port 0.
    pub(super) fn lines(&self) -> Result<Vec<String>> {
        let (http, grpc) = (self.edge.scheme(Spoken::Http1), self.edge.scheme(Spoken::Http2));
        Ok(vec![
            format!("serving {http}://{} (inference, HTTP)", self.http.local_addr()?),
            format!("serving {grpc}://{} (inference, gRPC)", self.grpc.local_addr()?),
            format!("serving {http}://{} (metrics and health)", self.ops.local_addr()?),
        ])
    }
}

/// The gateway of a process, and who reads its outcomes.
pub(super) struct Front {
    gateway: Gateway,
    metrics: Arc<Metrics>,
    readers: Arc<Readers>,
    audit: Option<Arc<Audit>>,
    /// Keeps what the door knows up to date.
    kept: Trigger,
}

impl Front {
    /// The gateway that callers meet.
    pub(super) fn new(process: &Process, link: Arc<dyn NodeLink>, planes: &Planes) -> Result<Self> {
        let (http, ops) = (planes.http.local_addr()?, planes.ops.local_addr()?);
        let addresses = Addresses { http, ops, is_https: planes.edge.is_encrypted() };
        let options = &process.options;
        let audit = ledger::open(&options.ledger, &options.region.gateway_id.0, at_rest::of(options)?)?;
        Self::of(process, link, addresses, audit)
    }

    /// The gateway behind a node's operations plane: nobody else can reach it.
    pub(super) fn of_node(
        process: &Process,
        link: Arc<dyn NodeLink>,
        ops: SocketAddr,
        edge: &Edge,
    ) -> Result<Self> {
        Self::of(process, link, Addresses { http: ops, ops, is_https: edge.is_encrypted() }, None)
    }

    /// Where outcomes are counted.
    pub(super) fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    fn of(
        process: &Process,
        link: Arc<dyn NodeLink>,
        addresses: Addresses,
        audit: Option<Arc<Audit>>,
    ) -> Result<Self> {
        let options = &process.options;
        let metrics = Arc::new(Metrics::new(&link.models()));
        if let Some(audit) = &audit {
            metrics.show_ledger(audit.clone());
        }
        let doors = access::doors(&options.access)?;
        let written = options.ledger.dir.join(format!("{}.access", options.region.gateway_id.0));
        let door = access::door(&options.access, doors.clone(), audit.clone());
        metrics.show_door(door.clone());
        let kept = access::keep(doors, audit.clone(), written);
        let readers = Arc::new(Readers::start(&options.readers, metrics.clone(), &options.node_id)?);
        let gateway = Gateway::new(Parts {
            link,
            limits: options.limits.clone(),
            health: process.health.clone(),
            reader: readers.clone(),
            traces: readers.need_traces().then(|| traces(options)),
            statistics: metrics.statistics(),
            addresses,
            accuracy: Arc::new(LiveAccuracy::new(options.accuracy)),
            capacity: capacity_options(&options.region)?,
            load_reporting: options.load_reporting,
            audit: audit.clone(),
            door,
        });
        Ok(Self { gateway, metrics, readers, audit, kept })
    }
}

/// Where requests get their place in a trace. Without a collector no trace that begins here is recorded.
fn traces(options: &Options) -> Traces {
    let sampled = options.readers.otlp.as_ref().map_or(Ratio::ZERO, |otlp| otlp.sample_ratio);
    Traces::new(std::array::from_fn(|_| entropy::seed()), sampled)
}

/// What the access log, the traces and the operations plane get for their end, also where requests took all the time.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A process that answers.
pub(super) struct Serving {
    process: Process,
    front: Front,
    edge: Edge,
    /// Where requests come in: each ends when it was told to stop and has answered.
    planes: Vec<JoinHandle<()>>,
    stop: Trigger,
    stops: Shutdown,
}

impl Serving {
    pub(super) fn new(process: Process, front: Front, edge: Edge) -> Self {
        let (stop, stops) = shutdown::channel();
        Self { process, front, edge, planes: Vec::new(), stop, stops }
    }

    /// Answers callers at these listeners.
    pub(super) fn inference(&mut self, http: TcpListener, grpc: TcpListener) {
        let (gateway, health) = (self.front.gateway.clone(), self.process.health.clone());
        let (router, service) = (http_router(gateway.clone()), grpc_service(gateway));
        let (http, grpc) =
            (self.listening("http", http, Spoken::Http1), self.listening("grpc", grpc, Spoken::Http2));
        self.plane(|stop| serve_http(http, router, health, stop));
        self.plane(|stop| serve_grpc(grpc, service, stop));
    }

    fn listening(&self, name: &'static str, listener: TcpListener, spoken: Spoken) -> Listening {
        let (limits, tls) = (self.process.options.limits.clone(), self.edge.acceptor(spoken));
        if let Some(acceptor) = &tls {
            self.front.metrics.show_handshakes(name, acceptor.handshakes());
        }
        if let Some(certificate) = self.edge.certificate() {
            self.front.metrics.show_certificate(name, certificate.clone());
        }
        Listening { listener, limits, counts: self.front.metrics.connections(name), tls }
    }

    /// Runs something else that answers requests, until it is told to stop and has answered.
    pub(super) fn plane<F: Future<Output = ()> + Send + 'static>(&mut self, run: impl FnOnce(Shutdown) -> F) {
        self.planes.push(tokio::spawn(run(self.stops.clone())));
    }

    /// Answers until a signal says to stop, and drains. `last` is done after the last request, and may block.
    ///
    /// # Errors
    /// Where requests had to be abandoned.
    pub(super) async fn until_stopped(
        self,
        ops: TcpListener,
        last: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        let ops = self.listening("ops", ops, Spoken::Http1);
        // The certificate is watched until the end.
        let Self { process, front, planes, stop, edge: _edge, .. } = self;
        let Process { options, health, mut asked_to_stop } = process;
        let (stop_operations, operations_stop) = shutdown::channel();
        let router = ops_router(front.gateway, front.metrics);
        let operations = tokio::spawn(serve_http(ops, router, health.clone(), operations_stop));
        asked_to_stop.wait().await;
        let ends = clock::now() + Duration::from(options.drain_timeout);
        // Nobody was sent to a process that was never ready, so nobody has to notice.
        let notice = match health.phase() {
            Phase::Starting => Millis(0),
            _ => options.drain_notice.min(options.drain_timeout),
        };
        health.advance(Phase::Leaving);
        tokio::time::sleep(notice.into()).await;
        health.advance(Phase::Stopping);
        stop.pull();
        let drain = async {
            for plane in planes {
                plane.await?;
            }
            tokio::task::spawn_blocking(last).await
        };
        let drained = tokio::time::timeout(ends.saturating_duration_since(clock::now()), drain).await;
        front.kept.pull();
        stop_readers(front.readers, ends).await;
        if let Some(audit) = front.audit {
            let rest = ends.saturating_duration_since(clock::now()).max(LAST_WORDS);
            let closed = tokio::task::spawn_blocking(move || audit.close());
            if !matches!(tokio::time::timeout(rest, closed).await, Ok(Ok(()))) {
                tracing::error!(
                    "the ledger was not closed in good order; what it has taken is in its journal"
                );
            }
        }
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
