//! The choices a model was trained with, and its reservoirs' random parts.

use super::fields::{REACH_MAX, UNITS_MAX};
use super::quantum::{read_bank, read_quantum, write_bank, write_quantum};
use super::reader::Reader;
use super::spiking::{read_liquid, read_spiking, write_liquid, write_spiking};
use super::writer::Writer;
use super::{Error, corrupt, ensure, index_of, variant};
use crate::block::{Block, Reservoir};
use crate::echo::{Echo, Recurrent, Weights};
use crate::kernel::{Real, SparseRows};
use crate::products::ORDER_MAX;
use crate::spec::{
    Base, BlockSettings, EchoSettings, Family, Hearing, LagForm, Lags, Mixing, Products, ReservoirSettings,
    Spec, Topology, Transform,
};
use spinwell_core::NumericProfile;

/// More reservoirs than a search ever puts beside each other.
const BLOCKS_MAX: usize = 32;

const TRANSFORMS: [Transform; 2] = [Transform::Identity, Transform::SquareRoot];
const BASES: [Base; 3] = [Base::Mean, Base::Last, Base::Season];
const FORMS: [LagForm; 2] = [LagForm::Relative, LagForm::Raw];
const PROFILES: [NumericProfile; 2] = [NumericProfile::CpuF32, NumericProfile::CpuF64];

pub(super) fn write_choices(w: &mut Writer, spec: &Spec) {
    w.u8(index_of(&Family::ALL, &spec.family));
    w.u8(index_of(&TRANSFORMS, &spec.transform));
    w.u8(index_of(&BASES, &spec.base));
    w.u8(index_of(&PROFILES, &spec.profile));
    w.u8(u8::from(spec.shared));
    w.u64(match spec.mixing {
        Mixing::Off => 0,
        Mixing::Power(power) => u64::from(power),
    });
    w.count(spec.lags.recent);
    w.counts(&spec.lags.seasonal);
    w.u8(index_of(&FORMS, &spec.lags.form));
    let products = spec.products.unwrap_or(Products { taps: 0, stride: 0, order: 0 });
    w.counts(&[products.taps, products.stride, products.order]);
    w.count(spec.blocks.len());
    for block in &spec.blocks {
        w.counts(&block.hearing.seasonal);
        w.u8(u8::from(block.hearing.differenced));
        match &block.reservoir {
            ReservoirSettings::Echo(echo) => {
                w.u8(0);
                write_echo(w, echo);
            }
            ReservoirSettings::Spiking(spiking) => {
                w.u8(1);
                write_spiking(w, spiking);
            }
            ReservoirSettings::Quantum(quantum) => {
                w.u8(2);
                write_quantum(w, quantum);
            }
        }
    }
}

pub(super) fn read_choices(r: &mut Reader<'_>) -> Result<Spec, Error> {
    let family = variant(&Family::ALL, r.u8()?)?;
    let transform = variant(&TRANSFORMS, r.u8()?)?;
    let base = variant(&BASES, r.u8()?)?;
    let profile = variant(&PROFILES, r.u8()?)?;
    let shared = r.switch()?;
    let mixing = match u32::try_from(r.u64()?).map_err(|_| corrupt("power of the mixture out of range"))? {
        0 => Mixing::Off,
        power => Mixing::Power(power),
    };
    let lags = read_lags(r)?;
    let [taps, stride, order] = r.counts()?[..] else {
        return Err(corrupt("products are not three numbers"));
    };
    let products = (taps > 0).then_some(Products { taps, stride, order });
    if products.is_some() {
        ensure(stride > 0 && (2..=ORDER_MAX).contains(&order), "products out of range")?;
        ensure(taps.checked_mul(stride).is_some_and(|reach| reach < REACH_MAX), "products out of range")?;
    }
    let count = r.count()?;
    ensure(count <= BLOCKS_MAX, "too many reservoirs")?;
    let blocks: Vec<BlockSettings> = (0..count).map(|_| read_block_settings(r)).collect::<Result<_, _>>()?;
    let lags_alone = lags.recent > 0 && products.is_none() && blocks.is_empty();
    ensure(!shared || lags_alone, "a shared readout sees lags alone")?;
    Ok(Spec { family, transform, base, lags, shared, products, blocks, mixing, profile })
}

fn read_lags(r: &mut Reader<'_>) -> Result<Lags, Error> {
    let lags = Lags { recent: r.count()?, seasonal: r.counts()?, form: variant(&FORMS, r.u8()?)? };
    ensure(lags.recent <= REACH_MAX, "lags out of range")?;
    ensure(lags.seasonal.windows(2).all(|pair| pair[0] < pair[1]), "seasonal lags are not in order")?;
    ensure(
        lags.seasonal.iter().all(|&offset| offset >= lags.recent && offset < REACH_MAX),
        "lags out of range",
    )?;
    ensure(lags.recent > 0 || lags.seasonal.is_empty(), "seasonal lags without recent ones")?;
    Ok(lags)
}

