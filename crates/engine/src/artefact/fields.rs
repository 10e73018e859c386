//! The payload's fields, and the checks that make what a file says safe to compute with.

use super::blocks::{read_blocks, read_choices, write_blocks, write_choices};
use super::reader::Reader;
use super::writer::Writer;
use super::{Error, corrupt, ensure, index_of, variant};
use crate::encoder::{Channel, Encoder};
use crate::intervals::{Confidence, Intervals, Phases, Scale, Track, scored_horizons};
use crate::kernel::Real;
use crate::model::{Contraction, Core, Mixer, Parts, Readout};
use crate::spec::{Base, Mixing, Spec, Transform};
use spinwell_core::NumericProfile;

/// No lag, season or horizon reaches further; keeps a forged file from asking for terabytes of history.
pub(super) const REACH_MAX: usize = 1 << 20;
/// Numbers that a stream remembers at most of its past, or of forecasts whose truth has not come.
const STREAM_MAX: u64 = 1 << 27;
/// No reservoir is larger.
pub(crate) const UNITS_MAX: usize = crate::kernel::ROWS_MAX;
/// No model has more members, naive forecasts included.
const MEMBERS_MAX: usize = 64;
/// A higher power is the choice of the best member, which a mixture is not.
const POWER_MAX: u32 = 64;

const TRANSFORMS: [Transform; 2] = [Transform::Identity, Transform::SquareRoot];
const BASES: [Base; 3] = [Base::Mean, Base::Last, Base::Season];

/// Appends the fields of a forecaster.
pub(crate) fn write_core(w: &mut Writer, core: &Core) {
    match core {
        Core::F32(parts) => write_parts(w, parts),
        Core::F64(parts) => write_parts(w, parts),
    }
}

fn write_parts<R: Real>(w: &mut Writer, parts: &Parts<R>) {
    let encoder = &parts.encoder;
    write_choices(w, &parts.spec);
    w.count(parts.horizon);
    w.count(parts.season);
    w.u8(u8::from(parts.hears_targets));
    write_channels(w, &encoder.channels);
    write_channels(w, &parts.outputs);
    w.count(encoder.bases.len());
    encoder.bases.iter().for_each(|base| w.u8(index_of(&BASES, base)));
    write_blocks(w, &encoder.blocks);
    w.reals(encoder.clip.iter().map(|range| range.0));
    w.reals(encoder.clip.iter().map(|range| range.1));
    w.count(parts.members.len());
    for member in &parts.members {
        w.reals(member.weights.iter().copied());
        w.f64s(&member.intercepts);
    }
    if let Some(mixer) = &parts.mixer {
        mixer.errors.iter().for_each(|errors| w.f64s(errors));
    }
    write_intervals(w, &parts.intervals);
    for rows in [parts.contraction.to_1e3, parts.contraction.to_1e6] {
        w.u64(rows.map_or(u64::MAX, |rows| rows as u64));
    }
    w.text(parts.time_column.as_deref().unwrap_or(""));
}

/// Reads the fields of a forecaster.
pub(crate) fn read_core(r: &mut Reader<'_>) -> Result<Core, Error> {
    let spec = read_choices(r)?;
    Ok(match spec.profile {
        NumericProfile::CpuF32 | NumericProfile::GpuF32 => Core::F32(read_parts(r, spec)?),
        NumericProfile::CpuF64 => Core::F64(read_parts(r, spec)?),
    })
}

