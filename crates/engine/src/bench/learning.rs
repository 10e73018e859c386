//! Learning: recursive least squares, intervals, training.

use super::{Planned, Workload};
use crate::Silent;
use crate::data::{Columns, read_csv};
use crate::echo::{Echo, Work};
use crate::hands::Hands;
use crate::intervals::{Intervals, Outcome, Setup, calibrate};
use crate::kernel::{One, Real};
use crate::linalg::{Moments, Normal};
use crate::rls::Rls;
use crate::settings::{Precision, Settings};
use crate::spec::Family;
use crate::train::{Choice, Feeds, Folds, Options, Score, train};
use spinwell_core::Rng;
use std::hint::black_box;

const ROWS: usize = 64;
/// The penalty of the timed fits.
const PENALTY: f64 = 1e-6;

pub(super) fn all() -> Vec<Planned> {
    let mut all = vec![Planned::new("rls-300", || rls(300)), Planned::new("interval-update", interval)];
    for rows in [4000, 10_000] {
        all.push(Planned::new(format!("train-{rows}"), move || fit(rows)));
        all.push(Planned::new(format!("train-whole-{rows}"), move || whole(rows)));
    }
    all
}

fn rls(width: usize) -> Workload {
    let mut rng = Rng::seeded(3);
    let rows: Vec<Vec<f64>> = (0..ROWS).map(|_| (0..width).map(|_| rng.normal()).collect()).collect();
    let mut rls = Rls::new(vec![0.0; width], &vec![1.0; width], 0.9999);
    let entries = (width * width) as f64;
    let work = Workload::new(format!("rls-{width}"), "row", ROWS, move || {
        rows.iter().for_each(|row| rls.learn(row, &[row[0]]));
    });
    work.with_flops(3.0 * entries).with_bytes(8.0 * entries)
}

/// A truth arrives, a forecast is noted and its interval read.
fn interval() -> Workload {
    let mut rng = Rng::seeded(4);
    let mut last = 0.0;
    let outcomes: Vec<Outcome> = (0..2000)
        .map(|row| {
            let forecast = rng.normal();
            let outcome = Outcome { row, last, forecast, truth: forecast + 0.3 * rng.normal() };
            last = outcome.truth;
            outcome
        })
        .collect();
    let setup = Setup { horizon: 1, season: 1, coverage: 0.95 };
    let intervals = Intervals::new(0.95, vec![1], vec![calibrate(&outcomes, setup).track]);
    let mut tracks = intervals.fresh();
    let mut row = 0;
    let taken = outcomes.len();
    Workload::new("interval-update", "row", taken, move || {
        for outcome in &outcomes {
            intervals.note(0, &mut tracks[0], row, outcome.forecast);
            let outlook = intervals.outlook(0, &tracks, row, |_| outcome.forecast);
            black_box(outlook.half_width(1));
            row += 1;
            intervals.observe(0, &mut tracks[0], row, outcome.truth);
        }
    })
}

/// The Mackey-Glass equation with a delay of 17, one value a unit of time (ten Euler steps).
fn mackey_glass(rows: usize) -> Vec<f64> {
    let (delay, parts) = (17, 10);
    let mut values = vec![1.2f64; delay * parts + 1];
    let wanted = (rows + 200) * parts;
    while values.len() < wanted {
        let (now, past) = (values[values.len() - 1], values[values.len() - 1 - delay * parts]);
        values.push(now + 0.1 * (0.2 * past / (1.0 + past.powi(10)) - 0.1 * now));
    }
    values.into_iter().step_by(parts).skip(200).take(rows).collect()
}

/// States of 500 sparse units and a ridge regression on them: what other libraries call a fit.
fn fit(rows: usize) -> Workload {
    let series = mackey_glass(rows + 1);
    let echo = Echo::<f32>::draw(&super::reservoirs::settings(500, 0.1), 1);
    // The lower triangle of the products of (1, features), and its factor.
    let width = (echo.units() + 1) as f64;
    let operations = rows as f64 * width * width + width.powi(3) / 3.0;
    let work = Workload::new(format!("train-{rows}"), "fit", 1, move || {
        let mut vector = echo.fresh();
        let mut work = Work::default();
        let mut moments = Moments::new(echo.units(), 1, Hands::One);
        for pair in series.windows(2) {
            echo.hear(&mut vector, &[f32::narrow(pair[0])]);
            echo.step(&mut One(&mut vector), &mut work);
            moments.push(&vector[..echo.units()], &[f32::narrow(pair[1])]);
        }
        moments.flush();
        black_box(Normal::new(&moments).and_then(|normal| normal.solve(|_| PENALTY)));
    });
    work.with_flops(operations)
}

/// What `spinwell train` does with the same reservoir and one penalty: folds, baselines, intervals, the final model.
fn whole(rows: usize) -> Workload {
    let csv: String = mackey_glass(rows).iter().map(|value| format!("{value}\n")).collect();
    let columns = Columns { values: vec!["y".to_owned()], time: None };
    let table = read_csv(format!("y\n{csv}").as_bytes(), &columns).expect("a column of numbers");
    let pairs = ["units=500", "density=0.1", "skip=off", "penalty=1e-6"];
    let settings = Settings::parse(pairs).expect("valid settings");
    let options = Options {
        targets: 1,
        feeds: Feeds::Everything,
        horizon: 1,
        season: Some(1),
        choice: Choice::Only(Family::Echo),
        settings,
        precision: Precision::F32,
        trials: 1,
        coverage: 0.95,
        seed: 1,
        score: Score::Path,
        time_column: None,
    };
    Workload::new(format!("train-whole-{rows}"), "training", 1, move || {
        black_box(train(&table, &Folds::inside(rows), &options, &Silent).is_ok());
    })
}
