//! Series that nobody should train on, and some that only look so: a clear error or finite forecasts, of every family.

use crate::support::{SEASON, SMALL, assert_sound, feed, options, table, try_train, waves};
use rayon::prelude::*;
use spinwell_core::{Code, Rng};
use spinwell_engine::backtest::{Mode, Plan, Units, evaluate};
use spinwell_engine::data::{Columns, Table, read_csv};
use spinwell_engine::settings::Settings;
use spinwell_engine::train::{Error, Options, Score};
use spinwell_engine::{Family, Model, Scratch};

/// What training may say.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    /// A model, whose forecasts are finite.
    Model,
    /// This error.
    Refusal(Code),
    /// Either, as the family can.
    Either,
}

fn noise(rows: usize, scale: f64) -> Vec<f64> {
    let mut rng = Rng::seeded(8);
    (0..rows).map(|_| scale * rng.normal()).collect()
}

/// Trains, and forecasts from a stream fed with the table and with rows that are worse.
fn check(name: &str, table: &Table, options: &Options, expect: Expect) {
    match try_train(table, options) {
        Ok(trained) => {
            assert!(matches!(expect, Expect::Model | Expect::Either), "{name} was accepted");
            forecasts_are_sound(name, &trained.model, table);
        }
        Err(error) => {
            assert!(expect != Expect::Model, "{name}: {error}");
            let text = error.to_string();
            assert!(text.len() > 20 && !text.contains("NaN"), "{name}: {text}");
            if let Error::TooShort { rows, needed, .. } = error {
                assert!(rows < needed, "{name} contradicts itself: {text}");
            }
            if let Expect::Refusal(code) = expect {
                assert_eq!(error.code(), code, "{name}: {text}");
            }
        }
    }
}

fn forecasts_are_sound(name: &str, model: &Model, table: &Table) {
    let mut stream = model.stream();
    feed(model, &mut stream, table, 0..table.rows());
    assert_sound(name, &model.forecast(&stream, &mut Scratch::default()).unwrap());
    let worse = [1e30, -1e30, 0.0, f64::MIN_POSITIVE / 8.0, -0.0, f64::MAX / 2.0, f64::MIN / 2.0];
    for value in worse {
        let mut scratch = Scratch::default();
        model.step(&mut stream, &vec![value; model.channels().len()], &mut scratch);
        let Ok(forecast) = model.forecast(&stream, &mut scratch) else { continue };
        assert!(forecast.forecast.iter().all(|v| !v.is_nan()), "{name} after {value:e}: {forecast:?}");
    }
}

#[test]
fn bad_series_get_a_clear_error_or_finite_forecasts_of_every_family() {
    let good = waves(300);
    let all_missing = Table { missing: vec![vec![true; 300]; 2], ..good.clone() };
    let twice = table(vec![good.columns[0].clone(), good.columns[0].clone()]);
    let both = |values: Vec<f64>| table(vec![values.clone(), values]);
    let cases = [
        ("constant", both(vec![7.0; 300]), 2, Expect::Refusal(Code::SeriesConstant)),
        ("one point", both(vec![7.0]), 2, Expect::Refusal(Code::SeriesTooShort)),
        ("two points", both(vec![7.0, 8.0]), 1, Expect::Refusal(Code::SeriesTooShort)),
        ("every truth missing", all_missing, 2, Expect::Refusal(Code::OptionInvalid)),
        ("huge", both(noise(300, 1e30)), 2, Expect::Model),
        ("beyond floats", both(noise(300, 1e34)), 2, Expect::Refusal(Code::SeriesScale)),
        ("denormal", both(noise(300, 1e-310)), 2, Expect::Refusal(Code::SeriesScale)),
        ("the same channel twice", twice, 2, Expect::Model),
        ("horizon as long as the data", good.clone(), 300, Expect::Refusal(Code::SeriesTooShort)),
        ("horizon longer than the data", good.clone(), 100_000, Expect::Refusal(Code::SeriesTooShort)),
        ("one jump", both((0..300).map(|t| if t < 150 { 0.0 } else { 1.0 }).collect()), 2, Expect::Either),
        ("alternating", both((0..300).map(|t| f64::from(t % 2)).collect()), 2, Expect::Either),
        ("exact", both((0..300).map(|t| f64::from(t % 12)).collect()), 2, Expect::Model),
        ("exponential", both((0..300).map(|t| f64::from(t).exp2() / 1e60).collect()), 2, Expect::Either),
    ];
    let all: Vec<_> =
        Family::ALL.iter().flat_map(|family| cases.iter().map(move |case| (family, case))).collect();
    all.par_iter().for_each(|(family, (name, table, horizon, expect))| {
        let options = Options { horizon: *horizon, ..options(**family) };
        check(&format!("{family}, {name}"), table, &options, *expect);
    });
}

/// Whatever stands in a table of finite numbers.
#[test]
fn series_made_of_awkward_numbers_never_panic() {
    let awkward = [0.0, -0.0, 1.0, -1.0, 1e30, -1e30, 1e-30, 5e-324, 3.0, 1e15, 1e15 + 1.0];
    (0..90u64).into_par_iter().for_each(|seed| {
        let mut rng = Rng::seeded(seed);
        let family = Family::ALL[seed as usize % Family::ALL.len()];
        let rows = 2 + rng.below(160) as usize;
        let (kinds, noisy) = (1 + rng.below(awkward.len() as u64), rng.uniform() < 0.5);
        let mut column = || -> Vec<f64> {
            let value =
                |rng: &mut Rng| awkward[rng.below(kinds) as usize] + if noisy { rng.normal() } else { 0.0 };
            (0..rows).map(|_| value(&mut rng)).collect()
        };
        let table = table(vec![column(), column()]);
        let season = [1, 2, SEASON][seed as usize % 3];
        let season = if family == Family::SeasonalNaive { SEASON } else { season };
        let options = Options { season: Some(season), horizon: 1 + seed as usize % 4, ..options(family) };
        check(&format!("{family}, seed {seed}"), &table, &options, Expect::Either);
    });
}

