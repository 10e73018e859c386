//! Mixing the forecasts of several members by how well each has done lately.
//!
//! A member's weight is (mean squared error of its recent forecasts)^−power, so that a member that has lost touch, be
//! it through a shift of the series or a readout that was fitted to chance, falls silent within a few hundred rows,
//! and a naive forecast that is always among the members takes over where all others fail. The errors are kept as an
//! exponentially weighted mean, per target and scored horizon, from the forecasts whose truth has come; they are part
//! of a stream's state, and a model is immutable. Only multiplications and divisions are used: equal bits everywhere.

/// Weight of the newest squared error: the mean reaches back about as far as that of the last 300 would.
const RENEWAL: f64 = 2.0 / 301.0;
/// Keeps weights finite where forecasts have been exact.
const ERROR_FLOOR: f64 = 1e-24;

/// How a model mixes its members.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mixer {
    /// Weights are errors to this negative power.
    pub(crate) power: u32,
    /// Mean squared errors of every member out of sample, track after track: where a stream begins.
    pub(crate) errors: Vec<Vec<f64>>,
}

/// What a stream knows about the members at one target and scored horizon.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MixState {
    /// Mean squared error of each member.
    pub(crate) errors: Vec<f64>,
    /// Standardised forecasts whose truth has not come: a ring as long as the horizon, member by member.
    pub(crate) pending: Vec<f64>,
}

impl MixState {
    /// A state that begins with the given errors.
    pub(crate) fn new(errors: &[f64], horizon: usize) -> Self {
        Self { errors: errors.to_vec(), pending: vec![0.0; horizon * errors.len()] }
    }

    fn horizon(&self) -> usize {
        self.pending.len() / self.errors.len()
    }

    /// Stores what each member forecast when `rows` rows had been seen.
    #[inline(always)]
    pub(crate) fn note(&mut self, rows: usize, forecasts: &[f64]) {
        let (members, horizon) = (self.errors.len(), self.horizon());
        // The forecast made at row count r is for row r + horizon − 1 (from 0), whose slot is the same as r − 1's.
        let slot = (rows + horizon - 1) % horizon;
        self.pending[slot * members..][..members].copy_from_slice(forecasts);
    }

    /// Learns from the truth of row `row` (from 0).
    #[inline(always)]
    pub(crate) fn observe(&mut self, row: usize, truth: f64) {
        self.learn(row, truth, RENEWAL);
    }

    /// The same where `seen` truths came before: the first ones count for as much as each other, so that nothing is
    /// left of the errors that the state began with.
    pub(crate) fn observe_early(&mut self, row: usize, truth: f64, seen: usize) {
        self.learn(row, truth, RENEWAL.max(1.0 / (seen + 1) as f64));
    }

    #[inline(always)]
    fn learn(&mut self, row: usize, truth: f64, share: f64) {
        let (members, horizon) = (self.errors.len(), self.horizon());
        let pending = &self.pending[row % horizon * members..][..members];
        for (error, forecast) in self.errors.iter_mut().zip(pending) {
            let squared = (truth - forecast) * (truth - forecast);
            *error += share * (squared - *error);
        }
    }

    /// The mixture of the members' forecasts.
    #[inline(always)]
    pub(crate) fn mix(&self, power: u32, forecasts: &[f64]) -> f64 {
        let least = self.errors.iter().fold(f64::INFINITY, |least, &error| least.min(error)).max(ERROR_FLOOR);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (error, forecast) in self.errors.iter().zip(forecasts) {
            let ratio = least / error.max(ERROR_FLOOR);
            let weight = (0..power).fold(1.0, |product, _| product * ratio);
            sum += weight * forecast;
            weights += weight;
        }
        sum / weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_errors_to_the_negative_power() {
        let state = MixState::new(&[1.0, 2.0], 1);
        // Weights 1 and 2^-4.
        assert!((state.mix(4, &[1.0, 18.0]) - (1.0 + 18.0 / 16.0) / (1.0 + 1.0 / 16.0)).abs() < 1e-12);
        assert_eq!(MixState::new(&[0.0, 0.0], 1).mix(4, &[1.0, 3.0]), 2.0);
    }

    #[test]
    fn a_member_that_loses_touch_falls_silent_and_truths_meet_their_forecasts() {
        let horizon = 3;
        let mut state = MixState::new(&[1.0, 1.0], horizon);
        for rows in 1..400 {
            let row = rows - 1;
            if rows > horizon {
                // The forecast for this row was made three rows ago: member 0 said its number, member 1 one more.
                state.observe(row, row as f64);
            }
            let target = (row + horizon) as f64;
            state.note(rows, &[target, target + 1.0]);
        }
        assert!(state.errors[0] < 0.1 && (state.errors[1] - 1.0).abs() < 1e-9, "{:?}", state.errors);
        assert!(state.mix(4, &[0.0, 1.0]) < 1e-3);
    }
}
