//! The charts of a report: which numbers go on which axes.
//!
//! Here are those of forecasts and what they share; `over_time` and `by_horizon` follow errors and coverage, `checks` asks
//! whether confidence comes true and whether errors still hold a pattern.

mod by_horizon;
mod checks;
mod over_time;

use super::Case;
use super::diagnosis::{Diagnosis, Followed};
use super::examples::Example;
use super::figure::{Figure, Key};
use crate::output::{figure, is_defined, without_zeros};
use crate::plot::{Axis, Chart, Mark, Ticks, Tone};

/// Rows of the chart that follows forecasts over time: more would be a blur.
const FOLLOWED_ROWS: usize = 336;
/// An interval is drawn as far as so many heights of the lines beyond them: a very wide one would flatten all else.
const BAND_REACH: f64 = 1.0;

/// What charts are drawn from.
pub(crate) struct Charts<'c> {
    /// What was evaluated.
    pub(crate) case: &'c Case,
    /// The numbers.
    pub(crate) diagnosis: &'c Diagnosis,
    /// The times of rows, where the file has them.
    pub(crate) times: Option<&'c [String]>,
}

impl Charts<'_> {
    fn rows(&self, ends: (f64, f64)) -> Axis<'_> {
        let (title, ticks) = match self.times {
            Some(times) => (String::new(), Ticks::Times(times)),
            None => ("row, counted from 0".to_owned(), Ticks::Whole),
        };
        Axis { title, ends, ticks }
    }

    fn has_season(&self) -> bool {
        self.case.model.season() > 1
    }

    /// What came, what was said, and the interval.
    fn forecast_keys(&self) -> Vec<Key> {
        vec![
            Key::line(Tone::Truth, "what came"),
            Key::line(Tone::Forecast, "forecast"),
            Key::area(
                Tone::Interval,
                format!("{} % interval", without_zeros(self.case.model.coverage() * 100.0)),
            ),
        ]
    }

    fn promised(&self) -> String {
        format!("promised {} %", without_zeros(self.case.model.coverage() * 100.0))
    }

    fn naive_keys(&self) -> Vec<Key> {
        let mut keys = vec![
            Key::line(Tone::Forecast, "this model"),
            Key::dashes(Tone::Persistence, "last value repeated"),
        ];
        if self.has_season() {
            keys.push(Key::dashes(Tone::Seasonal, "last season repeated"));
        }
        keys
    }

    /// One example, with the rows before it.
    pub(crate) fn example(&self, example: &Example) -> Figure {
        let column = &self.case.table.columns[0];
        let last = example.points.last().map_or(example.from, |point| point.row);
        let observed: Vec<(f64, f64)> = (example.from..=last).map(|row| (row as f64, column[row])).collect();
        let known = example.origin.map(|origin| Mark::Moment(origin as f64, "known until here".to_owned()));
        let title = match example.name {
            "typical" => "A typical one".to_owned(),
            "the worst" => "The worst one".to_owned(),
            _ => "The last one".to_owned(),
        };
        let mut chart = self.forecasts(0, observed, &example.points);
        // Behind the lines, before the band.
        chart.marks.splice(1..1, known);
        let how = match example.name {
            "typical" => "Half of all do better, half do worse",
            "the worst" => "Nothing here was further off",
            _ => "The newest rows of the file",
        };
        let how = format!("{how}; RMSE {}.", figure(example.rmse));
        Figure::third(title, how, &chart)
    }

    /// Forecasts over time, one after the other.
    pub(crate) fn followed(&self, target: usize) -> Figure {
        let followed = &self.diagnosis.targets[target].followed;
        let shown = &followed[followed.len().saturating_sub(FOLLOWED_ROWS)..];
        let observed = shown.iter().map(|point| (point.row as f64, point.scored.truth)).collect();
        let horizon = self.case.model.horizon();
        let title = format!("{}, forecast {} at every row", self.case.target(target), ahead(horizon));
        let chart = self.forecasts(target, observed, shown);
        let how = format!(
            "Each point of the orange line was said {} before it came; where the lines part, the forecast was wrong, and \
             where the dark line leaves the band, the interval was too narrow.",
            rows(horizon)
        );
        Figure::wide(title, how, self.forecast_keys(), &chart)
    }

    fn forecasts(&self, target: usize, observed: Vec<(f64, f64)>, points: &[Followed]) -> Chart<'_> {
        let band: Vec<_> =
            points.iter().map(|point| (point.row as f64, point.scored.lower, point.scored.upper)).collect();
        let line = points.iter().map(|point| (point.row as f64, point.scored.forecast)).collect();
        let rows = span(observed.iter().map(|at| at.0).chain(band.iter().map(|at| at.0)));
        let lines =
            span(observed.iter().map(|at| at.1).chain(points.iter().map(|point| point.scored.forecast)));
        let band_ends = span(band.iter().flat_map(|at| [at.1, at.2]));
        let reach = (lines.1 - lines.0) * BAND_REACH;
        let ends =
            (lines.0.min(band_ends.0.max(lines.0 - reach)), lines.1.max(band_ends.1.min(lines.1 + reach)));
        let name = self.case.target(target);
        Chart {
            label: format!("forecasts of {name} and what came"),
            x: self.rows(rows),
            y: Axis { title: name.to_owned(), ends: padded(ends), ticks: Ticks::Numbers },
            marks: vec![
                Mark::Band(Tone::Interval, band),
                Mark::Line(Tone::Truth, observed),
                Mark::Line(Tone::Forecast, line),
            ],
        }
    }
}

/// "1 row", "48 rows".
fn rows(count: usize) -> String {
    format!("{count} row{}", if count == 1 { "" } else { "s" })
}

/// "1 row ahead", "48 rows ahead".
pub(crate) fn ahead(count: usize) -> String {
    format!("{} ahead", rows(count))
}

/// The lowest and the highest, (0, 1) of nothing; what could not be computed has no place on an axis.
fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|value| is_defined(*value))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |ends, value| (ends.0.min(value), ends.1.max(value)));
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

fn padded((low, high): (f64, f64)) -> (f64, f64) {
    let pad = (high - low) * 0.05;
    (low - pad, high + pad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_holds_what_has_a_place_on_an_axis() {
        assert_eq!(span([3.0, 1.0, 2.0].into_iter()), (1.0, 3.0));
        assert_eq!(span([3.0, f64::MAX].into_iter()), (3.0, 3.0));
        assert_eq!(span(std::iter::empty()), (0.0, 1.0));
        assert_eq!((ahead(1), ahead(48)), ("1 row ahead".to_owned(), "48 rows ahead".to_owned()));
    }
}
