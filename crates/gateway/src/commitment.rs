//! What binds a record to what was asked and answered, under the key of its log.
//!
//! Whoever has the key makes the same again of the same values, whichever way they came and whatever they are encoded in.

use spinwell_core::Series;
use spinwell_ledger::Commitments;
use spinwell_protocol::Predictions;

/// Numbers that are turned into bytes at a time.
const NUMBERS: usize = 64;

/// The commitment to what is asked: shape, then every value as a 64-bit float, which has room for all of a 32-bit one.
#[must_use]
pub fn of_input(commitments: &Commitments, series: &Series) -> [u8; 32] {
    let mut commitment = commitments.begin("input");
    for extent in [series.batch(), series.rows(), series.channels()] {
        commitment.add(&(extent as u64).to_le_bytes());
    }
    let samples = series.samples();
    let mut bytes = [0; 8 * NUMBERS];
    for begin in (0..samples.len()).step_by(NUMBERS) {
        let count = NUMBERS.min(samples.len() - begin);
        for (place, number) in bytes.chunks_exact_mut(8).take(count).enumerate() {
            number.copy_from_slice(&samples.get(begin + place).to_le_bytes());
        }
        commitment.add(&bytes[..8 * count]);
    }
    commitment.end()
}

/// The commitment to what is answered: of each output, by name, its type and its bytes as the protocol has them.
#[must_use]
pub fn of_output(commitments: &Commitments, predictions: &Predictions) -> [u8; 32] {
    let mut commitment = commitments.begin("output");
    commitment.add(&(predictions.batch as u64).to_le_bytes());
    let mut tensors: Vec<_> = predictions.tensors.iter().collect();
    tensors.sort_by_key(|tensor| tensor.name.as_str());
    let mut bytes = Vec::new();
    for tensor in tensors {
        bytes.clear();
        tensor.values.write_bytes(&mut bytes);
        commitment.add(tensor.name.as_str().as_bytes());
        commitment.add(tensor.values.datatype().as_str().as_bytes());
        commitment.add(&bytes);
    }
    commitment.end()
}
