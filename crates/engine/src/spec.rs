//! What a model is made of: the choices that a search makes and a file records.

use crate::quantum::{QuantumMemory, QuantumSettings};
use crate::spiking::SpikingSettings;
use spinwell_core::NumericProfile;
use std::fmt;

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// The last value, repeated. A baseline, served where nothing beats it.
    Persistence,
    /// The value one season before the target. A baseline, served where nothing beats it.
    SeasonalNaive,
    /// The training mean. The baseline where the target's own past is not fed.
    Mean,
    /// Ridge regression on recent and seasonal lags.
    Linear,
    /// Ridge regression on products of recent values: next-generation reservoir computing.
    Ngrc,
    /// A leaky echo-state network beside the same lags.
    Echo,
    /// A liquid of spiking neurons beside the same lags.
    Spiking,
    /// A bank of simulated quantum reservoirs beside the same lags.
    Quantum,
    /// Several of these beside each other.
    Hybrid,
}

impl Family {
    /// Every family, simplest first: of two that validate alike, the earlier one is taken.
    pub const ALL: [Family; 9] = [
        Family::Persistence,
        Family::SeasonalNaive,
        Family::Mean,
        Family::Linear,
        Family::Ngrc,
        Family::Echo,
        Family::Spiking,
        Family::Quantum,
        Family::Hybrid,
    ];

    /// The family's name in options, tables and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Family::Persistence => "persistence",
            Family::SeasonalNaive => "seasonal-naive",
            Family::Mean => "mean",
            Family::Linear => "linear",
            Family::Ngrc => "ngrc",
            Family::Echo => "echo",
            Family::Spiking => "spiking",
            Family::Quantum => "quantum",
            Family::Hybrid => "hybrid",
        }
    }

    /// The family of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Family> {
        Self::ALL.into_iter().find(|family| family.as_str() == name)
    }

    /// Whether this is a naive forecast that learns nothing.
    #[must_use]
    pub const fn is_naive(self) -> bool {
        matches!(self, Family::Persistence | Family::SeasonalNaive | Family::Mean)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A monotone function applied before standardising, so that errors have a similar size at every level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transform {
    /// The values as they are.
    Identity,
    /// The square root (negative values count as 0): for counts and demands that are never negative.
    SquareRoot,
}

impl Transform {
    /// The transform's name in options, cards and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Transform::Identity => "none",
            Transform::SquareRoot => "sqrt",
        }
    }

    /// The transformed value.
    #[must_use]
    pub fn apply(self, value: f64) -> f64 {
        match self {
            Transform::Identity => value,
            Transform::SquareRoot => value.max(0.0).sqrt(),
        }
    }

    /// The value whose transform is `transformed`; what no value maps to comes from the nearest that one does.
    #[must_use]
    pub fn invert(self, transformed: f64) -> f64 {
        match self {
            Transform::Identity => transformed,
            Transform::SquareRoot => transformed.max(0.0).powi(2),
        }
    }
}

/// What the readout's correction is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// The training mean.
    Mean,
    /// The last observed value.
    Last,
    /// The value one season before the target (two or more seasons where the horizon is longer than one).
    Season,
}

/// How lags enter the features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LagForm {
    /// Differences to the last value, beside that value itself: follows a level that moves.
    Relative,
    /// The values themselves.
    Raw,
}

impl LagForm {
    /// The form's name in options, cards and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            LagForm::Relative => "relative",
            LagForm::Raw => "raw",
        }
    }
}

/// Which past rows the readout sees directly. Offsets count rows back from the last one, which is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lags {
    /// Recent rows: offsets 0 to `recent` − 1.
    pub recent: usize,
    /// Offsets around one season before the targets, ascending, all at least `recent`.
    pub seasonal: Vec<usize>,
    /// How they enter.
    pub form: LagForm,
}

impl Lags {
    /// No lags at all (`skip=off`).
    #[must_use]
    pub fn none() -> Self {
        Self { recent: 0, seasonal: Vec::new(), form: LagForm::Raw }
    }

    /// Recent lags and one run of seasonal ones, from `margin` rows past the last target's phase back to `back`
    /// rows before the first's: the target phases, and what stood before them one season ago.
    #[must_use]
    pub fn around_season(
        recent: usize,
        season: usize,
        horizon: usize,
        margin: usize,
        back: usize,
        form: LagForm,
    ) -> Self {
        let seasonal = if season > 1 {
            (season.saturating_sub(horizon + margin).max(recent)..season + back).collect()
        } else {
            Vec::new()
        };
        Self { recent, seasonal, form }
    }

