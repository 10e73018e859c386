//! What a model costs to serve, in microseconds of one core.
//!
//! A cost is computed from what a model is made of and from constants, never from a clock: the same model has the same
//! cost wherever it is asked for. The obvious other way, a stop-watch while training, would say how busy the training
//! machine was. The constants are those of the machine of `docs/results/engine-speed.md` with AVX-512, found from its
//! kernels and from whole models by `engine_speed --cost`, which also shows how far they are off (see
//! `docs/performance.md`); another machine is faster or slower by about the same factor throughout.
//!
//! A row of a settled stream costs the steps of its reservoirs and the scoring of a forecast at each scored horizon.
//! Rows before a window's reservoirs have settled are stepped and not scored; its last one is read out.

mod reservoirs;
#[cfg(test)]
mod tests;

use crate::any::AnyModel;
use crate::block::Block;
use crate::detect::{Detector, SPANS};
use crate::kernel::Real;
use crate::model::{Core, Model, Parts, Profile};

pub(crate) use reservoirs::{echo_us, network_us};

/// To take in a row, whatever is in it.
const ROW: f64 = 30.0;
/// To standardise and remember a channel.
const CHANNEL: f64 = 12.0;
/// To write and clip a reservoir's feature.
const FEATURE: f64 = 0.5;
/// To look up a lag or multiply a product, and clip it.
const LAG: f64 = 2.5;
/// To take a stream's number out of the lanes in which sparse reservoirs step together.
const HOMECOMING: f64 = 1.0;
/// To score a forecast at one horizon and note the next one (`interval-update` of the kernels).
const TRACK: f64 = 90.0;
/// A member's share in a mixture.
const MEMBER: f64 = 25.0;
/// A weight of the readout, in 32 bits.
const WEIGHT: f64 = 0.05;
/// An output's interval, direction and confidence.
const OUTPUT: f64 = 40.0;
/// To judge an error by the tail of one span, and to learn from it.
const TAIL: f64 = 40.0;
/// To begin a stream and to hand its forecast over.
const WINDOW: f64 = 1500.0;

/// What a model costs, in microseconds of one core of the reference machine.
///
/// ```
/// use spinwell_engine::cost::in_words;
///
/// assert_eq!(in_words(812.4), "810 us");
/// assert_eq!(in_words(15_300.0), "15 ms");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepCost {
    /// A row of one stream, scoring included.
    pub alone_us: f64,
    /// The same where 64 streams step together: the time of all of them, divided by 64.
    pub together_us: f64,
    /// A window of as many rows as are recommended, answered by itself.
    pub window_us: f64,
}

/// Nanoseconds of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Nanoseconds {
    /// Where it steps by itself.
    alone: f64,
    /// Where 64 step together.
    together: f64,
}

impl Nanoseconds {
    fn both(value: f64) -> Self {
        Self { alone: value, together: value }
    }

    fn plus(self, other: Self) -> Self {
        Self { alone: self.alone + other.alone, together: self.together + other.together }
    }
}

impl Model {
    /// What it costs to serve.
    #[must_use]
    pub fn cost(&self) -> StepCost {
        self.cost_of_window(self.window_recommended())
    }

    fn cost_of_window(&self, rows: usize) -> StepCost {
        match self.core() {
            Core::F32(parts) => cost(parts, rows),
            Core::F64(parts) => cost(parts, rows),
        }
    }
}

impl Detector {
    /// What it costs to serve. Windows are judged one after the other, so that there is nothing to gain together.
    #[must_use]
    pub fn cost(&self) -> StepCost {
        let rows = self.window_recommended();
        let forecaster = self.forecaster().cost_of_window(rows);
        let tails = TAIL * (self.targets().len() * SPANS.len()) as f64 / 1e3;
        let alone_us = forecaster.alone_us + tails;
        StepCost { alone_us, together_us: alone_us, window_us: forecaster.window_us + rows as f64 * tails }
    }
}

impl AnyModel {
    /// What it costs to serve. `None` for a classifier: it takes no steps, and its cost is that of the series sent.
    #[must_use]
    pub fn cost(&self) -> Option<StepCost> {
        match self {
            AnyModel::Forecaster(model) => Some(model.cost()),
            AnyModel::Detector(detector) => Some(detector.cost()),
            AnyModel::Classifier(_) => None,
        }
    }
}

fn cost<R: Profile>(parts: &Parts<R>, window_rows: usize) -> StepCost {
    let encoder = &parts.encoder;
    let blocks = encoder.blocks.iter().map(reservoirs::step);
    let own = Nanoseconds::both(ROW + CHANNEL * encoder.channels.len() as f64);
    let step = blocks.fold(own, Nanoseconds::plus);
    let scoring = scoring(parts);
    let settled_rows = window_rows.saturating_sub(parts.scored_from());
    let window = window_rows as f64 * step.alone + settled_rows as f64 * scoring.alone + read_out(parts);
    StepCost {
        alone_us: (step.alone + scoring.alone) / 1e3,
        together_us: (step.together + scoring.together) / 1e3,
        window_us: window / 1e3,
    }
}

/// Features of a row, written once.
fn features<R: Real>(parts: &Parts<R>) -> f64 {
    let encoder = &parts.encoder;
    let all = encoder.features_len() as f64;
    let of_blocks = encoder.blocks.iter().map(Block::features_len).sum::<usize>() as f64;
    (FEATURE * of_blocks + LAG * (all - of_blocks)) * encoder.vectors(parts.outputs.len()) as f64
}

/// One forecast of one target by all members.
fn forecast<R: Real>(parts: &Parts<R>) -> f64 {
    let wide = size_of::<R>() as f64 / size_of::<f32>() as f64;
    // Naive members have no weights.
    let members = parts.members.iter().filter(|member| !member.weights.is_empty()).count() as f64;
    let mixed = if parts.mixer.is_some() { members + (parts.encoder.bases.len() - 1) as f64 } else { 0.0 };
    members * WEIGHT * wide * parts.encoder.padded_len() as f64 + mixed * MEMBER
}

/// What comes with every row of a settled stream.
fn scoring<R: Real>(parts: &Parts<R>) -> Nanoseconds {
    let tracks = parts.intervals.tracks.len() as f64;
    let value = features(parts) + tracks * (TRACK + forecast(parts));
    let lanes = parts.encoder.blocks.iter().filter(|block| block.prefers_lanes());
    let homecoming: f64 = lanes.map(|block| HOMECOMING * block.vector_len() as f64).sum();
    Nanoseconds { alone: value, together: value + homecoming }
}

/// What comes once a window.
fn read_out<R: Real>(parts: &Parts<R>) -> f64 {
    let outputs = (parts.outputs.len() * parts.horizon) as f64;
    WINDOW + features(parts) + outputs * (OUTPUT + forecast(parts))
}

/// A time as people say it, to two digits.
#[must_use]
pub fn in_words(us: f64) -> String {
    let digits = |value: f64| {
        let scale = 10f64.powi(1 - value.max(1e-3).log10().floor() as i32);
        (value * scale).round() / scale
    };
    match us {
        us if us < 1e3 => format!("{} us", digits(us)),
        us if us < 1e6 => format!("{} ms", digits(us / 1e3)),
        us => format!("{} s", digits(us / 1e6)),
    }
}
