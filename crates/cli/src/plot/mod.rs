//! Pictures of forecasts: history, forecast, interval, and what came; of alarms; and charts for pages.

mod alarms;
mod chart;
mod scale;
mod svg;

pub(crate) use alarms::AlarmsPicture;
pub(crate) use chart::{Axis, Chart, Mark, Place, Size, Ticks, Tone};
pub(crate) use svg::escaped;

use scale::Scale;
use svg::{Anchor, Drawing, Stroke};

const WIDTH: f64 = 980.0;
const PANEL_HEIGHT: f64 = 270.0;
const MARGIN_LEFT: f64 = 68.0;
const MARGIN_RIGHT: f64 = 22.0;
const HEAD: f64 = 78.0;
const PANEL_HEAD: f64 = 30.0;
const PANEL_FOOT: f64 = 34.0;
/// More labels of rows would run into each other.
const TICKS_MAX: usize = 7;

const TRUTH: Stroke = Stroke { colour: "#0f172a", width: 1.4 };
const FORECAST: Stroke = Stroke { colour: "#ea580c", width: 1.9 };
const INTERVAL: &str = "#fed7aa";
const GRID: Stroke = Stroke { colour: "#e2e8f0", width: 1.0 };
const NOW: Stroke = Stroke { colour: "#94a3b8", width: 1.0 };

/// A forecast at one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Predicted {
    /// Row number, the x axis.
    pub(crate) row: usize,
    pub(crate) forecast: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// One chart of a picture.
#[derive(Debug, Clone, Default)]
pub(crate) struct Panel {
    /// What it shows.
    pub(crate) title: String,
    /// Observed values by row.
    pub(crate) observed: Vec<(usize, f64)>,
    /// Forecasts by row.
    pub(crate) predicted: Vec<Predicted>,
    /// The last row known to the forecast, where there is one for all.
    pub(crate) origin: Option<usize>,
}

/// A picture of one or more panels.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) coverage: f64,
    pub(crate) panels: Vec<Panel>,
    /// Labels of rows, if the data has times.
    pub(crate) times: Option<Vec<String>>,
}

impl Picture {
    /// The picture as an SVG document.
    pub(crate) fn to_svg(&self) -> String {
        let mut drawing = Drawing::new(WIDTH, HEAD + PANEL_HEIGHT * self.panels.len() as f64);
        drawing.text((MARGIN_LEFT, 28.0), "title", Anchor::Start, &self.title);
        drawing.text((MARGIN_LEFT, 48.0), "note", Anchor::Start, &self.note);
        self.key(&mut drawing);
        for (index, panel) in self.panels.iter().enumerate() {
            self.panel(&mut drawing, panel, HEAD + PANEL_HEIGHT * index as f64);
        }
        drawing.finish()
    }

    fn key(&self, drawing: &mut Drawing) {
        let y = 66.0;
        drawing.line((MARGIN_LEFT, y), (MARGIN_LEFT + 22.0, y), TRUTH);
        drawing.text((MARGIN_LEFT + 28.0, y + 4.0), "key", Anchor::Start, "observed");
        drawing.line((MARGIN_LEFT + 104.0, y), (MARGIN_LEFT + 126.0, y), FORECAST);
        drawing.text((MARGIN_LEFT + 132.0, y + 4.0), "key", Anchor::Start, "forecast");
        drawing.rectangle((MARGIN_LEFT + 204.0, y - 6.0), (22.0, 12.0), INTERVAL);
        let interval = format!("{} % interval", scale::label(self.coverage * 100.0));
        drawing.text((MARGIN_LEFT + 232.0, y + 4.0), "key", Anchor::Start, &interval);
    }

