//! `spinwell bench`: put a server under load and say what its users would have seen.

mod drive;
mod grpc;
mod http;
mod pace;
mod page;
mod sequences;
mod show;
mod tally;
mod work;

use crate::failure;
use crate::output;
use anyhow::Result;
use drive::{Dispatcher, Record};
use grpc::GrpcCaller;
use http::{HttpCaller, Kind, Posts};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pace::{Arrivals, Schedule};
use sequences::{Lane, LaneReport, Stream};
use show::Run;
use spinwell_core::{Code, Fault};
use spinwell_runtime::clock;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tally::{Ended, Tally};
use tokio::task::{JoinSet, LocalSet};
use work::Subject;

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

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// JSON over HTTP, POST /v2/models/M/infer.
    Http,
    /// Binary tensors over HTTP.
    Binary,
    /// gRPC, ModelInfer.
    Grpc,
    /// The batch call, POST /v1/predictions; --windows are its requests.
    Batch,
    /// Steps of live sequences over gRPC streams, ModelStreamInfer.
    Sequence,
}

impl Protocol {
    const fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Binary => "binary",
            Protocol::Grpc => "grpc",
            Protocol::Batch => "batch",
            Protocol::Sequence => "sequence",
        }
    }
}

/// Options of `spinwell bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --rate the loop is open: requests are sent when they are due, whatever becomes of those before, and a latency
counts from when a request was due (no coordinated omission). Without it the loop is closed: --concurrency requests are
under way, the next is sent when one is answered; that shows what a server can do at most.

--url is the HTTP address for http, binary and batch, and the gRPC address for grpc and sequence.
With --ops, the address of the server's metrics, the server's own count of requests is held against ours.
The exit code is 1 where a request failed for a reason other than being refused with a code that says to try again.

Examples:
  spinwell bench --url http://127.0.0.1:8000 --model demand --concurrency 64
  spinwell bench --url http://127.0.0.1:8000 --model demand --protocol binary --rate 1000 --report load.html
  spinwell bench --url 127.0.0.1:8001 --model demand --protocol sequence --sequences 10000 --rate 5000
  spinwell bench --url http://127.0.0.1:8000 --model demand --protocol batch --windows 64 --json")]
pub(crate) struct Args {
    /// The server: http://HOST:PORT or HOST:PORT.
    #[arg(long, value_name = "URL")]
    url: String,
    /// The model: NAME or NAME:VERSION.
    #[arg(long, value_name = "M")]
    model: String,
    /// How requests travel.
    #[arg(long, value_enum, default_value = "http")]
    protocol: Protocol,
    /// Open loop: requests (or steps) a second.
    #[arg(long, value_name = "R", value_parser = positive, conflicts_with = "concurrency")]
    rate: Option<f64>,
    /// Closed loop: requests (or steps) under way [default: 16].
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    concurrency: Option<u32>,
    /// Seconds that are measured.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    duration: Duration,
    /// Seconds before them that are not.
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds)]
    warmup: Duration,
    /// Stop after so many requests (or steps), those of the warm-up included.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Rows in a window; of a sequence, in its first step [default: what the model recommends].
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    window: Option<u32>,
    /// Windows in a request [default: 1, of a batch call 16].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    windows: Option<u32>,
    /// Connections [default: 64 for an open loop over HTTP, 4 for gRPC].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    connections: Option<u32>,
    /// Live sequences.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    sequences: u32,
    /// Of sequences: seconds for which a lost connection is tried again; what was not answered, or refused for now, is sent again.
    #[arg(long, value_name = "S", default_value = "0", value_parser = seconds)]
    reconnect: Duration,
    /// Of an open loop: how requests follow each other.
    #[arg(long, value_enum, default_value = "poisson")]
    arrivals: Arrivals,
    /// The seed of the arrivals.
    #[arg(long, value_name = "N", default_value = "42")]
    seed: u64,
    /// The server's metrics, to count along.
    #[arg(long, value_name = "URL")]
    ops: Option<String>,
    /// Write a report with charts: one HTML file that needs nothing else.
    #[arg(long, value_name = "F.html")]
    report: Option<PathBuf>,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= 1e7);
    number.ok_or_else(|| "a number over 0, 10000000 at most".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    let number = number.filter(|number| (0.0..=604_800.0).contains(number));
    number.map(Duration::from_secs_f64).ok_or_else(|| "seconds, such as 30 or 2.5; a week at most".to_owned())
}

