//! Reservoirs on a card: the drivers' software card does, which computes right and slowly.

use crate::batches::{all_samples, shaped};
use crate::support::{Sample, bits, waves};
use spinwell_core::{Samples, Series};
use spinwell_engine::gpu::{AGREEMENT_MAX, Gpu, OpenError, Resident, Unsupported, adapters};
use spinwell_engine::settings::Precision;
use spinwell_engine::{Family, Window, WindowError};
use std::sync::Arc;

/// Set to `required` where a machine must have a Vulkan driver, so that these tests cannot pass by not running.
const VARIABLE: &str = "SPINWELL_TEST_VULKAN";

/// The first card; `None` where there is none and none is required.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may ask its environment, and says where it does not run"
)]
fn card() -> Option<Gpu> {
    if adapters().is_empty() {
        let required = std::env::var(VARIABLE).is_ok_and(|value| value == "required");
        assert!(!required, "{VARIABLE}=required and there is no Vulkan driver");
        eprintln!("skipped: no Vulkan driver (apt install mesa-vulkan-drivers)");
        return None;
    }
    Some(Gpu::open(0).unwrap())
}

fn resident(gpu: &Arc<Gpu>, sample: &Sample) -> Result<Resident, Unsupported> {
    Resident::load(gpu.clone(), Arc::new(sample.model.clone()))
}

/// Windows of many lengths.
fn windows(sample: &Sample, count: usize) -> Vec<Series> {
    (0..count).map(|i| sample.window(290 - i, sample.model.window_min() + (7 * i) % 40)).collect()
}

fn forecasts(resident: &Resident, series: &[Series]) -> Vec<Vec<u32>> {
    let windows: Vec<Window<'_>> = series.iter().map(|series| Window { series, index: 0 }).collect();
    let results = resident.forecast_windows(&windows).unwrap();
    results.into_iter().map(|forecast| bits(&forecast.unwrap())).collect()
}

#[test]
fn answers_are_the_cpu_s_to_1e_4_and_do_not_depend_on_the_batch() {
    let Some(gpu) = card().map(Arc::new) else { return };
    let mut differ = Vec::new();
    for sample in all_samples() {
        let resident = match resident(&gpu, sample) {
            Ok(resident) => resident,
            Err(Unsupported::Wide | Unsupported::NothingToDo(_)) => continue,
            Err(error) => panic!("{}: {error}", sample.name()),
        };
        resident.self_test().unwrap();
        assert!(resident.bytes() > 0);
        let series = windows(sample, 12);
        let together = forecasts(&resident, &series);
        let here: Vec<Window<'_>> = series.iter().map(|series| Window { series, index: 0 }).collect();
        let here = sample.model.forecast_windows(&here);
        // Were all bits those of the CPU, the card would have done nothing.
        let is_other = here.iter().zip(&together).any(|(here, there)| bits(here.as_ref().unwrap()) != *there);
        differ.extend(is_other.then_some(sample.family));
        let asked: Vec<Window<'_>> = series.iter().map(|series| Window { series, index: 0 }).collect();
        for (here, there) in here.iter().zip(resident.forecast_windows(&asked).unwrap()) {
            let apart = resident.difference(here.as_ref().unwrap(), &there.unwrap());
            assert!(apart <= AGREEMENT_MAX, "{}: {apart:e}", sample.name());
        }
        for batch in [1, 7] {
            assert!(forecasts(&resident, &series[..batch]) == together[..batch], "{} {batch}", sample.name());
        }
        // The rooms of the first passes are used again.
        assert!(forecasts(&resident, &series) == together, "{} again", sample.name());
    }
    for family in [Family::Echo, Family::Quantum, Family::Hybrid] {
        assert!(differ.contains(&family), "no {family:?} model was on the card: {differ:?}");
    }
}