    /// Rows of history that the deepest lag needs.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.seasonal.last().map_or(self.recent, |&offset| offset + 1).max(1)
    }

    /// Lags of one channel.
    #[must_use]
    pub fn per_channel(&self) -> usize {
        self.recent + self.seasonal.len()
    }
}

/// How the units of an echo-state reservoir are wired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// Each weight present with a probability, uniform in ± a scale.
    Random,
    /// A random orthogonal matrix times the spectral radius: keeps the most of the past (White, Lee & Sompolinsky
    /// 2004). Always dense.
    Orthogonal,
    /// One ring of equal weights (Rodan & Tino 2011, "simple cycle reservoir").
    Cycle,
}

impl Topology {
    /// Every topology.
    pub const ALL: [Topology; 3] = [Topology::Random, Topology::Orthogonal, Topology::Cycle];

    /// The topology's name in options, cards and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Topology::Random => "random",
            Topology::Orthogonal => "orthogonal",
            Topology::Cycle => "cycle",
        }
    }
}

/// An echo-state reservoir before its random weights are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct EchoSettings {
    /// Units of the reservoir, 1 to 4096.
    pub units: usize,
    /// How they are wired.
    pub topology: Topology,
    /// Share of recurrent weights that are not zero, in (0, 1]; 1 is stored dense. Of random wiring only.
    pub density: f64,
    /// Largest absolute eigenvalue of the recurrent weights.
    pub spectral_radius: f64,
    /// How much of the state is renewed each step, in (0, 1].
    pub leak: f64,
    /// Input weights are uniform in ± this.
    pub input_scale: f64,
    /// Biases are uniform in ± this.
    pub bias_scale: f64,
    /// Which random weights.
    pub seed: u64,
}

/// Products of recent values among the features (Gauthier et al. 2021, "Next generation reservoir computing", eq. 4-6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Products {
    /// Past values of each channel that are multiplied.
    pub taps: usize,
    /// Rows from one of them to the next.
    pub stride: usize,
    /// Highest number of factors, from 2; all lower ones above 1 are there too.
    pub order: usize,
}

/// What a reservoir hears of each row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hearing {
    /// Offsets of further inputs: the values one season before the nearest and the farthest target.
    pub seasonal: Vec<usize>,
    /// Changes from row to row instead of values, for series that leave the range they were trained on.
    pub differenced: bool,
}

/// The kinds of reservoirs.
#[derive(Debug, Clone, PartialEq)]
pub enum ReservoirSettings {
    /// Leaky tanh units.
    Echo(EchoSettings),
    /// Spiking neurons.
    Spiking(SpikingSettings),
    /// Simulated qubits.
    Quantum(QuantumSettings),
}

/// One reservoir of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockSettings {
    /// What it is.
    pub reservoir: ReservoirSettings,
    /// What it hears.
    pub hearing: Hearing,
}

/// How the forecasts of a model's members become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixing {
    /// There is one member.
    Off,
    /// Weights are (mean squared error of recent forecasts)^−power, the naive forecast being one of the members.
    Power(u32),
}

/// All choices of a model that are not learned from data.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The family it belongs to.
    pub family: Family,
    /// Applied to every channel before standardising.
    pub transform: Transform,
    /// What the readout corrects.
    pub base: Base,
    /// Lags that the readout sees.
    pub lags: Lags,
    /// One readout for all channels, each forecast from its own lags alone. Without products and reservoirs only.
    pub shared: bool,
    /// Products that the readout sees.
    pub products: Option<Products>,
    /// Its reservoirs.
    pub blocks: Vec<BlockSettings>,
    /// Whether and how forecasts of parts of the features are mixed by their recent errors.
    pub mixing: Mixing,
    /// What it computes in.
    pub profile: NumericProfile,
}

impl Spec {
    /// The forecast that learns nothing but a base.
    #[must_use]
    pub fn naive(family: Family, base: Base) -> Self {
        Self {
            family,
            transform: Transform::Identity,
            base,
            lags: Lags::none(),
            shared: false,
            products: None,
            blocks: Vec::new(),
            mixing: Mixing::Off,
            profile: NumericProfile::CpuF32,
        }
    }

    /// Features of a readout for rows of `channels` channels, before anything is drawn; at most `usize::MAX`.
    pub(crate) fn features_len(&self, channels: usize) -> usize {
        let channels = if self.shared { 1 } else { channels };
        let products = self.products.map_or(0, |products| products.features(channels));
        let blocks: usize = self.blocks.iter().map(|block| block.features_len(channels)).sum();
        (self.lags.per_channel() * channels + blocks).saturating_add(products)
    }

