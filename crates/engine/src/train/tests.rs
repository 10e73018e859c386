//! Stories of whole trainings on small made-up series.

use super::*;
use crate::Silent;
use crate::backtest::{Mode, Plan, Units, cut, evaluate};
use crate::model::{Scratch, Window};
use proptest::prelude::*;
use spinwell_core::{Code, Rng};
use std::sync::atomic::{AtomicUsize, Ordering};

fn table(columns: Vec<Vec<f64>>) -> Table {
    let names = (0..columns.len()).map(|index| format!("c{index}")).collect();
    Table { names, columns, missing: Vec::new(), times: None, notes: Vec::new() }
}

/// Two related seasonal channels with noise.
fn demand(rows: usize) -> Table {
    let mut rng = Rng::seeded(21);
    let wave = |t: usize| 20.0 + 6.0 * (t as f64 * std::f64::consts::TAU / 24.0).sin();
    let first: Vec<f64> = (0..rows).map(|t| wave(t) + 0.5 * rng.normal()).collect();
    let second = (0..rows).map(|t| wave(t + 5) - 10.0 + 0.5 * rng.normal()).collect();
    table(vec![first, second])
}

fn options(choice: Choice) -> Options {
    Options {
        targets: 1,
        feeds: Feeds::Everything,
        horizon: 4,
        season: Some(24),
        choice,
        settings: Settings { units: Some(40), ..Settings::default() },
        precision: Precision::Auto,
        trials: 6,
        coverage: 0.9,
        seed: 7,
        score: Score::Path,
        time_column: None,
    }
}

fn trained(table: &Table, options: &Options) -> Trained {
    train(table, &Folds::inside(table.rows()), options, &Silent).unwrap()
}

#[test]
fn every_family_comes_back_from_its_file_and_forecasts_the_same_bits() {
    let table = demand(700);
    let mut persistent = options(Choice::Only(Family::Persistence));
    persistent.targets = 2;
    let choices = [
        options(Choice::Only(Family::SeasonalNaive)),
        options(Choice::Only(Family::Linear)),
        options(Choice::Only(Family::Echo)),
        persistent,
    ];
    for options in choices {
        let model = trained(&table, &options).model;
        let bytes = model.to_bytes();
        let again = Model::from_bytes(&bytes).unwrap();
        assert_eq!((again.hash(), again.to_bytes()), (model.hash(), bytes), "{}", model.family());
        let series = cut(&table, &(0..table.width()), 500, 150);
        let window = [Window { series: &series, index: 0 }];
        assert_eq!(again.forecast_windows(&window), model.forecast_windows(&window));
    }
}

#[test]
fn a_window_gives_the_bits_of_a_fresh_stream_alone_and_in_any_company() {
    let table = demand(700);
    for family in [Family::SeasonalNaive, Family::Linear, Family::Echo] {
        let mut options = options(Choice::Only(family));
        options.targets = 2;
        for density in [0.2, 1.0] {
            options.settings.density = Some(density);
            let model = trained(&table, &options).model;
            let lengths = [model.window_min(), 190, 190, 190, 190, 190, 190, 201, 190];
            let series: Vec<_> = lengths
                .iter()
                .enumerate()
                .map(|(at, &rows)| cut(&table, &(0..table.width()), at * 31, rows))
                .collect();
            let windows: Vec<_> = series.iter().map(|series| Window { series, index: 0 }).collect();
            let together = model.forecast_windows(&windows);
            for (at, (window, result)) in windows.iter().zip(&together).enumerate() {
                assert_eq!(&model.forecast_windows(&[*window])[0], result, "{family} window {at}");
                let (mut stream, mut scratch, mut row) = (model.stream(), Scratch::default(), Vec::new());
                for at_row in at * 31..at * 31 + lengths[at] {
                    table.row_into(at_row, &mut row);
                    model.step(&mut stream, &row, &mut scratch);
                }
                assert_eq!(&model.forecast(&stream, &mut scratch), result, "{family} window {at}");
            }
        }
    }
}

