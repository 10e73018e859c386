//! What a model costs to serve, in microseconds of one core.
//!
//! A cost is computed from what a model is made of and from constants, never from a clock: the same model has the same
//! cost wherever it is asked for. The obvious other way, a stop-watch while training, would say how busy the training
//! machine was. The constants are those of the machine of `docs/results/engine-speed-epyc.md` with AVX-512: they were fitted to
//! its kernels and to the whole models that `engine_speed --cost` measures, entered here by hand, and that command shows
//! how far they are off (see `docs/performance.md`). Another machine is not slower by one factor: without AVX-512 the same
//! processor takes four to six times as long for a sparse reservoir of one stream, and from a twentieth more to twice as
//! long for a dense one, by how wide its arithmetic is.
//!
//! A row of a settled stream costs the steps of its reservoirs and the scoring of a forecast at each scored horizon.
//! Rows before a window's reservoirs have settled are stepped and not scored; its last one is read out.

mod expected;
mod reservoirs;
mod series;
#[cfg(test)]
mod tests;

use crate::any::AnyModel;
use crate::block::Block;
use crate::detect::{Detector, SPANS};
use crate::kernel::LANES;
use crate::model::{Core, Model, Parts, Profile};

pub(crate) use expected::{Outline, expected};
pub(crate) use reservoirs::{echo_us, liquid_us, network_us};

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

/// What a model costs, in microseconds of one core of the reference machine. Of a classifier, which takes no steps, see
/// [`Classifier::cost`](crate::classify::Classifier::cost).
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
    /// What it costs to serve.
    #[must_use]
    pub fn cost(&self) -> StepCost {
        match self {
            AnyModel::Forecaster(model) => model.cost(),
            AnyModel::Detector(detector) => detector.cost(),
            AnyModel::Classifier(classifier) => classifier.cost(),
        }
    }
}

fn cost<R: Profile>(parts: &Parts<R>, window_rows: usize) -> StepCost {
    let encoder = &parts.encoder;
    let blocks = encoder.blocks.iter().map(reservoirs::step);
    let lanes = encoder.blocks.iter().filter(|block| block.prefers_lanes());
    let features = encoder.features_len();
    let of_blocks: usize = encoder.blocks.iter().map(Block::features_len).sum();
    // Naive members have no weights.
    let members = parts.members.iter().filter(|member| !member.weights.is_empty()).count();
    let sizes = Sizes {
        channels: encoder.channels.len(),
        in_lanes: lanes.map(Block::vector_len).sum(),
        features: of_blocks,
        lags: features - of_blocks,
        vectors: encoder.vectors(parts.outputs.len()),
        members,
        mixed: if parts.mixer.is_some() { members + encoder.bases.len() - 1 } else { 0 },
        wide: size_of::<R>() / size_of::<f32>(),
        tracks: parts.intervals.tracks.len(),
        outputs: parts.outputs.len() * parts.horizon,
    };
    sizes.cost(blocks, Rows { window: window_rows, scored_from: parts.scored_from() })
}

/// Of a window.
#[derive(Debug, Clone, Copy)]
struct Rows {
    /// All of them.
    window: usize,
    /// From this many on forecasts are scored.
    scored_from: usize,
}

/// What of a model costs something beside its reservoirs' steps.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Columns of a row.
    channels: usize,
    /// Numbers of the reservoirs whose streams stand in lanes.
    in_lanes: usize,
    /// Features that come from reservoirs.
    features: usize,
    /// The others.
    lags: usize,
    /// Vectors of features in a row.
    vectors: usize,
    /// Readouts.
    members: usize,
    /// What a mixture mixes, naive forecasts among it; 0 where there is none.
    mixed: usize,
    /// 1 for 32 bits and 2 for 64.
    wide: usize,
    /// Targets times scored horizons.
    tracks: usize,
    /// Targets times horizons.
    outputs: usize,
}

impl Sizes {
    fn cost(&self, blocks: impl Iterator<Item = Nanoseconds>, rows: Rows) -> StepCost {
        let own = Nanoseconds::both(ROW + CHANNEL * self.channels as f64);
        let step = blocks.fold(own, Nanoseconds::plus);
        let scoring = self.scoring();
        let settled = rows.window.saturating_sub(rows.scored_from) as f64;
        let window = rows.window as f64 * step.alone + settled * scoring.alone + self.read_out();
        StepCost {
            alone_us: (step.alone + scoring.alone) / 1e3,
            together_us: (step.together + scoring.together) / 1e3,
            window_us: window / 1e3,
        }
    }

    /// Features of a row, written once.
    fn write(&self) -> f64 {
        (FEATURE * self.features as f64 + LAG * self.lags as f64) * self.vectors as f64
    }

    /// One forecast of one target by all members.
    fn forecast(&self) -> f64 {
        let padded = (self.features + self.lags).next_multiple_of(LANES);
        WEIGHT * (self.members * self.wide * padded) as f64 + MEMBER * self.mixed as f64
    }

    /// What comes with every row of a settled stream.
    fn scoring(&self) -> Nanoseconds {
        let value = self.write() + self.tracks as f64 * (TRACK + self.forecast());
        Nanoseconds { alone: value, together: value + HOMECOMING * self.in_lanes as f64 }
    }

    /// What comes once a window.
    fn read_out(&self) -> f64 {
        WINDOW + self.write() + self.outputs as f64 * (OUTPUT + self.forecast())
    }
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
