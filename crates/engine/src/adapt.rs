//! A model that goes on learning: the readout follows newer rows by recursive least squares, and what comes out is a
//! new model with its own hash.
//!
//! Nothing learned in service changes a model, because its predictions must be reproducible from its name. So the old
//! readout is where the new one begins, counting as much as a chosen number of rows, and everything else (reservoirs,
//! ranges, intervals) stays as it was; a stream's own interval scale follows the errors of the new readout.

use crate::cohort::Cohort;
use crate::data::Table;
use crate::encoder::Memory;
use crate::kernel::{Real, dispatch};
use crate::model::{Core, Model, Parts, Readout};
use crate::rls::Rls;
use spinwell_core::Code;

/// How fast to follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adaptation {
    /// The old readout counts as much as so many rows, above 0.
    pub inertia: f64,
    /// Weight of the past per row, in (0, 1]: 0.999 looks back about a thousand rows, 1 for ever.
    pub forgetting: f64,
}

impl Default for Adaptation {
    fn default() -> Self {
        Self { inertia: 2000.0, forgetting: 1.0 }
    }
}

/// Why a model cannot follow.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Naive forecasts have nothing to learn.
    #[error("a {0} forecast has no readout that could follow new rows")]
    Naive(&'static str),
    /// One readout for all channels.
    #[error(
        "a model whose channels share one readout does not follow new rows; train it again on all of them"
    )]
    Shared,
    /// The table has other columns.
    #[error("the table has {found} columns, the model's rows and targets need {wanted}")]
    Columns {
        /// Columns there are.
        found: usize,
        /// Columns needed.
        wanted: usize,
    },
    /// Too few rows to learn from.
    #[error("{rows} rows hold no origin with its truth: the model looks back {needed} and {horizon} ahead")]
    TooShort {
        /// Rows there are.
        rows: usize,
        /// Rows looked back.
        needed: usize,
        /// Rows ahead.
        horizon: usize,
    },
    /// The readout has run away.
    #[error(
        "the readout ran away: the rows hardly move, and what is forgotten is not made up for; use a forgetting nearer to 1"
    )]
    Unstable,
    /// A factor out of range.
    #[error("inertia must be above 0 and forgetting above 0 and at most 1")]
    Factors,
}

impl Error {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::TooShort { .. } => Code::SeriesTooShort,
            _ => Code::OptionInvalid,
        }
    }
}

impl Model {
    /// The model that has also learned from the rows of `table` from `from` on; those before only warm it up. Columns
    /// are the targets, then the inputs.
    ///
    /// # Errors
    /// Where the model has no readout of its own for each target, or the table does not suit it.
    pub fn adapted(&self, table: &Table, from: usize, adaptation: &Adaptation) -> Result<Model, Error> {
        if self.family().is_naive() {
            return Err(Error::Naive(self.family().as_str()));
        }
        let factors = adaptation.inertia > 0.0 && adaptation.forgetting > 0.0 && adaptation.forgetting <= 1.0;
        if !factors {
            return Err(Error::Factors);
        }
        Ok(Model::assemble(match self.core() {
            Core::F32(parts) => Core::F32(follow(parts, table, from, adaptation)?),
            Core::F64(parts) => Core::F64(follow(parts, table, from, adaptation)?),
        }))
    }
}

