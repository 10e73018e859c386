//! What a stream carries for one track.

use super::Track;
use super::dtaci::{Dtaci, EXPERTS, Experts};
use super::score::{MEANS, Origin, Sizes};

/// A forecast whose truth has not come, and what became of the one before it in the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Slot {
    /// Standardised forecast.
    forecast: f64,
    /// Its scale; 0 where nothing is pending.
    scale: f64,
    /// Which experts missed the newest truth of this slot, a bit each; `None` where none was scored.
    missed: Option<u8>,
}

/// Numbers of a slot.
pub(crate) const SLOT: usize = 3;

/// The state of one track of one stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrackState {
    /// Sizes of recent errors.
    pub(super) sizes: Sizes,
    /// Rates and weights.
    pub(super) experts: Experts,
    /// The newest known value.
    pub(super) last: f64,
    /// As many slots as the horizon has rows; the forecast made from row r lies in slot r mod horizon.
    pending: Vec<Slot>,
}

impl TrackState {
    /// The state of a stream that has seen nothing.
    pub(crate) fn fresh(track: &Track) -> Self {
        Self {
            sizes: track.scale.fresh(),
            experts: Experts::fresh(track.level),
            last: 0.0,
            pending: vec![Slot::default(); track.scale.horizon],
        }
    }

    /// How many numbers [`TrackState::write`] writes.
    pub(crate) fn len(track: &Track) -> usize {
        MEANS + track.scale.phases.count + 3 * EXPERTS + 2 + SLOT * track.scale.horizon
    }

    /// Appends the state as plain numbers.
    pub(crate) fn write(&self, numbers: &mut Vec<f64>) {
        let Experts { levels, weights, origin_levels } = &self.experts;
        numbers.extend(self.sizes.means.iter().chain(&self.sizes.phases));
        numbers.extend(levels.iter().chain(weights).chain(origin_levels));
        numbers.extend([self.last, self.sizes.seen]);
        for slot in &self.pending {
            numbers.extend([slot.forecast, slot.scale, slot.missed.map_or(-1.0, f64::from)]);
        }
    }

    /// The state that [`TrackState::write`] gave as `numbers`; `None` where they cannot be a state of `track`.
    pub(crate) fn read(track: &Track, numbers: &[f64]) -> Option<Self> {
        if numbers.len() != Self::len(track) || numbers.iter().any(|number| !number.is_finite()) {
            return None;
        }
        let mut state = Self::fresh(track);
        let mut rest = numbers.iter().copied();
        let Sizes { means, phases, seen } = &mut state.sizes;
        let Experts { levels, weights, origin_levels } = &mut state.experts;
        let rates = levels.iter_mut().chain(weights).chain(origin_levels);
        for (own, number) in means.iter_mut().chain(phases).chain(rates).zip(&mut rest) {
            *own = number;
        }
        (state.last, *seen) = (rest.next()?, rest.next()?);
        for slot in &mut state.pending {
            (slot.forecast, slot.scale) = (rest.next()?, rest.next()?);
            slot.missed = match rest.next()? {
                -1.0 => None,
                bits if (0.0..=255.0).contains(&bits) && bits.fract() == 0.0 => Some(bits as u8),
                _ => return None,
            };
        }
        Some(state)
    }

    /// Where a forecast made now stands.
    #[inline]
    pub(super) fn origin(&self, row: usize, forecast: f64) -> Origin {
        Origin { row, moved: (forecast - self.last).abs() }
    }

    /// Scores the forecast for row number `row`, if one was noted, by the value that has just arrived.
    #[inline]
    pub(super) fn observe(&mut self, track: &Track, rule: &Dtaci, row: usize, truth: f64) {
        let horizon = self.pending.len();
        let slot = &mut self.pending[row % horizon];
        slot.missed = None;
        if slot.scale > 0.0 && truth.is_finite() {
            let error = (truth - slot.forecast).abs();
            let beta = track.share_above(error / slot.scale);
            slot.missed = Some(rule.observe(&mut self.experts, beta));
            track.scale.observe(&mut self.sizes, row, error, slot.scale);
        }
        slot.scale = 0.0;
        // The next truth belongs to a forecast of one row later: so must the rates it is compared with.
        if let Some(missed) = self.pending[(row + 1) % horizon].missed {
            rule.follow(&mut self.experts, missed);
        }
        if truth.is_finite() {
            self.last = truth;
        }
    }

    /// Remembers a forecast made from row number `row`; one that is not finite is not scored.
    #[inline]
    pub(super) fn note(&mut self, track: &Track, row: usize, forecast: f64) {
        if !forecast.is_finite() {
            return;
        }
        let scale = track.scale.at(&self.sizes, self.origin(row, forecast));
        let horizon = self.pending.len();
        let slot = &mut self.pending[row % horizon];
        (slot.forecast, slot.scale) = (forecast, scale);
    }

    /// The forecast that was noted for row number `row`, the next one, and the scale to measure its error by.
    #[inline]
    pub(crate) fn expected(&self, row: usize) -> Option<(f64, f64)> {
        let slot = &self.pending[row % self.pending.len()];
        (slot.scale > 0.0).then_some((slot.forecast, slot.scale))
    }

