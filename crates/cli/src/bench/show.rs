//! What a run was and what came of it: as lines, as JSON, and as a verdict.

use super::Protocol;
use super::load::Driven;
use super::tally::Tally;
use super::tally::says_again;
use super::trace::Trace;
use super::work::Subject;
use crate::output::{aligned, figure, percent};
use serde_json::{Value, json};
use spinwell_core::{Code, Fault};
use std::time::Duration;

/// The latencies that are shown, with what the service promises of them in milliseconds.
pub(crate) const PROMISES: [(&str, f64, f64); 4] =
    [("P50", 0.5, 25.0), ("P95", 0.95, 50.0), ("P99", 0.99, 100.0), ("P99.9", 0.999, 200.0)];

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Run {
    /// The server.
    pub(crate) url: String,
    /// How requests travelled.
    pub(crate) protocol: Protocol,
    /// The model.
    pub(crate) subject: Subject,
    /// Requests a second that were offered, in an open loop.
    pub(crate) rate: Option<f64>,
    /// Requests that could be under way.
    pub(crate) callers: usize,
    /// Live sequences.
    pub(crate) sequences: Option<u32>,
    /// How long was measured.
    pub(crate) elapsed: Duration,
    /// Requests that the server counted meanwhile, where it was asked.
    pub(crate) server_counted: Option<u64>,
    /// Requests that were sent to get ready.
    pub(crate) sent_before: u64,
    /// What became of the orders.
    pub(super) driven: Driven,
    /// What was counted.
    pub(crate) tally: Tally,
    /// Each request, where that was asked for.
    pub(crate) trace: Option<Trace>,
}

impl Run {
    /// Requests that were sent and not answered when the run was over.
    fn unanswered(&self) -> u64 {
        self.driven.given - self.tally.ended
    }

    /// Requests answered a second.
    pub(crate) fn rate_answered(&self) -> f64 {
        self.per_second(self.tally.answered.count())
    }

    /// How many of the seconds were measured to their ends: the last one seldom was, and less happens in a part of one.
    pub(super) fn whole_seconds(&self) -> usize {
        usize::try_from(self.elapsed.as_secs()).unwrap_or(usize::MAX)
    }

    fn per_second(&self, count: u64) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { count as f64 / self.elapsed.as_secs_f64() }
    }

    /// Inference requests that the server should have counted: a batch call is as many as it has windows. Steps that
    /// were sent again may have been counted by a server that is no more.
    fn sent_to_server(&self) -> u64 {
        let each = if self.protocol == Protocol::Batch { self.subject.windows as u64 } else { 1 };
        self.sent_before + self.driven.given * each
    }

    /// What was offered, in words.
    pub(crate) fn offered(&self) -> String {
        match self.rate {
            Some(rate) => format!("open loop, {} requests/s offered", figure(rate)),
            None => format!("closed loop, {} under way", self.callers),
        }
    }

    /// What one request is, in words.
    pub(crate) fn request(&self) -> String {
        let Subject { windows, rows, channels, .. } = &self.subject;
        match self.sequences {
            Some(sequences) => format!("one row of {sequences} live sequences, {channels} channels"),
            None => format!("windows {windows}, rows {rows}, channels {channels}"),
        }
    }
}

/// The run as lines for people.
pub(crate) fn table(run: &Run) -> Vec<String> {
    let tally = &run.tally;
    let answered = tally.answered.count();
    let mut lines = vec![
        format!("{} over {} at {}", run.subject.name, run.protocol.as_str(), run.url),
        format!("{}; {}; {} s", run.offered(), run.request(), figure(run.elapsed.as_secs_f64())),
        String::new(),
        format!(
            "answered  {answered} requests ({}/s), {} predictions ({}/s)",
            figure(run.rate_answered()),
            tally.predictions,
            figure(run.per_second(tally.predictions))
        ),
    ];
    if tally.failures.is_empty() {
        lines.push("failed    0".to_owned());
    }
    let of = if run.protocol == Protocol::Batch { " (windows)" } else { "" };
    for (code, count) in &tally.failures {
        let word = if says_again(code) { "refused" } else { "failed" };
        lines.push(format!("{word:9} {count} {code}{of}"));
    }
    if tally.failed_in_part > 0 {
        lines.push(format!("in part   {} of the answered calls", tally.failed_in_part));
    }
    if run.unanswered() + run.driven.left > 0 {
        let (unanswered, left) = (run.unanswered(), run.driven.left);
        lines
            .push(format!("lost      {unanswered} sent and not answered in time, {left} due and never sent"));
    }
    if run.driven.lanes.sent_again > 0 {
        lines.push(format!(
            "again     {} steps were sent again, after a lost connection or a refusal for now",
            run.driven.lanes.sent_again
        ));
    }
    lines.push(String::new());
    if answered > 0 {
        let mut rows = vec![["latency", "ms", "promise", "kept"].map(str::to_owned).to_vec()];
        for (name, share, promise) in PROMISES {
            let latency = tally.answered.quantile(share);
            let kept = match tally.answered.keep(share, promise) {
                Some(true) => "yes",
                Some(false) => "no",
                None => "too few",
            };
            rows.push(vec![name.to_owned(), figure(latency), format!("< {promise}"), kept.to_owned()]);
        }
        for (name, latency) in [("mean", tally.answered.mean()), ("longest", tally.answered.max())] {
            rows.push(vec![name.to_owned(), figure(latency), String::new(), String::new()]);
        }
        lines.push(aligned(&rows));
    }
    for (word, latencies) in [("refused", &tally.refused), ("failed", &tally.failed)] {
        if latencies.count() > 0 {
            let [p50, p99] = [0.5, 0.99].map(|share| figure(latencies.quantile(share)));
            lines.push(format!("{word:9} after P50 {p50} ms, P99 {p99} ms"));
        }
    }
    if let Some(counted) = run.server_counted {
        let sent = run.sent_to_server();
        let word = if counted == sent { "as many" } else { "NOT as many" };
        lines.push(format!("server    counted {counted} requests, {word} as were sent ({sent})"));
    }
    lines
}

