//! What a principal is used to: how many windows that resemble none before, and how many objects, it sends in an hour.
//!
//! PRADA (Juuti, Szyller, Marchal & Asokan 2019, "PRADA: protecting against DNN model stealing attacks") finds extraction by the
//! distribution of distances between a caller's queries: what is made up to copy a model is spread unlike what comes out of the world.
//! It keeps queries and compares each with them, for images. Here the world is a time series, and what sets it apart is simpler: windows
//! of a series overlap. So the fresh ones are counted, whose sketch ([`super::Sketch`]) was not among the last thousand of this principal,
//! and compared with what the same principal did before. Nobody is compared with others: tenants differ more than attacks do.
//!
//! It cannot find who stays below four times its own peak, who raises that peak slowly, who spreads over many principals, or who
//! copies a model by the windows of real series.

use super::options::{Options, seconds};
use super::sketch::Sketch;
use super::window::Crowd;
use spinwell_core::Millis;

/// The while in which habits are counted, in seconds.
const HOUR_S: u32 = 3_600;
/// What a peak keeps from one hour to the next, in thousandths: after a day 89 %, after a week 43 %, so that what runs once a week
/// is known and what ran once a month ago is not.
const KEPT_PER_HOUR: u64 = 995;
/// Hours after which nothing of a peak is left to speak of.
const HOURS_MAX: u32 = 2_000;
/// Sets of four overlaps each that are remembered: 1,024 in all, enough for some 400 series side by side.
const SETS: usize = 256;
/// What is remembered of the windows of a principal: the latest first in each set.
type Memory = [[u16; 4]; SETS];

/// What a principal is used to, to be kept while a gateway is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Past {
    /// For how long it has been watched.
    pub watched_for: Millis,
    /// Its peak of fresh windows in an hour, faded.
    pub fresh_peak: u32,
    /// Its peak of different objects in an hour, faded.
    pub objects_peak: u32,
}

/// More than usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unusual {
    pub(super) first_s: u32,
    pub(super) measured: u32,
    pub(super) limit: u32,
    pub(super) usual: u32,
    /// In how many coarse places fresh windows lay.
    pub(super) places: Option<u32>,
    /// Whether there is a past that it was compared with, or only a quota.
    pub(super) is_learned: bool,
}

/// What a principal does and is used to.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// Second since which it is watched; `None` before the first request.
    since_s: Option<u32>,
    /// Second in which the present hour began.
    hour_s: u32,
    /// Windows of this hour.
    windows: u32,
    /// Those of them that resembled none before.
    fresh: u32,
    /// Where the fresh ones lay.
    places: Crowd<1>,
    /// How many were fresh when that was last found.
    fresh_found: u32,
    /// Objects of this hour, or since scraping was last found.
    objects: Crowd<4>,
    /// Whether this hour was found to be unusual, so that little is learned from it.
    is_unusual: bool,
    fresh_peak: u32,
    objects_peak: u32,
    memory: Option<Box<Memory>>,
}

impl Habits {
    pub(super) fn restore(&mut self, past: Past, now_s: u32) {
        self.since_s = Some(now_s.saturating_sub(seconds(past.watched_for)));
        self.hour_s = now_s;
        (self.fresh_peak, self.objects_peak) = (past.fresh_peak, past.objects_peak);
    }

    pub(super) fn past(&self, now_s: u32) -> Past {
        let watched_s = now_s.saturating_sub(self.since_s.unwrap_or(now_s));
        Past {
            watched_for: Millis(u64::from(watched_s) * 1_000),
            fresh_peak: self.fresh_peak.max(if self.is_unusual { 0 } else { self.fresh }),
            objects_peak: self.objects_peak.max(if self.is_unusual { 0 } else { self.objects.len() }),
        }
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, now_s: u32, options: &Options) {
        if self.since_s.is_none() {
            (self.since_s, self.hour_s) = (Some(now_s), now_s);
        }
        let hours = now_s.saturating_sub(self.hour_s) / HOUR_S;
        if hours == 0 {
            return;
        }
        let learned = |seen: u32, peak: u32, least: u32| {
            // Who does something new for good is found for some hours, until it is usual; who attacks once teaches little.
            if self.is_unusual { seen.min(peak.max(least / 4).saturating_mul(2)) } else { seen }
        };
        let fresh = learned(self.fresh, self.fresh_peak, options.fresh_min);
        let objects = learned(self.objects.len(), self.objects_peak, options.objects_min);
        self.fresh_peak = faded(self.fresh_peak, hours).max(fresh);
        self.objects_peak = faded(self.objects_peak, hours).max(objects);
        (self.windows, self.fresh, self.fresh_found, self.is_unusual) = (0, 0, 0, false);
        (self.objects, self.places) = (Crowd::default(), Crowd::default());
        self.hour_s = self.hour_s.saturating_add(hours * HOUR_S);
    }

    /// Counts an object that was read; `Some` where these are many more than usual.
    pub(super) fn read(&mut self, object: u64, now_s: u32, options: &Options) -> Option<Unusual> {
        if !self.objects.add(object) || !self.is_learned(now_s, options) {
            return None;
        }
        let limit = self.objects_peak.saturating_mul(options.habit_times).max(options.objects_min);
        let measured = self.objects.len();
        if measured < limit {
            return None;
        }
        (self.objects, self.is_unusual) = (Crowd::default(), true);
        let usual = self.objects_peak;
        Some(Unusual { first_s: self.hour_s, measured, limit, usual, places: None, is_learned: true })
    }

