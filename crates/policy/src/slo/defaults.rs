//! The objectives of a region that has set none, and the metrics that they are read from.
//!
//! | objective | kind | good events ÷ all | goal, over 30 days (coverage: 7) |
//! |---|---|---|---|
//! | `availability` | request-based | answered ÷ all that were not refused for the caller's fault or left by him | ≥ 99.95 % |
//! | `latency-p50`, `-p95`, `-p99`, `-p99-9` | request-based | answered within 25, 50, 100, 200 ms ÷ answered | ≥ 50, 95, 99, 99.9 % |
//! | `throughput` | time slices of 1 s | seconds in which no more was refused for want of capacity than beyond 1,000 ÷ seconds | ≥ 99.9 % |
//! | `error-rate` | request-based | not failed by the service's fault ÷ all that ended with an answer or a code | > 99.9 % |
//! | `integrity` | request-based | predictions computed again with the same bits ÷ computed again | 100 % |
//! | `audit-completeness` | request-based | records written ÷ records that had to be | 100 % |
//! | `security` | request-based | requests without a confirmed finding ÷ requests | > 99.9 % |
//! | `interval-coverage` | request-based, band | truths inside their interval ÷ truths, of at least 5,000 | 94 to 96 % |
//!
//! Availability and error rate are not the same promise twice. Both are shares of requests, so an error rate of 0.1 % spends the budget of
//! availability twice as fast as it may be spent: `error-rate` cannot be missed before `availability` is, unless most requests are refused for
//! their callers' fault, which it counts as kept. It stands here because contracts name it.
//!
//! A latency bucket holds what took *at most* its boundary, to the microsecond. What failed has no latency, it is in availability.
//! Where half of all may be slow, nothing can burn 3 times too fast: such rules are left out ([`Rule::usual`]), and a median that is too slow
//! makes a ticket. Throughput counts what was refused for want of capacity and not other failures, or a service of 1,000 requests a
//! second that keeps its availability would miss it every tenth second.

use super::goal::{Goal, PerMillion};
use super::objective::{Events, Indicator, Objective, ObjectiveName, Part};
use super::rules::Rule;
use super::selector::Selector;
use super::spans::DAY;
use spinwell_core::{Blame, Code, Millis};

/// Availability: answered ÷ asked.
pub const AVAILABILITY: &str = "availability";
/// Seconds in which as much was served as was asked for, or a thousand.
pub const THROUGHPUT: &str = "throughput";
/// Failures ÷ requests.
pub const ERROR_RATE: &str = "error-rate";
/// Predictions that could be computed again.
pub const INTEGRITY: &str = "integrity";
/// Records of the ledger that could be written.
pub const AUDIT_COMPLETENESS: &str = "audit-completeness";
/// Requests without a confirmed finding.
pub const SECURITY: &str = "security";
/// Truths inside their interval.
pub const INTERVAL_COVERAGE: &str = "interval-coverage";
/// The latency objectives: name, share of requests in millionths, limit in seconds as the bucket's label has it, and in milliseconds.
pub const LATENCIES: [(&str, u32, &str, u32); 4] = [
    ("latency-p50", 500_000, "0.025", 25),
    ("latency-p95", 950_000, "0.05", 50),
    ("latency-p99", 990_000, "0.1", 100),
    ("latency-p99-9", 999_000, "0.2", 200),
];
/// What a region serves.
pub const SERVICE: &str = "predictions";

/// Metrics that objectives are read from, as they stand on a process's page. What the gateway shows has its names from its `metrics`; those
/// that nothing shows yet are marked.
pub mod metrics {
    /// Requests by how they ended, label `code`: `ok`, `cancelled` or an error code.
    pub const REQUESTS: &str = "spinwell_requests_total";
    /// Answered requests by duration: label `le` in seconds.
    pub const DURATION_BUCKET: &str = "spinwell_request_duration_seconds_bucket";
    /// Answered requests.
    pub const DURATION_COUNT: &str = "spinwell_request_duration_seconds_count";
    /// Records of requests in the ledger.
    pub const LEDGER_RECORDS: &str = "spinwell_ledger_records_total";
    /// Records and events that the ledger could not take.
    pub const LEDGER_REFUSED: &str = "spinwell_ledger_refused_total";
    /// Predictions that were computed again. Not shown by any process yet.
    pub const REPLAYED: &str = "spinwell_integrity_replayed_total";
    /// Those whose bits differed. Not shown by any process yet.
    pub const REPLAYED_OTHERWISE: &str = "spinwell_integrity_mismatched_total";
    /// Requests with a finding that somebody has confirmed. Not shown by any process yet.
    pub const CONFIRMED: &str = "spinwell_threat_confirmed_requests_total";
    /// Values that had an interval and whose truth has become known, never fewer while a process lives. Not shown by any process yet.
    pub const COVERAGE_ALL: &str = "spinwell_live_interval_values_total";
    /// Those whose interval held the truth. Not shown by any process yet.
    pub const COVERED: &str = "spinwell_live_covered_values_total";
}

