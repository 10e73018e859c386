//! Error and coverage over time: whether a model that was good stays good.

use super::{Charts, ahead, span};
use crate::output::percent;
use crate::plot::{Axis, Chart, Mark, Ticks, Tone};
use crate::report::diagnosis::Followed;
use crate::report::figure::{Figure, Key};
use spinwell_engine::metrics::{Hits, effective_sample_size, rolling_share};

/// Forecasts that rolling figures are taken over.
const ROLLING: usize = 200;
/// The two-sided 95 % point of the normal distribution.
const NORMAL_95: f64 = 1.96;

impl Charts<'_> {
    /// RMSE over time, beside the naive forecasts.
    pub(crate) fn error_over_time(&self) -> Figure {
        let followed = &self.diagnosis.targets[0].followed;
        let length = rolling_length(followed.len());
        let rolled = |error: fn(&Followed) -> f64| {
            let errors: Vec<f64> = followed.iter().map(error).collect();
            let means = rolling_mean(&errors.iter().map(|error| error * error).collect::<Vec<_>>(), length);
            let rows = followed.iter().skip(length - 1).map(|point| point.row as f64);
            rows.zip(means.into_iter().map(f64::sqrt)).collect::<Vec<_>>()
        };
        let ours = rolled(|point| point.scored.truth - point.scored.forecast);
        let persistence = rolled(|point| point.scored.truth - point.scored.last);
        let seasonal = rolled(|point| point.scored.truth - point.scored.seasonal);
        let lines = [&ours, &persistence, &seasonal];
        let count = if self.has_season() { 3 } else { 2 };
        let top = span(lines[..count].iter().flat_map(|line| line.iter().map(|at| at.1))).1;
        let rows = span(ours.iter().map(|at| at.0));
        let mut marks = vec![Mark::Dashes(Tone::Persistence, persistence)];
        if self.has_season() {
            marks.push(Mark::Dashes(Tone::Seasonal, seasonal));
        }
        marks.push(Mark::Line(Tone::Forecast, ours));
        let title = format!("Error over time, {}", ahead(self.case.model.horizon()));
        let y = Axis {
            title: format!("RMSE of the newest {length} forecasts"),
            ends: (0.0, top * 1.06),
            ticks: Ticks::Numbers,
        };
        let chart = Chart { label: title.clone(), x: self.rows(rows), y, marks };
        let how = "A line that climbs while the naive ones stay level says that the series has changed since training.";
        Figure::wide(title, how.to_owned(), self.naive_keys(), &chart)
    }

    /// Coverage over time, beside what was promised.
    pub(crate) fn coverage_over_time(&self) -> Figure {
        let followed = &self.diagnosis.targets[0].followed;
        let hits: Vec<bool> = followed.iter().map(Followed::is_inside).collect();
        let length = rolling_length(hits.len());
        let shares = rolling_share(&hits, length);
        let rows = followed.iter().skip(length - 1).map(|point| point.row as f64);
        let line: Vec<(f64, f64)> = rows.zip(shares).collect();
        let worst = line.iter().map(|at| at.1).fold(1.0, f64::min);
        let promised = self.case.model.coverage();
        let single: Vec<Hits> = hits.iter().map(|&hit| Hits { inside: usize::from(hit), count: 1 }).collect();
        let independent = effective_sample_size(&single) / hits.len() as f64 * length as f64;
        let reach = NORMAL_95 * (promised * (1.0 - promised) / independent.max(1.0)).sqrt();
        let (low, high) = ((promised - reach).max(0.0), (promised + reach).min(1.0));
        let rows = span(line.iter().map(|at| at.0));
        let band = vec![(rows.0, low, high), (rows.1, low, high)];
        let title = format!("Coverage over time, {}", ahead(self.case.model.horizon()));
        let chart = Chart {
            label: title.clone(),
            x: self.rows(rows),
            y: Axis {
                title: format!("share of the newest {length} inside"),
                ends: ((worst.min(low) - 0.02).max(0.0), 1.0),
                ticks: Ticks::Shares,
            },
            marks: vec![
                Mark::Band(Tone::Guide, band),
                Mark::Line(Tone::Forecast, line),
                Mark::Level(promised, self.promised()),
            ],
        };
        let how = format!(
            "The line should run along the dashed one; the grey band is what chance alone does to {length} forecasts that \
             overlap as these do. Its lowest point is {}.",
            percent(worst)
        );
        let keys = vec![Key::line(Tone::Forecast, "coverage"), Key::area(Tone::Guide, "chance".to_owned())];
        Figure::wide(title, how, keys, &chart)
    }
}

/// As many as rolling figures are taken over; less where there are few, so that something can be seen to move.
fn rolling_length(count: usize) -> usize {
    if count > ROLLING + ROLLING / 4 { ROLLING } else { (count / 4).max(10).min(count.max(1)) }
}

fn rolling_mean(values: &[f64], length: usize) -> Vec<f64> {
    values.windows(length).map(|window| window.iter().sum::<f64>() / length as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolling_means_and_lengths_are_as_counted_by_hand() {
        assert_eq!(rolling_mean(&[1.0, 3.0, 5.0, 1.0], 2), [2.0, 4.0, 3.0]);
        assert!(rolling_mean(&[], 1).is_empty());
        assert_eq!([0, 1, 8, 100, 240, 251, 10_000].map(rolling_length), [1, 1, 8, 25, 60, 200, 200]);
    }
}