    /// Counts a window; `Some` where the fresh ones are many more than usual, and are most.
    pub(super) fn query(
        &mut self,
        sketch: Sketch,
        quota: u32,
        now_s: u32,
        options: &Options,
    ) -> Option<Unusual> {
        self.windows = self.windows.saturating_add(1);
        if self.remember(sketch) {
            return None;
        }
        self.fresh = self.fresh.saturating_add(1);
        self.places.add(sketch.place());
        let is_learned = self.is_learned(now_s, options);
        let limit = match is_learned {
            true => self.fresh_peak.saturating_mul(options.habit_times).max(options.fresh_min),
            // Without a past: half of what the quota allows in an hour.
            false if quota > 0 => quota.saturating_mul(HOUR_S / 2).max(options.fresh_min),
            false => return None,
        };
        let since_found = self.fresh - self.fresh_found;
        let is_most = u64::from(self.fresh) * 2 >= u64::from(self.windows);
        if self.fresh < limit || since_found < options.fresh_min || !is_most {
            return None;
        }
        (self.fresh_found, self.is_unusual) = (self.fresh, true);
        let (measured, usual) = (self.fresh, self.fresh_peak);
        let places = Some(self.places.len());
        Some(Unusual { first_s: self.hour_s, measured, limit, usual, places, is_learned })
    }

    fn is_learned(&self, now_s: u32, options: &Options) -> bool {
        self.since_s.is_some_and(|since_s| now_s.saturating_sub(since_s) >= seconds(options.learning))
    }

    /// Whether a window resembles one that is remembered. It is remembered from then on.
    fn remember(&mut self, sketch: Sketch) -> bool {
        let memory = self.memory.get_or_insert_with(|| Box::new([[0; 4]; SETS]));
        let overlap = sketch.overlap();
        let set = &mut memory[overlap as usize % SETS];
        let tag = (overlap >> 16) as u16 | 1;
        let known = set.iter().position(|own| *own == tag);
        set[..=known.unwrap_or(3)].rotate_right(1);
        set[0] = tag;
        known.is_some()
    }
}

/// What is left of a peak.
fn faded(peak: u32, hours: u32) -> u32 {
    let fade = |peak: u64, _| (peak * KEPT_PER_HOUR) / 1_000;
    (0..hours.min(HOURS_MAX)).fold(u64::from(peak), fade) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::split_mix_64;

    /// So many fresh windows in each hour from `hour` on, evenly; how often that was found.
    fn hours(own: &mut Habits, from: u32, hours: u32, fresh: u32, options: &Options) -> usize {
        let seconds = (from..from + hours).flat_map(|hour| (0..fresh).map(move |n| (hour, n)));
        seconds
            .filter(|&(hour, n)| {
                let now_s = hour * HOUR_S + (u64::from(n) * u64::from(HOUR_S) / u64::from(fresh)) as u32;
                own.advance(now_s, options);
                let sketch = Sketch(split_mix_64(u64::from(hour), u64::from(n)));
                own.query(sketch, 1_000, now_s, options).is_some()
            })
            .count()
    }

    #[test]
    fn who_does_much_more_than_ever_is_found_and_who_always_did_is_not() {
        let options = Options::default();
        let check = |before: u32, then: u32, is_found: bool| {
            let mut own = Habits::default();
            assert_eq!(hours(&mut own, 0, 24, before, &options), 0);
            assert_eq!(hours(&mut own, 24, 1, then, &options) > 0, is_found, "{before}, then {then}");
        };
        check(100, 1_900, false);
        check(100, 2_200, true);
        check(3_000, 11_000, false);
        check(3_000, 13_000, true);
    }

    #[test]
    fn a_new_way_of_working_is_learned_within_hours() {
        let options = Options::default();
        let mut own = Habits::default();
        hours(&mut own, 0, 24, 100, &options);
        let found: Vec<usize> = (24..30).map(|hour| hours(&mut own, hour, 1, 20_000, &options)).collect();
        assert!(found[0] > 0 && found[5] == 0, "{found:?}");
    }

    #[test]
    fn a_newcomer_is_compared_with_its_quota() {
        let options = Options::default();
        let mut own = Habits::default();
        let found = |own: &mut Habits, count: u64, quota: u32| {
            (0..count)
                .filter(|n| own.query(Sketch(split_mix_64(9, *n)), quota, 60, &options).is_some())
                .count()
        };
        own.advance(0, &options);
        assert_eq!(found(&mut own, 17_000, 10), 0);
        assert!(found(&mut Habits::default(), 19_000, 10) > 0);
        assert_eq!(found(&mut Habits::default(), 19_000, 0), 0);
    }

    #[test]
    fn series_side_by_side_are_known_again() {
        let mut own = Habits::default();
        let again = (0..20_000u64).filter(|n| own.remember(Sketch(split_mix_64(1, n % 400)))).count();
        assert!(again > 17_000, "{again}");
    }
}
