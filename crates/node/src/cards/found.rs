//! The cards of this machine.

use super::on_cards::OnCards;
use super::{CardsError, Placed};
use spinwell_core::{Micros, ModelName, NumericProfile, Samples, Series};
use spinwell_engine::gpu::{Adapter, Gpu, Resident, adapters, shader_hash};
use spinwell_engine::{Model, Window};
use spinwell_runtime::clock;
use spinwell_runtime::options::Device;
use std::fs;
use std::sync::Arc;

/// Windows that card and CPU race over under `auto`: a full batch of a busy server.
const RACE_WINDOWS: usize = 64;
/// Microseconds of the CPU that a race may take; costly models race with fewer windows.
const RACE_CPU_US: f64 = 50_000.0;
/// Rows of each, unless the model needs more: enough to tell.
const RACE_ROWS: usize = 16;

/// The cards in use.
#[derive(Default)]
pub struct Cards {
    gpus: Vec<Arc<Gpu>>,
    /// Whether a model goes to a card only where it is faster there.
    must_win: bool,
    notes: Vec<String>,
}

impl Cards {
    /// Opens the cards that `device` names. Where none can be used, [notes](Self::notes) say so and all stays on the CPU.
    ///
    /// # Errors
    /// Where there are cards, and none of the number that was asked for.
    pub fn open(device: Device) -> Result<Self, CardsError> {
        let mut cards = Self { must_win: device == Device::Auto, ..Self::default() };
        let wanted = match device {
            Device::Cpu => return Ok(cards),
            // Looking for drivers loads them, a software card's with tens of megabytes.
            Device::Auto if !may_have_hardware() => return Ok(cards),
            Device::Auto => adapters().into_iter().filter(|adapter| !adapter.is_software).collect(),
            Device::Gpu(index) => chosen(adapters(), index)?,
        };
        for Adapter { index, .. } in &wanted {
            match Gpu::open(*index) {
                Ok(gpu) => {
                    let Adapter { index, name, driver, .. } = gpu.adapter();
                    cards.notes.push(format!("gpu:{index} {name} ({driver})"));
                    cards.gpus.push(Arc::new(gpu));
                }
                Err(error) => cards.notes.push(error.to_string()),
            }
        }
        if cards.gpus.is_empty() && device != Device::Auto {
            let why =
                if wanted.is_empty() { "no Vulkan driver offers a graphics card" } else { "none opened" };
            cards.notes.push(format!("{why}: reservoirs step on the CPU"));
        }
        Ok(cards)
    }

    /// What the operator should know, a line each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Brings a model onto each card and says, a line each, how far its answers are from the CPU's or why it stays there.
    #[must_use]
    pub fn try_out(&self, model: &Model) -> Vec<String> {
        let model = Arc::new(model.clone());
        let line = |gpu: &Arc<Gpu>| {
            let place = format!("gpu:{}", gpu.adapter().index);
            match bring(gpu, &model) {
                Ok((resident, apart)) => {
                    let speed = Race::run(&resident).map_or_else(String::new, |race| {
                        let times = race.on_cpu.0 as f64 / race.on_card.0.max(1) as f64;
                        format!(", {times:.2} times as fast as one thread for {} windows", race.windows)
                    });
                    let profile = NumericProfile::GpuF32;
                    format!(
                        "{place}: within {apart:.0e} standard deviations of the CPU{speed}; profile {profile}"
                    )
                }
                Err(why) => format!("{place}: the model stays on the CPU: {why}"),
            }
        };
        self.gpus.iter().map(line).collect()
    }

    /// Puts a model where it answers.
    pub(crate) fn place(&self, name: &ModelName, model: Arc<Model>) -> Placed {
        let mut residents = Vec::new();
        for gpu in &self.gpus {
            let card = gpu.adapter().index;
            // Bits depend on card and driver, and the same request must not depend on which card is free.
            if residents.first().is_some_and(|first: &Resident| !is_alike(first.gpu(), gpu)) {
                tracing::info!(model = %name, card, "not used beside a card of another kind");
                continue;
            }
            match bring(gpu, &model) {
                Ok((resident, apart)) if !self.must_win || Race::run(&resident).is_some_and(Race::is_won) => {
                    tracing::info!(model = %name, card, apart, "the card agrees with the CPU");
                    residents.push(resident);
                }
                Ok(_) => {
                    tracing::info!(model = %name, card, "stays on the CPU, whose threads together are as fast");
                }
                Err(why) => tracing::info!(model = %name, card, why, "stays on the CPU"),
            }
        }
        if residents.is_empty() {
            return Placed::on_cpu(model);
        }
        let card = |resident: &Resident| {
            let Adapter { index, name, driver, .. } = resident.gpu().adapter();
            format!("gpu:{index} {name} ({driver})")
        };
        let cards: Vec<String> = residents.iter().map(card).collect();
        let device = format!("{}, shaders {}", cards.join(", "), shader_hash());
        let predictor = Arc::new(OnCards::new(model, residents));
        Placed { predictor, profile: NumericProfile::GpuF32, device }
    }
}