    /// Sets the newest known value, where it did not come through [`TrackState::observe`].
    pub(super) fn set_last(&mut self, last: f64) {
        self.last = last;
    }
}

#[cfg(test)]
mod tests {
    use super::super::confidence::Confidence;
    use super::super::score::{Phases, Scale};
    use super::*;
    use spinwell_core::Rng;
    use std::collections::BTreeMap;

    fn track(horizon: usize) -> Track {
        let weights = [0.2, 0.1, 0.3, 0.1, 0.2, 0.3];
        Track {
            scale: Scale { weights, ..Scale::unfitted(horizon, Phases::of(5), 1.0) },
            scores: (1..=200).map(|i| 0.015 * i as f32).collect(),
            level: 0.08,
            confidence: Confidence::default(),
        }
    }

    /// What one row brings: a value, or none; and the forecast made from it, or none.
    struct Row {
        truth: Option<f64>,
        forecast: Option<f64>,
    }

    fn rows(seed: u64) -> Vec<Row> {
        let mut rng = Rng::seeded(seed);
        let mut kept = |value: f64, share: f64| (rng.uniform() < share).then(|| value + rng.normal());
        (0..900)
            .map(|row| Row {
                truth: kept((f64::from(row) * 0.3).sin(), 0.95),
                forecast: kept((f64::from(row) * 0.3).sin(), if row < 20 { 0.0 } else { 0.9 }),
            })
            .collect()
    }

    fn feed(track: &Track, rule: &Dtaci, state: &mut TrackState, row: usize, one: &Row) {
        state.observe(track, rule, row, one.truth.unwrap_or(f64::NAN));
        if let Some(forecast) = one.forecast {
            state.note(track, row, forecast);
        }
    }

    /// Keeps everything that ever was, by row, and looks it up when a truth comes.
    #[test]
    fn every_truth_meets_the_forecast_made_for_it_and_the_rates_of_its_origin() {
        for horizon in [1, 2, 6] {
            let (track, rule) = (track(horizon), Dtaci::new(0.9, horizon));
            let mut state = TrackState::fresh(&track);
            let (mut sizes, mut experts) = (track.scale.fresh(), Experts::fresh(track.level));
            let mut noted: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
            let mut levels: BTreeMap<usize, [f64; EXPERTS]> = BTreeMap::new();
            let mut last = 0.0;
            let mut scored = 0;
            for (row, one) in rows(4).iter().enumerate() {
                let origin = row.checked_sub(horizon);
                if let (Some(truth), Some(&(forecast, scale))) =
                    (one.truth, origin.and_then(|origin| noted.get(&origin)))
                {
                    let error = (truth - forecast).abs();
                    let at_least =
                        track.scores.iter().filter(|&&own| f64::from(own) >= error / scale).count();
                    experts.origin_levels = levels[&(row - horizon)];
                    rule.observe(&mut experts, at_least as f64 / 200.0);
                    track.scale.observe(&mut sizes, row, error, scale);
                    scored += 1;
                }
                last = one.truth.unwrap_or(last);
                levels.insert(row, experts.levels);
                if let Some(forecast) = one.forecast {
                    let moved = (forecast - last).abs();
                    noted.insert(row, (forecast, track.scale.at(&sizes, Origin { row, moved })));
                }
                feed(&track, &rule, &mut state, row, one);
                assert_eq!((&state.sizes, state.last), (&sizes, last), "{horizon} {row}");
                assert_eq!(state.experts.levels, experts.levels, "{horizon} {row}");
                assert_eq!(state.experts.weights, experts.weights, "{horizon} {row}");
            }
            assert!(scored > 600, "{scored}");
        }
    }

    #[test]
    fn a_state_survives_being_written_at_any_row() {
        let (track, rule) = (track(4), Dtaci::new(0.95, 4));
        let (mut state, mut other) = (TrackState::fresh(&track), TrackState::fresh(&track));
        for (row, one) in rows(5).iter().enumerate() {
            feed(&track, &rule, &mut state, row, one);
            feed(&track, &rule, &mut other, row, one);
            let mut numbers = Vec::new();
            other.write(&mut numbers);
            assert_eq!(numbers.len(), TrackState::len(&track));
            other = TrackState::read(&track, &numbers).unwrap();
            assert_eq!(other, state, "{row}");
        }
    }

    #[test]
    fn numbers_that_are_no_state_are_refused() {
        let track = track(2);
        let mut numbers = Vec::new();
        TrackState::fresh(&track).write(&mut numbers);
        let with = |index: usize, number: f64| {
            let mut numbers = numbers.clone();
            numbers[index] = number;
            TrackState::read(&track, &numbers)
        };
        let last = numbers.len() - 1;
        assert!(with(last, 255.0).is_some() && with(last, -1.0).is_some());
        for wrong in [256.0, 0.5, -2.0, f64::NAN] {
            assert_eq!(with(last, wrong), None, "{wrong}");
        }
        assert_eq!(with(0, f64::INFINITY), None);
        assert_eq!(TrackState::read(&track, &numbers[1..]), None);
    }
}
