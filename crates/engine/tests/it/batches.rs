//! Nothing but a window and its model decides the bits of its forecast, and a step takes no memory.

use crate::support::{SMALL, Sample, bits, feed, heard, options, samples, try_train, waves};
use proptest::prelude::*;
use spinwell_core::Series;
use spinwell_engine::backtest::cut;
use spinwell_engine::classify::{
    CaseColumns, Classified, Classifier, ClassifierChoice, ClassifierFamily, ClassifyObserver,
    ClassifyOptions, ClassifySettings, read_cases, train_classifier,
};
use spinwell_engine::data::Table;
use spinwell_engine::detect::{Detector, Verdict, train_detector};
use spinwell_engine::settings::{Precision, Settings};
use spinwell_engine::train::Options;
use spinwell_engine::{Family, InstructionSet, Model, Scratch, Silent, Window};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Batches that the promise is tried with.
///
/// 17 and 33 stand in lanes with any instruction set, in registers that are partly empty.
const BATCHES: [usize; 6] = [1, 2, 7, 17, 50, 64];

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

/// What answers windows.
enum Subject<'s> {
    Forecaster(&'s Model),
    Classifier(&'s Classifier),
    Detector(&'s Detector),
}

impl Subject<'_> {
    /// All numbers of the answer to each window, to the bit.
    fn answers(&self, series: &[Series]) -> Vec<Vec<u32>> {
        let windows: Vec<Window<'_>> = series.iter().map(|series| Window { series, index: 0 }).collect();
        match self {
            Subject::Forecaster(model) => model
                .forecast_windows(&windows)
                .into_iter()
                .map(|forecast| bits(&forecast.unwrap()))
                .collect(),
            Subject::Classifier(classifier) => {
                let answers = classifier.classify_windows(&windows).into_iter().map(Result::unwrap);
                let bits = |answer: Classified| {
                    let probabilities = answer.probabilities.iter().map(|probability| probability.to_bits());
                    probabilities.chain([answer.label as u32]).collect()
                };
                answers.map(bits).collect()
            }
            Subject::Detector(detector) => {
                let verdicts = detector.judge_windows(&windows).into_iter().map(Result::unwrap);
                let halves = |number: u64| [number as u32, (number >> 32) as u32];
                let bits = |verdict: Verdict| {
                    [&halves(verdict.score.to_bits())[..], &[u32::from(verdict.is_anomaly)]].concat()
                };
                verdicts.map(bits).collect()
            }
        }
    }
}

/// What is tried, with its name and as many windows as the largest batch, `more` rows longer than the shortest and ending
/// `back` rows before the last.
fn subjects(more: &[(usize, usize)]) -> Vec<(String, Subject<'static>, Vec<Series>)> {
    let forecasters = all_samples().map(|sample| {
        let min = sample.model.window_min();
        let series = more.iter().map(|&(rows, back)| sample.window(300 - back, min + rows));
        (sample.name(), Subject::Forecaster(&sample.model), series.collect())
    });
    let cut_from = |channels: usize, min: usize| -> Vec<Series> {
        let cut_one = |&(rows, back): &(usize, usize)| {
            cut(&waves(300 - back), &(0..channels), 300 - back - min - rows, min + rows)
        };
        more.iter().map(cut_one).collect()
    };
    let classifiers = classifiers().iter().map(|classifier| {
        let series = cut_from(classifier.channels().len(), classifier.window_min());
        (format!("classifier {}", classifier.family()), Subject::Classifier(classifier), series)
    });
    let detectors = detectors().iter().map(|detector| {
        let forecaster = detector.forecaster();
        let series = cut_from(forecaster.channels().len(), detector.window_min());
        (format!("detector by {}", forecaster.family()), Subject::Detector(detector), series)
    });
    forecasters.chain(classifiers).chain(detectors).collect()
}

/// A classifier of every family: slow waves or fast ones.
fn classifiers() -> &'static [Classifier] {
    static CLASSIFIERS: OnceLock<Vec<Classifier>> = OnceLock::new();
    CLASSIFIERS.get_or_init(|| {
        let mut csv = "label,t".to_owned() + &(0..40).map(|t| format!("{t},t")).collect::<String>() + "40\n";
        for case in 0..24 {
            let (label, speed) = [("slow", 0.3), ("fast", 0.9)][case % 2];
            let wave = |t: usize| ((t + 5 * case) as f64 * speed).sin().to_string();
            csv += &format!("{label},{}\n", (0..41).map(wave).collect::<Vec<_>>().join(","));
        }
        let cases = read_cases(csv.as_bytes(), &CaseColumns::default()).unwrap();
        let of = |family: ClassifierFamily| {
            let settings =
                ClassifySettings { features: Some(700), units: Some(20), ..ClassifySettings::default() };
            let trials = if family == ClassifierFamily::Hybrid { 12 } else { 3 };
            let family = ClassifierChoice::Only(family);
            let options = ClassifyOptions { trials, family, settings, ..ClassifyOptions::default() };
            train_classifier(&cases, &options, ClassifyObserver::SILENT).unwrap().classifier
        };
        [ClassifierFamily::Shape, ClassifierFamily::Echo, ClassifierFamily::Hybrid].map(of).into()
    })
}

