//! `spinwell bench`: put a server under load and say what its users would have seen.

mod drive;
mod grpc;
mod http;
mod load;
mod pace;
mod page;
mod sequences;
mod show;
mod tally;
mod trace;
mod work;

use crate::connection::{Connection, Server};
use crate::{failure, models, output};
use anyhow::Result;
use drive::Record;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use load::Load;
use pace::Arrivals;
use show::Run;
use spinwell_core::{Code, Fault};
use spinwell_runtime::clock;
use spinwell_runtime::tls::Spoken;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tally::Tally;
use tokio::task::LocalSet;
use trace::Trace;
use work::Subject;

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

    const fn spoken(self) -> Spoken {
        match self {
            Protocol::Http | Protocol::Binary | Protocol::Batch => Spoken::Http1,
            Protocol::Grpc | Protocol::Sequence => Spoken::Http2,
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
The exit code is 1 where a request failed for a reason other than being refused with a code that says to try again, and 2
where nothing was measured because all requests were in the warm-up.

Examples:
  spinwell bench --url http://127.0.0.1:8000 --model demand --concurrency 64
  spinwell bench --url http://127.0.0.1:8000 --model demand --protocol binary --rate 1000 --report load.html
  spinwell bench --url 127.0.0.1:8001 --model demand --protocol sequence --sequences 10000 --rate 5000
  spinwell bench --url http://127.0.0.1:8000 --model demand --protocol batch --windows 64 --json
  spinwell bench --url https://gateway.example:8000 --ca authority.pem --model demand --protocol binary")]
pub(crate) struct Args {
    /// The server: http://HOST:PORT, https://HOST:PORT, or HOST:PORT in the clear.
    #[arg(long, value_name = "URL")]
    url: String,
    #[command(flatten)]
    connection: Connection,
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
    #[arg(long, value_name = "S", default_value = "30", value_parser = some_seconds)]
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
    /// Write each request: when it was due, sent and ended, what became of it; of steps also which and a number of the answer.
    #[arg(long, value_name = "F.csv")]
    trace: Option<PathBuf>,
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

fn some_seconds(text: &str) -> Result<Duration, String> {
    let some = seconds(text)?;
    if some.is_zero() { Err("more than 0 seconds: nothing would be measured".to_owned()) } else { Ok(some) }
}

/// Refuses an address that is not host and port, with or without a scheme: a load goes to a listener, and to nothing behind a path.
fn check(url: &str) -> Result<(), Fault> {
    let schemes = ["http://", "grpc://", "https://", "grpcs://"];
    let rest = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)).unwrap_or(url);
    let wrong = |what: &str| Fault::new(Code::OptionInvalid, format!("{url:?} {what}"));
    if rest.contains("://") {
        return Err(wrong(
            "is not offered: the load goes over HTTP or gRPC; give http://HOST:PORT or https://HOST:PORT",
        ));
    }
    match rest.trim_end_matches('/').rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => {
            Ok(())
        }
        _ => Err(wrong("is no address: give http://HOST:PORT or https://HOST:PORT, without a path")),
    }
}

fn server(args: &Args, url: &str, spoken: Spoken) -> Result<Server, Fault> {
    check(url)?;
    args.connection.server(url, spoken)
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
    if let (Some(path), Some(trace)) = (&args.trace, &run.trace) {
        trace.write(path)?;
    }
    if let Some(path) = &args.report {
        page::write(&run, path)?;
        output::remark(&format!("report  {}", path.display()));
    }
    show::verdict(&run).map_err(failure::of_server)
}

async fn measure(args: &Args) -> Result<Run> {
    let server = server(args, &args.url, args.protocol.spoken())?;
    let subject = subject(args, &server).await?;
    let ops = args.ops.as_deref().map(|url| self::server(args, url, Spoken::Http1)).transpose()?;
    let before = counted(ops.as_ref()).await?;
    let stopped = Arc::new(AtomicBool::new(false));
    let listener = tokio::task::spawn_local(interrupted(stopped.clone()));
    let mut load = Load::new(args, server, subject, stopped).await?;
    // Everything is there: the clock begins.
    let start = clock::now();
    let from = start + args.warmup;
    let record = Record::new(Tally::new(from), args.trace.as_ref().map(|_| Trace::new()));
    if args.protocol == Protocol::Sequence {
        // Whoever wants to disturb the load waits for this.
        output::remark(&format!("{} sequences have begun", args.sequences));
    }
    let bar = tokio::task::spawn_local(progress(record.clone(), from, args.duration, args.rate));
    let driven = load.drive(start, &record).await;
    bar.abort();
    listener.abort();
    let after = counted(ops.as_ref()).await?;
    let mut tally = record.tally.borrow().clone();
    tally.end_second();
    Ok(Run {
        url: args.url.clone(),
        protocol: args.protocol,
        subject: load.subject,
        rate: args.rate,
        callers: load.callers,
        sequences: (args.protocol == Protocol::Sequence).then_some(args.sequences),
        elapsed: tally.last.saturating_duration_since(from),
        server_counted: after.zip(before).map(|(after, before)| after.saturating_sub(before)),
        sent_before: load.sent_before,
        driven,
        tally,
        trace: record.trace(),
    })
}

/// Asks the server what the model looks like.
async fn subject(args: &Args, server: &Server) -> Result<Subject> {
    let (name, version) = models::named(&args.model)?;
    let (name, version) = (name.as_str(), version.map(|version| version.0));
    let metadata = match args.protocol {
        Protocol::Http | Protocol::Binary | Protocol::Batch => {
            http::metadata(server, name, version).await.map_err(failure::of_server)?
        }
        Protocol::Grpc | Protocol::Sequence => {
            let mut client = grpc::connect(server).await?;
            let version = version.map(|version: u32| version.to_string()).unwrap_or_default();
            grpc::metadata(&mut client, name, &version).await.map_err(failure::of_server)?
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
async fn counted(ops: Option<&Server>) -> Result<Option<u64>> {
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
        let tally = record.tally.borrow();
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
        for good in [
            "127.0.0.1:8000",
            "http://127.0.0.1:8000/",
            "grpc://127.0.0.1:8000/",
            "https://127.0.0.1:8000",
            "grpcs://gateway.example:8001",
            "[::1]:8000",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["ftp://127.0.0.1:8000", "127.0.0.1", "http://host:port", "http://a:80/v2", ":80", ""] {
            assert_eq!(check(bad).unwrap_err().code(), Code::OptionInvalid, "{bad}");
        }
    }

    #[test]
    fn times_and_rates_are_bounded() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        assert_eq!(seconds("30s"), Ok(Duration::from_secs(30)));
        assert_eq!((seconds("0"), some_seconds("0.5")), (Ok(Duration::ZERO), Ok(Duration::from_millis(500))));
        assert!(["0", "0s", "-0", "1e-30", "-1"].iter().all(|text| some_seconds(text).is_err()));
        assert!(["", "-1", "nan", "1e99", "inf", "5m"].iter().all(|text| seconds(text).is_err()));
        assert!(["0", "-5", "nan", "inf", "x"].iter().all(|text| positive(text).is_err()));
    }
}
