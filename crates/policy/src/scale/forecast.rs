//! What will arrive, and how far that is to be trusted.

use super::scaler::later;
use super::snapshot::Forecast;
use crate::capacity::PerSecond;
use spinwell_core::UnixMillis;
use std::collections::VecDeque;
use std::time::Duration;

/// The share of the newest error in the mean error: at one every five seconds, some five minutes count.
const ERROR_NEWEST: f64 = 1.0 / 64.0;
/// Forecasts that await their truth, at most: an hour's at one a second.
const AWAITED_MOST: usize = 3_600;

/// Says what will arrive, by what has.
pub trait Forecaster {
    /// So much arrived just now. Moments never go back.
    fn observe(&mut self, at: UnixMillis, arrivals: PerSecond);

    /// What will arrive so long after the last observation; nothing while that cannot be told.
    fn ahead(&self, by: Duration) -> Option<PerSecond>;
}

/// What arrives now will arrive.
#[derive(Debug, Clone, Default)]
pub struct Persistence {
    last: Option<PerSecond>,
}

impl Forecaster for Persistence {
    fn observe(&mut self, _: UnixMillis, arrivals: PerSecond) {
        self.last = Some(arrivals);
    }

    fn ahead(&self, _: Duration) -> Option<PerSecond> {
        self.last
    }
}

/// What arrived a season before will arrive: a day, or a week.
#[derive(Debug, Clone)]
pub struct SeasonalNaive {
    season: Duration,
    every: Duration,
    /// Means of spans of the same length, the newest last; the first began at `begun`.
    spans: VecDeque<Mean>,
    begun: Option<UnixMillis>,
    last: UnixMillis,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl SeasonalNaive {
    /// With so long a season, of which means over so long are remembered: a minute, say, so that a season stays small.
    #[must_use]
    pub fn new(season: Duration, every: Duration) -> Self {
        let every = every.max(Duration::from_millis(1));
        Self { season, every, spans: VecDeque::new(), begun: None, last: UnixMillis(0) }
    }

    /// The span of a moment, counted from the first that is remembered; nothing before it.
    fn span(&self, moment: UnixMillis) -> Option<usize> {
        let past = moment.0.checked_sub(self.begun?.0)?;
        usize::try_from(u128::from(past) / self.every.as_millis()).ok()
    }
}

impl Forecaster for SeasonalNaive {
    fn observe(&mut self, at: UnixMillis, arrivals: PerSecond) {
        let at = at.max(self.last);
        self.last = at;
        self.begun.get_or_insert(at);
        // Two spans more than a season: the first and the last are not whole.
        let most =
            usize::try_from(self.season.as_millis() / self.every.as_millis()).unwrap_or(usize::MAX) + 2;
        if self.span(at).is_some_and(|span| span >= self.spans.len() + most) {
            // Nothing of what was remembered is less than a season ago.
            self.spans.clear();
            self.begun = Some(at);
        }
        let Some(span) = self.span(at) else { return };
        while self.spans.len() <= span {
            self.spans.push_back(Mean::default());
        }
        self.spans[span].sum += arrivals.get();
        self.spans[span].count += 1;
        while self.spans.len() > most {
            self.spans.pop_front();
            self.begun = self.begun.map(|begun| later(begun, self.every));
        }
    }

    fn ahead(&self, by: Duration) -> Option<PerSecond> {
        let then = later(self.last, by);
        let season = u64::try_from(self.season.as_millis()).ok()?;
        let span = self.spans.get(self.span(UnixMillis(then.0.checked_sub(season)?))?)?;
        (span.count > 0).then(|| PerSecond::new(span.sum / f64::from(span.count)))?
    }
}

/// A forecaster whose errors are compared with those of expecting no change, at the distance that is asked for.
#[derive(Debug, Clone)]
pub struct Judged<F> {
    forecaster: F,
    last: Option<PerSecond>,
    awaited: VecDeque<Awaited>,
    /// Mean absolute errors: its own, and those of persistence.
    errors: Option<[f64; 2]>,
}

#[derive(Debug, Clone, Copy)]
struct Awaited {
    until: UnixMillis,
    /// Its own forecast, and what arrived when it was made.
    expected: [f64; 2],
}

impl<F: Forecaster> Judged<F> {
    /// Judges a forecaster that has observed nothing.
    #[must_use]
    pub fn new(forecaster: F) -> Self {
        Self { forecaster, last: None, awaited: VecDeque::new(), errors: None }
    }

    /// So much arrived just now; what is expected so long after.
    pub fn observe(&mut self, at: UnixMillis, arrivals: PerSecond, by: Duration) -> Option<Forecast> {
        self.learn(at, arrivals);
        self.forecaster.observe(at, arrivals);
        self.last = Some(arrivals);
        let own = self.forecaster.ahead(by)?;
        if self.awaited.len() < AWAITED_MOST {
            self.awaited.push_back(Awaited { until: later(at, by), expected: [own.get(), arrivals.get()] });
        }
        // Nobody trusts what has not been seen to be right.
        let [error, error_persistence] =
            self.errors?.map(|error| PerSecond::new(error).unwrap_or(PerSecond::ZERO));
        Some(Forecast { arrivals: own, error, error_persistence })
    }