    fn panel(&self, drawing: &mut Drawing, panel: &Panel, top: f64) {
        let (x, y) = scales(panel, top);
        drawing.text((MARGIN_LEFT, top + 18.0), "key", Anchor::Start, &panel.title);
        axes(drawing, (&x, &y), top, self.times.as_deref());
        let bottom = top + PANEL_HEIGHT - PANEL_FOOT;
        let place = |row: usize, value: f64| (x.position(row as f64), y.position(value));
        let lower: Vec<_> = panel.predicted.iter().map(|p| place(p.row, p.lower)).collect();
        let upper: Vec<_> = panel.predicted.iter().map(|p| place(p.row, p.upper)).collect();
        drawing.band(&lower, &upper, INTERVAL);
        if let Some(origin) = panel.origin {
            let at = x.position(origin as f64);
            drawing.line((at, top + PANEL_HEAD), (at, bottom), NOW);
        }
        let observed: Vec<_> = panel.observed.iter().map(|&(row, value)| place(row, value)).collect();
        drawing.polyline(&observed, TRUTH);
        let forecast: Vec<_> = panel.predicted.iter().map(|p| place(p.row, p.forecast)).collect();
        drawing.polyline(&forecast, FORECAST);
    }
}

/// At most seven rows and their labels.
fn row_ticks(times: Option<&[String]>, x: &Scale) -> Vec<(usize, String)> {
    if let Some(times) = times {
        return scale::time_ticks(times, x, TICKS_MAX);
    }
    let rows = x.ticks(6).into_iter().filter(|tick| tick.fract() == 0.0).map(|tick| tick as usize);
    rows.map(|row| (row, format!("row {}", row + 1))).collect()
}

/// The rules and labels of a panel.
fn axes(drawing: &mut Drawing, (x, y): (&Scale, &Scale), top: f64, times: Option<&[String]>) {
    for tick in y.ticks(6) {
        let at = y.position(tick);
        drawing.line((MARGIN_LEFT, at), (WIDTH - MARGIN_RIGHT, at), GRID);
        drawing.text((MARGIN_LEFT - 8.0, at + 4.0), "tick", Anchor::End, &scale::label(tick));
    }
    let bottom = top + PANEL_HEIGHT - PANEL_FOOT;
    for (row, label) in row_ticks(times, x) {
        let at = x.position(row as f64);
        drawing.line((at, bottom), (at, bottom + 4.0), NOW);
        drawing.text((at, bottom + 18.0), "tick", Anchor::Middle, &label);
    }
}

fn scales(panel: &Panel, top: f64) -> (Scale, Scale) {
    let span = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let observed = panel.observed.iter();
    let rows =
        span(&mut observed.clone().map(|o| o.0 as f64).chain(panel.predicted.iter().map(|p| p.row as f64)));
    let ends = panel.predicted.iter().flat_map(|p| [p.lower, p.upper]);
    let values = span(&mut observed.map(|o| o.1).chain(ends));
    let pad = (values.1 - values.0) * 0.04;
    let x = Scale::new(rows, (MARGIN_LEFT, WIDTH - MARGIN_RIGHT));
    let y = Scale::new((values.0 - pad, values.1 + pad), (top + PANEL_HEIGHT - PANEL_FOOT, top + PANEL_HEAD));
    (x, y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_holds_its_lines_its_band_and_its_labels() {
        let predicted = (10..20)
            .map(|row| Predicted {
                row,
                forecast: row as f64,
                lower: row as f64 - 1.0,
                upper: row as f64 + 1.0,
            })
            .collect();
        let panel = Panel {
            title: "next".to_owned(),
            observed: (0..10).map(|row| (row, row as f64)).collect(),
            predicted,
            origin: Some(9),
        };
        let picture = Picture {
            title: "demand".to_owned(),
            note: "linear".to_owned(),
            coverage: 0.95,
            panels: vec![panel],
            times: Some((0..20).map(|row| format!("day {row:02}")).collect()),
        };
        let svg = picture.to_svg();
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<polygon").count(), 1);
        assert!(svg.contains("day 09") && svg.contains("95 % interval"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
    }
}