fn read_parts<R: Real>(r: &mut Reader<'_>, spec: Spec) -> Result<Parts<R>, Error> {
    let (horizon, season) = (r.count()?, r.count()?);
    ensure(
        (1..=REACH_MAX).contains(&horizon) && (1..=REACH_MAX).contains(&season),
        "horizon or season out of range",
    )?;
    let hears_targets = r.switch()?;
    let (channels, outputs) = (read_channels(r)?, read_channels(r)?);
    ensure(!hears_targets || channels.starts_with(&outputs), "targets are not the first channels")?;
    let encoder = read_encoder(r, &spec, channels, season)?;
    let leans_on_past = encoder.bases.iter().any(|base| *base != Base::Mean);
    ensure(hears_targets || !leans_on_past, "a base is never fed")?;
    ensure(!spec.shared || encoder.channels.len() == outputs.len(), "a shared readout has other channels")?;
    let count = outputs.len().checked_mul(horizon).ok_or(corrupt("too many outputs"))?;
    let per_vector = if spec.shared { horizon } else { count };
    let members = read_members(r, &encoder, per_vector)?;
    let scored = scored_horizons(horizon);
    let mixer = match spec.mixing {
        Mixing::Off => {
            ensure(members.len() == 1 && encoder.bases.len() == 1, "members without a mixture")?;
            None
        }
        Mixing::Power(power) => {
            ensure((1..=POWER_MAX).contains(&power), "power of the mixture out of range")?;
            let all = members.len() + encoder.bases.len() - 1;
            let errors: Vec<Vec<f64>> =
                (0..outputs.len() * scored.len()).map(|_| r.f64s()).collect::<Result<_, _>>()?;
            let fit = |errors: &Vec<f64>| errors.len() == all && errors.iter().all(|&error| error >= 0.0);
            ensure(errors.iter().all(fit), "errors of members do not fit")?;
            Some(Mixer { power, errors })
        }
    };
    let intervals = read_intervals(r, outputs.len(), &scored)?;
    let rows = |r: &mut Reader<'_>| -> Result<Option<usize>, Error> {
        let rows = Some(r.u64()?).filter(|&rows| rows != u64::MAX).map(|rows| rows as usize);
        ensure(rows.is_none_or(|rows| rows <= REACH_MAX), "memory out of range")?;
        Ok(rows)
    };
    let contraction = Contraction { to_1e3: rows(r)?, to_1e6: rows(r)? };
    let time_column = Some(r.text()?).filter(|name| !name.is_empty());
    let parts = Parts {
        spec,
        encoder,
        outputs,
        hears_targets,
        horizon,
        season,
        members,
        mixer,
        intervals,
        contraction,
        time_column,
    };
    ensure(
        parts.spec.family.is_naive() || parts.encoder.features_len() > 0,
        "a readout has nothing to read",
    )?;
    // What each stream will allocate, as numbers; products of counts that are themselves within bounds.
    let members = (parts.members.len() + parts.encoder.bases.len()) as u64;
    let pending = parts.outputs.len() as u64
        * scored.iter().sum::<usize>() as u64
        * (crate::intervals::SLOT as u64 + members);
    let remembered = parts.encoder.ring_rows() as u64 * parts.encoder.channels.len() as u64;
    ensure(pending.max(remembered) <= STREAM_MAX, "a stream would not fit into memory")?;
    Ok(parts)
}

fn read_encoder<R: Real>(
    r: &mut Reader<'_>,
    spec: &Spec,
    channels: Vec<Channel>,
    season: usize,
) -> Result<Encoder<R>, Error> {
    let count = r.count()?;
    ensure((1..=BASES.len() + 1).contains(&count), "bases out of range")?;
    let bases: Vec<Base> = (0..count).map(|_| variant(&BASES, r.u8()?)).collect::<Result<_, _>>()?;
    ensure(bases[0] == spec.base, "base and choices disagree")?;
    let blocks = read_blocks(r, &spec.blocks, channels.len())?;
    let products = spec.products.map_or(0, |products| products.features(channels.len()));
    ensure(products <= crate::products::PRODUCTS_MAX, "too many products")?;
    let (low, high): (Vec<R>, Vec<R>) = (r.reals()?, r.reals()?);
    ensure(
        low.len() == high.len() && low.iter().zip(&high).all(|(a, b)| a <= b),
        "feature ranges are not ranges",
    )?;
    let encoder = Encoder {
        channels,
        lags: spec.lags.clone(),
        products: spec.products,
        bases,
        shared: spec.shared,
        season,
        blocks,
        clip: low.into_iter().zip(high).collect(),
    };
    ensure(encoder.clip.len() == encoder.features_len(), "there is not one range per feature")?;
    Ok(encoder)
}

