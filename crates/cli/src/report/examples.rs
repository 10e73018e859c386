//! Which forecasts stand for all: one of middling error, the worst, and the last.
//!
//! A model of long horizons is shown by single paths. Short paths would be a dot or two, so there stretches of forecasts
//! made one after the other take their place.

use super::Case;
use super::diagnosis::{Diagnosis, Followed};

/// Paths shorter than this are shown as stretches.
const PATH_MIN: usize = 6;
/// Rows of a stretch.
const STRETCH: usize = 60;
/// Rows before a path: enough to see what it was made from.
const BEFORE_MIN: usize = 24;
const BEFORE_MAX: usize = 400;

/// One example.
#[derive(Debug, Clone)]
pub(crate) struct Example {
    /// Why it was taken.
    pub(crate) name: &'static str,
    /// The forecasts of the first target, in order of time.
    pub(crate) points: Vec<Followed>,
    /// The last row known to all of them, for a path.
    pub(crate) origin: Option<usize>,
    /// The first row to be drawn.
    pub(crate) from: usize,
    /// Root mean squared error.
    pub(crate) rmse: f64,
}

/// The examples, each once.
pub(crate) fn examples(case: &Case, diagnosis: &Diagnosis) -> Vec<Example> {
    let candidates = if case.model.horizon() >= PATH_MIN {
        (0..case.evaluation.origins.len()).map(|at| path(case, at)).collect()
    } else {
        stretches(&diagnosis.targets[0].followed)
    };
    chosen(&candidates)
}

fn path(case: &Case, at: usize) -> Example {
    let origin = case.evaluation.origins[at];
    let horizon = case.model.horizon();
    let point = |step| Followed { row: origin + step, scored: case.compared(at, step, 0) };
    let before = (2 * horizon).clamp(BEFORE_MIN, BEFORE_MAX);
    let points: Vec<Followed> = (1..=horizon).map(point).collect();
    let errors = (1..=horizon).filter_map(|step| case.scored(at, step, 0));
    let rmse = root_mean_square(errors.map(|scored| scored.truth - scored.forecast));
    Example { name: "", points, origin: Some(origin), from: origin.saturating_sub(before), rmse }
}

/// Stretches end to end, counted from the newest so that the last is whole.
fn stretches(followed: &[Followed]) -> Vec<Example> {
    let stretch = |points: &[Followed]| Example {
        name: "",
        points: points.to_vec(),
        origin: None,
        from: points[0].row,
        rmse: root_mean_square(points.iter().map(|point| point.scored.truth - point.scored.forecast)),
    };
    let mut found: Vec<Example> = followed.rchunks(STRETCH).map(stretch).collect();
    found.reverse();
    if found.len() > 1 && found[0].points.len() < STRETCH {
        found.remove(0);
    }
    found
}

fn root_mean_square(errors: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = errors.fold((0.0, 0.0), |(n, sum), error| (n + 1.0, sum + error * error));
    if n > 0.0 { (sum / n).sqrt() } else { 0.0 }
}

fn chosen(candidates: &[Example]) -> Vec<Example> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|&a, &b| candidates[a].rmse.total_cmp(&candidates[b].rmse));
    let Some(&worst) = order.last() else { return Vec::new() };
    let wanted =
        [("typical", order[(order.len() - 1) / 2]), ("the worst", worst), ("the last", candidates.len() - 1)];
    let mut taken: Vec<usize> = Vec::new();
    let mut examples = Vec::new();
    for (name, at) in wanted {
        if !taken.contains(&at) {
            taken.push(at);
            examples.push(Example { name, ..candidates[at].clone() });
        }
    }
    examples
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_engine::metrics::Scored;

    fn followed(row: usize, error: f64) -> Followed {
        let scored =
            Scored { truth: error, forecast: 0.0, lower: -1.0, upper: 1.0, last: 0.0, seasonal: 0.0 };
        Followed { row, scored }
    }

    #[test]
    fn the_middling_the_worst_and_the_last_are_taken_once_each() {
        let rows: Vec<Followed> =
            (0..320).map(|row| followed(row, [9.0, 2.0, 1.0, 4.0, 3.0, 5.0][(row + 40) / 60])).collect();
        let found = chosen(&stretches(&rows));
        let told: Vec<_> = found.iter().map(|one| (one.name, one.from, one.points.len(), one.rmse)).collect();
        // The first 20 rows make no whole stretch and are left out, though they are the worst.
        assert_eq!(
            told,
            [("typical", 200, 60, 3.0), ("the worst", 260, 60, 5.0)],
            "the last is the worst and is named once"
        );
        let few = chosen(&stretches(&rows[..10]));
        assert_eq!((few.len(), few[0].name, few[0].points.len()), (1, "typical", 10));
        assert!(chosen(&[]).is_empty());
    }
}
