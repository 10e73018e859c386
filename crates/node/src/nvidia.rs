//! What NVIDIA's driver says of its cards, for the metrics. Without that driver there is nothing to say.

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use spinwell_protocol::GpuLoad;

/// The driver's library.
pub(crate) struct Nvidia(Nvml);

impl Nvidia {
    /// The library, where this machine has it.
    pub(crate) fn find() -> Option<Self> {
        Nvml::init().ok().map(Self)
    }

    /// Every card that tells.
    pub(crate) fn load(&self) -> Vec<GpuLoad> {
        let cards = 0..self.0.device_count().unwrap_or(0);
        cards.filter_map(|index| load_of(&self.0.device_by_index(index).ok()?).ok()).collect()
    }
}

fn load_of(card: &Device<'_>) -> Result<GpuLoad, NvmlError> {
    let memory = card.memory_info()?;
    Ok(GpuLoad {
        uuid: card.uuid()?,
        utilization: card.utilization_rates().ok().map(|rates| f64::from(rates.gpu) / 100.0),
        memory_total_bytes: memory.total,
        memory_used_bytes: memory.used,
        power_watts: card.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1000.0),
    })
}
