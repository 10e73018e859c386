//! A month of synthetic history, at ten seconds a look, against an oracle that knows nothing but the raw series.
//!
//! The oracle adds up raw counts and compares them with the error rates of the SRE workbook's table (for 99.95 %: 0.72, 0.30, 0.15 and
//! 0.05 %). It shares no code with what it judges, and no way of counting either: it adds what enters a window and takes away what leaves it.

use super::*;
use spinwell_core::Rng;

/// Looks in 30 days.
const MONTH: usize = 259_200;
const HOUR: usize = 360;
const DAY: usize = 24 * HOUR;

/// What happened, by look; look 0 is the start and empty.
struct Series {
    good: Vec<u64>,
    total: Vec<u64>,
    /// Looks at which nobody could be read.
    silent: Vec<std::ops::Range<usize>>,
}

/// From one look to another, so many of a million events are bad.
struct Incident {
    looks: std::ops::Range<usize>,
    bad_per_million: u64,
}

/// Traffic with a day's rhythm, of which `bad_per_million` are bad at random, and incidents.
fn series(seed: u64, bad_per_million: u64, incidents: &[Incident]) -> Series {
    let mut rng = Rng::seeded(seed);
    let (mut good, mut total) = (vec![0], vec![0]);
    for look in 1..=MONTH {
        let hour = (look % DAY) as f64 / HOUR as f64;
        let usual = 700.0 - 450.0 * (hour / 24.0 * std::f64::consts::TAU).cos();
        let asked = (usual * rng.uniform_in(0.9, 1.1)) as u64;
        let incident = incidents.iter().find(|own| own.looks.contains(&look));
        let share = incident.map_or(bad_per_million, |own| own.bad_per_million);
        // The whole part surely, and one more with the probability of the rest.
        let expected = asked * share;
        let bad = expected / 1_000_000 + u64::from(rng.below(1_000_000) < expected % 1_000_000);
        good.push(asked - bad.min(asked));
        total.push(asked);
    }
    Series { good, total, silent: Vec::new() }
}

/// Processes that count, start anew, come and go.
struct Fleet {
    rng: Rng,
    gateways: Vec<Reading>,
    born: usize,
}

impl Fleet {
    fn new(seed: u64) -> Self {
        let mut fleet = Self { rng: Rng::seeded(seed), gateways: Vec::new(), born: 0 };
        (0..3).for_each(|_| fleet.join(tick(0).0 + 1));
        fleet
    }

    fn join(&mut self, started: u64) {
        let source = SourceId(format!("gateway-{}", self.born).into());
        self.born += 1;
        self.gateways.push(Reading { source, started: Some(UnixMillis(started)), counts: Counts::ZERO });
    }

    /// Some process counts what happened up to a look, after some may have started anew or made room for another.
    fn count(&mut self, look: usize, counts: Counts) {
        let started = tick(look as u64).0 - 5_000;
        if self.rng.below(3_000) == 0 {
            let which = self.rng.below(3) as usize;
            self.gateways[which].counts = Counts::ZERO;
            self.gateways[which].started = Some(UnixMillis(started));
        }
        if self.rng.below(20_000) == 0 {
            self.gateways.remove(0);
            self.join(started);
        }
        let which = self.rng.below(3) as usize;
        let all = &mut self.gateways[which].counts;
        *all = Counts { good: all.good + counts.good, total: all.total + counts.total };
    }
}

