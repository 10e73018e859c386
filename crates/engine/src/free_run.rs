//! Scoring a model that feeds on its own forecasts: how long it stays with a chaotic system, and how far it is off
//! after a given time.

use crate::backtest::Error;
use crate::data::Table;
use crate::model::{Model, Scratch};

/// A forecast is valid while its error stays below this share of the system's own spread.
const VALID: f64 = 0.4;

/// Which closed loops to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Steps of each loop.
    pub steps: usize,
    /// Rows before this are known to the first loop, which forecasts it first.
    pub start: usize,
    /// Rows from the start of one loop to that of the next.
    pub stride: usize,
    /// How many loops.
    pub count: usize,
}

/// How the loops went.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Root mean squared distance at the last step ÷ root mean squared distance of the whole series from its mean.
    pub nrmse: f64,
    /// The first step of each loop whose normalised error exceeds 0.4, in ascending order; the number of steps where
    /// none did.
    pub valid_steps: Vec<usize>,
}

impl Figures {
    /// The step that a share of the loops do not reach: 0.5 is the median.
    #[must_use]
    pub fn valid_steps_at(&self, share: f64) -> f64 {
        let place = share * (self.valid_steps.len() - 1) as f64;
        let (low, high) = (place.floor() as usize, place.ceil() as usize);
        (self.valid_steps[low] as f64) * (1.0 - place.fract()) + self.valid_steps[high] as f64 * place.fract()
    }
}

/// Runs the loops of `plan` on `table`, whose columns are the model's targets and nothing else.
///
/// # Errors
/// Where rows hold inputs whose future is unknown, or the loops do not fit the data.
pub fn free_run(model: &Model, table: &Table, plan: &Plan) -> Result<Figures, Error> {
    let rows = table.rows();
    let last =
        plan.stride.checked_mul(plan.count.saturating_sub(1)).and_then(|all| all.checked_add(plan.start));
    let end = last.and_then(|last| last.checked_add(plan.steps));
    if plan.count == 0 || plan.steps == 0 || plan.start == 0 || end.is_none_or(|end| end > rows) {
        let Plan { steps, start, stride, count } = *plan;
        return Err(Error::FreeRun { steps, start, stride, count, rows });
    }
    let (mut stream, mut scratch, mut row) = (model.stream(), Scratch::default(), Vec::new());
    let spread = spread(table);
    let (mut fed, mut squared, mut valid_steps) = (0, 0.0, Vec::new());
    for index in 0..plan.count {
        let start = plan.start + index * plan.stride;
        while fed < start {
            table.row_into(fed, &mut row);
            model.step(&mut stream, &row, &mut scratch);
            fed += 1;
        }
        let path = model.run_free(&stream, plan.steps, &mut scratch).ok_or(Error::OpenLoop)??;
        let distance = |step: usize| -> f64 {
            let truth = table.columns.iter().map(|column| column[start + step]);
            path[step].iter().zip(truth).map(|(said, came)| (said - came).powi(2)).sum()
        };
        squared += distance(plan.steps - 1);
        let strays = |&step: &usize| {
            distance(step).sqrt().partial_cmp(&(VALID * spread)).is_none_or(std::cmp::Ordering::is_gt)
        };
        valid_steps.push((0..plan.steps).find(strays).map_or(plan.steps, |step| step + 1));
    }
    valid_steps.sort_unstable();
    Ok(Figures { nrmse: (squared / plan.count as f64).sqrt() / spread, valid_steps })
}

/// Root mean squared distance of the rows from their mean.
fn spread(table: &Table) -> f64 {
    let variance = |column: &Vec<f64>| {
        let n = column.len() as f64;
        let mean = column.iter().sum::<f64>() / n;
        column.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n
    };
    table.columns.iter().map(variance).sum::<f64>().sqrt()
}
