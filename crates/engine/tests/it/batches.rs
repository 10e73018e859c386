//! Nothing but a window and its model decides the bits of its forecast, and a step takes no memory.

use crate::support::{SMALL, Sample, bits, feed, heard, options, samples, try_train, waves};
use proptest::prelude::*;
use spinwell_core::Series;
use spinwell_engine::data::Table;
use spinwell_engine::settings::{Precision, Settings};
use spinwell_engine::train::Options;
use spinwell_engine::{Family, InstructionSet, Model, Scratch, Window};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Batches that the promise is tried with.
const BATCHES: [usize; 4] = [1, 2, 7, 64];

/// Models whose kernels have shapes that the small samples lack: more units than a register has lanes, sparse weights in
/// several forms, networks of qubits in both of theirs.
fn shapes() -> &'static [Sample] {
    static SHAPES: OnceLock<Vec<Sample>> = OnceLock::new();
    SHAPES.get_or_init(|| {
        let wanted: [(Family, Precision, &[&str]); 8] = [
            (Family::Echo, Precision::F32, &["units=70", "density=0.2"]),
            (Family::Echo, Precision::F64, &["units=70", "density=0.2", "skip=off"]),
            (Family::Echo, Precision::F32, &["units=130", "density=0.02"]),
            (Family::Echo, Precision::F32, &["units=100", "density=1", "skip=off"]),
            (Family::Echo, Precision::F64, &["units=50", "topology=cycle"]),
            (Family::Spiking, Precision::F32, &["neurons=50", "substeps=5"]),
            (Family::Quantum, Precision::F32, &["qubits=4", "reservoirs=3"]),
            (Family::Quantum, Precision::F32, &["qubits=5", "reservoirs=2"]),
        ];
        let waves = waves(320);
        let shape = |(family, precision, settings)| shaped(&waves, family, precision, settings);
        wanted.into_iter().map(shape).collect()
    })
}

/// A small model with some settings of its own.
pub(crate) fn shaped(table: &Table, family: Family, precision: Precision, settings: &[&str]) -> Sample {
    let kept = SMALL.into_iter().filter(|small| {
        let key = |pair: &str| pair.split('=').next().map(str::to_owned);
        settings.iter().all(|own| key(own) != key(small))
    });
    let settings = Settings::parse(kept.chain(settings.iter().copied())).unwrap();
    let options = Options { settings, precision, trials: 1, ..options(family) };
    Sample { family, precision, model: try_train(table, &options).unwrap().model }
}

pub(crate) fn all_samples() -> impl Iterator<Item = &'static Sample> {
    samples().iter().chain(shapes())
}

fn forecasts(model: &Model, series: &[Series]) -> Vec<Vec<u32>> {
    let windows: Vec<Window<'_>> = series.iter().map(|series| Window { series, index: 0 }).collect();
    model.forecast_windows(&windows).into_iter().map(|forecast| bits(&forecast.unwrap())).collect()
}

/// Who limits instructions keeps others from doing so: the limit is one of the process.
fn with_instructions<T>(set: InstructionSet, run: impl FnOnce() -> T) -> Option<T> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let result = set.limit().then(run);
    assert!(InstructionSet::best().limit());
    result
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn bits_do_not_depend_on_batch_threads_or_instructions(
        more in prop::collection::vec((0usize..90, 0usize..60), 64)
    ) {
        for sample in all_samples() {
            let (name, model) = (sample.name(), &sample.model);
            let series: Vec<Series> = more
                .iter()
                .map(|&(rows, back)| sample.window(300 - back, model.window_min() + rows))
                .collect();
            let alone: Vec<Vec<u32>> = series
                .iter()
                .map(|series| forecasts(model, std::slice::from_ref(series)).remove(0))
                .collect();
            for batch in BATCHES {
                let together = forecasts(model, &series[..batch]);
                prop_assert!(together == alone[..batch], "{} in a batch of {}", name, batch);
            }
            let (first, second) = series.split_at(32);
            let (first, second) = std::thread::scope(|scope| {
                let first = scope.spawn(|| forecasts(model, first));
                (first.join(), forecasts(model, second))
            });
            prop_assert!([first.unwrap(), second].concat() == alone, "{} on two threads", name);
        }
    }
}

#[test]
fn bits_are_equal_on_every_instruction_set() {
    for sample in all_samples() {
        let series: Vec<Series> =
            (0..9).map(|back| sample.window(290 - back, sample.model.window_min() + 7 * back)).collect();
        let wanted = forecasts(&sample.model, &series);
        for set in InstructionSet::ALL {
            let Some((together, alone)) = with_instructions(set, || {
                (forecasts(&sample.model, &series), forecasts(&sample.model, &series[..1]))
            }) else {
                continue;
            };
            assert_eq!(together, wanted, "{} by {set}", sample.name());
            assert_eq!(alone[0], wanted[0], "{} alone by {set}", sample.name());
        }
    }
}

#[test]
fn a_step_takes_no_memory() {
    let waves = waves(320);
    for sample in all_samples() {
        let model = &sample.model;
        let (mut stream, mut scratch) = (model.stream(), Scratch::default());
        feed(model, &mut stream, &waves, 0..300);
        let row: Vec<f64> = waves.columns[heard(model)].iter().map(|column| column[300]).collect();
        model.step(&mut stream, &row, &mut scratch);
        let counted = allocation_counter::measure(|| drop(model.stream()));
        assert!(counted.count_total > 0, "allocations are counted");
        let taken = allocation_counter::measure(|| model.step(&mut stream, &row, &mut scratch));
        assert_eq!(taken.count_total, 0, "{}: {taken:?}", sample.name());
    }
}