fn read_block_settings(r: &mut Reader<'_>) -> Result<BlockSettings, Error> {
    let hearing = Hearing { seasonal: r.counts()?, differenced: r.switch()? };
    ensure(hearing.seasonal.len() <= 16, "too many seasonal inputs")?;
    ensure(hearing.seasonal.iter().all(|&offset| offset < REACH_MAX), "lags out of range")?;
    let reservoir = match r.u8()? {
        0 => ReservoirSettings::Echo(read_echo(r)?),
        1 => ReservoirSettings::Spiking(read_spiking(r)?),
        2 => ReservoirSettings::Quantum(read_quantum(r)?),
        _ => return Err(corrupt("a choice is unknown")),
    };
    Ok(BlockSettings { reservoir, hearing })
}

fn write_echo(w: &mut Writer, echo: &EchoSettings) {
    w.count(echo.units);
    w.u8(index_of(&Topology::ALL, &echo.topology));
    for value in [echo.density, echo.spectral_radius, echo.leak, echo.input_scale, echo.bias_scale] {
        w.f64(value);
    }
    w.u64(echo.seed);
}

fn read_echo(r: &mut Reader<'_>) -> Result<EchoSettings, Error> {
    Ok(EchoSettings {
        units: r.count()?,
        topology: variant(&Topology::ALL, r.u8()?)?,
        density: r.f64()?,
        spectral_radius: r.f64()?,
        leak: r.f64()?,
        input_scale: r.f64()?,
        bias_scale: r.f64()?,
        seed: r.u64()?,
    })
}

pub(super) fn write_blocks<R: Real>(w: &mut Writer, blocks: &[Block<R>]) {
    for block in blocks {
        match &block.reservoir {
            Reservoir::Echo(echo) => write_weights(w, echo.weights()),
            Reservoir::Spiking(liquid) => write_liquid(w, liquid.weights()),
            Reservoir::Quantum(bank) => write_bank(w, bank.weights()),
        }
    }
}

/// The reservoirs of a model whose choices are known.
pub(super) fn read_blocks<R: Real>(
    r: &mut Reader<'_>,
    settings: &[BlockSettings],
    channels: usize,
) -> Result<Vec<Block<R>>, Error> {
    let block = |settings: &BlockSettings| {
        let wanted = settings.hearing.inputs(channels);
        let (reservoir, inputs) = match &settings.reservoir {
            ReservoirSettings::Echo(_) => {
                let weights = read_weights(r)?;
                let inputs = weights.inputs;
                (Reservoir::Echo(Echo::new(weights)), inputs)
            }
            ReservoirSettings::Spiking(_) => {
                let liquid = read_liquid(r)?;
                let inputs = liquid.inputs_len();
                (Reservoir::Spiking(Box::new(liquid)), inputs)
            }
            ReservoirSettings::Quantum(settings) => {
                let bank = read_bank(r, settings, wanted)?;
                let inputs = bank.inputs_len();
                (Reservoir::Quantum(Box::new(bank)), inputs)
            }
        };
        ensure(inputs == wanted, "a reservoir takes other inputs than the channels give")?;
        Ok(Block { hearing: settings.hearing.clone(), reservoir })
    };
    settings.iter().map(block).collect()
}

fn write_weights<R: Real>(w: &mut Writer, weights: &Weights<R>) {
    w.count(weights.units);
    w.count(weights.inputs);
    w.reals([weights.leak].into_iter());
    w.reals(weights.input.iter().copied());
    match &weights.recurrent {
        Recurrent::Dense(matrix) => {
            w.u8(0);
            w.reals(matrix.iter().copied());
        }
        Recurrent::Sparse(rows) => {
            w.u8(1);
            w.u32s(&rows.starts);
            w.u32s(&rows.columns);
            w.reals(rows.values.iter().copied());
        }
    }
}

fn read_weights<R: Real>(r: &mut Reader<'_>) -> Result<Weights<R>, Error> {
    let (units, inputs) = (r.count()?, r.count()?);
    ensure((1..=UNITS_MAX).contains(&units), "the reservoir has no units or too many")?;
    ensure(inputs <= 17 * UNITS_MAX, "the reservoir has too many inputs")?;
    let [leak] = r.reals()?[..] else { return Err(corrupt("the leak is not one number")) };
    let input = r.reals()?;
    ensure(input.len() == units * (inputs + 1), "input weights do not fit")?;
    let recurrent = match r.u8()? {
        0 => {
            let matrix = r.reals()?;
            ensure(matrix.len() == units * units, "recurrent weights do not fit")?;
            Recurrent::Dense(matrix)
        }
        1 => {
            let rows = SparseRows { starts: r.u32s()?, columns: r.u32s()?, values: r.reals()? };
            ensure(rows.starts.len() == units + 1 && rows.is_well_formed(), "recurrent weights do not fit")?;
            Recurrent::Sparse(rows)
        }
        _ => return Err(corrupt("a choice is unknown")),
    };
    Ok(Weights { units, inputs, leak, recurrent, input })
}