/// The label by which requests are told apart, and its values beside error codes.
const CODE: &str = "code";
const OK: &str = "ok";
const CANCELLED: &str = "cancelled";

/// Codes of what is refused for want of capacity.
const CAPACITY: [Code; 5] =
    [Code::QueueFull, Code::DeadlineExceeded, Code::Starting, Code::Stopping, Code::NodeUnreachable];

const MONTH: Millis = Millis(30 * DAY);

/// A name that is known to be one.
pub(super) fn name(text: &str) -> ObjectiveName {
    ObjectiveName::new(text).unwrap_or_else(|| unreachable!("{text} is a name"))
}

/// All objectives.
#[must_use]
pub fn objectives() -> Vec<Objective> {
    let mut all = vec![availability()];
    all.extend(LATENCIES.map(latency));
    all.extend([
        throughput(),
        error_rate(),
        integrity(),
        audit_completeness(),
        security(),
        interval_coverage(),
    ]);
    all
}

/// An objective with the usual rules for its goal.
fn usual(of: &str, goal: Goal, indicator: Indicator) -> Objective {
    Objective {
        name: name(of),
        title: of.to_owned(),
        description: String::new(),
        service: SERVICE.to_owned(),
        indicator,
        goal,
        window: MONTH,
        rules: Rule::usual(goal),
        weight: 10,
    }
}

fn ratio(part: Part, total: Selector) -> Indicator {
    Indicator::Ratio(Events { part, total: vec![total] })
}

/// All requests but those that ended for the caller's fault, or because he left. A code that this version does not know counts: whatever it
/// means, it is no answer.
fn asked() -> Selector {
    let callers = Code::ALL.iter().filter(|code| code.blame() == Blame::Client).map(|code| code.as_str());
    let others: Vec<&str> = std::iter::once(CANCELLED).chain(callers).collect();
    Selector::all(metrics::REQUESTS).without(CODE, &others)
}

fn availability() -> Objective {
    let goal = Goal::AtLeast(PerMillion::of(999_500));
    let answered = Selector::all(metrics::REQUESTS).with(CODE, &[OK]);
    let mut own = usual(AVAILABILITY, goal, ratio(Part::Good(vec![answered]), asked()));
    own.rules.insert(0, Rule::OUTAGE);
    Objective {
        title: "Availability".to_owned(),
        description: "Request-based: 99.95 % of the requests that could be answered are answered.".to_owned(),
        weight: 25,
        ..own
    }
}

fn latency((of, least, label, ms): (&str, u32, &str, u32)) -> Objective {
    let within = Selector::all(metrics::DURATION_BUCKET).with("le", &[label]);
    let goal = Goal::AtLeast(PerMillion::of(least));
    let share = PerMillion::of(least);
    Objective {
        title: format!("Answers within {ms} ms"),
        description: format!(
            "Request-based: {share} of answers take at most {ms} ms, counted at the bucket that ends there."
        ),
        ..usual(of, goal, ratio(Part::Good(vec![within]), Selector::all(metrics::DURATION_COUNT)))
    }
}

fn throughput() -> Objective {
    let refused = Selector::all(metrics::REQUESTS).with(CODE, &CAPACITY.map(Code::as_str));
    let events = Events { part: Part::Bad(vec![refused]), total: vec![asked()] };
    let indicator = Indicator::TimeSlices { events, length: Millis(1_000), per_second: 1_000 };
    Objective {
        title: "Throughput".to_owned(),
        description: "Time slices: in 99.9 % of seconds all that is asked for is served, or 1,000 requests."
            .to_owned(),
        ..usual(THROUGHPUT, Goal::AtLeast(PerMillion::of(999_000)), indicator)
    }
}

fn error_rate() -> Objective {
    let is_ours = |code: &&Code| code.blame() != Blame::Client;
    let ours: Vec<&str> = Code::ALL.iter().filter(is_ours).map(|code| code.as_str()).collect();
    let failed = Selector::all(metrics::REQUESTS).with(CODE, &ours);
    let all = Selector::all(metrics::REQUESTS).without(CODE, &[CANCELLED]);
    Objective {
        title: "Error rate".to_owned(),
        description: "Request-based: fewer than 0.1 % of all requests fail by the service's fault."
            .to_owned(),
        ..usual(ERROR_RATE, Goal::MoreThan(PerMillion::of(999_000)), ratio(Part::Bad(vec![failed]), all))
    }
}

