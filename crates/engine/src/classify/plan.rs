//! Which candidates are tried, in three stages that each build on the one before.
//!
//! First every cheap question with two answers: standardise each series or not, values or differences. Then both forms
//! together, and random reservoirs, each with the standardising that did better for its family; no reservoirs where the
//! first was hopelessly behind the convolutions. Last the best
//! convolutions beside the best reservoir with three weights. What is drawn depends on the seed and a candidate's place
//! alone, so that the same plan comes out whatever threads try it.

use super::choose::Leaders;
use super::options::{ClassifierChoice, ClassifyOptions};
use super::series::Normalise;
use super::spec::{ClassifierFamily, ClassifierSpec, ShapeForm, ShapeSettings};
use crate::spec::{EchoSettings, Topology};
use spinwell_core::Rng;

/// Weights of the reservoir's features beside the convolutions'.
const ECHO_WEIGHTS: [f64; 3] = [1.0, 0.1, 10.0];
/// Fewer trials than this are not worth spending on hybrids.
const HYBRID_TRIALS_MIN: usize = 10;
/// Beyond so many cases the readout is solved feature by feature, and fewer features keep that affordable.
const CASES_MANY: usize = 1000;

/// The plan of one training job.
pub(crate) struct Plan<'o> {
    options: &'o ClassifyOptions,
    /// Features of convolutions and units of a reservoir, where they are not fixed.
    sizes: (usize, usize),
}

impl<'o> Plan<'o> {
    /// The plan for so many training cases.
    pub(crate) fn new(options: &'o ClassifyOptions, cases: usize) -> Self {
        let sizes = if cases <= CASES_MANY { (10_080, 300) } else { (2016, 100) };
        Self { options, sizes }
    }

    /// Whether candidates of `family` are part of the plan.
    fn tries(&self, family: ClassifierFamily) -> bool {
        match self.options.family {
            ClassifierChoice::Auto | ClassifierChoice::Only(ClassifierFamily::Hybrid) => true,
            ClassifierChoice::Only(only) => only == family,
        }
    }

    /// Candidates of the last stage.
    pub(crate) fn hybrids(&self) -> usize {
        match self.options.family {
            ClassifierChoice::Auto if self.options.trials < HYBRID_TRIALS_MIN => 0,
            ClassifierChoice::Only(ClassifierFamily::Shape | ClassifierFamily::Echo) => 0,
            _ => ECHO_WEIGHTS.len().min(self.options.trials),
        }
    }

    /// Candidates of the whole plan, where nothing is found hopeless.
    pub(crate) fn len(&self) -> usize {
        let first = self.first().len();
        let leaders = Leaders { shape: None, echo: None, echo_is_hopeless: false };
        first + self.middle(first, &leaders).len() + self.hybrids()
    }

    /// The first stage.
    pub(crate) fn first(&self) -> Vec<ClassifierSpec> {
        let mut specs = Vec::new();
        for normalise in self.normalise() {
            for form in self.forms() {
                if self.tries(ClassifierFamily::Shape) && form != ShapeForm::Both {
                    specs.push(self.shape(normalise, form));
                }
            }
            if self.tries(ClassifierFamily::Echo) {
                specs.push(self.echo(normalise, 0));
            }
        }
        specs.truncate(self.options.trials - self.hybrids());
        specs
    }

    /// The second stage, after `tried` candidates of the first.
    pub(crate) fn middle(&self, tried: usize, leaders: &Leaders<'_>) -> Vec<ClassifierSpec> {
        let trials = self.options.trials - self.hybrids() - tried;
        let best = |spec: Option<&ClassifierSpec>| spec.map_or(self.normalise()[0], |spec| spec.normalise);
        let mut specs = Vec::new();
        if self.tries(ClassifierFamily::Shape) && self.forms().contains(&ShapeForm::Both) {
            specs.push(self.shape(best(leaders.shape), ShapeForm::Both));
        }
        if self.tries(ClassifierFamily::Echo) && !leaders.echo_is_hopeless {
            let count = trials.saturating_sub(specs.len()) as u64;
            specs.extend((1..=count).map(|place| self.echo(best(leaders.echo), place)));
        }
        specs.truncate(trials);
        specs
    }

    /// The last stage: the best convolutions beside the best reservoir.
    pub(crate) fn last(&self, leaders: &Leaders<'_>) -> Vec<ClassifierSpec> {
        let normalise = self.normalise()[0];
        let default = (self.shape(normalise, self.forms()[0]), self.echo(normalise, 0));
        let (shape, echo) = (leaders.shape.unwrap_or(&default.0), leaders.echo.unwrap_or(&default.1));
        // Both see the series in one way: that of the reservoir, which has more to lose.
        let weights = ECHO_WEIGHTS[..self.hybrids()].iter();
        weights
            .map(|&echo_weight| ClassifierSpec {
                normalise: echo.normalise,
                shape: shape.shape.clone(),
                echo: echo.echo.clone(),
                echo_weight,
            })
            .collect()
    }

    fn normalise(&self) -> Vec<Normalise> {
        match self.options.settings.normalise {
            None => vec![Normalise::Off, Normalise::On],
            Some(false) => vec![Normalise::Off],
            Some(true) => vec![Normalise::On],
        }
    }

    fn forms(&self) -> Vec<ShapeForm> {
        self.options.settings.form.map_or(ShapeForm::ALL.to_vec(), |form| vec![form])
    }

    fn shape(&self, normalise: Normalise, form: ShapeForm) -> ClassifierSpec {
        let features = self.options.settings.features.unwrap_or(self.sizes.0);
        // One seed for all: what differs between two candidates is what they are, not what they drew.
        let settings = ShapeSettings { form, features, seed: self.options.seed };
        ClassifierSpec { normalise, shape: Some(settings), echo: None, echo_weight: 1.0 }
    }

    /// The reservoir of one place: at 0 what does well on most sets, elsewhere drawn at random around it.
    fn echo(&self, normalise: Normalise, place: u64) -> ClassifierSpec {
        let mut rng = Rng::seeded(self.options.seed).fork(place);
        let logarithmic = |low: f64, high: f64, rng: &mut Rng| rng.uniform_in(low.ln(), high.ln()).exp();
        let (spectral_radius, leak, input_scale) = if place == 0 {
            (0.9, 0.3, 0.5)
        } else {
            (rng.uniform_in(0.3, 1.0), logarithmic(0.1, 1.0, &mut rng), logarithmic(0.1, 1.0, &mut rng))
        };
        let fixed = &self.options.settings;
        let echo = EchoSettings {
            units: fixed.units.unwrap_or(self.sizes.1),
            topology: Topology::Random,
            density: fixed.density.unwrap_or(0.1),
            spectral_radius: fixed.spectral_radius.unwrap_or(spectral_radius),
            leak: fixed.leak.unwrap_or(leak),
            input_scale: fixed.input_scale.unwrap_or(input_scale),
            bias_scale: fixed.bias_scale.unwrap_or(0.2),
            seed: rng.next_u64(),
        };
        ClassifierSpec { normalise, shape: None, echo: Some(echo), echo_weight: 1.0 }
    }
}
