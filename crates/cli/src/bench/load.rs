//! A load that is ready to go, and what becomes of it.

use super::drive::{Dispatcher, Record};
use super::grpc::{self, GrpcCaller};
use super::http::{HttpCaller, Kind, Posts};
use super::pace::Schedule;
use super::sequences::{Lane, LaneReport, Stream};
use super::tally::{Ended, Failure};
use super::work::Subject;
use super::{Args, Protocol};
use crate::connection::Server;
use anyhow::Result;
use spinwell_core::{Code, Fault};
use spinwell_runtime::clock;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// For how long answers are waited for after the last request was due.
const GRACE: Duration = Duration::from_secs(10);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Callers of an open loop over HTTP, each with a connection.
const HTTP_CALLERS: usize = 64;
/// Connections of the gRPC protocols.
const GRPC_CONNECTIONS: usize = 4;
/// Requests of an open loop under way on one gRPC connection.
const GRPC_IN_FLIGHT: usize = 64;
/// Requests under way in a closed loop.
const CONCURRENCY: usize = 16;

/// What became of the orders.
#[derive(Debug, Clone, Default)]
pub(super) struct Driven {
    /// Orders that callers took.
    pub(super) given: u64,
    /// Orders that were due and that nobody was free to take.
    pub(super) left: u64,
    /// Of sequences.
    pub(super) lanes: LaneReport,
}

/// A load that is ready to go.
pub(super) struct Load<'a> {
    args: &'a Args,
    pub(super) subject: Subject,
    pub(super) callers: usize,
    /// Requests that were sent to get ready.
    pub(super) sent_before: u64,
    stopped: Arc<AtomicBool>,
    kind: LoadKind,
}

enum LoadKind {
    Http(Vec<HttpCaller>),
    Grpc(Vec<GrpcCaller>),
    Sequences(Vec<Stream>),
}

impl<'a> Load<'a> {
    pub(super) async fn new(
        args: &'a Args,
        server: Server,
        subject: Subject,
        stopped: Arc<AtomicBool>,
    ) -> Result<Self> {
        let concurrency = args.concurrency.map_or(CONCURRENCY, |count| count as usize);
        let connections = args.connections.map(|count| count as usize);
        let is_open = args.rate.is_some();
        let mut sent_before = 0;
        let (kind, callers) = match args.protocol {
            Protocol::Http | Protocol::Binary | Protocol::Batch => {
                let kind = match args.protocol {
                    Protocol::Binary => Kind::Binary,
                    Protocol::Batch => Kind::Batch,
                    _ => Kind::Json,
                };
                let callers = if is_open { connections.unwrap_or(HTTP_CALLERS) } else { concurrency };
                let posts = Posts::new(kind, server, &subject);
                (LoadKind::Http((0..callers).map(|_| HttpCaller::new(posts.clone())).collect()), callers)
            }
            Protocol::Grpc => {
                let connections = connections.unwrap_or(GRPC_CONNECTIONS);
                let callers = if is_open { connections * GRPC_IN_FLIGHT } else { concurrency };
                let mut clients = Vec::new();
                for _ in 0..connections.min(callers) {
                    clients.push(grpc::connect(&server).await?);
                }
                let requests = grpc::requests(&subject);
                let all = clients.iter().cycle().take(callers);
                let caller = |client: &grpc::Client| {
                    GrpcCaller::new(client.clone(), requests.clone(), subject.windows)
                };
                (LoadKind::Grpc(all.map(caller).collect()), callers)
            }
            Protocol::Sequence => {
                let sequences = args.sequences as usize;
                let lanes = connections.unwrap_or(GRPC_CONNECTIONS).min(sequences);
                let in_flight = if is_open { GRPC_IN_FLIGHT } else { concurrency.div_ceil(lanes) };
                sent_before = u64::from(args.sequences);
                (
                    LoadKind::Sequences(begin(args, &server, &subject, lanes, in_flight).await?),
                    lanes * in_flight,
                )
            }
        };
        Ok(Self { args, subject, callers, sent_before, stopped, kind })
    }

