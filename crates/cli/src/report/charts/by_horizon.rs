//! Error, coverage and width by rows ahead.

use super::{Charts, ahead, span};
use crate::output::figure;
use crate::plot::{Axis, Chart, Mark, Place, Ticks, Tone};
use crate::report::diagnosis::Step;
use crate::report::figure::Figure;

/// Discs on a line; more would hide it.
const SPOTS_MAX: usize = 48;

impl Charts<'_> {
    /// NRMSE by rows ahead, beside the naive forecasts.
    pub(crate) fn error_by_horizon(&self) -> Figure {
        let steps = &self.diagnosis.by_horizon;
        let title = "Error by rows ahead".to_owned();
        if let [only] = &steps[..] {
            return self.error_bars(title, only);
        }
        let line = |get: fn(&Step) -> f64| steps.iter().map(|s| (s.step as f64, get(s))).collect::<Vec<_>>();
        let ours = line(|step| step.ours.nrmse);
        let persistence = line(|step| step.naive.persistence.nrmse);
        let seasonal = line(|step| step.naive.seasonal.nrmse);
        let lines = [&ours, &persistence, &seasonal];
        let count = if self.has_season() { 3 } else { 2 };
        let top = span(lines[..count].iter().flat_map(|line| line.iter().map(|at| at.1))).1;
        let mut marks = vec![Mark::Dashes(Tone::Persistence, persistence)];
        if self.has_season() {
            marks.push(Mark::Dashes(Tone::Seasonal, seasonal));
        }
        marks.extend([Mark::Spots(Tone::Forecast, spots(&ours)), Mark::Line(Tone::Forecast, ours)]);
        let y = Axis { title: "NRMSE".to_owned(), ends: (0.0, top * 1.06), ticks: Ticks::Numbers };
        let chart = Chart { label: title.clone(), x: self.steps(), y, marks };
        let how = "Lower is better, 1 is as bad as always saying the mean; our line should stay below the dashed ones.";
        Figure::half(title, how.to_owned(), self.naive_keys(), &chart)
    }

    fn error_bars(&self, title: String, only: &Step) -> Figure {
        let mut bars = vec![
            (Tone::Forecast, only.ours.nrmse, "this model"),
            (Tone::Persistence, only.naive.persistence.nrmse, "last value"),
        ];
        if self.has_season() {
            bars.push((Tone::Seasonal, only.naive.seasonal.nrmse, "last season"));
        }
        let top = span(bars.iter().map(|bar| bar.1)).1;
        let labels: Vec<_> = bars.iter().enumerate().map(|(at, bar)| (at as f64, bar.2.to_owned())).collect();
        let mark = |(at, (tone, y, name)): (usize, &(Tone, f64, &str))| {
            let note = format!("{name}: NRMSE {}", figure(*y));
            Mark::Bars(*tone, vec![Place { x: at as f64, y: *y, size: 0.6, note, ..Place::default() }])
        };
        let chart = Chart {
            label: title.clone(),
            x: Axis {
                title: String::new(),
                ends: (-0.6, labels.len() as f64 - 0.4),
                ticks: Ticks::At(&labels),
            },
            y: Axis { title: "NRMSE".to_owned(), ends: (0.0, top * 1.06), ticks: Ticks::Numbers },
            marks: bars.iter().enumerate().map(mark).collect(),
        };
        let how = "Lower is better, 1 is as bad as always saying the mean; ours should be the shortest bar.";
        Figure::half(title, how.to_owned(), Vec::new(), &chart)
    }

    fn steps(&self) -> Axis<'static> {
        let ends = (1.0, self.case.model.horizon() as f64);
        Axis { title: "rows ahead".to_owned(), ends, ticks: Ticks::Whole }
    }

    /// Coverage by rows ahead.
    pub(crate) fn coverage_by_horizon(&self) -> Figure {
        let line: Vec<(f64, f64)> =
            self.diagnosis.by_horizon.iter().map(|step| (step.step as f64, step.ours.coverage)).collect();
        let promised = self.case.model.coverage();
        let worst = line.iter().map(|at| at.1).fold(promised, f64::min);
        let title = "Coverage by rows ahead".to_owned();
        let bottom = (worst - 0.02).min(promised - 2.0 * (1.0 - promised)).max(0.0);
        let chart = Chart {
            label: title.clone(),
            x: self.steps(),
            y: Axis { title: "share inside".to_owned(), ends: (bottom, 1.0), ticks: Ticks::Shares },
            marks: vec![
                Mark::Level(promised, self.promised()),
                Mark::Spots(Tone::Forecast, spots(&line)),
                Mark::Line(Tone::Forecast, line),
            ],
        };
        let how = "A line that sinks to the right says that far forecasts are less sure than they claim.";
        Figure::half(title, how.to_owned(), Vec::new(), &chart)
    }

    /// Width of the interval by rows ahead.
    pub(crate) fn width_by_horizon(&self) -> Figure {
        let line: Vec<(f64, f64)> =
            self.diagnosis.by_horizon.iter().map(|step| (step.step as f64, step.ours.width_mean)).collect();
        let top = span(line.iter().map(|at| at.1)).1;
        let title = "Width of the interval by rows ahead".to_owned();
        let chart = Chart {
            label: title.clone(),
            x: self.steps(),
            y: Axis {
                title: "mean width, in the data's units".to_owned(),
                ends: (0.0, top * 1.06),
                ticks: Ticks::Numbers,
            },
            marks: vec![Mark::Spots(Tone::Forecast, spots(&line)), Mark::Line(Tone::Forecast, line)],
        };
        let how = "Of two models that cover equally often, the one with the narrower intervals knows more.";
        Figure::half(title, how.to_owned(), Vec::new(), &chart)
    }
}

fn spots(line: &[(f64, f64)]) -> Vec<Place> {
    let every = line.len().div_ceil(SPOTS_MAX).max(1);
    let ends = line.len().saturating_sub(1);
    let shown = line.iter().enumerate().filter(|(at, _)| at % every == 0 || *at == ends);
    shown
        .map(|(_, &(x, y))| Place {
            x,
            y,
            size: 2.6,
            note: format!("{}: {}", ahead(x as usize), figure(y)),
            ..Place::default()
        })
        .collect()
}
