//! A classifier's fields in the model file, and the checks that make what a file says safe to compute with.

use super::cases::ROWS_MIN;
use super::extract::Extractor;
use super::model::{Classifier, Parts};
use super::series::{Normalise, Scaler};
use super::shape::{KERNELS, Shape};
use super::spec::ClassifierFamily;
use crate::artefact::{Error, Reader, Writer, corrupt, ensure, index_of, variant};
use crate::echo::{Echo, Recurrent, Weights};
use crate::kernel::{ROWS_MAX, SparseRows};

/// No window is asked to be longer, no dilation to reach further.
const REACH_MAX: usize = 1 << 20;
/// Labels and channels at most.
const NAMES_MAX: usize = 1 << 14;

const FAMILIES: [ClassifierFamily; 3] = ClassifierFamily::ALL;
const NORMALISE: [Normalise; 2] = [Normalise::Off, Normalise::On];

impl Classifier {
    /// Appends the classifier's fields.
    pub(crate) fn encode(&self, w: &mut Writer) {
        let parts = self.parts();
        w.u8(index_of(&FAMILIES, &parts.family));
        w.count(parts.parameters.len());
        for (key, value) in &parts.parameters {
            w.text(key);
            w.text(value);
        }
        write_names(w, &parts.labels);
        write_names(w, &parts.channels);
        w.count(parts.window_min);
        w.f64s(&parts.scaler.means);
        w.f64s(&parts.scaler.deviations);
        w.u8(index_of(&NORMALISE, &parts.normalise));
        w.count(parts.blocks.len());
        for block in &parts.blocks {
            match block {
                Extractor::Values(shape) => {
                    w.u8(0);
                    write_shape(w, shape);
                }
                Extractor::Differences(shape) => {
                    w.u8(1);
                    write_shape(w, shape);
                }
                Extractor::Echo(echo) => {
                    w.u8(2);
                    write_echo(w, echo.weights());
                }
            }
        }
        w.f32s(&parts.weights);
        w.f64s(&parts.intercepts);
        w.f64(parts.factor);
    }

    /// Reads the fields of a classifier.
    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let family = variant(&FAMILIES, r.u8()?)?;
        let count = r.count()?;
        ensure(count <= 64, "too many parameters")?;
        let parameters = (0..count).map(|_| Ok((r.text()?, r.text()?))).collect::<Result<_, Error>>()?;
        let (labels, channels) = (read_names(r)?, read_names(r)?);
        let window_min = r.count()?;
        let scaler = Scaler { means: r.f64s()?, deviations: r.f64s()? };
        let normalise = variant(&NORMALISE, r.u8()?)?;
        let count = r.count()?;
        ensure((1..=3).contains(&count), "there are no blocks of features or too many")?;
        let blocks = (0..count)
            .map(|_| match r.u8()? {
                0 => Ok(Extractor::Values(read_shape(r)?)),
                1 => Ok(Extractor::Differences(read_shape(r)?)),
                2 => Ok(Extractor::Echo(read_echo(r)?)),
                _ => Err(corrupt("a choice is unknown")),
            })
            .collect::<Result<_, _>>()?;
        let (weights, intercepts, factor) = (r.f32s()?, r.f64s()?, r.f64()?);
        Self::from_parts(Parts {
            family,
            parameters,
            labels,
            channels,
            window_min,
            scaler,
            normalise,
            blocks,
            weights,
            intercepts,
            factor,
        })
    }

    /// Puts a classifier together from parts that may be forged.
    pub(crate) fn from_parts(parts: Parts) -> Result<Self, Error> {
        let channels = parts.channels.len();
        ensure(parts.labels.len() >= 2, "a classifier needs two labels")?;
        ensure((ROWS_MIN..=REACH_MAX).contains(&parts.window_min), "the window is out of range")?;
        let Scaler { means, deviations } = &parts.scaler;
        ensure(means.len() == channels && deviations.len() == channels, "a channel has no scale")?;
        ensure(means.iter().all(|mean| mean.is_finite()), "a channel has no scale")?;
        ensure(deviations.iter().all(|d| d.is_finite() && *d > 0.0), "a channel has no scale")?;
        for block in &parts.blocks {
            match block {
                Extractor::Values(shape) | Extractor::Differences(shape) => check_shape(shape, channels)?,
                Extractor::Echo(echo) => check_echo(echo.weights(), channels)?,
            }
        }
        ensure(parts.intercepts.len() == parts.labels.len(), "there is not one intercept per label")?;
        let wanted = parts.labels.len().checked_mul(parts.padded_len());
        ensure(Some(parts.weights.len()) == wanted, "readout weights do not fit")?;
        let finite = parts.weights.iter().all(|weight| weight.is_finite());
        ensure(finite && parts.intercepts.iter().all(|b| b.is_finite()), "a number is not finite")?;
        ensure(parts.factor.is_finite() && parts.factor > 0.0, "the calibration is out of range")?;
        Ok(Self::assemble(parts))
    }
}

