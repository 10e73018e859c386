//! Reports of the load that callers get with their answers, so that a balancer which reads ORCA sends requests to whoever has room.
//!
//! Nobody who does not ask pays for them, and of many who ask one makes the report: it is made at most every tenth of a second and
//! shared. So nothing is counted for it on the way of a request. The rates are differences of what the statistics have counted
//! anyway, between looks some seconds apart; where nobody has asked for longer, the first report averages over that.

use crate::statistics::Totals;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use spinwell_protocol::NodeLoad;
use spinwell_protocol::load_report::{FORMAT, Format, LoadReport, REPORT, REPORT_BINARY};
use spinwell_runtime::machine::{self, Machine};
use spinwell_runtime::options::LoadReporting;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old a report may be.
const AGE_MAX: Duration = Duration::from_millis(100);
/// Rates are over a while between these two: shorter ones are noise, longer ones are not news.
const RATES_OVER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

static FORMAT_HEADER: HeaderName = HeaderName::from_static(FORMAT);
static REPORT_HEADER: HeaderName = HeaderName::from_static(REPORT);
static REPORT_TRAILER: HeaderName = HeaderName::from_static(REPORT_BINARY);

/// Makes the reports of a process.
pub(crate) struct LoadReports {
    reporting: LoadReporting,
    machine: Machine,
    newest: Mutex<Newest>,
}

struct Newest {
    made: Option<(Instant, Arc<Made>)>,
    rates: Rates,
}

/// A report in all its forms.
struct Made {
    text: HeaderValue,
    json: HeaderValue,
    binary: HeaderValue,
    trailer: HeaderValue,
}

impl LoadReports {
    /// Makes reports for whom they are for, from now on.
    pub(crate) fn new(reporting: LoadReporting, now: Instant) -> Self {
        let machine = Machine::default();
        // The shares are of the time since: the first report is to have some.
        machine.load(now);
        let newest = Newest { made: None, rates: Rates::new(now) };
        Self { reporting, machine, newest: Mutex::new(newest) }
    }

    /// In which form the caller who sent these headers gets a report, if any.
    pub(crate) fn wanted(&self, headers: &HeaderMap) -> Option<Format> {
        if self.reporting == LoadReporting::Never {
            return None;
        }
        let asked = headers.get(&FORMAT_HEADER).and_then(|value| Format::named(value.to_str().ok()?));
        // The form that every reader of reports takes.
        asked.or((self.reporting == LoadReporting::Always).then_some(Format::Json))
    }

    /// The report as of now, from what `look` finds where a new one is to be made.
    fn now(&self, now: Instant, look: impl FnOnce() -> (NodeLoad, Totals)) -> Arc<Made> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, made)) = &newest.made
            && now.saturating_duration_since(*at) < AGE_MAX
        {
            return made.clone();
        }
        let (load, totals) = look();
        let rates = newest.rates.push(now, totals);
        let made = Arc::new(Made::of(&report(&load, self.machine.load(now), rates)));
        newest.made = Some((now, made.clone()));
        made
    }

    /// Adds the report to an answer over HTTP.
    pub(crate) fn add(
        &self,
        response: &mut Response,
        format: Format,
        now: Instant,
        look: impl FnOnce() -> (NodeLoad, Totals),
    ) {
        let made = self.now(now, look);
        let value = match format {
            Format::Text => &made.text,
            Format::Json => &made.json,
            Format::Binary => &made.binary,
        };
        response.headers_mut().insert(REPORT_HEADER.clone(), value.clone());
    }

    /// Adds the report to the end of an answer over gRPC.
    pub(crate) fn add_to_trailers(
        &self,
        trailers: &mut HeaderMap,
        now: Instant,
        look: impl FnOnce() -> (NodeLoad, Totals),
    ) {
        trailers.insert(REPORT_TRAILER.clone(), self.now(now, look).trailer.clone());
    }
}

impl Made {
    fn of(report: &LoadReport) -> Self {
        // Digits and names: nothing that a header could not hold.
        let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
        Self {
            text: value(report.header(Format::Text)),
            json: value(report.header(Format::Json)),
            binary: value(report.header(Format::Binary)),
            trailer: value(report.trailer()),
        }
    }
}

/// Requests that ended and requests that failed, a second.
type PerSecond = (f64, f64);

fn report(load: &NodeLoad, machine: machine::Load, (ended, failed): PerSecond) -> LoadReport {
    let used = |free: f64| (1.0 - free).clamp(0.0, 1.0);
    let share = |part: usize, all: usize| if all == 0 { 0.0 } else { part as f64 / all as f64 };
    // Up to 1 the executors fill, from there on the queue.
    let application =
        share(load.batches_executing, load.executors) + share(load.queue_len, load.queue_len_max);
    let mut named_metrics = vec![
        ("queue_len", load.queue_len as f64),
        ("queue_len_max", load.queue_len_max as f64),
        ("batches_executing", load.batches_executing as f64),
        ("executors", load.executors as f64),
    ];
    let busiest = load.gpus.iter().filter_map(|gpu| gpu.utilization).max_by(f64::total_cmp);
    named_metrics.extend(busiest.map(|busiest| ("gpu_utilization", busiest)));
    LoadReport {
        cpu_utilization: machine.cpu_free.map(used),
        mem_utilization: machine.memory_free.map(used),
        application_utilization: (load.executors > 0).then_some(application),
        rps_fractional: ended,
        eps: failed,
        named_metrics,
    }
}