#[test]
fn a_bad_window_gets_its_error_and_its_neighbours_their_forecasts() {
    let table = demand(600);
    let model = trained(&table, &options(Choice::Only(Family::Linear))).model;
    let good = cut(&table, &(0..table.width()), 0, 200);
    let short = cut(&table, &(0..table.width()), 0, model.window_min() - 1);
    let narrow = cut(&table, &(0..1), 0, 200);
    let mut broken = table.clone();
    broken.columns[1][13] = f64::NAN;
    let broken = cut(&broken, &(0..broken.width()), 0, 200);
    let windows = [&good, &short, &narrow, &broken, &good].map(|series| Window { series, index: 0 });
    let results = model.forecast_windows(&windows);
    assert!(results[0].is_ok());
    assert_eq!(results[0], results[4]);
    for (at, code, text) in [
        (1, Code::WindowTooShort, "needs at least that many"),
        (2, Code::TensorShape, "takes 2: c0, c1"),
        (3, Code::TensorNotFinite, "row 13, channel \"c1\""),
    ] {
        let error = results[at].clone().unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_the_threads() {
    let table = demand(600);
    let options = options(Choice::Auto);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| trained(&table, &options).model.to_bytes())
    };
    assert_eq!(with(1), with(3));
    let other = Options { seed: 8, choice: Choice::Only(Family::Echo), ..options.clone() };
    let echo = Options { choice: Choice::Only(Family::Echo), ..options };
    assert_ne!(trained(&table, &other).model.hash(), trained(&table, &echo).model.hash());
}

#[test]
fn a_random_walk_is_not_beaten_and_the_verdict_says_so() {
    let mut rng = Rng::seeded(3);
    let mut level = 100.0;
    let walk: Vec<f64> = (0..1500)
        .map(|_| {
            level += rng.normal();
            level
        })
        .collect();
    let options = Options { horizon: 1, season: None, ..options(Choice::Auto) };
    let trained = trained(&table(vec![walk]), &options);
    assert_eq!(trained.verdict, Verdict::NothingBeatsNaive { naive: Family::Persistence });
    assert_eq!((trained.model.family(), trained.model.season()), (Family::Persistence, 1));
}

#[test]
fn a_seasonal_series_is_learned_and_its_intervals_hold() {
    let table = demand(2400);
    let options = Options { season: None, ..options(Choice::Auto) };
    let seen = 1600;
    let trained = train(&table, &Folds::inside(seen), &options, &Silent).unwrap();
    assert_eq!(trained.model.season(), 24);
    assert!(matches!(trained.verdict, Verdict::BeatsNaive { skill } if skill > 0.1), "{:?}", trained.verdict);
    for mode in [Mode::Stream, Mode::Window(trained.model.window_recommended())] {
        let plan = Plan {
            train_end: seen,
            test_start: seen,
            test_end: 2400,
            score: Score::Path,
            mode,
            stride: 1,
            units: Units::Data,
        };
        let figures = evaluate(&trained.model, &table, &plan).unwrap().overall;
        assert!(figures.nrmse < 0.14, "{mode:?} {figures:?}");
        assert!((figures.coverage - 0.9).abs() < 0.04, "{mode:?} {figures:?}");
    }
}

#[test]
fn gaps_in_noise_give_no_skill() {
    let mut rng = Rng::seeded(12);
    let rows: String =
        (0..4000).map(|t| if t % 2 == 0 { format!("{}\n", rng.normal()) } else { "\n".to_owned() }).collect();
    let columns = crate::data::Columns { values: vec!["v".to_owned()], time: None };
    let table = crate::data::read_csv(format!("v\n{rows}").as_bytes(), &columns).unwrap();
    assert_eq!(table.rows(), 3999);
    let options = Options { horizon: 1, season: Some(1), ..options(Choice::Only(Family::Linear)) };
    let trained = train(&table, &Folds::inside(2000), &options, &Silent).unwrap();
    let plan = Plan {
        train_end: 2000,
        test_start: 2000,
        test_end: 3999,
        score: Score::Last,
        mode: Mode::Stream,
        stride: 1,
        units: Units::Data,
    };
    let scored = evaluate(&trained.model, &table, &plan).unwrap();
    assert!(scored.overall.nrmse > 0.98, "{:?}", scored.overall);
    assert_eq!(scored.scored, 1000);
}

