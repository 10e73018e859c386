//! What a classifier is made of: the choices that the search makes and a model file records.

use super::series::Normalise;
use crate::spec::{EchoSettings, Topology};
use std::fmt;

/// A family of classifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClassifierFamily {
    /// Dilated convolutions: tells classes apart by local shape.
    Shape,
    /// Pooled states of an echo-state reservoir: tells them apart by level, trend and order.
    Echo,
    /// Both, each with its own penalty.
    Hybrid,
}

impl ClassifierFamily {
    /// Every family.
    pub const ALL: [ClassifierFamily; 3] =
        [ClassifierFamily::Shape, ClassifierFamily::Echo, ClassifierFamily::Hybrid];

    /// The family's name in options, tables and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ClassifierFamily::Shape => "shape",
            ClassifierFamily::Echo => "echo",
            ClassifierFamily::Hybrid => "hybrid",
        }
    }

    /// The family of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<ClassifierFamily> {
        Self::ALL.into_iter().find(|family| family.as_str() == name)
    }
}

impl fmt::Display for ClassifierFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What convolutions see of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShapeForm {
    /// Its values.
    Values,
    /// Its changes from row to row.
    Differences,
    /// Both, half of the features each.
    Both,
}

impl ShapeForm {
    /// Every form.
    pub const ALL: [ShapeForm; 3] = [ShapeForm::Values, ShapeForm::Differences, ShapeForm::Both];

    /// The form's name in options, cards and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ShapeForm::Values => "values",
            ShapeForm::Differences => "differences",
            ShapeForm::Both => "both",
        }
    }
}

/// A block of convolution features before its thresholds are drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ShapeSettings {
    /// What it sees.
    pub(crate) form: ShapeForm,
    /// About how many features.
    pub(crate) features: usize,
    /// Which thresholds and channels.
    pub(crate) seed: u64,
}

/// All choices of a classifier that are not learned from data.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassifierSpec {
    /// Whether every series is standardised by itself.
    pub(crate) normalise: Normalise,
    /// Its convolutions.
    pub(crate) shape: Option<ShapeSettings>,
    /// Its reservoir.
    pub(crate) echo: Option<EchoSettings>,
    /// Weight of the reservoir's features beside the convolutions'.
    pub(crate) echo_weight: f64,
}

impl ClassifierSpec {
    /// The family it belongs to.
    #[must_use]
    pub fn family(&self) -> ClassifierFamily {
        match (&self.shape, &self.echo) {
            (Some(_), Some(_)) => ClassifierFamily::Hybrid,
            (None, Some(_)) => ClassifierFamily::Echo,
            _ => ClassifierFamily::Shape,
        }
    }

    /// The choices as `key=value` pairs.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let normalise = if self.normalise == Normalise::On { "on" } else { "off" };
        let mut pairs = vec![("normalise", normalise.to_owned())];
        if let Some(shape) = &self.shape {
            pairs.push(("features", shape.features.to_string()));
            pairs.push(("form", shape.form.as_str().to_owned()));
        }
        if let Some(echo) = &self.echo {
            pairs.push(("units", echo.units.to_string()));
            match echo.topology {
                Topology::Random => pairs.push(("density", short(echo.density))),
                other => pairs.push(("topology", other.as_str().to_owned())),
            }
            pairs.push(("spectral_radius", short(echo.spectral_radius)));
            pairs.push(("leak", short(echo.leak)));
            pairs.push(("input_scale", short(echo.input_scale)));
            pairs.push(("bias_scale", short(echo.bias_scale)));
        }
        if self.family() == ClassifierFamily::Hybrid {
            pairs.push(("echo_weight", short(self.echo_weight)));
        }
        pairs
    }
}

/// Four decimals at most: what was drawn at random is long.
fn short(value: f64) -> String {
    format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
}
