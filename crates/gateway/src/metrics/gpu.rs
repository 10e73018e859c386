//! Graphics cards, under the names that Triton uses. Where no driver tells of any, nothing is shown.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use spinwell_protocol::GpuLoad;
use std::sync::atomic::AtomicU64;

/// Which card.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GpuLabels {
    gpu_uuid: String,
}

type Figure = Family<GpuLabels, Gauge<f64, AtomicU64>>;

/// What is shown of every card.
pub(super) struct GpuFigures {
    utilization: Figure,
    memory_total: Figure,
    memory_used: Figure,
    power: Figure,
}

impl GpuFigures {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut figure = |name: &str, help: &str| {
            let figure = Figure::default();
            registry.register(name, help, figure.clone());
            figure
        };
        Self {
            utilization: figure("nv_gpu_utilization", "Share of time that the card worked, 0 to 1"),
            memory_total: figure("nv_gpu_memory_total_bytes", "Bytes of the card's memory"),
            memory_used: figure("nv_gpu_memory_used_bytes", "Bytes of it in use"),
            power: figure("nv_gpu_power_usage", "What the card draws, in watts"),
        }
    }

    pub(super) fn set(&self, gpus: &[GpuLoad]) {
        // A card that no longer tells must not show what it last said.
        for figure in [&self.utilization, &self.memory_total, &self.memory_used, &self.power] {
            figure.clear();
        }
        for gpu in gpus {
            let labels = GpuLabels { gpu_uuid: gpu.uuid.clone() };
            if let Some(utilization) = gpu.utilization {
                self.utilization.get_or_create(&labels).set(utilization);
            }
            if let Some(bytes) = gpu.memory_total_bytes {
                self.memory_total.get_or_create(&labels).set(bytes as f64);
            }
            if let Some(bytes) = gpu.memory_used_bytes {
                self.memory_used.get_or_create(&labels).set(bytes as f64);
            }
            if let Some(watts) = gpu.power_watts {
                self.power.get_or_create(&labels).set(watts);
            }
        }
    }
}