/// The cards that an operator means by `gpu` or `gpu:I`. Software cards are meant only where there are no others.
fn chosen(mut all: Vec<Adapter>, index: Option<usize>) -> Result<Vec<Adapter>, CardsError> {
    let Some(index) = index else {
        if all.iter().any(|adapter| !adapter.is_software) {
            all.retain(|adapter| !adapter.is_software);
        }
        return Ok(all);
    };
    if all.is_empty() {
        return Ok(all);
    }
    let there: Vec<String> =
        all.iter().map(|adapter| format!("{} ({})", adapter.index, adapter.name)).collect();
    all.retain(|adapter| adapter.index == index);
    if all.is_empty() { Err(CardsError { index, there: there.join(", ") }) } else { Ok(all) }
}

fn is_alike(one: &Gpu, other: &Gpu) -> bool {
    let of = |gpu: &Gpu| (gpu.adapter().name.clone(), gpu.adapter().driver.clone());
    of(one) == of(other)
}

/// Whether the system shows any sign of a card.
fn may_have_hardware() -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    let is_card = |name: &str| name.starts_with("renderD") || name.starts_with("nvidia") || name == "dxg";
    ["/dev", "/dev/dri"].iter().any(|folder| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).any(|name| is_card(&name))
    })
}

/// Brings a model onto a card and compares it with the CPU.
fn bring(gpu: &Arc<Gpu>, model: &Arc<Model>) -> Result<(Resident, f64), String> {
    let resident =
        Resident::load(gpu.clone(), model.clone()).map_err(|unsupported| unsupported.to_string())?;
    let apart = resident.self_test().map_err(|disagreement| disagreement.to_string())?;
    Ok((resident, apart))
}

/// How long a full batch takes.
#[derive(Debug, Clone, Copy)]
struct Race {
    windows: usize,
    on_card: Micros,
    on_cpu: Micros,
}

impl Race {
    /// Times a card and one thread of the CPU; `None` where the card fails.
    fn run(resident: &Resident) -> Option<Self> {
        let model = resident.model();
        let (rows, channels) = (RACE_ROWS.max(model.window_min()), model.channels().len());
        let affordable = RACE_CPU_US / (rows as f64 * model.cost().together_us);
        let count = RACE_WINDOWS.min(affordable as usize).max(1);
        let zeros = Samples::F64(vec![0.0; count * rows * channels]);
        let series = Series::new(count, rows, channels, zeros)?;
        let windows: Vec<Window<'_>> = (0..count).map(|index| Window { series: &series, index }).collect();
        // The first pass makes room.
        resident.forecast_windows(&windows).ok()?;
        let start = clock::now();
        resident.forecast_windows(&windows).ok()?;
        let on_card = clock::since(start);
        let start = clock::now();
        drop(model.forecast_windows(&windows));
        Some(Self { windows: count, on_card, on_cpu: clock::since(start) })
    }

    /// Whether one card does more than all threads of the CPU.
    fn is_won(self) -> bool {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.on_card.0.saturating_mul(threads as u64) < self.on_cpu.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(index: usize, is_software: bool) -> Adapter {
        Adapter { index, name: format!("card {index}"), driver: "d".into(), is_software }
    }

    #[test]
    fn cards_are_chosen_as_the_operator_means_it() {
        let check = |all: &[bool], index: Option<usize>, wanted: &[usize]| {
            let all: Vec<_> = all.iter().enumerate().map(|(index, &soft)| adapter(index, soft)).collect();
            let chosen = chosen(all, index).unwrap();
            assert_eq!(chosen.iter().map(|adapter| adapter.index).collect::<Vec<_>>(), wanted);
        };
        check(&[], None, &[]);
        check(&[], Some(0), &[]);
        check(&[true], None, &[0]);
        check(&[true], Some(0), &[0]);
        check(&[false, true, false], None, &[0, 2]);
        check(&[false, true, false], Some(1), &[1]);
        let error = chosen(vec![adapter(0, false)], Some(3)).unwrap_err().fault();
        assert_eq!(error.message(), "there is no graphics card 3: this machine has 0 (card 0)");
    }
}