/// The run as one JSON document.
pub(crate) fn json(run: &Run) -> Value {
    let tally = &run.tally;
    let latencies = |of: &super::tally::Latencies| {
        if of.count() == 0 {
            return Value::Null;
        }
        json!({
            "p50": of.quantile(0.5), "p90": of.quantile(0.9), "p95": of.quantile(0.95), "p99": of.quantile(0.99),
            "p999": of.quantile(0.999), "max": of.max(), "mean": of.mean(),
        })
    };
    let whole = run.whole_seconds();
    let seconds = tally.seconds.iter().enumerate().map(|(number, s)| {
        json!({"answered": s.answered, "refused": s.refused, "failed": s.failed, "p50_ms": s.p50, "p99_ms": s.p99,
            "max_ms": s.max, "is_whole": number < whole})
    });
    let seconds: Vec<Value> = seconds.collect();
    json!({
        "url": run.url,
        "model": run.subject.name,
        "protocol": run.protocol.as_str(),
        "loop": if run.rate.is_some() { "open" } else { "closed" },
        "rate": run.rate,
        "callers": run.callers,
        "windows": run.subject.windows,
        "rows": run.subject.rows,
        "sequences": run.sequences,
        "seconds": run.elapsed.as_secs_f64(),
        "answered": tally.answered.count(),
        "refused": tally.refused.count(),
        "failed": tally.failed_count(),
        "failed_in_part": tally.failed_in_part,
        "failures": tally.failures,
        "said": tally.said,
        "unanswered": run.unanswered(),
        "never_sent": run.driven.left,
        "warmup_requests": tally.warmup,
        "requests_per_second": run.rate_answered(),
        "predictions": tally.predictions,
        "predictions_per_second": run.per_second(tally.predictions),
        "latency_ms": latencies(&tally.answered),
        "service_ms": latencies(&tally.service),
        "refused_ms": latencies(&tally.refused),
        "failed_ms": latencies(&tally.failed),
        "sent": run.sent_to_server(),
        "server_counted": run.server_counted,
        "sent_again": run.driven.lanes.sent_again,
        "sent_again_after": run.driven.lanes.after,
        "answers_digest": run.sequences.map(|_| format!("{:016x}", run.driven.lanes.digest)),
        "per_second": seconds,
    })
}

/// Whether the run was what it should be.
///
/// # Errors
/// Where a request failed for a reason other than a refusal that says to try again (the server's own fault, where that is
/// what came most often), was not answered or never sent, where nothing was measured, or where the server has not counted
/// what was sent.
pub(crate) fn verdict(run: &Run) -> Result<(), Fault> {
    let failures = run.tally.failures.iter().filter(|(code, _)| !says_again(code));
    let lost = run.tally.failed_count() + run.unanswered() + run.driven.left;
    if lost > 0 {
        let all = run.tally.measured() + run.unanswered() + run.driven.left;
        let share = percent(lost as f64 / all.max(1) as f64);
        let message = format!("{lost} of {all} requests failed or were never sent ({share})");
        let code = failures.max_by_key(|(_, count)| **count).map(|(code, _)| code);
        let own = code.and_then(|code| Code::ALL.iter().find(|known| known.as_str() == code));
        return Err(match (own, code.and_then(|code| run.tally.said.get(code))) {
            (Some(own), Some(said)) => {
                Fault::new(*own, format!("{message}; most often the server said: {said}"))
            }
            _ => Fault::new(Code::Unreachable, message),
        });
    }
    if run.tally.measured() == 0 {
        let message = match run.tally.warmup {
            0 => "nothing was measured: no request was due; set a longer --duration or a higher --rate"
                .to_owned(),
            all => format!(
                "nothing was measured: all {all} requests were in the warm-up; set --warmup 0, or more --requests"
            ),
        };
        return Err(Fault::new(Code::OptionInvalid, message));
    }
    match run.server_counted {
        Some(counted) if counted != run.sent_to_server() && run.driven.lanes.sent_again == 0 => {
            let sent = run.sent_to_server();
            let message =
                format!("the server counted {counted} requests and {sent} were sent: did others call it?");
            Err(Fault::new(Code::Internal, message))
        }
        _ => Ok(()),
    }
}