/// Runs a month; what has changed, and at which look. `at` sees the objective at each look.
fn run(own: &Objective, series: &Series, mut at: impl FnMut(usize, &Watch)) -> (Vec<(u64, Change)>, Levels) {
    let mut fleet = Fleet::new(5);
    let levels = |past: &Past, look: usize| {
        Levels::new(vec![own.clone()], Options::default(), past, tick(look as u64)).unwrap()
    };
    let mut all = levels(&Past::default(), 0);
    let mut told = Vec::new();
    let mut late = fleet.gateways.clone();
    for look in 1..=MONTH {
        let now = tick(look as u64);
        let is_silent = series.silent.iter().any(|silent| silent.contains(&look));
        let counts = Counts { good: series.good[look], total: series.total[look] };
        if is_silent {
            // Whatever happens is read afterwards.
            let own = &mut fleet.gateways[0].counts;
            *own = Counts { good: own.good + counts.good, total: own.total + counts.total };
        } else {
            fleet.count(look, counts);
            fleet.gateways.iter().for_each(|reading| {
                all.read(&own.name, reading, now).unwrap();
            });
            if look % 977 == 0 {
                // Answers that were overtaken, and one that comes twice.
                late.iter().chain(&fleet.gateways[..1]).for_each(|reading| {
                    all.read(&own.name, reading, now).unwrap();
                });
                late.clone_from(&fleet.gateways);
            }
        }
        told.extend(all.advance(now).into_iter().map(|change| (look as u64, change)));
        if look % 8_641 == 0 {
            all = levels(&all.past(), look);
        }
        at(look, all.watch(&own.name).unwrap());
    }
    (told, all)
}

/// What a reader could know of a series: at a look after silence, all that happened meanwhile.
fn as_read(series: &Series) -> (Vec<u64>, Vec<u64>) {
    let (mut bad, mut total) = (vec![0; MONTH + 1], vec![0; MONTH + 1]);
    let (mut kept_bad, mut kept) = (0, 0);
    for look in 1..=MONTH {
        kept_bad += series.total[look] - series.good[look];
        kept += series.total[look];
        if !series.silent.iter().any(|silent| silent.contains(&look)) {
            (bad[look], total[look]) = (kept_bad, kept);
            (kept_bad, kept) = (0, 0);
        }
    }
    (bad, total)
}

/// The first look after the edge of a window of so many looks, as the documentation says: windows up to 6 hours are exact, up to 3 days they
/// begin on a minute, and longer ones on ten minutes.
fn first(look: usize, window: usize) -> usize {
    let slot = match window {
        0..=2_160 => 1,
        2_161..=25_920 => 6,
        _ => 60,
    };
    // The start of the month is the start of a slot of any length.
    look.saturating_sub(window) / slot * slot + 1
}

/// For each look, events and bad ones within a window.
fn sums(bad: &[u64], total: &[u64], window: usize) -> Vec<(u64, u64)> {
    let (mut sum, mut from) = ((0, 0), 1);
    let mut all = vec![(0, 0)];
    for look in 1..=MONTH {
        sum = (sum.0 + bad[look], sum.1 + total[look]);
        while from < first(look, window) {
            sum = (sum.0 - bad[from], sum.1 - total[from]);
            from += 1;
        }
        all.push(sum);
    }
    all
}

/// When alerts must begin and end: `(look, what)`. `budget` is in ten-thousandths.
fn promised(series: &Series, budget: u64, has_outage: bool) -> Vec<(u64, String)> {
    let (bad, total) = as_read(series);
    let rules = [(HOUR, 30, 144), (6 * HOUR, 180, 60), (DAY, 720, 30), (3 * DAY, 2_160, 10)];
    let names = ["burn_1h_5m", "burn_6h_30m", "burn_1d_2h", "burn_3d_6h"];
    let mut held: Vec<(&str, Vec<bool>)> = Vec::new();
    if has_outage {
        held.push(("outage", outages(&bad, &total)));
    }
    for ((long, short, tenths), name) in rules.into_iter().zip(names) {
        let (long, short) = (sums(&bad, &total, long), sums(&bad, &total, short));
        let is_fast = |(bad, total): (u64, u64)| bad * 100_000 > total * budget * tenths;
        let holds = |look: usize| long[look].1 >= 1_000 && is_fast(long[look]) && is_fast(short[look]);
        held.push((name, (0..=MONTH).map(holds).collect()));
    }
    let mut all = Vec::new();
    for (order, (name, holds)) in held.iter().enumerate() {
        let (mut fires, mut calm, mut unheard) = (false, 0, 0);
        for (look, holds) in holds.iter().enumerate().skip(1) {
            unheard = if series.silent.iter().any(|silent| silent.contains(&look)) { unheard + 1 } else { 0 };
            // After a minute of silence nothing is known.
            calm = if *holds || unheard > 6 { 0 } else { calm + 1 };
            if *holds && !fires && unheard <= 6 {
                fires = true;
                all.push((look as u64, order, format!("{name} fires")));
            }
            // The first calm look and 5 minutes more.
            if fires && calm == 31 {
                fires = false;
                all.push((look as u64, order, format!("{name} ends")));
            }
        }
    }
    all.sort_by_key(|(look, order, _)| (*look, *order));
    all.into_iter().map(|(look, _, what)| (look, what)).collect()
}

