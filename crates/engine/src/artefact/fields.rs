//! The payload's fields, and the checks that make what a file says safe to compute with.

use super::Error;
use super::reader::Reader;
use super::writer::Writer;
use crate::echo::{Recurrent, Reservoir, Weights};
use crate::encoder::{Channel, Encoder};
use crate::interval::{Intervals, Track, WINDOW, scored_horizons};
use crate::kernel::SparseRows;
use crate::model::{Parts, Readout};
use crate::spec::{Base, EchoSettings, Family, LagForm, Lags, Spec, Transform};

/// No lag, season or horizon reaches further; keeps a forged file from asking for terabytes of history.
const REACH_MAX: usize = 1 << 20;
/// No reservoir is larger.
pub(crate) const UNITS_MAX: usize = crate::kernel::ROWS_MAX;

const FAMILIES: [Family; 4] = Family::ALL;
const TRANSFORMS: [Transform; 2] = [Transform::Identity, Transform::SquareRoot];
const BASES: [Base; 3] = [Base::Mean, Base::Last, Base::Season];
const FORMS: [LagForm; 2] = [LagForm::Relative, LagForm::Raw];

fn corrupt(what: &'static str) -> Error {
    Error::Corrupt { what }
}

fn ensure(holds: bool, what: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(corrupt(what)) }
}

fn index_of<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|other| other == one).expect("every variant is listed") as u8
}

fn variant<T: Copy>(all: &[T], index: u8) -> Result<T, Error> {
    all.get(usize::from(index)).copied().ok_or(corrupt("a choice is unknown"))
}

/// The payload of a model.
pub(super) fn encode_payload(parts: &Parts) -> Vec<u8> {
    let mut w = Writer::default();
    write_spec(&mut w, &parts.spec);
    w.count(parts.targets);
    w.count(parts.horizon);
    w.count(parts.season);
    w.count(parts.encoder.channels.len());
    for channel in &parts.encoder.channels {
        w.text(&channel.name);
        w.u8(index_of(&TRANSFORMS, &channel.transform));
        w.f64(channel.mean);
        w.f64(channel.deviation);
    }
    match &parts.encoder.reservoir {
        None => w.u8(0),
        Some(reservoir) => {
            w.u8(1);
            write_weights(&mut w, reservoir.weights());
        }
    }
    w.f32s(&parts.encoder.clip.iter().map(|range| range.0).collect::<Vec<_>>());
    w.f32s(&parts.encoder.clip.iter().map(|range| range.1).collect::<Vec<_>>());
    w.f32s(&parts.readout.weights);
    w.f64s(&parts.readout.intercepts);
    w.f64(parts.intervals.coverage);
    w.counts(&parts.intervals.scored);
    w.count(parts.intervals.tracks.len());
    for track in &parts.intervals.tracks {
        w.f64(track.initial_scale);
        w.f32s(&track.scores);
    }
    w.u64(parts.forget_rows.map_or(u64::MAX, |rows| rows as u64));
    w.text(parts.time_column.as_deref().unwrap_or(""));
    w.bytes
}

/// The model of a payload.
pub(super) fn decode_payload(payload: &[u8]) -> Result<Parts, Error> {
    let mut r = Reader::new(payload);
    let spec = read_spec(&mut r)?;
    let (targets, horizon, season) = (r.count()?, r.count()?, r.count()?);
    ensure(
        (1..=REACH_MAX).contains(&horizon) && (1..=REACH_MAX).contains(&season),
        "horizon or season out of range",
    )?;
    let channels = read_channels(&mut r)?;
    ensure((1..=channels.len()).contains(&targets), "targets are not among the channels")?;
    let seasonal_inputs = spec.echo.as_ref().map_or_else(Vec::new, |echo| echo.seasonal_inputs.clone());
    let reservoir = match r.u8()? {
        0 => None,
        1 => Some(read_weights(&mut r)?),
        _ => return Err(corrupt("a choice is unknown")),
    };
    ensure(reservoir.is_some() == spec.echo.is_some(), "reservoir and settings disagree")?;
    if let Some(weights) = &reservoir {
        let inputs = Encoder::reservoir_inputs(channels.len(), seasonal_inputs.len());
        ensure(weights.inputs == inputs, "the reservoir takes other inputs than the channels give")?;
    }
    let (low, high) = (r.f32s()?, r.f32s()?);
    ensure(
        low.len() == high.len() && low.iter().zip(&high).all(|(a, b)| a <= b),
        "feature ranges are not ranges",
    )?;
    let encoder = Encoder {
        channels,
        lags: spec.lags.clone(),
        base: spec.base,
        season,
        seasonal_inputs,
        reservoir: reservoir.map(Reservoir::new),
        clip: low.into_iter().zip(high).collect(),
    };
    ensure(encoder.clip.len() == encoder.features_len(), "there is not one range per feature")?;
    let readout = Readout { weights: r.f32s()?, intercepts: r.f64s()? };
    let outputs = targets.checked_mul(horizon).ok_or(corrupt("too many outputs"))?;
    ensure(readout.intercepts.len() == outputs, "there is not one intercept per output")?;
    ensure(
        Some(readout.weights.len()) == outputs.checked_mul(encoder.padded_len()),
        "readout weights do not fit",
    )?;
    let intervals = read_intervals(&mut r, targets, horizon)?;
    let forget_rows = Some(r.u64()?).filter(|&rows| rows != u64::MAX).map(|rows| rows as usize);
    ensure(forget_rows.is_none_or(|rows| rows <= REACH_MAX), "memory out of range")?;
    let time_column = Some(r.text()?).filter(|name| !name.is_empty());
    ensure(r.is_empty(), "there are fields after its end")?;
    Ok(Parts { spec, encoder, targets, horizon, season, readout, intervals, forget_rows, time_column })
}