#[test]
fn a_column_of_missing_values_is_refused_where_it_is_read() {
    let columns = Columns { values: vec!["v".to_owned()], time: None };
    for text in ["v\nNA\n\nnull\n", "v\n?\n", "v\n\"\"\n\"\"\n"] {
        let error = read_csv(text.as_bytes(), &columns).unwrap_err();
        assert_eq!(error.code(), Code::CsvMissing, "{error}");
    }
}

#[test]
fn nine_qubits_are_refused_with_what_they_would_cost() {
    let error = Settings::parse(["qubits=9"]).unwrap_err().to_string();
    for part in ["at most 8", "bytes", "ms a row", "reservoirs=N"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(Settings::parse(["qubits=8"]).is_ok());
}

/// Hyper-parameters at the ends of what may be set by hand, one at a time.
const LIMITS: [(Family, &[&str]); 6] = [
    (
        Family::Linear,
        &["lags=1", "lags=10000", "penalty=1e-300", "penalty=1e6", "form=raw", "transform=sqrt"],
    ),
    (Family::Ngrc, &["taps=1", "order=4", "stride=50", "stride=10000", "taps=1000", "skip=off"]),
    (
        Family::Echo,
        &[
            "units=1",
            "density=1e-300",
            "density=1",
            "spectral_radius=1e-300",
            "spectral_radius=10",
            "leak=1e-300",
            "leak=1",
            "input_scale=1000",
            "bias_scale=0",
            "bias_scale=1000",
            "seasonal_inputs=on",
            "skip=off",
            "topology=orthogonal",
            "topology=cycle",
            "differenced=on",
            "mixing=off",
        ],
    ),
    (
        Family::Spiking,
        &[
            "neurons=1",
            "delay_max=1",
            "delay_max=8192",
            "wiring=column",
            "encoding=rate",
            "encoding=latency",
            "encoding=population",
            "encoding=phase",
            "encoding=delta",
            "skip=off",
        ],
    ),
    (
        Family::Quantum,
        &[
            "qubits=3",
            "reservoirs=1",
            "substeps=64",
            "dissipation=1e-300",
            "dissipation=100",
            "shots=1",
            "shots=18446744073709551615",
            "field=0",
            "field=100",
            "skip=off",
        ],
    ),
    (Family::Hybrid, &["coupled=on", "mixing=off", "skip=off", "encoding=phase"]),
];

#[test]
fn hyper_parameters_at_their_limits_get_a_clear_error_or_finite_forecasts() {
    let table = waves(300);
    let all: Vec<_> =
        LIMITS.iter().flat_map(|(family, pairs)| pairs.iter().map(move |pair| (*family, *pair))).collect();
    all.par_iter().for_each(|&(family, pair)| {
        let pairs = SMALL.iter().copied().chain([pair]);
        let settings = Settings::parse(pairs).unwrap();
        check(&format!("{family}, {pair}"), &table, &Options { settings, ..options(family) }, Expect::Either);
    });
}

/// Reservoirs are tried after linear models, hybrids after both: with too few trials there is none, and the rows are not
/// to blame.
#[test]
fn too_few_trials_are_named_as_the_cause() {
    let table = waves(300);
    let mut refused = 0;
    for family in Family::ALL {
        for trials in 1..=3 {
            match try_train(&table, &Options { trials, ..options(family) }) {
                Ok(trained) => assert_eq!(trained.model.family(), family),
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains(&format!("came of {trials} trials")), "{family}: {text}");
                    assert_eq!(error.code(), Code::OptionInvalid);
                    refused += 1;
                }
            }
        }
        let enough = options(family);
        assert!(try_train(&table, &enough).is_ok(), "{family} in {} trials", enough.trials);
    }
    assert!(refused > 0, "nothing was refused: this test says nothing any more");
}

#[test]
fn a_gap_in_the_data_teaches_intervals_nothing() {
    let mut rng = Rng::seeded(12);
    let mut level = 0.0;
    let mut walk: Vec<f64> = (0..900)
        .map(|_| {
            level += rng.normal();
            level
        })
        .collect();
    let model = try_train(&table(vec![walk[..600].to_vec()]), &options(Family::Persistence)).unwrap().model;
    let gap = 700..740;
    let held = walk[gap.start - 1];
    walk[gap.clone()].fill(held);
    let filled =
        Table { missing: vec![(0..900).map(|row| gap.contains(&row)).collect()], ..table(vec![walk]) };
    let plan = Plan {
        train_end: 600,
        test_start: 600,
        test_end: 900,
        score: Score::Path,
        mode: Mode::Stream,
        stride: 1,
        units: Units::Data,
    };
    let evaluation = evaluate(&model, &filled, &plan).unwrap();
    let width = |origin: usize| {
        let place = evaluation.origins.iter().position(|&own| own == origin).unwrap();
        evaluation.forecasts[place].upper[0] - evaluation.forecasts[place].lower[0]
    };
    // Values that stand in for missing ones agree with persistence to the bit, which must not narrow anything.
    let (before, after) = (width(gap.start - 1), width(gap.end - 1));
    assert!((after / before - 1.0).abs() < 0.2, "{before} {after}");
}
