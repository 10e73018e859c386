//! What NVIDIA's driver says of its cards, for the metrics. Without that driver there is nothing to say.

use nvml_wrapper::{Device, Nvml};
use spinwell_protocol::GpuLoad;

/// The driver's library.
pub(crate) struct Nvidia(Nvml);

impl Nvidia {
    /// The library, where this machine has it.
    pub(crate) fn find() -> Option<Self> {
        Nvml::init().ok().map(Self)
    }

    /// Every card that has a name.
    pub(crate) fn load(&self) -> Vec<GpuLoad> {
        let cards = 0..self.0.device_count().unwrap_or(0);
        cards.filter_map(|index| load_of(Readings::of(&self.0.device_by_index(index).ok()?))).collect()
    }
}

/// What a card answers to each question by itself: which of them it knows depends on the card and its driver, and one
/// without an answer must not cost the others.
#[derive(Debug, Clone, Default)]
struct Readings {
    /// The name that its maker gave this one card.
    uuid: Option<String>,
    /// Percent of the last moments in which it worked.
    busy_percent: Option<u32>,
    /// Bytes of its memory, and of these in use.
    memory_bytes: Option<(u64, u64)>,
    /// What it draws.
    milliwatts: Option<u32>,
}

impl Readings {
    fn of(card: &Device<'_>) -> Self {
        Self {
            uuid: card.uuid().ok(),
            busy_percent: card.utilization_rates().ok().map(|rates| rates.gpu),
            memory_bytes: card.memory_info().ok().map(|memory| (memory.total, memory.used)),
            milliwatts: card.power_usage().ok(),
        }
    }
}

/// The figures in the units of the metrics; `None` of a card without a name, whose figures could not be told from
/// another's.
fn load_of(readings: Readings) -> Option<GpuLoad> {
    let Readings { uuid, busy_percent, memory_bytes, milliwatts } = readings;
    Some(GpuLoad {
        uuid: uuid?,
        utilization: busy_percent.map(|percent| f64::from(percent) / 100.0),
        memory_total_bytes: memory_bytes.map(|(total, _)| total),
        memory_used_bytes: memory_bytes.map(|(_, used)| used),
        power_watts: milliwatts.map(|milliwatts| f64::from(milliwatts) / 1000.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_card_does_not_tell_costs_nothing_of_what_it_does() {
        let all = Readings {
            uuid: Some("GPU-1".to_owned()),
            busy_percent: Some(37),
            memory_bytes: Some((4096, 1024)),
            milliwatts: Some(71_500),
        };
        let load = GpuLoad {
            uuid: "GPU-1".to_owned(),
            utilization: Some(0.37),
            memory_total_bytes: Some(4096),
            memory_used_bytes: Some(1024),
            power_watts: Some(71.5),
        };
        for (readings, wanted) in [
            (all.clone(), Some(load.clone())),
            (
                Readings { memory_bytes: None, ..all.clone() },
                Some(GpuLoad { memory_total_bytes: None, memory_used_bytes: None, ..load.clone() }),
            ),
            (
                Readings { busy_percent: None, ..all.clone() },
                Some(GpuLoad { utilization: None, ..load.clone() }),
            ),
            (Readings { milliwatts: None, ..all.clone() }, Some(GpuLoad { power_watts: None, ..load })),
            (Readings { uuid: None, ..all }, None),
        ] {
            assert_eq!(load_of(readings.clone()), wanted, "{readings:?}");
        }
    }
}
