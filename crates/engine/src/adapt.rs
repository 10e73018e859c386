//! A model that goes on learning: the readout follows newer rows by recursive least squares, and what comes out is a
//! new model with its own hash.
//!
//! Nothing learned in service changes a model, because its predictions must be reproducible from its name. So the old
//! readout is where the new one begins, counting as much as a chosen number of rows, and everything else (reservoirs,
//! ranges, intervals) stays as it was; a stream's own interval scale follows the errors of the new readout.

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
    /// One readout for all channels, or a mixture.
    #[error(
        "a model whose readout is shared or mixed does not follow new rows; train it again on all of them"
    )]
    NotSingle,
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
    /// Where the model has no single readout, or the table does not suit it.
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
    if parts.mixer.is_some() || encoder.shared {
        return Err(Error::NotSingle);
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
    let mut rls = begin(parts, adaptation);
    let mut memory = encoder.fresh();
    let (mut scratch, mut features) = ([Vec::new()], vec![R::ZERO; padded]);
    let mut inputs = vec![1.0; 1 + features_len];
    for row in 0..table.rows() - horizon {
        let value = |_: usize, channel: usize| table.columns[first + channel][row];
        dispatch(
            #[inline(always)]
            || {
                encoder.advance(&mut [&mut memory], value, &mut scratch);
                if row + 1 >= needed {
                    encoder.features(&memory, &mut features);
                }
            },
        );
        if row < from || row + 1 < needed {
            continue;
        }
        inputs[1..].iter_mut().zip(&features).for_each(|(input, feature)| *input = feature.widen());
        if let Some(truths) = truths(parts, table, &memory, row) {
            rls.learn(&inputs, &truths);
        }
    }
    let mut readout = Readout { weights: vec![R::ZERO; targets * horizon * padded], intercepts: Vec::new() };
    for (output, weights) in rls.weights().chunks_exact(1 + features_len).enumerate() {
        readout.intercepts.push(weights[0]);
        let row = &mut readout.weights[output * padded..][..features_len];
        row.iter_mut().zip(&weights[1..]).for_each(|(own, &weight)| *own = R::narrow(weight));
    }
    Ok(Parts { members: vec![readout], ..parts.clone() })
}

/// The old readout, as stiff as the inertia says: a feature's power is taken from its range.
fn begin<R: Real>(parts: &Parts<R>, adaptation: &Adaptation) -> Rls {
    let (readout, padded) = (&parts.members[0], parts.encoder.padded_len());
    let powers = parts.encoder.clip.iter().map(|(low, high)| {
        let (low, high) = (low.widen(), high.widen());
        // Of a uniform feature over its range.
        ((low * low + low * high + high * high) / 3.0).max(1e-12)
    });
    let stiffness: Vec<f64> =
        std::iter::once(1.0).chain(powers).map(|power| adaptation.inertia * power).collect();
    let rows = readout.intercepts.iter().zip(readout.weights.chunks_exact(padded));
    let weights = rows.flat_map(|(intercept, weights)| {
        let own = weights[..stiffness.len() - 1].iter().map(|weight| weight.widen());
        std::iter::once(*intercept).chain(own)
    });
    let weights = weights.collect();
    Rls::new(weights, &stiffness, adaptation.forgetting)
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