/// `host:port` of an address with or without a scheme.
fn authority(url: &str) -> Result<String, Fault> {
    let rest = ["http://", "grpc://"].iter().find_map(|scheme| url.strip_prefix(scheme)).unwrap_or(url);
    let rest = rest.trim_end_matches('/');
    let wrong = |what: &str| Fault::new(Code::OptionInvalid, format!("{url:?} {what}"));
    if rest.contains("://") {
        return Err(wrong("is not offered: the load goes over plain HTTP or gRPC; give http://HOST:PORT"));
    }
    match rest.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => {
            Ok(rest.to_owned())
        }
        _ => Err(wrong("is no address: give http://HOST:PORT, without a path")),
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let failed = |error: std::io::Error| failure::fault(Code::Internal, error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let run = LocalSet::new().block_on(&runtime, measure(args))?;
    // Connections that still wait for an answer are not waited for.
    runtime.shutdown_background();
    if args.json {
        output::document(&show::json(&run));
    } else {
        show::table(&run).iter().for_each(|line| output::say(line));
    }
    if let Some(path) = &args.report {
        page::write(&run, path)?;
        output::remark(&format!("report  {}", path.display()));
    }
    show::verdict(&run).map_err(Into::into)
}

async fn measure(args: &Args) -> Result<Run> {
    let authority = authority(&args.url)?;
    let subject = subject(args, &authority).await?;
    let ops = args.ops.as_deref().map(self::authority).transpose()?;
    let before = counted(ops.as_deref()).await?;
    let stopped = Arc::new(AtomicBool::new(false));
    let listener = tokio::task::spawn_local(interrupted(stopped.clone()));
    let mut load = Load::new(args, authority, subject, stopped).await?;
    // Everything is there: the clock begins.
    let start = clock::now();
    let from = start + args.warmup;
    let tally = Record(Rc::new(RefCell::new(Tally::new(from))));
    let bar = tokio::task::spawn_local(progress(tally.clone(), from, args.duration, args.rate));
    let driven = load.drive(start, &tally).await;
    bar.abort();
    listener.abort();
    let measured = clock::now().min(from + args.duration).saturating_duration_since(from);
    let after = counted(ops.as_deref()).await?;
    let mut tally = tally.0.borrow().clone();
    tally.end_second();
    Ok(Run {
        url: args.url.clone(),
        protocol: args.protocol,
        subject: load.subject,
        rate: args.rate,
        callers: load.callers,
        sequences: (args.protocol == Protocol::Sequence).then_some(args.sequences),
        elapsed: measured,
        server_counted: after.zip(before).map(|(after, before)| after.saturating_sub(before)),
        sent_before: load.sent_before,
        driven,
        tally,
    })
}

/// What became of the orders.
#[derive(Debug, Clone, Copy, Default)]
struct Driven {
    /// Orders that callers took.
    given: u64,
    /// Orders that were due and that nobody was free to take.
    left: u64,
    /// Of sequences.
    lanes: LaneReport,
}

/// A load that is ready to go.
struct Load<'a> {
    args: &'a Args,
    subject: Subject,
    callers: usize,
    /// Requests that were sent to get ready.
    sent_before: u64,
    stopped: Arc<AtomicBool>,
    kind: LoadKind,
}

enum LoadKind {
    Http(Vec<HttpCaller>),
    Grpc(Vec<GrpcCaller>),
    Sequences(Vec<Stream>),
}

