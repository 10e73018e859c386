//! A picture of alarms: the series, the windows that are known to be unusual, and the rows that were called so.

use super::chart::thinned;
use super::svg::{Anchor, Drawing};
use super::{HEAD, MARGIN_LEFT, NOW, PANEL_FOOT, PANEL_HEAD, PANEL_HEIGHT, Panel, Stroke, TRUTH, WIDTH};
use super::{axes, scales};
use std::ops::Range;

const WINDOW: &str = "#dbeafe";
const ALARM: &str = "#dc2626";
/// A line over all of the picture's width shows no more points than it has pixels.
const POINTS_MAX: usize = 1800;
/// Half the side of an alarm's square.
const MARK: f64 = 3.0;

/// Series one below the other, over the same rows.
#[derive(Debug, Clone)]
pub(crate) struct AlarmsPicture {
    pub(crate) title: String,
    pub(crate) note: String,
    /// One for each column that is watched, with what was observed.
    pub(crate) panels: Vec<Panel>,
    /// Rows inside known anomalies.
    pub(crate) windows: Vec<Range<usize>>,
    /// Rows that were called anomalies.
    pub(crate) alarms: Vec<usize>,
    /// The first row that was judged.
    pub(crate) first: usize,
    /// Labels of rows, if the data has times.
    pub(crate) times: Option<Vec<String>>,
}

impl AlarmsPicture {
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
        mark(drawing, (MARGIN_LEFT + 115.0, y));
        drawing.text((MARGIN_LEFT + 126.0, y + 4.0), "key", Anchor::Start, "called an anomaly");
        if !self.windows.is_empty() {
            drawing.rectangle((MARGIN_LEFT + 250.0, y - 6.0), (22.0, 12.0), WINDOW);
            drawing.text((MARGIN_LEFT + 278.0, y + 4.0), "key", Anchor::Start, "labelled window");
        }
    }

    fn panel(&self, drawing: &mut Drawing, panel: &Panel, top: f64) {
        let (x, y) = scales(panel, top);
        let (head, bottom) = (top + PANEL_HEAD, top + PANEL_HEIGHT - PANEL_FOOT);
        for window in &self.windows {
            let (from, to) = (x.position(window.start as f64), x.position(window.end as f64 - 1.0));
            // A window of one row is a line, and must be seen.
            drawing.rectangle((from, head), ((to - from).max(1.0), bottom - head), WINDOW);
        }
        drawing.text((MARGIN_LEFT, top + 18.0), "key", Anchor::Start, &panel.title);
        axes(drawing, (&x, &y), top, self.times.as_deref());
        if self.first > 0 {
            let at = x.position(self.first as f64);
            drawing.line((at, head), (at, bottom), NOW);
            drawing.text((at + 4.0, head + 10.0), "tick", Anchor::Start, "judged from here");
        }
        let points: Vec<_> = panel.observed.iter().map(|&(row, value)| (row as f64, value)).collect();
        let place = |(row, value): (f64, f64)| (x.position(row), y.position(value));
        let line: Vec<_> = thinned(&points, POINTS_MAX).into_iter().map(place).collect();
        drawing.polyline(&line, Stroke { width: 1.0, ..TRUTH });
        for &alarm in &self.alarms {
            let found = panel.observed.binary_search_by_key(&alarm, |&(row, _)| row);
            if let Ok(found) = found {
                mark(drawing, place(points[found]));
            }
        }
    }
}

fn mark(drawing: &mut Drawing, (x, y): (f64, f64)) {
    drawing.rectangle((x - MARK, y - MARK), (2.0 * MARK, 2.0 * MARK), ALARM);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_shaded_and_alarms_marked() {
        let panel = Panel {
            title: "<pressure>".to_owned(),
            observed: (0..5000).map(|row| (row, f64::from(row as u32 % 17))).collect(),
            ..Panel::default()
        };
        let picture = AlarmsPicture {
            title: "pump".to_owned(),
            note: "linear".to_owned(),
            panels: vec![panel.clone(), panel],
            windows: vec![10..20, 4000..4001],
            alarms: vec![12, 4000, 9999],
            first: 5,
            times: None,
        };
        let svg = picture.to_svg();
        // The key has one of each; each panel has two windows and those alarms that lie on its line.
        assert_eq!(svg.matches(WINDOW).count(), 1 + 2 * 2);
        assert_eq!(svg.matches(ALARM).count(), 1 + 2 * 2);
        assert_eq!(svg.matches("judged from here").count(), 2);
        assert!(svg.contains("&lt;pressure&gt;") && !svg.contains("NaN"), "{svg}");
        assert!(svg.len() < 120_000, "{} bytes", svg.len());
    }
}
