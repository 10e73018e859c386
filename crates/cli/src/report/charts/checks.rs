//! Whether confidence comes true, and whether errors still hold a pattern.

use super::{Charts, padded, span};
use crate::output::percent;
use crate::plot::{Axis, Chart, Mark, Place, Ticks, Tone};
use crate::report::figure::Figure;
use spinwell_engine::metrics::{ReliabilityBin, autocorrelation, autocorrelation_bound, plausible};

/// Lags of the residuals' autocorrelation, at least and at most.
const LAGS: (usize, usize) = (40, 400);
/// Radii of the discs of a reliability diagram.
const DISC: (f64, f64) = (3.0, 6.0);

impl Charts<'_> {
    /// Whether the confidence of directions comes true.
    pub(crate) fn reliability(&self) -> Figure {
        let found = &self.diagnosis.reliability;
        let largest = found.bins.iter().map(|bin| bin.count).max().unwrap_or(1) as f64;
        let spot = |(bin, effective): (&ReliabilityBin, &f64)| Place {
            x: bin.predicted,
            y: bin.observed,
            whisker: Some(plausible(bin.observed, *effective)),
            size: DISC.0 + DISC.1 * (bin.count as f64 / largest).sqrt(),
            note: format!(
                "said {}, right {} of {} times",
                percent(bin.predicted),
                percent(bin.observed),
                bin.count
            ),
        };
        let spots: Vec<Place> =
            found.bins.iter().zip(&self.diagnosis.reliability_effective_n).map(spot).collect();
        let lowest = span(spots.iter().flat_map(|spot| [spot.x, spot.y]).chain([0.5])).0;
        let ends = (((lowest - 0.02) * 10.0).floor().max(0.0) / 10.0, 1.0);
        let title = "Confidence of directions".to_owned();
        let axis = |title: &str| Axis { title: title.to_owned(), ends, ticks: Ticks::Shares };
        let clipped =
            |spot: Place| Place { whisker: spot.whisker.map(|(low, high)| (low.max(ends.0), high)), ..spot };
        let chart = Chart {
            label: title.clone(),
            x: axis("confidence that was said"),
            y: axis("share of directions that were right"),
            marks: vec![
                Mark::Dashes(Tone::Guide, vec![(ends.0, ends.0), (1.0, 1.0)]),
                Mark::Spots(Tone::Forecast, spots.into_iter().map(clipped).collect()),
            ],
        };
        let how = "Discs on the diagonal come true as often as they say, below it the model is too sure; a larger disc holds \
                   more forecasts, and its whisker is what chance allows.";
        Figure::half(title, how.to_owned(), Vec::new(), &chart)
    }

    /// Whether errors still hold a pattern.
    pub(crate) fn residuals(&self) -> Figure {
        let residuals = &self.diagnosis.targets[0].residuals;
        let known = residuals.iter().flatten().count();
        let season = self.case.model.season();
        let lags = (season + season / 4).clamp(LAGS.0, LAGS.1).min(residuals.len() / 4).max(1);
        let values = autocorrelation(residuals, lags);
        let bound = autocorrelation_bound(known);
        let (low, high) = span(values.iter().copied().chain([-2.0 * bound, 2.0 * bound]));
        let place = |(at, &y): (usize, &f64)| Place {
            x: (at + 1) as f64,
            y,
            size: 0.7,
            note: format!("lag {}: {y:.3}", at + 1),
            ..Place::default()
        };
        let (inside, outside): (Vec<Place>, Vec<Place>) =
            values.iter().enumerate().map(place).partition(|bar| bar.y.abs() <= bound);
        let share = outside.len() as f64 / values.len() as f64;
        let level = |y: f64| Mark::Dashes(Tone::Guide, vec![(0.0, y), (lags as f64 + 1.0, y)]);
        let title = "Autocorrelation of errors one row ahead".to_owned();
        let chart = Chart {
            label: title.clone(),
            x: Axis {
                title: "rows between two errors".to_owned(),
                ends: (0.0, lags as f64 + 1.0),
                ticks: Ticks::Whole,
            },
            y: Axis { title: "autocorrelation".to_owned(), ends: padded((low, high)), ticks: Ticks::Numbers },
            marks: vec![
                Mark::Bars(Tone::Guide, inside),
                Mark::Bars(Tone::Forecast, outside),
                level(bound),
                level(-bound),
            ],
        };
        let how = format!(
            "Bars inside ±1.96/√n (dashed) are noise, and bars beyond are patterns the model missed; 5 % beyond is chance, here \
             it is {}.",
            percent(share)
        );
        Figure::half(title, how, Vec::new(), &chart)
    }
}