/// Whether nothing has succeeded for 30 seconds and at least 5 events were asked for.
fn outages(bad: &[u64], total: &[u64]) -> Vec<bool> {
    let (mut since, mut asked) = (None, 0);
    let mut all = vec![false];
    for look in 1..=MONTH {
        if bad[look] < total[look] {
            (since, asked) = (None, 0);
        } else if total[look] > 0 {
            since = since.or(Some(look));
            asked += total[look];
        }
        all.push(since.is_some_and(|since| look + 1 - since >= 3 && asked >= 5));
    }
    all
}

/// Budgets, held against sums over the raw series at random looks.
struct Budgets {
    bad: Vec<u64>,
    total: Vec<u64>,
    /// The objective's window, in looks.
    window: usize,
    /// One of so many may be bad.
    one_of: u64,
    rng: Rng,
    times: usize,
}

impl Budgets {
    fn of(series: &Series, window: usize, one_of: u64) -> Self {
        let (bad, total) = as_read(series);
        Self { bad, total, window, one_of, rng: Rng::seeded(3), times: 0 }
    }

    fn check(&mut self, look: usize, watch: &Watch) {
        if self.rng.below(2_000) > 0 && look != MONTH {
            return;
        }
        let from = first(look, self.window);
        let (bad, total) =
            (self.bad[from..=look].iter().sum::<u64>(), self.total[from..=look].iter().sum::<u64>());
        let budget = watch.budget(tick(look as u64));
        assert_eq!((budget.counts.total, budget.consumed), (total, bad), "at look {look}");
        assert_eq!(budget.allowed, total / self.one_of, "at look {look}");
        assert_eq!(budget.left, (total / self.one_of) as i64 - bad as i64, "at look {look}");
        if look > self.window {
            assert_eq!(budget.since, tick(from as u64 - 1), "at look {look}");
        }
        self.times += 1;
    }
}

fn alerts(told: &[(u64, Change)]) -> Vec<(u64, String)> {
    shown(told).into_iter().filter(|(_, what)| !what.contains("breach")).collect()
}

fn incident(day: f64, hours: f64, bad_per_million: u64) -> Incident {
    let from = (day * DAY as f64) as usize + 1;
    Incident { looks: from..from + (hours * HOUR as f64) as usize, bad_per_million }
}