    /// The truth of forecasts that were made for now.
    fn learn(&mut self, at: UnixMillis, arrivals: PerSecond) {
        while let Some(due) = self.awaited.pop_front_if(|awaited| awaited.until <= at) {
            let new = due.expected.map(|expected| (expected - arrivals.get()).abs());
            let errors = self.errors.get_or_insert(new);
            for (error, new) in errors.iter_mut().zip(new) {
                *error += ERROR_NEWEST * (new - *error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Trend;
    use super::*;
    use spinwell_core::Rng;

    const EVERY: u64 = 5_000;
    const AHEAD: Duration = Duration::from_secs(90);

    fn rate(value: f64) -> PerSecond {
        PerSecond::new(value.max(0.0)).unwrap()
    }

    /// Feeds a load of so many looks, and gives the last forecast.
    fn fed<F: Forecaster>(
        judged: &mut Judged<F>,
        looks: u64,
        load: impl Fn(f64, &mut Rng) -> f64,
    ) -> Forecast {
        let mut rng = Rng::seeded(3);
        let mut last = None;
        for look in 0..looks {
            let at = UnixMillis(1_000_000 + look * EVERY);
            last = judged.observe(at, rate(load((look * EVERY) as f64 / 1e3, &mut rng)), AHEAD);
        }
        last.unwrap()
    }

    #[test]
    fn persistence_is_as_wrong_as_itself() {
        let forecast = fed(&mut Judged::new(Persistence::default()), 400, |at, _| 1_000.0 + at);
        assert_eq!(forecast.error, forecast.error_persistence);
        assert!((forecast.error.get() - 90.0).abs() < 1.0, "{forecast:?}");
        assert!(forecast.is_trusted());
    }

    #[test]
    fn yesterday_tells_of_today_once_it_is_over() {
        let day = |at: f64| 2_000.0 + 1_000.0 * (std::f64::consts::TAU * at / 3_600.0).sin();
        let mut judged = Judged::new(SeasonalNaive::new(Duration::from_secs(3_600), Duration::from_secs(60)));
        let (mut first, mut seen) = (None, 0);
        for look in 0..2_000 {
            let at = (look * EVERY) as f64 / 1e3;
            let forecast = judged.observe(UnixMillis(look * EVERY), rate(day(at)), AHEAD);
            if let Some(forecast) = forecast {
                first.get_or_insert(at);
                assert!((forecast.arrivals.get() - day(at + 90.0)).abs() < 110.0, "{at}: {forecast:?}");
                assert!(forecast.is_trusted(), "{forecast:?}");
                seen += 1;
            }
        }
        assert!((3_510.0..3_620.0).contains(&first.unwrap()), "{first:?}");
        assert!(seen > 1_000);
        assert!(judged.forecaster.spans.len() <= 62 && judged.awaited.len() <= 19);
    }

    #[test]
    fn a_season_that_is_long_ago_is_forgotten() {
        let mut naive = SeasonalNaive::new(Duration::from_secs(60), Duration::from_secs(1));
        naive.observe(UnixMillis(1_000), rate(5.0));
        naive.observe(UnixMillis(10_000_000), rate(6.0));
        assert_eq!(naive.ahead(Duration::from_secs(60)), Some(rate(6.0)));
        assert_eq!(naive.ahead(Duration::from_secs(30)), None, "no look back then is no zero");
        assert!(naive.spans.len() <= 62);
    }

    #[test]
    fn noise_has_no_trend_and_a_rise_has() {
        let mut judged = Judged::new(Trend::default());
        let noise = |rng: &mut Rng| 1_000.0 + 20.0 * rng.normal();
        let calm = fed(&mut judged, 600, |_, rng| noise(rng));
        assert!((calm.arrivals.get() - 1_000.0).abs() < 80.0, "{calm:?}");
        assert!(calm.error.get() <= 1.02 * calm.error_persistence.get(), "{calm:?}");
        let rising = fed(&mut Judged::new(Trend::default()), 600, |at, rng| {
            noise(rng) + (at - 2_895.0).max(0.0) * 40.0
        });
        // 100 s after it began there are 5,000; 90 s later 8,600.
        assert!((6_200.0..9_500.0).contains(&rising.arrivals.get()), "{rising:?}");
    }

    #[test]
    fn who_is_worse_than_expecting_no_change_is_not_trusted() {
        #[derive(Default)]
        struct Wrong(f64);
        impl Forecaster for Wrong {
            fn observe(&mut self, _: UnixMillis, arrivals: PerSecond) {
                self.0 = arrivals.get();
            }
            fn ahead(&self, _: Duration) -> Option<PerSecond> {
                PerSecond::new(2.0 * self.0)
            }
        }
        let forecast = fed(&mut Judged::new(Wrong::default()), 100, |_, _| 1_000.0);
        assert!(!forecast.is_trusted() && forecast.error.get() == 1_000.0, "{forecast:?}");
        assert!(fed(&mut Judged::new(Trend::default()), 100, |_, _| 1_000.0).is_trusted());
    }
}