/// What was counted at looks in the past.
struct Rates {
    /// Oldest first, and one at least. Only the first may be older than rates are over.
    looks: VecDeque<(Instant, Totals)>,
}

impl Rates {
    /// Nothing was counted before `now`.
    fn new(now: Instant) -> Self {
        Self { looks: VecDeque::from([(now, Totals::default())]) }
    }

    /// The rates up to now, when so many were counted.
    fn push(&mut self, now: Instant, totals: Totals) -> PerSecond {
        let age = |at: Instant| now.saturating_duration_since(at);
        let is_old = |look: Option<&(Instant, Totals)>| look.is_some_and(|(at, _)| age(*at) > RATES_OVER.1);
        // One of the old ones stays, for where there is no newer one that is old enough.
        while is_old(self.looks.get(1)) {
            self.looks.pop_front();
        }
        let is_right = |look: &&(Instant, Totals)| (RATES_OVER.0..=RATES_OVER.1).contains(&age(look.0));
        let base = self.looks.iter().find(is_right).or(self.looks.front()).copied();
        self.looks.push_back((now, totals));
        let (at, before) = base.unwrap_or((now, totals));
        let seconds = age(at).as_secs_f64();
        let per_second = |now: u64, before: u64| match seconds > 0.0 {
            true => now.saturating_sub(before) as f64 / seconds,
            false => 0.0,
        };
        (per_second(totals.ended, before.ended), per_second(totals.failed, before.failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_runtime::clock;

    fn totals(ended: u64, failed: u64) -> Totals {
        Totals { ended, failed }
    }

    #[test]
    fn rates_are_over_the_last_seconds() {
        let start = clock::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut rates = Rates::new(start);
        // Nobody has asked for long: over all of that.
        assert_eq!(rates.push(at(10_000), totals(1000, 10)), (100.0, 1.0));
        // A tenth of a second is too short to tell.
        assert_eq!(rates.push(at(10_100), totals(1000, 10)).0, 1000.0 / 10.1);
        assert_eq!(rates.push(at(11_000), totals(1500, 10)), (500.0, 0.0));
        assert_eq!(rates.push(at(12_000), totals(1500, 110)), (250.0, 50.0));
        // What is older than five seconds is not news.
        assert_eq!(rates.push(at(16_500), totals(1500, 110)), (0.0, 0.0));
        assert!(rates.looks.len() <= 4);
        assert_eq!(Rates::new(start).push(start, totals(5, 5)), (0.0, 0.0));
    }

    #[test]
    fn a_report_says_what_is_known() {
        let load = NodeLoad {
            queue_len: 50,
            queue_len_max: 100,
            batches_executing: 2,
            executors: 2,
            ..NodeLoad::default()
        };
        let machine = machine::Load { cpu_free: Some(0.25), memory_free: None };
        let told = report(&load, machine, (7.0, 1.0));
        assert_eq!((told.cpu_utilization, told.mem_utilization), (Some(0.75), None));
        assert_eq!((told.application_utilization, told.rps_fractional, told.eps), (Some(1.5), 7.0, 1.0));
        assert_eq!(told.named_metrics[0], ("queue_len", 50.0));
        let none = report(&NodeLoad::default(), machine, (0.0, 0.0));
        assert_eq!(none.application_utilization, None, "nothing is known of a region without nodes");
    }

    #[test]
    fn a_report_is_made_once_in_a_while_and_shared() {
        let start = clock::now();
        let reports = LoadReports::new(LoadReporting::OnRequest, start);
        let mut looks = 0;
        let mut look = |after: u64| {
            reports.now(start + Duration::from_millis(after), || {
                looks += 1;
                (NodeLoad::default(), Totals::default())
            })
        };
        let first = look(0);
        assert!(Arc::ptr_eq(&first, &look(99)));
        assert!(!Arc::ptr_eq(&first, &look(100)));
        assert_eq!(looks, 2);
    }

    #[test]
    fn who_gets_a_report_and_in_which_form() {
        let wanted = |reporting, asked: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(asked.map(|asked| (FORMAT_HEADER.clone(), HeaderValue::from_static(asked))));
            LoadReports::new(reporting, clock::now()).wanted(&headers)
        };
        use LoadReporting::{Always, Never, OnRequest};
        assert_eq!(wanted(OnRequest, None), None);
        assert_eq!(wanted(OnRequest, Some("text")), Some(Format::Text));
        assert_eq!(wanted(OnRequest, Some("xml")), None);
        assert_eq!(wanted(Never, Some("TEXT")), None);
        assert_eq!(wanted(Always, None), Some(Format::Json));
        assert_eq!(wanted(Always, Some("BIN")), Some(Format::Binary));
    }
}