/// Shapes that the samples lack: several squares of 16 x 16 to a matrix, all observables, the most coordinates of a table.
#[test]
fn banks_of_every_shape_agree() {
    let Some(gpu) = card().map(Arc::new) else { return };
    let shapes: [&[&str]; 4] = [
        &["qubits=3", "reservoirs=2"],
        &["qubits=6", "reservoirs=1"],
        &["qubits=8", "reservoirs=1", "substeps=2"],
        &["qubits=4", "reservoirs=2", "dissipation=0.1"],
    ];
    for settings in shapes {
        let sample = shaped(&waves(320), Family::Quantum, Precision::F32, settings);
        let apart = resident(&gpu, &sample).unwrap().self_test().unwrap();
        assert!(apart <= AGREEMENT_MAX, "{settings:?}: {apart:e}");
    }
}

/// More streams than a workgroup has, more windows than step side by side, and several threads on one card.
#[test]
fn large_batches_and_several_threads_give_the_same_bits() {
    let Some(gpu) = card().map(Arc::new) else { return };
    let mut tried = 0;
    for sample in all_samples().filter(|sample| sample.family == Family::Echo) {
        let Ok(resident) = resident(&gpu, sample) else { continue };
        let one = windows(sample, 7);
        let many: Vec<Series> = (0..300).map(|index| one[index % 7].clone()).collect();
        let wanted = forecasts(&resident, &one);
        let got = forecasts(&resident, &many);
        assert!((0..300).all(|index| got[index] == wanted[index % 7]), "{}", sample.name());
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| forecasts(&resident, &one))).collect();
            assert!(threads.into_iter().all(|thread| thread.join().unwrap() == wanted), "{}", sample.name());
        });
        tried += 1;
    }
    assert!(tried >= 3);
}

#[test]
fn a_batch_that_does_not_fit_is_split_and_gives_the_same_bits() {
    let (Some(large), Some(small)) = (card().map(Arc::new), card()) else { return };
    let small = Arc::new(small.with_buffers_of(40 << 10));
    let mut split = 0;
    for sample in all_samples() {
        let Ok(whole) = resident(&large, sample) else { continue };
        match resident(&small, sample) {
            Ok(parted) => {
                let series = windows(sample, 12);
                assert!(forecasts(&whole, &series) == forecasts(&parted, &series), "{}", sample.name());
                split += 1;
            }
            Err(Unsupported::TooLarge { needed, given }) => assert!(needed > given && given <= 40 << 10),
            Err(error) => panic!("{}: {error}", sample.name()),
        }
    }
    assert!(split >= 3, "{split} models fitted the small buffers");
}

#[test]
fn a_window_that_the_model_does_not_take_is_refused_alone() {
    let Some(gpu) = card().map(Arc::new) else { return };
    let sample = all_samples().find(|sample| resident(&gpu, sample).is_ok()).unwrap();
    let resident = resident(&gpu, sample).unwrap();
    let good = sample.window(200, sample.model.window_min() + 10);
    let channels = good.channels();
    let broken = Series::new(1, 40, channels, Samples::F64(vec![f64::NAN; 40 * channels])).unwrap();
    let asked = [&broken, &good].map(|series| Window { series, index: 0 });
    let results = resident.forecast_windows(&asked).unwrap();
    assert!(matches!(results[0], Err(WindowError::NotFinite { row: 0, .. })));
    assert_eq!(bits(results[1].as_ref().unwrap()), forecasts(&resident, std::slice::from_ref(&good))[0]);
    assert_eq!(resident.forecast_windows(&[]).unwrap(), []);
}

#[test]
fn a_card_that_is_taken_away_is_an_error_and_nothing_worse() {
    let Some(gpu) = card().map(Arc::new) else { return };
    let sample = all_samples().find(|sample| resident(&gpu, sample).is_ok()).unwrap();
    let resident = resident(&gpu, sample).unwrap();
    let series = windows(sample, 9);
    let (few, many) = series.split_at(2);
    forecasts(&resident, few);
    gpu.destroy();
    // With rooms that are there, and with rooms that would have to be made.
    for series in [few, many] {
        let asked: Vec<Window<'_>> = series.iter().map(|series| Window { series, index: 0 }).collect();
        assert!(resident.forecast_windows(&asked).is_err());
    }
    assert!(gpu.check().is_err());
}

#[test]
fn a_card_that_is_not_there_is_named_with_how_many_there_are() {
    let count = adapters().len();
    assert_eq!(Gpu::open(99).err(), Some(OpenError::Missing { index: 99, count }));
}
