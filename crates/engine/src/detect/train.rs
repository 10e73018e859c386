//! Training a detector: a forecaster is searched for, and its errors on rows it was not fitted on are kept.

use super::detector::{Detector, Verdict};
use super::spans::{Averages, SPANS};
use super::tail::Tail;
use crate::backtest::feed;
use crate::data::Table;
use crate::model::{Model, Scratch};
use crate::train::{self, Error, Feeds, Folds, Observer, Options, Trained};
use rayon::prelude::*;

/// A detector and the search its forecaster came from.
#[derive(Debug, Clone)]
pub struct TrainedDetector {
    /// The detector.
    pub detector: Detector,
    /// How its forecaster was found.
    pub search: Trained,
}

/// Trains on the first `rows` rows of `table`, whose first columns are watched; no later row is read. `options` are
/// those of a forecaster of one row ahead.
///
/// # Errors
/// As [`train::train`]; where the horizon is not 1, the targets are not fed, or `alpha` is not in (0, 1).
pub fn train_detector(
    table: &Table,
    rows: usize,
    alpha: f64,
    options: &Options,
    observer: &dyn Observer,
) -> Result<TrainedDetector, Error> {
    if options.horizon != 1 || options.feeds != Feeds::Everything {
        let text =
            "a detector judges the next row by the rows before it: the horizon must be 1 and the targets fed";
        return Err(Error::Option(text.to_owned()));
    }
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(Error::Option(format!("alpha {alpha} is not between 0 and 1")));
    }
    let search = train::train(table, &Folds::inside(rows), options, observer)?;
    let options = Options { season: Some(search.model.season()), ..options.clone() };
    let cuts = [55, 70, 85, 100].map(|percent| rows * percent / 100);
    let folds: Vec<Result<Vec<Vec<f64>>, Error>> = cuts
        .par_windows(2)
        .map(|cut| {
            let model = train::refit(table, &Folds::inside(cut[0]), &options, search.model.spec())?;
            Ok(left_out(&model, table, cut[0], cut[1]))
        })
        .collect();
    // The first fold has half the rows, which may be too few for what suits all of them; one fold that fits is enough.
    let enough = folds.iter().any(Result::is_ok);
    let folds: Vec<Vec<Vec<f64>>> = match enough {
        true => folds.into_iter().flatten().collect(),
        false => folds.into_iter().collect::<Result<_, _>>()?,
    };
    let places = options.targets * SPANS.len();
    let tails =
        (0..places).map(|place| Tail::fit(folds.iter().flat_map(|fold| fold[place].clone()).collect()));
    let detector = Detector::assemble(search.model.clone(), alpha, tails.collect());
    Ok(TrainedDetector { detector, search })
}

/// The sizes of errors on rows `from` to `to`, for each target and span, of a stream that has seen all rows before.
fn left_out(model: &Model, table: &Table, from: usize, to: usize) -> Vec<Vec<f64>> {
    let targets = model.targets().len();
    let (mut stream, mut scratch, mut values) = (model.stream(), Scratch::default(), Vec::new());
    let mut averages = vec![Averages::default(); targets];
    let mut sizes = vec![Vec::new(); targets * SPANS.len()];
    for row in 0..to {
        table.row_into(row, &mut values);
        // Averages begin with the rows left out: what the fit has seen is too small.
        for target in (0..targets).filter(|&target| row >= from && !table.is_missing(target, row)) {
            let Some(surprise) = model.surprise(&stream, target, values[target]) else { continue };
            for (span, size) in averages[target].observe(surprise.error()).into_iter().enumerate() {
                sizes[target * SPANS.len() + span].push(size);
            }
        }
        feed(model, table, row, &mut stream, &mut values, &mut scratch);
    }
    sizes
}

/// Feeds every row of `table` and gives what is said of each; nothing of rows that come too early or are missing.
#[must_use]
pub fn scored_rows(detector: &Detector, table: &Table) -> Vec<Option<Verdict>> {
    let (mut watch, mut scratch) = (detector.watch(), Scratch::default());
    let targets = detector.targets().len();
    (0..table.rows())
        .map(|row| {
            let heard: Vec<f64> = table.columns.iter().map(|column| column[row]).collect();
            let mut truths = heard.clone();
            (0..targets).filter(|&t| table.is_missing(t, row)).for_each(|t| truths[t] = f64::NAN);
            detector.step_filled(&mut watch, &truths, &heard, &mut scratch)
        })
        .collect()
}