/// Detectors by a forecaster of both precisions.
pub(crate) fn detectors() -> &'static [Detector] {
    static DETECTORS: OnceLock<Vec<Detector>> = OnceLock::new();
    DETECTORS.get_or_init(|| {
        let of = |(family, precision)| {
            let options = Options { horizon: 1, precision, ..options(family) };
            train_detector(&waves(320), 320, 0.01, &options, &Silent).unwrap().detector
        };
        [(Family::Linear, Precision::F64), (Family::Echo, Precision::F32)].map(of).into()
    })
}

/// Set to `required` where a machine must have AVX-512, so that what is said of it cannot pass by not running.
const VARIABLE: &str = "SPINWELL_TEST_AVX512";

/// Who limits instructions keeps others from doing so: the limit is one of the process. `None` where the machine lacks
/// them, and none are required.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may ask its environment, and says where it does not run"
)]
fn with_instructions<T>(set: InstructionSet, run: impl FnOnce() -> T) -> Option<T> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let result = set.limit().then(run);
    assert!(InstructionSet::best().limit());
    if result.is_none() {
        let required = std::env::var(VARIABLE).is_ok_and(|value| value == "required");
        assert!(!(required && set == InstructionSet::Avx512), "{VARIABLE}=required and there is no {set}");
        eprintln!("skipped: this machine has no {set}");
    }
    result
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn bits_do_not_depend_on_batch_or_threads(
        more in prop::collection::vec((0usize..90, 0usize..60), 64)
    ) {
        for (name, subject, series) in subjects(&more) {
            let alone: Vec<Vec<u32>> =
                series.iter().map(|series| subject.answers(std::slice::from_ref(series)).remove(0)).collect();
            for batch in BATCHES {
                let together = subject.answers(&series[..batch]);
                prop_assert!(together == alone[..batch], "{} in a batch of {}", name, batch);
            }
            let (first, second) = series.split_at(32);
            let (first, second) = std::thread::scope(|scope| {
                let first = scope.spawn(|| subject.answers(first));
                (first.join(), subject.answers(second))
            });
            prop_assert!([first.unwrap(), second].concat() == alone, "{} on two threads", name);
        }
    }
}

#[test]
fn bits_are_equal_on_every_instruction_set_in_every_batch() {
    let more: Vec<(usize, usize)> = (0..64).map(|place| (7 * place % 45, 11 * place % 50)).collect();
    let subjects = subjects(&more);
    let wanted: Vec<Vec<Vec<u32>>> =
        subjects.iter().map(|(_, subject, series)| subject.answers(series)).collect();
    for set in InstructionSet::ALL {
        let answers = with_instructions(set, || {
            let in_batches = |(_, subject, series): &(String, Subject<'_>, Vec<Series>)| {
                BATCHES.map(|batch| subject.answers(&series[..batch]))
            };
            subjects.iter().map(in_batches).collect::<Vec<_>>()
        });
        let Some(answers) = answers else { continue };
        for (((name, ..), wanted), answers) in subjects.iter().zip(&wanted).zip(answers) {
            for (batch, answers) in BATCHES.into_iter().zip(answers) {
                assert!(answers == wanted[..batch], "{name} by {set} in a batch of {batch}");
            }
        }
    }
}

/// How often memory is taken while 64 windows of so many rows are answered together.
fn taken(model: &Model, rows: usize) -> u64 {
    let table = waves(700);
    let series: Vec<Series> =
        (0..64).map(|back| cut(&table, &heard(model), 700 - back - rows, rows)).collect();
    let windows: Vec<Window<'_>> = series.iter().map(|series| Window { series, index: 0 }).collect();
    let answers = || assert!(model.forecast_windows(&windows).iter().all(Result::is_ok));
    answers();
    allocation_counter::measure(answers).count_total
}

#[test]
fn a_step_of_many_streams_takes_no_memory() {
    for sample in all_samples() {
        let model = &sample.model;
        // In both, rows that are only stepped and rows that are scored: more of them must take nothing more.
        let rows = model.window_recommended().min(400);
        let (short, long) = (taken(model, rows), taken(model, rows + 150));
        assert!(short > 0, "allocations are counted");
        assert_eq!(short, long, "{}: taken by {rows} rows, and by 150 more", sample.name());
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