fn follow<R: Real>(
    parts: &Parts<R>,
    table: &Table,
    from: usize,
    adaptation: &Adaptation,
) -> Result<Parts<R>, Error> {
    let (encoder, targets, horizon) = (&parts.encoder, parts.outputs.len(), parts.horizon);
    if encoder.shared {
        return Err(Error::Shared);
    }
    let first = if parts.hears_targets { 0 } else { targets };
    let wanted = first + encoder.channels.len();
    if table.width() != wanted {
        return Err(Error::Columns { found: table.width(), wanted });
    }
    let needed = encoder.rows_needed();
    if table.rows() < needed.max(from + 1) + horizon {
        return Err(Error::TooShort { rows: table.rows(), needed, horizon });
    }
    let (features_len, padded) = (encoder.features_len(), encoder.padded_len());
    let mut followers: Vec<Follower> =
        parts.members.iter().map(|member| Follower::new(parts, member, adaptation)).collect();
    let mut memory = encoder.fresh();
    let (mut cohort, mut features) = (Cohort::default(), vec![R::ZERO; padded]);
    for row in 0..table.rows() - horizon {
        let value = |_: usize, channel: usize| table.columns[first + channel][row];
        dispatch(
            #[inline(always)]
            || {
                encoder.advance(&mut [&mut memory], value, &mut cohort);
                if row + 1 >= needed {
                    encoder.features(&memory, &mut features);
                }
            },
        );
        if row < from || row + 1 < needed {
            continue;
        }
        if let Some(truths) = truths(parts, table, &memory, row) {
            followers.iter_mut().for_each(|follower| follower.learn(&features[..features_len], &truths));
        }
    }
    if !followers.iter().all(Follower::is_finite) {
        return Err(Error::Unstable);
    }
    let members = followers.iter().map(|follower| follower.readout(padded)).collect();
    Ok(Parts { members, ..parts.clone() })
}

/// A member that learns: its weights of the features that it uses.
struct Follower {
    /// Features with a weight in some output.
    used: Vec<usize>,
    rls: Rls,
    inputs: Vec<f64>,
}

impl Follower {
    /// The old readout, as stiff as the inertia says: a feature's power is taken from its range.
    fn new<R: Real>(parts: &Parts<R>, member: &Readout<R>, adaptation: &Adaptation) -> Self {
        let (padded, features_len) = (parts.encoder.padded_len(), parts.encoder.features_len());
        let rows = || member.weights.chunks_exact(padded);
        let used: Vec<usize> =
            (0..features_len).filter(|&feature| rows().any(|row| row[feature].widen() != 0.0)).collect();
        let power = |&feature: &usize| {
            let (low, high) = (parts.encoder.clip[feature].0.widen(), parts.encoder.clip[feature].1.widen());
            // Of a uniform feature over its range.
            ((low * low + low * high + high * high) / 3.0).max(1e-12)
        };
        let powers = std::iter::once(1.0).chain(used.iter().map(power));
        let stiffness: Vec<f64> = powers.map(|power| adaptation.inertia * power).collect();
        let weights = member.intercepts.iter().zip(rows()).flat_map(|(intercept, row)| {
            std::iter::once(*intercept).chain(used.iter().map(|&feature| row[feature].widen()))
        });
        let rls = Rls::new(weights.collect(), &stiffness, adaptation.forgetting);
        Self { inputs: vec![1.0; stiffness.len()], used, rls }
    }

    fn learn<R: Real>(&mut self, features: &[R], truths: &[f64]) {
        let inputs = self.inputs[1..].iter_mut().zip(&self.used);
        inputs.for_each(|(input, &feature)| *input = features[feature].widen());
        self.rls.learn(&self.inputs, truths);
    }

    /// Whether every weight can be written as a 32-bit number.
    fn is_finite(&self) -> bool {
        self.rls.weights().iter().all(|weight| (*weight as f32).is_finite())
    }

    fn readout<R: Real>(&self, padded: usize) -> Readout<R> {
        let mut readout = Readout { weights: Vec::new(), intercepts: Vec::new() };
        for weights in self.rls.weights().chunks_exact(1 + self.used.len()) {
            readout.intercepts.push(weights[0]);
            let mut row = vec![R::ZERO; padded];
            self.used
                .iter()
                .zip(&weights[1..])
                .for_each(|(&feature, &weight)| row[feature] = R::narrow(weight));
            readout.weights.extend(row);
        }
        readout
    }
}

