//! What a sequence needs of a model: a state that is fed rows and answers.
//!
//! Sequences step on the CPU, whatever device answers windows: a state must be the same to the bit wherever it goes.

use crate::Prediction;
use spinwell_core::{NumericProfile, Series};
use spinwell_engine::detect::{Detector, Watch};
use spinwell_engine::{Model, Scratch, StateError, Stream};

/// The state of one sequence.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// Of a forecaster.
    Stream(Stream),
    /// Of a detector.
    Watch(Watch),
}

/// A model that can keep sequences.
pub(crate) trait Stateful: Send + Sync {
    /// A state that has seen nothing.
    fn fresh(&self) -> State;

    /// Feeds the rows of the one window in `rows`, in order.
    fn feed(&self, state: &mut State, rows: &Series, scratch: &mut Scratch);

    /// What it says after the rows that the state was fed, and whether those were too few for the model itself.
    fn answer(&self, state: &State, scratch: &mut Scratch) -> (Prediction, bool);

    /// The state as bytes.
    fn save(&self, state: &State) -> Vec<u8>;

    /// The state whose bytes these are.
    ///
    /// # Errors
    /// Where they are no state of this very model.
    fn restore(&self, bytes: &[u8]) -> Result<State, StateError>;

    /// The arithmetic of the answers.
    fn profile(&self) -> NumericProfile;
}

/// Calls `each` with every row of the one window.
fn rows(series: &Series, mut each: impl FnMut(&[f64])) {
    let mut row = vec![0.0; series.channels()];
    for index in 0..series.rows() {
        for (channel, value) in row.iter_mut().enumerate() {
            *value = series.value(0, index, channel);
        }
        each(&row);
    }
}

impl Stateful for Model {
    fn fresh(&self) -> State {
        State::Stream(self.stream())
    }

    fn feed(&self, state: &mut State, series: &Series, scratch: &mut Scratch) {
        if let State::Stream(stream) = state {
            rows(series, |row| self.step(stream, row, scratch));
        }
    }

    fn answer(&self, state: &State, scratch: &mut Scratch) -> (Prediction, bool) {
        let State::Stream(stream) = state else { unreachable!("a forecaster is given streams") };
        let (forecast, warming_up) = self.forecast_at_any_age(stream, scratch);
        (Prediction::Forecast(forecast), warming_up)
    }

    fn save(&self, state: &State) -> Vec<u8> {
        match state {
            State::Stream(stream) => self.save_state(stream),
            State::Watch(_) => Vec::new(),
        }
    }

    fn restore(&self, bytes: &[u8]) -> Result<State, StateError> {
        self.restore_state(bytes).map(State::Stream)
    }

    fn profile(&self) -> NumericProfile {
        Model::profile(self)
    }
}

impl Stateful for Detector {
    fn fresh(&self) -> State {
        State::Watch(self.watch())
    }

    fn feed(&self, state: &mut State, series: &Series, scratch: &mut Scratch) {
        if let State::Watch(watch) = state {
            rows(series, |row| {
                self.step(watch, row, scratch);
            });
        }
    }

    fn answer(&self, state: &State, _: &mut Scratch) -> (Prediction, bool) {
        let State::Watch(watch) = state else { unreachable!("a detector is given watches") };
        // Before there is a forecast to judge a row by, nothing is unusual.
        let verdict = watch.newest();
        let score = verdict.map_or(0.0, |verdict| verdict.score as f32);
        let is_anomaly = verdict.is_some_and(|verdict| verdict.is_anomaly);
        (Prediction::Anomaly { score, is_anomaly }, verdict.is_none())
    }

    fn save(&self, state: &State) -> Vec<u8> {
        match state {
            State::Watch(watch) => self.save_state(watch),
            State::Stream(_) => Vec::new(),
        }
    }

    fn restore(&self, bytes: &[u8]) -> Result<State, StateError> {
        self.restore_state(bytes).map(State::Watch)
    }

    fn profile(&self) -> NumericProfile {
        self.forecaster().profile()
    }
}