fn write_spec(w: &mut Writer, spec: &Spec) {
    w.u8(index_of(&FAMILIES, &spec.family));
    w.u8(index_of(&TRANSFORMS, &spec.transform));
    w.u8(index_of(&BASES, &spec.base));
    w.count(spec.lags.recent);
    w.counts(&spec.lags.seasonal);
    w.u8(index_of(&FORMS, &spec.lags.form));
    match &spec.echo {
        None => w.u8(0),
        Some(echo) => {
            w.u8(1);
            w.count(echo.units);
            for value in [echo.density, echo.spectral_radius, echo.leak, echo.input_scale, echo.bias_scale] {
                w.f64(value);
            }
            w.counts(&echo.seasonal_inputs);
            w.u64(echo.seed);
        }
    }
}

fn read_spec(r: &mut Reader<'_>) -> Result<Spec, Error> {
    let family = variant(&FAMILIES, r.u8()?)?;
    let transform = variant(&TRANSFORMS, r.u8()?)?;
    let base = variant(&BASES, r.u8()?)?;
    let lags = Lags { recent: r.count()?, seasonal: r.counts()?, form: variant(&FORMS, r.u8()?)? };
    ensure(lags.recent <= REACH_MAX, "lags out of range")?;
    ensure(lags.seasonal.windows(2).all(|pair| pair[0] < pair[1]), "seasonal lags are not in order")?;
    ensure(
        lags.seasonal.iter().all(|&offset| offset >= lags.recent && offset < REACH_MAX),
        "lags out of range",
    )?;
    ensure(lags.recent > 0 || lags.seasonal.is_empty(), "seasonal lags without recent ones")?;
    let echo = match r.u8()? {
        0 => None,
        1 => Some(EchoSettings {
            units: r.count()?,
            density: r.f64()?,
            spectral_radius: r.f64()?,
            leak: r.f64()?,
            input_scale: r.f64()?,
            bias_scale: r.f64()?,
            seasonal_inputs: r.counts()?,
            seed: r.u64()?,
        }),
        _ => return Err(corrupt("a choice is unknown")),
    };
    if let Some(echo) = &echo {
        ensure(echo.seasonal_inputs.len() <= 16, "too many seasonal inputs")?;
        ensure(echo.seasonal_inputs.iter().all(|&offset| offset < REACH_MAX), "lags out of range")?;
    }
    Ok(Spec { family, transform, base, lags, echo })
}

fn read_channels(r: &mut Reader<'_>) -> Result<Vec<Channel>, Error> {
    let count = r.count()?;
    ensure((1..=UNITS_MAX).contains(&count), "channels out of range")?;
    (0..count)
        .map(|_| {
            let name = r.text()?;
            let transform = variant(&TRANSFORMS, r.u8()?)?;
            let (mean, deviation) = (r.f64()?, r.f64()?);
            ensure(mean.is_finite() && deviation.is_finite() && deviation > 0.0, "a channel has no scale")?;
            Ok(Channel { name, transform, mean, deviation })
        })
        .collect()
}

fn write_weights(w: &mut Writer, weights: &Weights) {
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

fn read_weights(r: &mut Reader<'_>) -> Result<Weights, Error> {
    let (units, inputs) = (r.count()?, r.count()?);
    ensure((1..=UNITS_MAX).contains(&units), "the reservoir has no units or too many")?;
    ensure(inputs <= 17 * UNITS_MAX, "the reservoir has too many inputs")?;
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
    Ok(Weights { units, inputs, leak, recurrent, input })
}

fn read_intervals(r: &mut Reader<'_>, targets: usize, horizon: usize) -> Result<Intervals, Error> {
    let coverage = r.f64()?;
    ensure(coverage > 0.0 && coverage < 1.0, "coverage is not between 0 and 1")?;
    let scored = r.counts()?;
    // Only our own choice of horizons: a stream holds a ring as long as each, and a forger would ask for thousands.
    ensure(scored == scored_horizons(horizon), "scored horizons are not those of the horizon")?;
    let count = r.count()?;
    ensure(Some(count) == targets.checked_mul(scored.len()), "there is not one track per scored horizon")?;
    let tracks = (0..count)
        .map(|_| {
            let track = Track { initial_scale: r.f64()?, scores: r.f32s()? };
            ensure(track.initial_scale.is_finite() && track.initial_scale > 0.0, "an interval has no scale")?;
            ensure(track.scores.len() <= WINDOW && track.scores.is_sorted(), "scores are not in order")?;
            ensure(track.scores.first().is_none_or(|&score| score >= 0.0), "a score is negative")?;
            Ok(track)
        })
        .collect::<Result<_, _>>()?;
    Ok(Intervals::new(coverage, scored, tracks))
}
