//! What came of the requests.
//!
//! A latency is counted from the moment a request should have been sent, not from when it was: a stalled server holds up
//! the requests behind, and leaving their waiting out (coordinated omission) would flatter it.

use hdrhistogram::Histogram;
use spinwell_core::Code;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The longest latency that is told from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(600);

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The server's code, or what the client saw.
    pub(crate) code: String,
    /// The server's words, where it said any.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// What the client saw, where no server said anything.
    pub(crate) fn of_client(what: &str) -> Self {
        Self::new(what, "")
    }
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Answered, with so many predictions; of a batch call, and so many refused ones by their codes.
    Answered {
        /// Predictions in the answer.
        predictions: u64,
        /// Requests of the call that failed, by code.
        refused: Vec<Failure>,
    },
    /// Refused or failed. It is a refusal where the code says to try again.
    Failed(Failure),
}

/// One second of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Second {
    /// Requests answered.
    pub(crate) answered: u64,
    /// Requests that were refused with a code that says to try again.
    pub(crate) refused: u64,
    /// Requests that failed.
    pub(crate) failed: u64,
    /// Latencies of answers, in milliseconds: half are below, 99 % are below, the longest.
    pub(crate) p50: f64,
    /// See `p50`.
    pub(crate) p99: f64,
    /// See `p50`.
    pub(crate) max: f64,
}

/// Latencies of a kind.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    fn new() -> Self {
        // Three digits: a latency is known to 0.1 %.
        let longest = u64::try_from(LATENCY_MAX.as_micros()).unwrap_or(u64::MAX);
        Self(Histogram::new_with_bounds(1, longest, 3).expect("the bounds are those of the crate"))
    }

    fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that a share of all does not exceed, in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }

    /// Whether a share of all stays below a promise in milliseconds. Nothing where they are so few that the longest of them alone
    /// would decide: 1,000 for 99.9 %.
    pub(crate) fn keep(&self, share: f64, promise: f64) -> Option<bool> {
        let needed = (1.0 / (1.0 - share)).round() as u64;
        (self.count() >= needed).then(|| self.quantile(share) < promise)
    }

    /// The longest, in milliseconds.
    pub(crate) fn max(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    /// The mean, in milliseconds.
    pub(crate) fn mean(&self) -> f64 {
        self.0.mean() / 1e3
    }
}

/// The second that is being counted.
#[derive(Debug, Clone)]
struct InSecond {
    refused: u64,
    failed: u64,
    answered: Latencies,
}

impl InSecond {
    fn new() -> Self {
        Self { refused: 0, failed: 0, answered: Latencies::new() }
    }
}

/// Everything that was counted of a run.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    from: Instant,
    /// When the newest request ended: until then was measured, however long ago the last was due.
    pub(crate) last: Instant,
    second: usize,
    in_second: InSecond,
    /// One after the other.
    pub(crate) seconds: Vec<Second>,
    /// Latencies of answered requests, from when they should have been sent.
    pub(crate) answered: Latencies,
    /// The same, from when they were sent.
    pub(crate) service: Latencies,
    /// Latencies of requests that were refused for now, from when they were sent.
    pub(crate) refused: Latencies,
    /// The same of those that failed.
    pub(crate) failed: Latencies,
    /// Requests that were answered and of whose windows some failed, other than by a refusal for now.
    pub(crate) failed_in_part: u64,
    /// Refusals and failures by code: of requests, and of the windows of a batch call, each by itself.
    pub(crate) failures: BTreeMap<String, u64>,
    /// What was said with the first of each code.
    pub(crate) said: BTreeMap<String, String>,
    /// Predictions in all answers.
    pub(crate) predictions: u64,
    /// Requests of the warm-up, which are in no other figure.
    pub(crate) warmup: u64,
    /// Requests of all kinds, the warm-up's too, that were sent and ended.
    pub(crate) ended: u64,
}

impl Tally {
    /// Counts what should be sent from `from` on; what comes earlier is warm-up.
    pub(crate) fn new(from: Instant) -> Self {
        Self {
            from,
            last: from,
            second: 0,
            in_second: InSecond::new(),
            seconds: Vec::new(),
            answered: Latencies::new(),
            service: Latencies::new(),
            refused: Latencies::new(),
            failed: Latencies::new(),
            failed_in_part: 0,
            failures: BTreeMap::new(),
            said: BTreeMap::new(),
            predictions: 0,
            warmup: 0,
            ended: 0,
        }
    }

    /// Counts a request that should have been sent at `intended`, was sent at `sent` and ended at `done`.
    pub(crate) fn record(&mut self, intended: Instant, sent: Instant, done: Instant, ended: &Ended) {
        self.ended += 1;
        self.last = self.last.max(done);
        if intended < self.from {
            self.warmup += 1;
            return;
        }
        let second = usize::try_from(done.saturating_duration_since(self.from).as_secs()).unwrap_or(0);
        while self.second < second {
            self.end_second();
        }
        let fails = |failure: &Failure| !says_again(&failure.code);
        match ended {
            // A call without an answer to any of its windows is none that was answered.
            Ended::Answered { predictions: 0, refused } if !refused.is_empty() => {
                let took = done.saturating_duration_since(sent);
                self.end_without(refused.iter().any(fails), took);
                refused.iter().for_each(|failure| self.fail(failure));
            }
            Ended::Answered { predictions, refused } => {
                self.failed_in_part += u64::from(refused.iter().any(fails));
                let latency = done.saturating_duration_since(intended);
                self.predictions += predictions;
                self.answered.record(latency);
                self.service.record(done.saturating_duration_since(sent));
                self.in_second.answered.record(latency);
                refused.iter().for_each(|failure| self.fail(failure));
            }
            Ended::Failed(failure) => {
                self.end_without(fails(failure), done.saturating_duration_since(sent));
                self.fail(failure);
            }
        }
    }