    /// The choices as `key=value` pairs, in the words of `--set`.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        if self.family.is_naive() {
            return pairs;
        }
        if self.lags.per_channel() == 0 {
            pairs.push(("skip", "off".to_owned()));
        } else {
            pairs.push(("lags", self.lags.recent.to_string()));
            pairs.push(("seasonal_lags", self.lags.seasonal.len().to_string()));
            pairs.push(("form", self.lags.form.as_str().to_owned()));
        }
        pairs.push(("transform", self.transform.as_str().to_owned()));
        if self.shared {
            pairs.push(("shared", "on".to_owned()));
        }
        if let Some(products) = self.products {
            pairs.push(("taps", products.taps.to_string()));
            pairs.push(("stride", products.stride.to_string()));
            pairs.push(("order", products.order.to_string()));
        }
        for block in &self.blocks {
            block.parameters(&mut pairs);
        }
        if let Mixing::Power(power) = self.mixing {
            pairs.push(("mixing", power.to_string()));
        }
        if self.profile == NumericProfile::CpuF64 {
            pairs.push(("precision", "f64".to_owned()));
        }
        pairs
    }
}

impl BlockSettings {
    fn parameters(&self, pairs: &mut Vec<(&'static str, String)>) {
        match &self.reservoir {
            ReservoirSettings::Echo(echo) => {
                pairs.push(("units", echo.units.to_string()));
                match echo.topology {
                    Topology::Random => pairs.push(("density", echo.density.to_string())),
                    other => pairs.push(("topology", other.as_str().to_owned())),
                }
                pairs.push(("spectral_radius", short(echo.spectral_radius)));
                pairs.push(("leak", short(echo.leak)));
                pairs.push(("input_scale", short(echo.input_scale)));
                pairs.push(("bias_scale", short(echo.bias_scale)));
            }
            ReservoirSettings::Spiking(spiking) => {
                pairs.push(("neurons", spiking.neurons.to_string()));
                pairs.push(("encoding", spiking.encoding.as_str().to_owned()));
                pairs.push(("wiring", spiking.wiring.as_str().to_owned()));
                pairs.push(("delay_max", spiking.delay_max.to_string()));
                pairs.push(("gain", short(spiking.gain)));
                pairs.push(("fan_in", spiking.fan_in.to_string()));
            }
            ReservoirSettings::Quantum(quantum) => {
                pairs.push(("qubits", quantum.qubits.to_string()));
                pairs.push(("reservoirs", quantum.reservoirs.to_string()));
                pairs.push(("substeps", quantum.substeps.to_string()));
                pairs.push(("swings", format!("{}/{}", short(quantum.swing_max), short(quantum.swing_min))));
                pairs.push(("field", short(quantum.field)));
                if let QuantumMemory::Dissipation { rate } = quantum.memory {
                    pairs.push(("dissipation", short(rate)));
                }
                if let Some(shots) = quantum.shots {
                    pairs.push(("shots", shots.to_string()));
                }
                if quantum.drive > 0.0 {
                    pairs.push(("coupled", "on".to_owned()));
                }
            }
        }
        pairs.push((
            "seasonal_inputs",
            if self.hearing.seasonal.is_empty() { "off" } else { "on" }.to_owned(),
        ));
        if self.hearing.differenced {
            pairs.push(("differenced", "on".to_owned()));
        }
    }
}

/// Four significant digits at most: what was drawn at random is long.
fn short(value: f64) -> String {
    format!("{:.4}", value).trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seasonal_lags_cover_every_target_phase_once_and_never_repeat_a_recent_lag() {
        for (recent, season, horizon) in [(24, 336, 48), (144, 336, 1), (24, 24, 96), (8, 7, 3), (48, 1, 1)] {
            let lags = Lags::around_season(recent, season, horizon, 3, 4, LagForm::Relative);
            if season > 1 {
                for h in 1..=horizon.min(season) {
                    let offset = season - h;
                    assert!(offset < recent || lags.seasonal.contains(&offset), "{recent} {season} {h}");
                }
                assert_eq!(lags.depth(), recent.max(season + 4));
            } else {
                assert!(lags.seasonal.is_empty());
            }
            assert!(lags.seasonal.iter().all(|&offset| offset >= recent));
        }
    }

    #[test]
    fn transforms_invert() {
        for transform in [Transform::Identity, Transform::SquareRoot] {
            assert!((transform.invert(transform.apply(7.5)) - 7.5).abs() < 1e-12);
        }
        assert_eq!(Transform::SquareRoot.invert(-1.0), 0.0);
    }
}
