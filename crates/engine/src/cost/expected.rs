//! What a model will cost that has not been trained, from the choices that it is made of.
//!
//! Two things show only in training: how soon the reservoirs forget, which decides the recommended window, and whether a
//! mixture is kept. Typical ones stand in for them.

use super::{Rows, Sizes, StepCost, reservoirs};
use crate::intervals::scored_horizons;
use crate::model::{FORGETS_WITHIN, SETTLED_ROWS_MIN};
use crate::spec::{Mixing, ReservoirSettings, Spec, Topology};
use spinwell_core::NumericProfile;

/// Rows after which reservoirs of echo units or qubits have usually forgotten their start.
const FORGETS_TYPICALLY: usize = 100;

/// What of a model its own choices do not say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outline {
    /// Columns of a row.
    pub(crate) channels: usize,
    /// Of these, how many are forecast.
    pub(crate) targets: usize,
    /// Rows ahead.
    pub(crate) horizon: usize,
    /// Naive forecasts that a mixture would mix in.
    pub(crate) naive: usize,
}

/// What a model of these choices will cost, and the rows of the window that this is the cost of.
pub(crate) fn expected(spec: &Spec, outline: Outline) -> (StepCost, usize) {
    let Outline { channels, targets, horizon, naive } = outline;
    let of_blocks: usize = spec.blocks.iter().map(|block| block.features_len(channels)).sum();
    let wide = if spec.profile == NumericProfile::CpuF64 { 2 } else { 1 };
    let steps = spec
        .blocks
        .iter()
        .map(|block| reservoirs::step_of(&block.reservoir, block.hearing.inputs(channels), wide as f64));
    let in_lanes = spec.blocks.iter().map(|block| match &block.reservoir {
        ReservoirSettings::Echo(echo) if echo.topology != Topology::Orthogonal && echo.density < 1.0 => {
            echo.units + block.hearing.inputs(channels) + 1
        }
        _ => 0,
    });
    let is_mixed = spec.mixing != Mixing::Off;
    // All features, the lags alone, and each of several reservoirs beside them.
    let members = if is_mixed { 2 + if spec.blocks.len() > 1 { spec.blocks.len() } else { 0 } } else { 1 };
    let sizes = Sizes {
        channels,
        in_lanes: in_lanes.sum(),
        features: of_blocks,
        lags: spec.features_len(channels) - of_blocks,
        vectors: if spec.shared { targets } else { 1 },
        members,
        mixed: if is_mixed { members + naive } else { 0 },
        wide,
        tracks: targets * scored_horizons(horizon).len(),
        outputs: targets * horizon,
    };
    let forgets = spec.blocks.iter().map(|block| match block.reservoir {
        ReservoirSettings::Spiking(_) => FORGETS_WITHIN,
        _ => FORGETS_TYPICALLY,
    });
    let scored_from = forgets.max().unwrap_or(1).max(spec.lags.depth());
    let window = scored_from + SETTLED_ROWS_MIN + horizon;
    (sizes.cost(steps, Rows { window, scored_from }), window)
}