#[test]
fn validation_meets_the_clipping_that_service_meets() {
    let trend = table(vec![(0..900).map(|t| t as f64 * 0.1 + (t % 12) as f64).collect()]);
    let raw = Settings { form: Some(crate::spec::LagForm::Raw), ..Settings::default() };
    let options =
        Options { season: Some(12), settings: raw, trials: 1, ..options(Choice::Only(Family::Linear)) };
    let folds = Folds::inside(600);
    let trained = train(&trend, &folds, &options, &Silent).unwrap();
    let plan = Plan {
        train_end: 600,
        test_start: 600,
        test_end: 690,
        score: Score::Path,
        mode: Mode::Stream,
        stride: 1,
        units: Units::Data,
    };
    let test = evaluate(&trained.model, &trend, &plan).unwrap().overall.nrmse;
    let validation = trained.candidates[trained.chosen].validation.nrmse;
    // Levels beyond the fitted range are clipped in both: an optimistic validation would be many times smaller.
    assert!((0.4..2.5).contains(&(validation / test)), "validation {validation}, test {test}");
}

#[test]
fn no_fit_reads_a_row_it_may_not() {
    let honest = demand(900);
    let mut poisoned = honest.clone();
    for column in &mut poisoned.columns {
        column[600..].iter_mut().for_each(|value| *value = 1e9);
    }
    for folds in [Folds::inside(600), Folds::once(500, 600)] {
        let model =
            |table: &Table| train(table, &folds, &options(Choice::Auto), &Silent).unwrap().model.to_bytes();
        assert!(model(&honest) == model(&poisoned), "{folds:?}");
    }
    // Rows that only choose may change which model wins, but not what a given one has learned.
    let mut chosen_differently = honest.clone();
    chosen_differently.columns[0][500..600].iter_mut().for_each(|value| *value += 3.0);
    let only = Options {
        settings: Settings { penalty: Some(0.01), lags: Some(30), ..Settings::default() },
        trials: 1,
        ..options(Choice::Only(Family::Linear))
    };
    let weights = |table: &Table| {
        let fitted = train(table, &Folds::once(500, 600), &only, &Silent).unwrap().model;
        let series = cut(&honest, &(0..honest.width()), 0, 300);
        fitted.forecast_windows(&[Window { series: &series, index: 0 }])[0].clone().unwrap().forecast
    };
    assert_eq!(weights(&honest), weights(&chosen_differently));
}

/// Stops after so many candidates.
struct StopAfter(usize, AtomicUsize);

impl Observer for StopAfter {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::Finished { .. }) {
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn stop_requested(&self) -> bool {
        self.1.load(Ordering::SeqCst) >= self.0
    }
}

#[test]
fn a_search_that_is_stopped_keeps_the_best_so_far_or_says_that_there_is_none() {
    let table = demand(600);
    let folds = Folds::inside(600);
    let stopped = train(&table, &folds, &options(Choice::Auto), &StopAfter(4, AtomicUsize::new(0))).unwrap();
    assert!(stopped.stopped_early && stopped.candidates.len() < 8, "{}", stopped.candidates.len());
    let none =
        train(&table, &folds, &options(Choice::Only(Family::Echo)), &StopAfter(0, AtomicUsize::new(0)));
    assert_eq!(none.unwrap_err(), Error::Interrupted);
}

#[test]
fn what_cannot_be_learned_is_refused_with_what_would_be_right() {
    let good = demand(600);
    let columns = |f: fn(usize) -> f64| table(vec![(0..600).map(f).collect()]);
    let auto = || options(Choice::Auto);
    let long = Options { horizon: 400, ..auto() };
    let naive = Options { season: Some(1), ..options(Choice::Only(Family::SeasonalNaive)) };
    let skip = Settings { skip: Some(false), ..Settings::default() };
    let alone = Options { settings: skip, ..options(Choice::Only(Family::Linear)) };
    for (name, table, options, code) in [
        ("constant", columns(|_| 5.0), auto(), Code::SeriesConstant),
        ("one row", table(vec![vec![1.0]]), auto(), Code::SeriesTooShort),
        ("long horizon", good.clone(), long, Code::SeriesTooShort),
        ("huge", columns(|t| if t % 2 == 0 { 1e300 } else { -1e300 }), auto(), Code::SeriesScale),
        ("no season", good.clone(), naive, Code::OptionInvalid),
        ("long season", good.clone(), Options { season: Some(600), ..auto() }, Code::OptionInvalid),
        ("no input", good.clone(), alone, Code::OptionInvalid),
        ("no targets", good.clone(), Options { targets: 0, ..auto() }, Code::OptionInvalid),
        ("coverage", good.clone(), Options { coverage: 1.0, ..auto() }, Code::OptionInvalid),
    ] {
        let rows = table.rows();
        let error = train(&table, &Folds::inside(rows), &options, &Silent).unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
    }
}