    /// A request ended without an answer; it has failed, or it was refused for now.
    fn end_without(&mut self, has_failed: bool, took: Duration) {
        if has_failed {
            self.failed.record(took);
            self.in_second.failed += 1;
        } else {
            self.refused.record(took);
            self.in_second.refused += 1;
        }
    }

    fn fail(&mut self, Failure { code, message }: &Failure) {
        *self.failures.entry(code.clone()).or_default() += 1;
        self.said.entry(code.clone()).or_insert_with(|| message.clone());
    }

    /// Ends the second that is being counted.
    pub(crate) fn end_second(&mut self) {
        let InSecond { refused, failed, answered } = std::mem::replace(&mut self.in_second, InSecond::new());
        let [p50, p99] = [0.5, 0.99].map(|share| answered.quantile(share));
        let max = answered.max();
        self.seconds.push(Second { answered: answered.count(), refused, failed, p50, p99, max });
        self.second += 1;
    }

    /// Requests that failed, as a whole or in part, those refused for now not among them.
    pub(crate) fn failed_count(&self) -> u64 {
        self.failed.count() + self.failed_in_part
    }

    /// Requests that ended and were measured, however they ended.
    pub(crate) fn measured(&self) -> u64 {
        self.answered.count() + self.refused.count() + self.failed.count()
    }
}

/// Whether a code says to try again.
pub(crate) fn says_again(code: &str) -> bool {
    Code::ALL.iter().any(|known| known.as_str() == code && known.retryable())
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_runtime::clock;

    #[test]
    fn waiting_before_a_request_was_sent_counts_and_the_warm_up_does_not() {
        let start = clock::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut tally = Tally::new(at(100));
        let answered = Ended::Answered { predictions: 2, refused: Vec::new() };
        tally.record(at(50), at(50), at(500), &answered);
        tally.record(at(100), at(300), at(400), &answered);
        tally.record(
            at(200),
            at(200),
            at(2250),
            &Ended::Failed(Failure::new("SPW-QUEUE-FULL", "the queue is full")),
        );
        tally.record(at(210), at(210), at(2260), &Ended::Failed(Failure::of_client("client-timeout")));
        tally.end_second();
        assert_eq!((tally.ended, tally.warmup, tally.predictions), (4, 1, 2));
        assert_eq!((tally.measured(), tally.refused.count(), tally.failed_count()), (3, 1, 1));
        let near = |got: f64, wanted: f64| assert!((got / wanted - 1.0).abs() < 0.002, "{got} for {wanted}");
        near(tally.answered.quantile(0.99), 300.0);
        near(tally.service.quantile(0.5), 100.0);
        near(tally.refused.max(), 2050.0);
        let counted = |second: &Second| (second.answered, second.refused, second.failed);
        assert_eq!(tally.seconds.iter().map(counted).collect::<Vec<_>>(), [(1, 0, 0), (0, 0, 0), (0, 1, 1)]);
        assert_eq!(
            (tally.failures["SPW-QUEUE-FULL"], &*tally.said["SPW-QUEUE-FULL"]),
            (1, "the queue is full")
        );
        assert_eq!(tally.last, at(2260));
    }

    #[test]
    fn a_promise_is_kept_by_enough_requests_alone() {
        let of = |count: u64, ms: u64| {
            let mut latencies = Latencies::new();
            (0..count).for_each(|_| latencies.record(Duration::from_millis(ms)));
            latencies
        };
        let check = |latencies: &Latencies, share: f64, wanted: Option<bool>| {
            assert_eq!(latencies.keep(share, 200.0), wanted, "{share} of {}", latencies.count());
        };
        check(&of(999, 1), 0.999, None);
        check(&of(999, 300), 0.999, None);
        check(&of(1_000, 1), 0.999, Some(true));
        check(&of(1_000, 300), 0.999, Some(false));
        check(&of(99, 1), 0.99, None);
        check(&of(100, 1), 0.99, Some(true));
        check(&of(1, 1), 0.5, None);
        check(&of(2, 1), 0.5, Some(true));
    }

    #[test]
    fn a_call_is_one_request_whatever_becomes_of_its_windows() {
        let start = clock::now();
        let check = |predictions: u64, codes: &[&str], wanted: (u64, u64, u64)| {
            let mut tally = Tally::new(start);
            let refused: Vec<_> = codes.iter().map(|code| Failure::new(*code, "so")).collect();
            tally.record(start, start, start, &Ended::Answered { predictions, refused });
            let counted = (tally.answered.count(), tally.refused.count(), tally.failed_count());
            assert_eq!((counted, tally.measured()), (wanted, 1), "{predictions} and {codes:?}");
            assert_eq!(tally.failures.values().sum::<u64>(), codes.len() as u64);
        };
        let (again, wrong) = ("SPW-QUEUE-FULL", "SPW-REQUEST-INVALID");
        check(16, &[], (1, 0, 0));
        check(14, &[again, again], (1, 0, 0));
        check(14, &[again, wrong], (1, 0, 1));
        check(0, &[wrong, wrong], (0, 0, 1));
        check(0, &[again, again], (0, 1, 0));
        check(0, &[again, wrong], (0, 0, 1));
    }
}
