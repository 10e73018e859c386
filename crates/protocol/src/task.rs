//! What a model does with a window, and so what it answers.
//!
//! A model forecasts, names a class, or says how unusual the newest row is. The outputs and the facts that
//! callers read follow from that, so they are derived here, once, and every wire shows the same.

use crate::{OutputName, separated};

/// The task of a model, with what callers may know of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// It says what comes next.
    Forecast(ForecastFacts),
    /// It says which class a window is of.
    Classify {
        /// The classes, in the order of their probabilities.
        labels: Vec<String>,
    },
    /// It says how unusual the last row of a window is.
    Detect {
        /// The channels that are watched.
        targets: Vec<String>,
        /// The share of usual rows that are called unusual all the same.
        alpha: f64,
    },
}

/// What callers may know of a forecast model.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastFacts {
    /// Steps ahead that it predicts.
    pub horizon: usize,
    /// The season it was trained with, 1 where there is none.
    pub season: usize,
    /// The channels that it predicts.
    pub targets: Vec<String>,
    /// The share of truths that the intervals should hold.
    pub coverage: f64,
    /// Whether it has spiking neurons, whose activity it tells on request.
    pub is_spiking: bool,
}

/// An output of a model, as metadata shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFacts {
    /// Which one; the name fixes the datatype.
    pub name: OutputName,
    /// The shape of one window's values. Before it stands the number of windows.
    pub extents: Vec<usize>,
}

impl Task {
    /// The task's name, as `spinwell train --task` takes it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Task::Forecast(_) => "forecast",
            Task::Classify { .. } => "classify",
            Task::Detect { .. } => "anomaly",
        }
    }

    /// Every output, in the order of the metadata.
    pub(crate) fn outputs(&self) -> Vec<OutputFacts> {
        use OutputName::{
            Anomaly, BurstRate, Confidence, Direction, DominantFrequency, Forecast, Label, Lower,
            Probabilities, Score, Synchrony, Upper,
        };
        let output = |name, extents: &[usize]| OutputFacts { name, extents: extents.to_vec() };
        match self {
            Task::Forecast(facts) => {
                let extents = [facts.horizon, facts.targets.len()];
                let of_steps = [Forecast, Lower, Upper, Direction, Confidence];
                let mut outputs = of_steps.map(|name| output(name, &extents)).to_vec();
                if facts.is_spiking {
                    outputs.extend([Synchrony, BurstRate, DominantFrequency].map(|name| output(name, &[])));
                }
                outputs
            }
            Task::Classify { labels } => vec![output(Label, &[]), output(Probabilities, &[labels.len()])],
            Task::Detect { .. } => vec![output(Score, &[]), output(Anomaly, &[])],
        }
    }

    /// What a caller may want to know beyond the shapes, as text.
    pub(crate) fn properties(&self) -> Vec<(&'static str, String)> {
        match self {
            Task::Forecast(facts) => vec![
                ("coverage", facts.coverage.to_string()),
                ("horizon", facts.horizon.to_string()),
                ("season", facts.season.to_string()),
                ("targets", separated::join(&facts.targets)),
            ],
            Task::Classify { labels } => vec![("labels", separated::join(labels))],
            Task::Detect { targets, alpha } => {
                vec![("alpha", alpha.to_string()), ("targets", separated::join(targets))]
            }
        }
    }
}