#[test]
fn awkward_but_legal_series_give_finite_forecasts_in_order() {
    let mut rng = Rng::seeded(1);
    let noise: Vec<f64> = (0..400).map(|_| rng.normal()).collect();
    for (name, values) in [
        ("huge", noise.iter().map(|v| v * 1e30).collect::<Vec<_>>()),
        ("denormal", noise.iter().map(|v| v * 1e-300).collect()),
        ("one spike", (0..400).map(|t| if t == 100 { 1e6 } else { (t % 7) as f64 }).collect()),
        ("nearly constant", (0..400).map(|t| 5.0 + f64::from(u8::from(t % 50 == 3)) * 1e-9).collect()),
        ("exactly periodic", (0..400).map(|t| (t % 12) as f64).collect()),
    ] {
        let table = table(vec![values.clone(), values]);
        let result =
            train(&table, &Folds::inside(400), &Options { season: None, ..options(Choice::Auto) }, &Silent);
        let trained = match result {
            Ok(trained) => trained,
            Err(error) => {
                assert!(
                    ["denormal", "nearly constant"].contains(&name) && error.code() == Code::SeriesScale,
                    "{name}: {error}"
                );
                continue;
            }
        };
        let series = cut(
            &table,
            &(0..table.width()),
            400 - 2 * trained.model.window_min(),
            2 * trained.model.window_min(),
        );
        let forecast =
            trained.model.forecast_windows(&[Window { series: &series, index: 0 }])[0].clone().unwrap();
        for ((low, mid), high) in forecast.lower.iter().zip(&forecast.forecast).zip(&forecast.upper) {
            assert!(low <= mid && mid <= high, "{name}: {low} {mid} {high}");
            assert!(mid.is_finite(), "{name}: {mid}");
        }
    }
}

fn model_file() -> &'static [u8] {
    static FILE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    FILE.get_or_init(|| trained(&demand(500), &options(Choice::Only(Family::Echo))).model.to_bytes())
}

/// The file with its payload's checksum made right again, as a forger would.
fn resealed(mut file: Vec<u8>) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let checksum = Sha256::digest(&file[52..]);
    file[20..52].copy_from_slice(&checksum);
    file
}

#[test]
fn files_that_are_not_whole_and_ours_are_told_apart() {
    let file = model_file();
    let changed = |at: usize, value: u8| {
        let mut file = file.to_vec();
        file[at] = value;
        file
    };
    for (name, bytes, code) in [
        ("empty", vec![], Code::FileTruncated),
        ("foreign", b"PK\x03\x04 a zip file".to_vec(), Code::FileForeign),
        ("header only", file[..30].to_vec(), Code::FileTruncated),
        ("cut", file[..file.len() - 1].to_vec(), Code::FileTruncated),
        ("longer", [file, b"x"].concat(), Code::FileCorrupt),
        ("one bit", changed(file.len() / 2, !file[file.len() / 2]), Code::FileCorrupt),
        ("future", changed(8, 3), Code::FileFromTheFuture),
        ("format 0", changed(8, 0), Code::FileCorrupt),
        ("forged family", resealed(changed(52, 99)), Code::FileCorrupt),
    ] {
        assert_eq!(Model::from_bytes(&bytes).unwrap_err().code(), code, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a forger writes behind a right checksum is refused or computes without a panic.
    #[test]
    fn forged_files_never_panic(at in 52usize..4000, value in any::<u8>(), second in 52usize..4000, other in any::<u8>()) {
        let mut file = model_file().to_vec();
        let last = file.len() - 1;
        file[at.min(last)] = value;
        file[second.min(last)] = other;
        if let Ok(model) = Model::from_bytes(&resealed(file)) {
            prop_assume!(model.window_min() < 100_000);
            let series = cut(&demand(500), &(0..2), 0, 200);
            let _ = model.forecast_windows(&[Window { series: &series, index: 0 }]);
        }
    }
}
