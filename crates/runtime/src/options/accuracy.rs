//! How forecasts are remembered until their truth is known.

use super::error::Error;
use super::sources::Layered;
use spinwell_core::Millis;

/// How forecasts are remembered until their truth is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accuracy {
    /// Bytes of forecasts beyond which the oldest are forgotten; 0 remembers none.
    pub memory_bytes: usize,
    /// For how long a truth is waited for.
    pub age_max: Millis,
}

pub(super) fn accuracy(layered: &Layered) -> Result<Accuracy, Error> {
    Ok(Accuracy {
        memory_bytes: layered.number("accuracy.memory_bytes", 0..=1 << 40)?,
        // Ten years: longer than any horizon.
        age_max: Millis(layered.number("accuracy.age_max_ms", 1..=315_360_000_000)? as u64),
    })
}
