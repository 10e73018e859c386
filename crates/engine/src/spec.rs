//! What a model is made of: the choices that a search makes and a file records.

use std::fmt;

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// The last value, repeated. A baseline, served where nothing beats it.
    Persistence,
    /// The value one season before the target. A baseline, served where nothing beats it.
    SeasonalNaive,
    /// Ridge regression on recent and seasonal lags.
    Linear,
    /// A leaky echo-state network beside the same lags.
    Echo,
}

impl Family {
    /// Every family, simplest first: of two that validate alike, the earlier one is taken.
    pub const ALL: [Family; 4] = [Family::Persistence, Family::SeasonalNaive, Family::Linear, Family::Echo];

    /// The family's name in options, tables and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Family::Persistence => "persistence",
            Family::SeasonalNaive => "seasonal-naive",
            Family::Linear => "linear",
            Family::Echo => "echo",
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
        matches!(self, Family::Persistence | Family::SeasonalNaive)
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

/// An echo-state reservoir before its random weights are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct EchoSettings {
    /// Units of the reservoir, 1 to 4096.
    pub units: usize,
    /// Share of recurrent weights that are not zero, in (0, 1]; 1 is stored dense.
    pub density: f64,
    /// Largest absolute eigenvalue of the recurrent weights.
    pub spectral_radius: f64,
    /// How much of the state is renewed each step, in (0, 1].
    pub leak: f64,
    /// Input weights are uniform in ± this.
    pub input_scale: f64,
    /// Biases are uniform in ± this.
    pub bias_scale: f64,
    /// Offsets of further inputs: the values one season before the nearest and the farthest target.
    pub seasonal_inputs: Vec<usize>,
    /// Which random weights.
    pub seed: u64,
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
    /// The reservoir, where the family has one.
    pub echo: Option<EchoSettings>,
}

impl Spec {
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
        if let Some(echo) = &self.echo {
            pairs.push(("units", echo.units.to_string()));
            pairs.push(("density", echo.density.to_string()));
            pairs.push(("spectral_radius", echo.spectral_radius.to_string()));
            pairs.push(("leak", echo.leak.to_string()));
            pairs.push(("input_scale", echo.input_scale.to_string()));
            pairs.push(("bias_scale", echo.bias_scale.to_string()));
            pairs.push((
                "seasonal_inputs",
                if echo.seasonal_inputs.is_empty() { "off" } else { "on" }.to_owned(),
            ));
        }
        pairs
    }
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