fn integrity() -> Objective {
    let otherwise = Selector::all(metrics::REPLAYED_OTHERWISE);
    let indicator = ratio(Part::Bad(vec![otherwise]), Selector::all(metrics::REPLAYED));
    Objective {
        title: "Integrity".to_owned(),
        description: "Request-based: predictions that are computed again have the same bits, every one."
            .to_owned(),
        weight: 20,
        ..usual(INTEGRITY, Goal::AtLeast(PerMillion::ALL), indicator)
    }
}

fn audit_completeness() -> Objective {
    let refused = || Selector::all(metrics::LEDGER_REFUSED);
    let total = vec![Selector::all(metrics::LEDGER_RECORDS), refused()];
    let indicator = Indicator::Ratio(Events { part: Part::Bad(vec![refused()]), total });
    Objective {
        title: "Audit completeness".to_owned(),
        description: "Request-based: every record that must be written is written.".to_owned(),
        weight: 15,
        ..usual(AUDIT_COMPLETENESS, Goal::AtLeast(PerMillion::ALL), indicator)
    }
}

fn security() -> Objective {
    let confirmed = Selector::all(metrics::CONFIRMED);
    let all = Selector::all(metrics::REQUESTS);
    Objective {
        title: "Security".to_owned(),
        description:
            "Request-based: fewer than 0.1 % of requests have a finding that somebody has confirmed."
                .to_owned(),
        ..usual(SECURITY, Goal::MoreThan(PerMillion::of(999_000)), ratio(Part::Bad(vec![confirmed]), all))
    }
}

fn interval_coverage() -> Objective {
    let (low, high) = (PerMillion::of(940_000), PerMillion::of(960_000));
    let covered = Part::Good(vec![Selector::all(metrics::COVERED)]);
    let indicator = ratio(covered, Selector::all(metrics::COVERAGE_ALL));
    Objective {
        title: "Interval coverage".to_owned(),
        description: "Request-based: intervals that should hold 95 % of truths hold 94 to 96 %.".to_owned(),
        window: Millis(7 * DAY),
        weight: 5,
        ..usual(INTERVAL_COVERAGE, Goal::Within { low, high, events_min: 5_000 }, indicator)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::Severity;
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_design_and_can_be_kept() {
        let all = objectives();
        assert_eq!(all.iter().map(Objective::validate).find(Result::is_err), None);
        let shown: Vec<String> = all
            .iter()
            .map(|own| {
                format!("{} {} {} {}", own.name, own.indicator.kind(), own.goal.least(), own.rules.len())
            })
            .collect();
        assert_eq!(
            shown,
            [
                "availability request-based 99.95 % 5",
                "latency-p50 request-based 50 % 1",
                "latency-p95 request-based 95 % 4",
                "latency-p99 request-based 99 % 4",
                "latency-p99-9 request-based 99.9 % 4",
                "throughput time slices 99.9 % 4",
                "error-rate request-based 99.9 % 4",
                "integrity request-based 100 % 1",
                "audit-completeness request-based 100 % 1",
                "security request-based 99.9 % 4",
                "interval-coverage request-based 94 % 1",
            ]
        );
        let pages = |own: &Objective| own.rules.iter().any(|rule| rule.severity() == Severity::Page);
        let quiet: Vec<&str> = all.iter().filter(|own| !pages(own)).map(|own| own.name.as_str()).collect();
        assert_eq!(quiet, ["latency-p50", "interval-coverage"]);
    }

    #[test]
    fn availability_counts_what_the_service_owes() {
        let Indicator::Ratio(Events { part: Part::Good(good), total }) = availability().indicator else {
            panic!("a ratio");
        };
        let counts = |selectors: &[Selector], code: &str| {
            selectors.iter().any(|own| own.matches(metrics::REQUESTS, &[("model", "taxi"), ("code", code)]))
        };
        let check = |code, is_good, is_counted| {
            assert_eq!((counts(&good, code), counts(&total, code)), (is_good, is_counted), "{code}");
        };
        check("ok", true, true);
        check("cancelled", false, false);
        check("SPW-QUEUE-FULL", false, true);
        check("SPW-INTERNAL", false, true);
        check("SPW-WINDOW-TOO-SHORT", false, false);
        check("SPW-QUOTA-EXCEEDED", false, false);
        check("of_a_later_version", false, true);
    }
}