#[test]
fn every_alert_of_a_month_comes_and_goes_when_it_must_and_budgets_are_exact() {
    let incidents = [
        incident(3.1, 0.07, 1_000_000),
        incident(7.4, 1.5, 20_000),
        incident(12.0, 8.0, 4_000),
        incident(18.3, 60.0, 1_200),
        incident(26.0, 0.5, 300_000),
    ];
    let mut raw = series(11, 100, &incidents);
    // Nobody can be read for 20 minutes, once in quiet times and once while it burns.
    raw.silent =
        vec![DAY * 24 + 5..DAY * 24 + 125, incidents[4].looks.start + 60..incidents[4].looks.start + 180];
    let own = objective(defaults::AVAILABILITY);
    let mut checked = Budgets::of(&raw, MONTH, 2_000);
    let (told, levels) = run(&own, &raw, |look, watch| checked.check(look, watch));
    assert!(checked.times > 80);
    let expected = promised(&raw, 5, true);
    assert_eq!(alerts(&told), expected);
    // The oracle is no rubber stamp: each incident was found, by what should find it first or most gravely.
    let fires = |name: &str, own: &Incident, within: usize| {
        let looks = own.looks.start as u64..(own.looks.start + within) as u64;
        expected.iter().any(|(look, what)| looks.contains(look) && *what == format!("{name} fires"))
    };
    assert!(fires("outage", &incidents[0], 3) && fires("burn_1h_5m", &incidents[0], 30));
    assert!(fires("burn_1h_5m", &incidents[1], HOUR) && fires("burn_6h_30m", &incidents[2], 6 * HOUR));
    assert!(fires("burn_3d_6h", &incidents[3], 60 * HOUR) && !fires("burn_1h_5m", &incidents[3], 60 * HOUR));
    assert!(fires("burn_1h_5m", &incidents[4], 60));
    let breaches = levels.watch(&own.name).unwrap().breaches();
    let began: Vec<u64> = breaches.iter().map(|own| (own.began.0 - START) / TICK).collect();
    for own in &incidents {
        let close = |began: &u64| began.abs_diff(own.looks.start as u64 - 1) <= HOUR as u64;
        assert!(began.iter().any(close), "{} in {began:?}", own.looks.start);
    }
    let outage = breaches.iter().find(|own| own.rules.iter().any(|rule| rule == "outage")).unwrap();
    assert_eq!((outage.began.0 - START) / TICK, incidents[0].looks.start as u64 - 1);
    assert_eq!(outage.restored.map(|at| (at.0 - START) / TICK), Some(incidents[0].looks.end as u64 - 1));
}

#[test]
fn a_healthy_month_has_no_alert() {
    let raw = series(12, 100, &[]);
    let own = objective(defaults::AVAILABILITY);
    let (told, levels) = run(&own, &raw, |_, _| {});
    assert_eq!(shown(&told), []);
    let panel = &levels.panels(tick(MONTH as u64))[0];
    assert_eq!((panel.status, panel.times.breaches, panel.last_breach), (Status::Kept, 0, None));
    assert!((panel.budget.left_share.unwrap() - 0.8).abs() < 0.02, "{:?}", panel.budget);
}

#[test]
fn a_month_of_slow_answers_is_told_by_shares_and_not_by_percentiles() {
    // 2 % are slower than the limit of the 95th percentile as a rule.
    let raw = series(13, 20_000, &[incident(5.0, 3.0, 900_000), incident(14.5, 24.0, 160_000)]);
    // Over a week, so that the budget's window moves on as well.
    let own = Objective { window: Millis(7 * 86_400_000), ..objective("latency-p95") };
    let mut checked = Budgets::of(&raw, 7 * DAY, 20);
    let (told, _) = run(&own, &raw, |look, watch| checked.check(look, watch));
    assert!(checked.times > 80);
    let expected = promised(&raw, 500, false);
    assert_eq!(alerts(&told), expected);
    let names: Vec<&str> = expected.iter().map(|(_, what)| what.as_str()).collect();
    assert!(names.contains(&"burn_1h_5m fires") && names.contains(&"burn_1d_2h ends"), "{names:?}");
}

#[test]
fn a_month_of_seconds_is_told_by_the_seconds_that_were_bad() {
    let raw = series(14, 0, &[incident(4.0, 0.5, 50_000), incident(20.5, 48.0, 30)]);
    // Ten seconds between two looks are bad together where anything was refused: never were a thousand a second asked for.
    let is_good = |look: usize| look > 0 && raw.good[look] == raw.total[look];
    let seconds = Series {
        good: (0..=MONTH).map(|look| if is_good(look) { 10 } else { 0 }).collect(),
        total: (0..=MONTH).map(|look| if look > 0 { 10 } else { 0 }).collect(),
        silent: Vec::new(),
    };
    let mut checked = Budgets::of(&seconds, MONTH, 1_000);
    let (told, _) = run(&objective(defaults::THROUGHPUT), &raw, |look, watch| checked.check(look, watch));
    let expected = promised(&seconds, 10, false);
    assert_eq!(alerts(&told), expected);
    assert!(expected.iter().any(|(_, what)| what == "burn_1h_5m fires"), "{expected:?}");
    assert!(expected.iter().any(|(_, what)| what == "burn_3d_6h ends"), "{expected:?}");
}