fn write_names(w: &mut Writer, names: &[String]) {
    w.count(names.len());
    names.iter().for_each(|name| w.text(name));
}

/// One to [`NAMES_MAX`] different names.
fn read_names(r: &mut Reader<'_>) -> Result<Vec<String>, Error> {
    let count = r.count()?;
    ensure((1..=NAMES_MAX).contains(&count), "there are no labels or channels or too many")?;
    let names: Vec<String> = (0..count).map(|_| r.text()).collect::<Result<_, _>>()?;
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    ensure(sorted.windows(2).all(|pair| pair[0] != pair[1]), "a name stands twice")?;
    Ok(names)
}

fn write_shape(w: &mut Writer, shape: &Shape) {
    w.count(shape.channels);
    w.u32s(&shape.dilations);
    w.u32s(&shape.thresholds_each);
    w.f32s(&shape.thresholds);
    w.u32s(&shape.subset_starts);
    w.u32s(&shape.subsets);
}

fn read_shape(r: &mut Reader<'_>) -> Result<Shape, Error> {
    Ok(Shape {
        channels: r.count()?,
        dilations: r.u32s()?,
        thresholds_each: r.u32s()?,
        thresholds: r.f32s()?,
        subset_starts: r.u32s()?,
        subsets: r.u32s()?,
    })
}

fn check_shape(shape: &Shape, channels: usize) -> Result<(), Error> {
    ensure(shape.channels == channels, "convolutions and channels disagree")?;
    let dilations = &shape.dilations;
    ensure(!dilations.is_empty() && dilations.len() <= 64, "there are no dilations or too many")?;
    let in_range = dilations.iter().all(|&dilation| (1..=REACH_MAX).contains(&(dilation as usize)));
    ensure(in_range, "a dilation is out of range")?;
    ensure(shape.thresholds_each.len() == dilations.len(), "thresholds do not fit")?;
    let each: u64 = shape.thresholds_each.iter().map(|&each| u64::from(each)).sum();
    ensure(shape.thresholds.len() as u64 == each * KERNELS as u64, "thresholds do not fit")?;
    ensure(shape.thresholds.iter().all(|threshold| threshold.is_finite()), "a number is not finite")?;
    let starts = &shape.subset_starts;
    ensure(starts.len() == dilations.len() * KERNELS + 1, "subsets of channels do not fit")?;
    // Each kernel hears at least one channel: its output would otherwise be what the kernel before it left there.
    let ascending = starts[0] == 0 && starts.windows(2).all(|pair| pair[0] < pair[1]);
    let whole = starts.last().is_some_and(|&end| end as usize == shape.subsets.len());
    let known = shape.subsets.iter().all(|&channel| (channel as usize) < channels);
    ensure(ascending && whole && known, "subsets of channels do not fit")
}

fn write_echo(w: &mut Writer, weights: &Weights<f32>) {
    w.count(weights.units);
    w.count(weights.inputs);
    w.f32s(&[weights.leak]);
    w.f32s(&weights.input);
    match &weights.recurrent {
        Recurrent::Dense(matrix) => {
            w.u8(0);
            w.f32s(matrix);
        }
        Recurrent::Sparse(rows) => {
            w.u8(1);
            w.u32s(&rows.starts);
            w.u32s(&rows.columns);
            w.f32s(&rows.values);
        }
    }
}

/// Checked before the weights are packed for the kernels, which relies on their sizes.
fn read_echo(r: &mut Reader<'_>) -> Result<Echo<f32>, Error> {
    let (units, inputs) = (r.count()?, r.count()?);
    ensure((1..=ROWS_MAX).contains(&units), "the reservoir has no units or too many")?;
    ensure((1..=NAMES_MAX).contains(&inputs), "the reservoir has no inputs or too many")?;
    let [leak] = r.f32s()?[..] else { return Err(corrupt("the leak is not one number")) };
    let input = r.f32s()?;
    ensure(input.len() == units * (inputs + 1), "input weights do not fit")?;
    let recurrent = match r.u8()? {
        0 => {
            let matrix = r.f32s()?;
            ensure(matrix.len() == units * units, "recurrent weights do not fit")?;
            Recurrent::Dense(matrix)
        }
        1 => {
            let rows = SparseRows { starts: r.u32s()?, columns: r.u32s()?, values: r.f32s()? };
            ensure(rows.starts.len() == units + 1 && rows.is_well_formed(), "recurrent weights do not fit")?;
            Recurrent::Sparse(rows)
        }
        _ => return Err(corrupt("a choice is unknown")),
    };
    Ok(Echo::new(Weights { units, inputs, leak, recurrent, input }))
}

fn check_echo(weights: &Weights<f32>, channels: usize) -> Result<(), Error> {
    ensure(weights.inputs == channels, "reservoir and channels disagree")?;
    ensure(weights.leak > 0.0 && weights.leak <= 1.0, "the leak is out of range")
}