impl<'a> Load<'a> {
    async fn new(
        args: &'a Args,
        authority: String,
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
                let posts = Posts::new(kind, &authority, &subject);
                (LoadKind::Http((0..callers).map(|_| HttpCaller::new(posts.clone())).collect()), callers)
            }
            Protocol::Grpc => {
                let connections = connections.unwrap_or(GRPC_CONNECTIONS);
                let callers = if is_open { connections * GRPC_IN_FLIGHT } else { concurrency };
                let mut clients = Vec::new();
                for _ in 0..connections.min(callers) {
                    clients.push(grpc::connect(&authority).await?);
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
                    LoadKind::Sequences(begin(args, &authority, &subject, lanes, in_flight).await?),
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

    async fn drive(&mut self, start: Instant, tally: &Record) -> Driven {
        let kind = std::mem::replace(&mut self.kind, LoadKind::Http(Vec::new()));
        let mut tasks = JoinSet::new();
        let mut orders = Vec::new();
        let mut lanes = LaneReport::default();
        match kind {
            LoadKind::Http(callers) => {
                let shared = self.dispatcher(start, 0, 1, callers.len());
                for mut caller in callers {
                    let (orders, tally) = (shared.clone(), tally.clone());
                    tasks.spawn_local(async move {
                        while let Some(order) = orders.next().await {
                            let sent = clock::now();
                            let ended = in_time(caller.call(order.number)).await;
                            tally.end(order.intended, sent, &ended);
                        }
                        LaneReport::default()
                    });
                }
                orders.push(shared);
            }
            LoadKind::Grpc(callers) => {
                let shared = self.dispatcher(start, 0, 1, callers.len());
                for mut caller in callers {
                    let (orders, tally) = (shared.clone(), tally.clone());
                    tasks.spawn_local(async move {
                        while let Some(order) = orders.next().await {
                            let sent = clock::now();
                            let ended = in_time(caller.call(order.number)).await;
                            tally.end(order.intended, sent, &ended);
                        }
                        LaneReport::default()
                    });
                }
                orders.push(shared);
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
                lanes.digest = lanes.digest.wrapping_add(report.digest);
                lanes.sent_again += report.sent_again;
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
    authority: &str,
    subject: &Subject,
    lanes: usize,
    in_flight: usize,
) -> Result<Vec<Stream>, Fault> {
    let mut beginning = JoinSet::new();
    for number in 0..lanes {
        let lane = Lane {
            authority: authority.to_owned(),
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
    let late = |_| Ended::Failed("client-timeout".to_owned());
    tokio::time::timeout(REQUEST_TIMEOUT, call).await.unwrap_or_else(late)
}

/// Asks the server what the model looks like.
async fn subject(args: &Args, authority: &str) -> Result<Subject> {
    let (name, version) = match args.model.split_once(':') {
        None => (args.model.as_str(), None),
        Some((name, version)) => {
            let wrong = || format!("{:?} names no version: write NAME:VERSION, such as demand:2", args.model);
            let version = version.parse().map_err(|_| Fault::new(Code::OptionInvalid, wrong()))?;
            (name, Some(version))
        }
    };
    let metadata = match args.protocol {
        Protocol::Http | Protocol::Binary | Protocol::Batch => {
            http::metadata(authority, name, version).await?
        }
        Protocol::Grpc | Protocol::Sequence => {
            let mut client = grpc::connect(authority).await?;
            let version = version.map(|version: u32| version.to_string()).unwrap_or_default();
            grpc::metadata(&mut client, name, &version).await?
        }
    };
    let windows = match (args.protocol, args.windows) {
        (Protocol::Sequence, Some(windows)) if windows > 1 => {
            let message = "a step of a sequence has one window: leave --windows out with --protocol sequence";
            return Err(Fault::new(Code::OptionInvalid, message).into());
        }
        (_, Some(windows)) => windows as usize,
        (Protocol::Batch, None) => 16,
        _ => 1,
    };
    let rows = args.window.map(|rows| rows as usize);
    Ok(Subject::new(&metadata, version, rows, windows)?)
}

/// How many inference requests the server has counted.
async fn counted(ops: Option<&str>) -> Result<Option<u64>> {
    let Some(ops) = ops else { return Ok(None) };
    let page = http::page(ops, "/metrics").await?;
    let of_series = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        series.strip_prefix("spinwell_requests_total").and_then(|_| value.parse::<f64>().ok())
    };
    Ok(Some(page.lines().filter_map(of_series).sum::<f64>() as u64))
}

async fn interrupted(stopped: Arc<AtomicBool>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        output::remark("stopping; what was measured until now is shown");
        stopped.store(true, Ordering::Relaxed);
    }
}

/// Shows how it goes, twice a second, where somebody looks.
async fn progress(record: Record, from: Instant, duration: Duration, rate: Option<f64>) {
    let bar = ProgressBar::with_draw_target(Some(duration.as_secs().max(1)), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("  load {bar:24.cyan/dim} {pos}/{len} s  {msg}");
    bar.set_style(style.expect("the template is valid").progress_chars("━╸─"));
    let offered = rate.map(|rate| format!(" of {rate:.0} offered")).unwrap_or_default();
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    loop {
        ticks.tick().await;
        let now = clock::now();
        if now < from {
            bar.set_message("warming up");
            continue;
        }
        bar.set_position(now.saturating_duration_since(from).as_secs());
        let tally = record.0.borrow();
        if let Some(last) = tally.seconds.last() {
            let failed = tally.failed_count();
            let failed = if failed == 0 { String::new() } else { format!("  {failed} failed") };
            bar.set_message(format!(
                "{}/s{offered}  P50 {:.2} ms  P99 {:.2} ms{failed}",
                last.answered, last.p50, last.p99
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_with_or_without_a_scheme_and_others_refused() {
        for good in
            ["127.0.0.1:8000", "http://127.0.0.1:8000", "grpc://127.0.0.1:8000/", "http://127.0.0.1:8000/"]
        {
            assert_eq!(authority(good).unwrap(), "127.0.0.1:8000");
        }
        assert_eq!(authority("[::1]:8000").unwrap(), "[::1]:8000");
        for bad in ["https://127.0.0.1:8000", "127.0.0.1", "http://host:port", "http://a:80/v2", ":80", ""] {
            assert_eq!(authority(bad).unwrap_err().code(), Code::OptionInvalid, "{bad}");
        }
    }

    #[test]
    fn times_and_rates_are_bounded() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        assert_eq!(seconds("30s"), Ok(Duration::from_secs(30)));
        assert!(["", "-1", "nan", "1e99", "inf", "5m"].iter().all(|text| seconds(text).is_err()));
        assert!(["0", "-5", "nan", "inf", "x"].iter().all(|text| positive(text).is_err()));
    }
}