fn read_members<R: Real>(
    r: &mut Reader<'_>,
    encoder: &Encoder<R>,
    per_vector: usize,
) -> Result<Vec<Readout<R>>, Error> {
    let count = r.count()?;
    ensure((1..=MEMBERS_MAX).contains(&count), "members out of range")?;
    let member = |_| {
        let readout = Readout { weights: r.reals()?, intercepts: r.f64s()? };
        ensure(readout.intercepts.len() == per_vector, "there is not one intercept per output")?;
        ensure(
            Some(readout.weights.len()) == per_vector.checked_mul(encoder.padded_len()),
            "readout weights do not fit",
        )?;
        Ok(readout)
    };
    (0..count).map(member).collect()
}

fn write_channels(w: &mut Writer, channels: &[Channel]) {
    w.count(channels.len());
    for channel in channels {
        w.text(&channel.name);
        w.u8(index_of(&TRANSFORMS, &channel.transform));
        let Channel { mean, deviation, change, range, change_range, .. } = channel;
        for value in [*mean, *deviation, *change, range.0, range.1, change_range.0, change_range.1] {
            w.f64(value);
        }
    }
}

fn read_channels(r: &mut Reader<'_>) -> Result<Vec<Channel>, Error> {
    let count = r.count()?;
    ensure((1..=UNITS_MAX).contains(&count), "channels out of range")?;
    let channel = |_| {
        let name = r.text()?;
        let transform = variant(&TRANSFORMS, r.u8()?)?;
        let mut number = || r.f64();
        let (mean, deviation, change) = (number()?, number()?, number()?);
        let (range, change_range) = ((number()?, number()?), (number()?, number()?));
        let finite = [mean, range.0, range.1, change_range.0, change_range.1].iter().all(|v| v.is_finite());
        let scales = [deviation, change].iter().all(|scale| scale.is_finite() && *scale > 0.0);
        let spans = range.0 < range.1 && change_range.0 < change_range.1;
        ensure(finite && scales && spans, "a channel has no scale")?;
        Ok(Channel { name, transform, mean, deviation, change, range, change_range })
    };
    (0..count).map(channel).collect()
}

fn write_intervals(w: &mut Writer, intervals: &Intervals) {
    w.f64(intervals.coverage);
    for Track { scale, scores, level, confidence } in &intervals.tracks {
        scale.weights.iter().chain(&scale.start).for_each(|&number| w.f64(number));
        w.count(scale.phases.period);
        w.count(scale.phases.count);
        w.f32s(scores);
        w.f64(*level);
        w.f32s(&confidence.knots.iter().flat_map(|knot| [knot.0, knot.1]).collect::<Vec<_>>());
    }
}

fn read_intervals(r: &mut Reader<'_>, targets: usize, scored: &[usize]) -> Result<Intervals, Error> {
    let coverage = r.f64()?;
    ensure(coverage > 0.0 && coverage < 1.0, "coverage is not between 0 and 1")?;
    let tracks = (0..targets * scored.len())
        .map(|index| {
            let mut scale = Scale::unfitted(scored[index % scored.len()], Phases::default(), 1.0);
            for number in scale.weights.iter_mut().chain(&mut scale.start) {
                *number = r.f64()?;
            }
            scale.phases = Phases { period: r.count()?, count: r.count()? };
            ensure(scale.phases.period <= REACH_MAX, "a season out of range")?;
            let (scores, level) = (r.f32s()?, r.f64()?);
            let knots = r.f32s()?.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
            let track = Track { scale, scores, level, confidence: Confidence { knots } };
            ensure(track.is_sound(), "an interval's numbers contradict each other")?;
            Ok(track)
        })
        .collect::<Result<_, _>>()?;
    Ok(Intervals::new(coverage, scored.to_vec(), tracks))
}
