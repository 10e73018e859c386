//! Liquids of spiking neurons: their settings, and what was drawn from them.

use super::reader::Reader;
use super::writer::Writer;
use super::{Error, corrupt, index_of, variant};
use crate::spiking::{Liquid, LiquidWeights, SpikeEncoding, SpikingSettings, SpikingWiring};

pub(super) fn write_spiking(w: &mut Writer, spiking: &SpikingSettings) {
    w.counts(&[spiking.neurons, spiking.substeps, spiking.delay_max, spiking.fan_in]);
    w.u8(index_of(&SpikeEncoding::ALL, &spiking.encoding));
    w.u8(index_of(&SpikingWiring::ALL, &spiking.wiring));
    let SpikingSettings { excitatory, inhibition, density, coupling, gain, adaptation, .. } = *spiking;
    for number in [excitatory, inhibition, density, coupling, gain, adaptation] {
        w.f64(number);
    }
    w.u64(spiking.seed);
}

pub(super) fn read_spiking(r: &mut Reader<'_>) -> Result<SpikingSettings, Error> {
    let [neurons, substeps, delay_max, fan_in] = r.counts()?[..] else {
        return Err(corrupt("a liquid's sizes are not four numbers"));
    };
    let (encoding, wiring) = (variant(&SpikeEncoding::ALL, r.u8()?)?, variant(&SpikingWiring::ALL, r.u8()?)?);
    let mut number = || r.f64();
    let settings = SpikingSettings {
        neurons,
        substeps,
        encoding,
        delay_max,
        excitatory: number()?,
        inhibition: number()?,
        density: number()?,
        coupling: number()?,
        gain: number()?,
        fan_in,
        adaptation: number()?,
        wiring,
        seed: r.u64()?,
    };
    settings.check().map_err(corrupt)?;
    Ok(settings)
}

pub(super) fn write_liquid(w: &mut Writer, liquid: &LiquidWeights) {
    w.counts(&[
        liquid.neurons,
        liquid.inputs,
        liquid.substeps,
        liquid.delay_max,
        liquid.fan_in,
        liquid.excitatory,
    ]);
    w.u8(index_of(&SpikeEncoding::ALL, &liquid.encoding));
    w.u64(liquid.seed);
    let LiquidWeights { reset_kept, reset_to, adaptation, adaptation_decay, trace_decays, .. } = *liquid;
    w.f32s(&[reset_kept, reset_to, adaptation, adaptation_decay, trace_decays[0], trace_decays[1]]);
    for numbers in numbers(liquid) {
        w.f32s(numbers);
    }
    for places in [&liquid.tap_lines, &liquid.tap_delays, &liquid.synapse_starts, &liquid.synapse_targets] {
        w.u32s(places);
    }
}

/// Its arrays of numbers, in the order of the file.
fn numbers(liquid: &LiquidWeights) -> [&Vec<f32>; 18] {
    [
        &liquid.membrane,
        &liquid.excitation_decay,
        &liquid.inhibition_decay,
        &liquid.bias,
        &liquid.refractory,
        &liquid.initial_potentials,
        &liquid.tap_weights,
        &liquid.oscillation,
        &liquid.synapse_weights,
        &liquid.synapse_use,
        &liquid.depression_decay,
        &liquid.facilitation_decay,
        &liquid.rhythm_frequencies,
        &liquid.rhythm_decays,
        &liquid.rhythm_cosines,
        &liquid.rhythm_sines,
        &liquid.oscillator_frequencies,
        &liquid.oscillator_sensitivities,
    ]
}

pub(super) fn read_liquid(r: &mut Reader<'_>) -> Result<Liquid, Error> {
    let [neurons, inputs, substeps, delay_max, fan_in, excitatory] = r.counts()?[..] else {
        return Err(corrupt("a liquid's sizes are not six numbers"));
    };
    let encoding = variant(&SpikeEncoding::ALL, r.u8()?)?;
    let seed = r.u64()?;
    let [reset_kept, reset_to, adaptation, adaptation_decay, fast, slow] = r.f32s()?[..] else {
        return Err(corrupt("a liquid's constants are not six numbers"));
    };
    // Fields are read in the order in which they are written here.
    let weights = LiquidWeights {
        neurons,
        inputs,
        substeps,
        encoding,
        delay_max,
        fan_in,
        excitatory,
        seed,
        reset_kept,
        reset_to,
        adaptation,
        adaptation_decay,
        trace_decays: [fast, slow],
        membrane: r.f32s()?,
        excitation_decay: r.f32s()?,
        inhibition_decay: r.f32s()?,
        bias: r.f32s()?,
        refractory: r.f32s()?,
        initial_potentials: r.f32s()?,
        tap_weights: r.f32s()?,
        oscillation: r.f32s()?,
        synapse_weights: r.f32s()?,
        synapse_use: r.f32s()?,
        depression_decay: r.f32s()?,
        facilitation_decay: r.f32s()?,
        rhythm_frequencies: r.f32s()?,
        rhythm_decays: r.f32s()?,
        rhythm_cosines: r.f32s()?,
        rhythm_sines: r.f32s()?,
        oscillator_frequencies: r.f32s()?,
        oscillator_sensitivities: r.f32s()?,
        tap_lines: r.u32s()?,
        tap_delays: r.u32s()?,
        synapse_starts: r.u32s()?,
        synapse_targets: r.u32s()?,
    };
    Liquid::new(weights).map_err(corrupt)
}