/// What the readout should have said at `row`; `None` where a truth is missing from the file.
fn truths<R: Real>(parts: &Parts<R>, table: &Table, memory: &Memory<R>, row: usize) -> Option<Vec<f64>> {
    let mut truths = Vec::with_capacity(parts.outputs.len() * parts.horizon);
    for step in 1..=parts.horizon {
        for (target, channel) in parts.outputs.iter().enumerate() {
            if table.is_missing(target, row + step) {
                return None;
            }
            let truth: R = channel.standardise(table.columns[target][row + step]);
            truths.push(truth.widen() - parts.encoder.base_of(memory, target, step).widen());
        }
    }
    Some(truths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Columns, read_csv};
    use crate::settings::{Precision, Settings};
    use crate::train::{Choice, Feeds, Folds, Options, Score, train};
    use crate::{Family, Mixing, Scratch, Silent};
    use spinwell_core::Rng;

    /// An autoregression whose coefficient is `slope(row)`.
    fn table(rows: usize, slope: impl Fn(usize) -> f64) -> Table {
        let (mut rng, mut value) = (Rng::seeded(4), 0.0);
        let csv: String = (0..rows)
            .map(|row| {
                value = slope(row) * value + rng.normal();
                format!("{value}\n")
            })
            .collect();
        read_csv(format!("y\n{csv}").as_bytes(), &Columns { values: vec!["y".to_owned()], time: None })
            .unwrap()
    }

    fn model(table: &Table, family: Family) -> Model {
        let options = Options {
            targets: 1,
            feeds: Feeds::Everything,
            horizon: 1,
            season: Some(1),
            choice: Choice::Only(family),
            settings: Settings::parse(["units=20", "lags=4"]).unwrap(),
            precision: Precision::F32,
            trials: 4,
            coverage: 0.9,
            seed: 2,
            score: Score::Last,
            time_column: None,
        };
        train(table, &Folds::inside(500), &options, &Silent).unwrap().model
    }

    fn squared(model: &Model, table: &Table, from: usize) -> f64 {
        let (mut stream, mut scratch) = (model.stream(), Scratch::default());
        let mut sum = 0.0;
        for row in 0..table.rows() - 1 {
            model.step(&mut stream, &[table.columns[0][row]], &mut scratch);
            if row + 1 >= from {
                let forecast = model.forecast(&stream, &mut scratch).unwrap().forecast[0];
                sum += (f64::from(forecast) - table.columns[0][row + 1]).powi(2);
            }
        }
        sum / (table.rows() - from) as f64
    }

    #[test]
    fn a_changed_series_is_followed_and_the_old_model_stays_as_it_was() {
        let changed = table(2500, |row| if row < 500 { 0.8 } else { -0.6 });
        for family in [Family::Linear, Family::Echo] {
            let old = model(&changed, family);
            let bytes = old.to_bytes();
            let how = Adaptation { inertia: 50.0, forgetting: 1.0 };
            let new = old.adapted(&changed.first_rows(2000), 500, &how).unwrap();
            let (before, after) = (squared(&old, &changed, 2000), squared(&new, &changed, 2000));
            assert!(after < 0.7 * before && after < 1.15, "{family}: {before} {after}");
            assert_eq!(old.to_bytes(), bytes);
            assert_ne!(old.hash(), new.hash());
            assert_eq!(Model::from_bytes(&new.to_bytes()).unwrap().hash(), new.hash());
        }
    }

    #[test]
    fn mixtures_follow_member_by_member_and_great_inertia_changes_nothing() {
        let table = table(900, |_| 0.7);
        let old = model(&table, Family::Echo);
        let stiff = Adaptation { inertia: 1e14, forgetting: 1.0 };
        let same = old.adapted(&table, 500, &stiff).unwrap();
        let (a, b) = (squared(&old, &table, 500), squared(&same, &table, 500));
        assert!((a - b).abs() < 1e-6 * a, "{a} {b}");
        assert_ne!(old.spec().mixing, Mixing::Off, "the series is to be one that is mixed");
        let Core::F32(parts) = same.core() else { panic!("32 bits were asked for") };
        assert!(parts.members.len() > 1);
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        let table = table(900, |_| 0.7);
        let old = model(&table, Family::Linear);
        let wrong = Adaptation { inertia: f64::NAN, forgetting: 1.0 };
        assert_eq!(old.adapted(&table, 0, &wrong).unwrap_err(), Error::Factors);
        let short = old.adapted(&table.first_rows(3), 0, &Adaptation::default()).unwrap_err();
        assert_eq!(short.code(), Code::SeriesTooShort);
        let naive = model(&table, Family::Persistence);
        assert!(matches!(naive.adapted(&table, 0, &Adaptation::default()), Err(Error::Naive(_))));
    }
}