    /// A dispatcher for one of `parts` equal parts of the load, to `callers` callers.
    fn dispatcher(&self, start: Instant, part: usize, parts: usize, callers: usize) -> Rc<Dispatcher> {
        let (args, stopped) = (self.args, self.stopped.clone());
        let end = start + args.warmup + args.duration;
        let (parts, part) = (parts as u64, part as u64);
        // The first parts have one more where they cannot be equal.
        let limit = args.requests.map_or(u64::MAX, |all| all / parts + u64::from(part < all % parts));
        Rc::new(match args.rate {
            None => Dispatcher::closed(start, end, limit, stopped),
            Some(rate) => {
                let (rate, limit) = (rate / parts as f64, usize::try_from(limit).unwrap_or(usize::MAX));
                let seed = args.seed.wrapping_add(part);
                let schedule = Schedule::new(args.arrivals, rate, args.warmup + args.duration, limit, seed);
                Dispatcher::open(start, end, schedule, callers, stopped)
            }
        })
    }

    /// Lets callers take orders, each one after the other.
    fn send<C: 'static>(
        &self,
        callers: Vec<C>,
        call: impl AsyncFn(&mut C, u64) -> Ended + Copy + 'static,
        start: Instant,
        tally: &Record,
        tasks: &mut JoinSet<LaneReport>,
    ) -> Rc<Dispatcher> {
        let shared = self.dispatcher(start, 0, 1, callers.len());
        for mut caller in callers {
            let (orders, tally) = (shared.clone(), tally.clone());
            tasks.spawn_local(async move {
                while let Some(order) = orders.next().await {
                    let sent = clock::now();
                    let ended = in_time(call(&mut caller, order.number)).await;
                    tally.end(order.intended, sent, &ended);
                }
                LaneReport::default()
            });
        }
        shared
    }

    pub(super) async fn drive(&mut self, start: Instant, tally: &Record) -> Driven {
        let kind = std::mem::replace(&mut self.kind, LoadKind::Http(Vec::new()));
        let mut tasks = JoinSet::new();
        let mut orders = Vec::new();
        let mut lanes = LaneReport::default();
        match kind {
            LoadKind::Http(callers) => {
                orders.push(self.send(
                    callers,
                    async |caller, number| caller.call(number).await,
                    start,
                    tally,
                    &mut tasks,
                ));
            }
            LoadKind::Grpc(callers) => {
                orders.push(self.send(
                    callers,
                    async |caller, number| caller.call(number).await,
                    start,
                    tally,
                    &mut tasks,
                ));
            }
            LoadKind::Sequences(streams) => {
                let parts = streams.len();
                for (part, stream) in streams.into_iter().enumerate() {
                    let own = self.dispatcher(start, part, parts, 1);
                    let (given, tally) = (own.clone(), tally.clone());
                    tasks.spawn_local(async move { stream.run(&given, &tally).await });
                    orders.push(own);
                }
            }
        }
        let patience = self.args.warmup + self.args.duration + GRACE + self.args.reconnect;
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                let report = ended.unwrap_or_default();
                lanes.add(&report);
            }
        };
        // Who has not ended by then is counted as not answered.
        let _ = tokio::time::timeout(patience, all).await;
        let sum = |count: fn(&Dispatcher) -> u64| orders.iter().map(|orders| count(orders)).sum();
        Driven { given: sum(Dispatcher::given), left: sum(Dispatcher::left), lanes }
    }
}

/// Opens the streams and begins all sequences.
async fn begin(
    args: &Args,
    server: &Server,
    subject: &Subject,
    lanes: usize,
    in_flight: usize,
) -> Result<Vec<Stream>, Fault> {
    let mut beginning = JoinSet::new();
    for number in 0..lanes {
        let lane = Lane {
            server: server.clone(),
            subject: subject.clone(),
            number,
            lanes,
            sequences: args.sequences as usize,
            in_flight,
            prefix: format!("bench-{}-", args.seed),
            reconnect: args.reconnect,
        };
        beginning.spawn_local(Stream::begin(lane));
    }
    let mut streams = Vec::new();
    while let Some(begun) = beginning.join_next().await {
        let failed = |_| Fault::new(Code::Internal, "a stream could not begin");
        streams.push(begun.map_err(failed)??);
    }
    // As they were numbered, so that each has the same part of the load in every run.
    streams.sort_by_key(Stream::number);
    Ok(streams)
}

async fn in_time(call: impl Future<Output = Ended>) -> Ended {
    let late = |_| Ended::Failed(Failure::of_client("client-timeout"));
    tokio::time::timeout(REQUEST_TIMEOUT, call).await.unwrap_or_else(late)
}
