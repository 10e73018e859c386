//! No model is shown what it is judged by, and none finds what is not there.

use crate::support::{options, table, waves};
use rayon::prelude::*;
use spinwell_core::Rng;
use spinwell_engine::backtest::{Mode, Plan, Units, evaluate};
use spinwell_engine::data::Table;
use spinwell_engine::metrics::Figures;
use spinwell_engine::train::{Choice, Folds, Options, Score, train};
use spinwell_engine::{Family, Silent};

/// What follows the rows of training is never read: garbage there changes no byte of any family's model.
#[test]
fn rows_after_the_training_part_are_never_read() {
    let honest = waves(400);
    let seen = 280;
    for family in Family::ALL {
        let model = |table: &Table| {
            let trained = train(table, &Folds::inside(seen), &options(family), &Silent).unwrap();
            trained.model.to_bytes()
        };
        let bytes = model(&honest);
        for garbage in [1e9, f64::NAN] {
            let mut poisoned = honest.clone();
            poisoned.columns.iter_mut().for_each(|column| column[seen..].fill(garbage));
            assert!(model(&poisoned) == bytes, "{family} has read {garbage} after its training part");
        }
        // The test would miss a table that is not read at all.
        let mut changed = honest.clone();
        changed.columns.iter_mut().for_each(|column| column[seen - 1] += 1.0);
        assert!(family == Family::Persistence || model(&changed) != bytes, "{family}");
    }
}

/// Figures on the rows after `seen` of a search of the first `seen`.
fn held_out(series: &[f64], seen: usize, choice: Choice, trials: usize) -> Figures {
    let table = table(vec![series.to_vec()]);
    let options = Options { choice, trials, horizon: 1, season: Some(1), ..options(Family::Linear) };
    let trained = train(&table, &Folds::inside(seen), &options, &Silent).unwrap();
    let plan = Plan {
        train_end: seen,
        test_start: seen,
        test_end: series.len(),
        score: Score::Last,
        mode: Mode::Stream,
        stride: 1,
        units: Units::Data,
    };
    evaluate(&trained.model, &table, &plan).unwrap().overall
}

const SEARCHES: [(Choice, usize); 5] = [
    (Choice::Only(Family::Linear), 3),
    (Choice::Only(Family::Echo), 4),
    (Choice::Only(Family::Spiking), 4),
    (Choice::Only(Family::Quantum), 4),
    (Choice::Auto, 12),
];

/// A series that is easy in its order is unknowable in any other: nothing beats the mean.
#[test]
fn a_shuffled_series_shows_no_skill_over_the_mean() {
    let mut series: Vec<f64> = waves(2000).columns[0].clone();
    let ordered = held_out(&series, 1200, Choice::Only(Family::Linear), 3);
    assert!(ordered.nrmse < 0.5, "in order: {ordered:?}");
    let mut rng = Rng::seeded(17);
    for last in (1..series.len()).rev() {
        series.swap(last, rng.below(last as u64 + 1) as usize);
    }
    SEARCHES.par_iter().for_each(|&(choice, trials)| {
        let figures = held_out(&series, 1200, choice, trials);
        assert!(figures.nrmse >= 0.95, "{choice:?}: {figures:?}");
    });
}

/// The best forecast of a random walk is its last value, and no search may believe otherwise by more than 2 %.
#[test]
fn a_random_walk_shows_no_skill_over_its_last_value() {
    let mut rng = Rng::seeded(23);
    let mut level = 100.0;
    let walk: Vec<f64> = std::iter::repeat_with(|| {
        level += 0.3 * rng.normal();
        level
    })
    .take(3000)
    .collect();
    SEARCHES.par_iter().for_each(|&(choice, trials)| {
        let skill = held_out(&walk, 1500, choice, trials).skill_persistence;
        assert!(skill.abs() <= 0.02, "{choice:?}: {skill}");
    });
}
