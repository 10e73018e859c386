//! Banks of quantum reservoirs: their settings, and what was drawn from them.

use super::reader::Reader;
use super::writer::Writer;
use super::{Error, corrupt, ensure};
use crate::quantum::{Bank, BankWeights, QuantumMemory, QuantumSettings};

pub(super) fn write_quantum(w: &mut Writer, quantum: &QuantumSettings) {
    w.counts(&[quantum.qubits, quantum.reservoirs, quantum.substeps]);
    w.u8(u8::from(quantum.correlations));
    let QuantumSettings {
        evolution_min, evolution_max, coupling, field, swing_max, swing_min, drive, ..
    } = *quantum;
    for number in [evolution_min, evolution_max, coupling, field, swing_max, swing_min, drive] {
        w.f64(number);
    }
    match quantum.memory {
        QuantumMemory::Erasure => w.u8(0),
        QuantumMemory::Dissipation { rate } => {
            w.u8(1);
            w.f64(rate);
        }
    }
    w.u64(quantum.shots.unwrap_or(0));
    w.u64(quantum.seed);
}

pub(super) fn read_quantum(r: &mut Reader<'_>) -> Result<QuantumSettings, Error> {
    let [qubits, reservoirs, substeps] = r.counts()?[..] else {
        return Err(corrupt("a quantum bank's sizes are not three numbers"));
    };
    let correlations = r.switch()?;
    let mut number = || r.f64();
    let (evolution_min, evolution_max) = (number()?, number()?);
    let (coupling, field) = (number()?, number()?);
    let (swing_max, swing_min, drive) = (number()?, number()?, number()?);
    let memory = match r.u8()? {
        0 => QuantumMemory::Erasure,
        1 => QuantumMemory::Dissipation { rate: r.f64()? },
        _ => return Err(corrupt("a choice is unknown")),
    };
    let settings = QuantumSettings {
        qubits,
        reservoirs,
        substeps,
        correlations,
        evolution_min,
        evolution_max,
        coupling,
        field,
        swing_max,
        swing_min,
        memory,
        shots: Some(r.u64()?).filter(|&shots| shots > 0),
        drive,
        seed: r.u64()?,
    };
    settings.check().map_err(corrupt)?;
    Ok(settings)
}

pub(super) fn write_bank(w: &mut Writer, bank: &BankWeights) {
    for numbers in [&bank.couplings, &bank.fields, &bank.evolutions, &bank.swings] {
        w.f64s(numbers);
    }
    w.counts(&bank.heard.iter().map(|&input| input as usize).collect::<Vec<_>>());
}

/// A bank of settings that stand before it.
pub(super) fn read_bank(
    r: &mut Reader<'_>,
    settings: &QuantumSettings,
    inputs: usize,
) -> Result<Bank, Error> {
    ensure(settings.check_for(inputs).is_ok(), "a quantum bank is larger than any we build")?;
    let weights = BankWeights {
        settings: settings.clone(),
        inputs,
        couplings: r.f64s()?,
        fields: r.f64s()?,
        evolutions: r.f64s()?,
        swings: r.f64s()?,
        heard: r.counts()?.into_iter().map(|input| input as u64).collect(),
    };
    Bank::new(weights).map_err(corrupt)
}
