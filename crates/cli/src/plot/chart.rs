//! Charts for a page: axes and a few kinds of marks, as SVG that takes fonts and colours from the page around it.
//!
//! A chart is data; how large it is drawn is chosen last, so that one page can hold a wide drawing for screens and
//! paper and a narrow one for phones, whose text stays readable. A line that has more points than its drawing can show
//! is thinned to the lowest and highest of each stretch: peaks survive, and a page stays small.

use super::scale::{self, Scale};
use super::svg::{Anchor, Drawing};

/// Room for the labels of values.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
/// Room for the title of the y axis.
const TOP: f64 = 26.0;
/// Room for the labels of ticks, and for the title of the x axis below them.
const BOTTOM: f64 = 26.0;
const TITLE: f64 = 16.0;
/// Half the width of a letter at the size that labels are set in.
const HALF_LETTER: f64 = 3.3;

/// One chart.
#[derive(Debug, Clone)]
pub(crate) struct Chart<'t> {
    /// What it shows, for those who cannot see it.
    pub(crate) label: String,
    /// The horizontal axis.
    pub(crate) x: Axis<'t>,
    /// The vertical axis.
    pub(crate) y: Axis<'t>,
    /// What is drawn, from back to front.
    pub(crate) marks: Vec<Mark>,
}

/// An axis.
#[derive(Debug, Clone)]
pub(crate) struct Axis<'t> {
    /// What it measures.
    pub(crate) title: String,
    /// Its ends.
    pub(crate) ends: (f64, f64),
    /// How its ticks are labelled.
    pub(crate) ticks: Ticks<'t>,
}

/// How ticks are labelled.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ticks<'t> {
    /// As numbers.
    Numbers,
    /// As numbers, at whole ones only.
    Whole,
    /// As percentages.
    Shares,
    /// As the times of rows.
    Times(&'t [String]),
    /// Where and as what they are told.
    At(&'t [(f64, String)]),
}

/// Something drawn.
#[derive(Debug, Clone)]
pub(crate) enum Mark {
    /// The area from low to high: (x, low, high).
    Band(Tone, Vec<(f64, f64, f64)>),
    /// A line.
    Line(Tone, Vec<(f64, f64)>),
    /// A dashed line.
    Dashes(Tone, Vec<(f64, f64)>),
    /// Discs.
    Spots(Tone, Vec<Place>),
    /// Bars from zero: `x` in the middle, `size` wide in the units of the x axis.
    Bars(Tone, Vec<Place>),
    /// A dashed line across, with its text.
    Level(f64, String),
    /// A dashed line from top to bottom, with its text.
    Moment(f64, String),
}

/// A disc or bar.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// Where.
    pub(crate) x: f64,
    /// How high.
    pub(crate) y: f64,
    /// The ends of a whisker.
    pub(crate) whisker: Option<(f64, f64)>,
    /// The radius in pixels, or a bar's width.
    pub(crate) size: f64,
    /// What it says when it is pointed at.
    pub(crate) note: String,
}

/// What a mark stands for; the page gives it a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// What came.
    Truth,
    /// What was forecast.
    Forecast,
    /// The interval of a forecast.
    Interval,
    /// The last value, repeated.
    Persistence,
    /// The value one season ago.
    Seasonal,
    /// What should be, or what chance does.
    Guide,
}

impl Tone {
    /// The class of its marks.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Tone::Truth => "truth",
            Tone::Forecast => "forecast",
            Tone::Interval => "interval",
            Tone::Persistence => "persistence",
            Tone::Seasonal => "seasonal",
            Tone::Guide => "guide",
        }
    }
}

/// How large a chart is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Across a page.
    Wide,
    /// Across a phone, in place of the wide one.
    Narrow,
    /// Beside another one; across a phone.
    Half,
    /// Beside two others; across a phone.
    Third,
}

impl Size {
    const fn extent(self) -> (f64, f64) {
        match self {
            Size::Wide => (1040.0, 300.0),
            Size::Narrow => (400.0, 280.0),
            Size::Half => (480.0, 290.0),
            Size::Third => (346.0, 250.0),
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Size::Wide => "chart wide",
            Size::Narrow => "chart narrow",
            Size::Half | Size::Third => "chart",
        }
    }

    /// Labels below the x axis; more would run into each other, and times are long.
    const fn ticks(self, ticks: Ticks<'_>) -> usize {
        match (self, ticks) {
            (Size::Wide, _) => 8,
            (Size::Third, Ticks::Times(_)) => 3,
            (_, Ticks::Times(_)) | (Size::Third, _) => 4,
            _ => 6,
        }
    }

    /// Points of a line; more would not be seen.
    const fn points(self) -> usize {
        match self {
            Size::Wide => 1000,
            Size::Narrow | Size::Half | Size::Third => 400,
        }
    }
}

impl Chart<'_> {
    /// The chart as an `svg` element.
    pub(crate) fn draw(&self, size: Size) -> String {
        let (width, height) = size.extent();
        let bottom = height - BOTTOM - if self.x.title.is_empty() { 0.0 } else { TITLE };
        let canvas = Canvas {
            x: Scale::new(self.x.ends, (LEFT, width - RIGHT)),
            y: Scale::new(self.y.ends, (bottom, TOP)),
            size,
            bottom,
        };
        let mut drawing = Drawing::new(width, height);
        self.axes(&mut drawing, &canvas);
        self.marks.iter().for_each(|mark| canvas.mark(&mut drawing, mark));
        drawing.finish_part(size.class(), &self.label)
    }

    fn axes(&self, drawing: &mut Drawing, canvas: &Canvas) {
        let (width, height) = canvas.size.extent();
        let bottom = canvas.bottom;
        drawing.text((0.0, 14.0), "axis", Anchor::Start, &self.y.title);
        drawing.text(
            (f64::midpoint(LEFT, width - RIGHT), height - 6.0),
            "axis",
            Anchor::Middle,
            &self.x.title,
        );
        for (value, label) in self.y.ticks.labels(&canvas.y, 6) {
            let at = canvas.y.position(value);
            drawing.path(&[(LEFT, at), (width - RIGHT, at)], "rule");
            drawing.text((LEFT - 7.0, at + 4.0), "", Anchor::End, &label);
        }
        for (value, label) in self.x.ticks.labels(&canvas.x, canvas.size.ticks(self.x.ticks)) {
            let at = canvas.x.position(value);
            drawing.path(&[(at, bottom), (at, bottom + 4.0)], "tick");
            let half = label.chars().count() as f64 * HALF_LETTER;
            let (at, anchor) = match (at - half < 2.0, at + half > width - 2.0) {
                (true, _) => (2.0, Anchor::Start),
                (_, true) => (width - 2.0, Anchor::End),
                _ => (at, Anchor::Middle),
            };
            drawing.text((at, bottom + 17.0), "", anchor, &label);
        }
    }
}

impl Ticks<'_> {
    fn labels(self, axis: &Scale, most: usize) -> Vec<(f64, String)> {
        let ticks = || axis.ticks(most).into_iter();
        match self {
            Ticks::Numbers => ticks().map(|tick| (tick, scale::label(tick))).collect(),
            Ticks::Whole => {
                ticks().filter(|tick| tick.fract() == 0.0).map(|tick| (tick, scale::label(tick))).collect()
            }
            Ticks::Shares => {
                ticks().map(|tick| (tick, format!("{} %", scale::label(tick * 100.0)))).collect()
            }
            Ticks::Times(times) => {
                let rows = scale::time_ticks(times, axis, most).into_iter();
                rows.map(|(row, time)| (row as f64, time)).collect()
            }
            Ticks::At(places) => places.to_vec(),
        }
    }
}

/// Where things are drawn.
struct Canvas {
    x: Scale,
    y: Scale,
    size: Size,
    /// Where the x axis lies.
    bottom: f64,
}

impl Canvas {
    /// A position inside the frame, whatever the value: nothing is drawn over the labels.
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let inside = |axis: &Scale, value: f64| {
            let (low, high) = axis.ends();
            axis.position(value.max(low).min(high))
        };
        (inside(&self.x, x), inside(&self.y, y))
    }

    fn places(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        thinned(points, self.size.points()).iter().map(|&(x, y)| self.place(x, y)).collect()
    }

    fn mark(&self, drawing: &mut Drawing, mark: &Mark) {
        let right = self.size.extent().0 - RIGHT;
        match mark {
            Mark::Band(tone, points) => {
                let points = thinned_band(points, self.size.points() / 2);
                let lower: Vec<_> = points.iter().map(|&(x, low, _)| self.place(x, low)).collect();
                let upper: Vec<_> = points.iter().map(|&(x, _, high)| self.place(x, high)).collect();
                drawing.area(&lower, &upper, &format!("area {}", tone.as_str()));
            }
            Mark::Line(tone, points) => {
                drawing.path(&self.places(points), &format!("line {}", tone.as_str()));
            }
            Mark::Dashes(tone, points) => {
                drawing.path(&self.places(points), &format!("line dashes {}", tone.as_str()));
            }
            Mark::Spots(tone, spots) => spots.iter().for_each(|spot| self.spot(drawing, *tone, spot)),
            Mark::Bars(tone, bars) => bars.iter().for_each(|bar| self.bar(drawing, *tone, bar)),
            Mark::Level(value, text) => {
                let at = self.y.position(*value);
                drawing.path(&[(LEFT, at), (right, at)], "line dashes guide");
                drawing.text((right - 4.0, at - 6.0), "note", Anchor::End, text);
            }
            Mark::Moment(row, text) => {
                let at = self.x.position(*row);
                drawing.path(&[(at, TOP), (at, self.bottom)], "line dashes guide");
                drawing.text((at - 5.0, TOP + 10.0), "note", Anchor::End, text);
            }
        }
    }

    fn spot(&self, drawing: &mut Drawing, tone: Tone, spot: &Place) {
        if let Some((low, high)) = spot.whisker {
            let ends = [self.place(spot.x, low), self.place(spot.x, high)];
            drawing.path(&ends, &format!("whisker {}", tone.as_str()));
        }
        let class = format!("spot {}", tone.as_str());
        drawing.disc(self.place(spot.x, spot.y), spot.size, &class, &spot.note);
    }

    fn bar(&self, drawing: &mut Drawing, tone: Tone, bar: &Place) {
        let half = bar.size / 2.0;
        let (from, to) = (self.place(bar.x - half, 0.0), self.place(bar.x + half, bar.y));
        drawing.bar(from, to, &format!("area {}", tone.as_str()), &bar.note);
    }
}

/// At most about `most` points of a line: the lowest and the highest of each stretch, in their order.
pub(super) fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    if points.len() <= most {
        return points.to_vec();
    }
    let stretch = (2 * points.len()).div_ceil(most.max(2));
    let ends = |stretch: &[(f64, f64)]| {
        let order = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let lowest = stretch.iter().min_by(order).copied();
        let highest = stretch.iter().max_by(order).copied();
        let (lowest, highest) = (lowest.unwrap_or_default(), highest.unwrap_or_default());
        if lowest.0 <= highest.0 { [lowest, highest] } else { [highest, lowest] }
    };
    let mut kept: Vec<(f64, f64)> = points.chunks(stretch).flat_map(ends).collect();
    kept.dedup();
    kept
}

/// At most about `most` points of a band: the outline of each stretch, at its middle.
fn thinned_band(points: &[(f64, f64, f64)], most: usize) -> Vec<(f64, f64, f64)> {
    if points.len() <= most {
        return points.to_vec();
    }
    let outline = |stretch: &[(f64, f64, f64)]| {
        let low = stretch.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let high = stretch.iter().map(|point| point.2).fold(f64::NEG_INFINITY, f64::max);
        (f64::midpoint(stretch[0].0, stretch[stretch.len() - 1].0), low, high)
    };
    points.chunks(points.len().div_ceil(most.max(1))).map(outline).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_peaks_the_order_and_short_lines() {
        let mut line: Vec<(f64, f64)> = (0..10_000).map(|x| (f64::from(x), f64::from(x % 7))).collect();
        line[4321].1 = 99.0;
        line[8765].1 = -99.0;
        let kept = thinned(&line, 400);
        assert!(kept.len() <= 400 && kept.contains(&(4321.0, 99.0)) && kept.contains(&(8765.0, -99.0)));
        assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(thinned(&line[..400], 400), line[..400]);
        let band: Vec<_> = line.iter().map(|&(x, y)| (x, y - 1.0, y + 1.0)).collect();
        let kept = thinned_band(&band, 200);
        assert!(kept.len() <= 200 && kept.iter().any(|p| p.2 == 100.0) && kept.iter().any(|p| p.1 == -100.0));
        assert!(thinned(&[], 4).is_empty() && thinned_band(&[], 4).is_empty());
    }

    #[test]
    fn a_chart_draws_its_marks_and_escapes_its_words() {
        let spot =
            Place { x: 1.0, y: 0.5, whisker: Some((0.4, 0.6)), size: 4.0, note: "<5 & more".to_owned() };
        let bar = Place { x: 2.0, y: -0.5, size: 0.8, ..Place::default() };
        let axis = |ends| Axis { title: "a < b".to_owned(), ends, ticks: Ticks::Numbers };
        let chart = Chart {
            label: "\"quoted\"".to_owned(),
            x: axis((0.0, 3.0)),
            y: Axis { ticks: Ticks::Shares, ..axis((-1.0, 1.0)) },
            marks: vec![
                Mark::Band(Tone::Interval, vec![(0.0, 0.0, 1.0), (3.0, 0.0, 1.0)]),
                Mark::Line(Tone::Truth, vec![(0.0, 0.0), (3.0, 1.0)]),
                Mark::Dashes(Tone::Seasonal, vec![(0.0, 0.0), (3.0, 1.0)]),
                Mark::Spots(Tone::Forecast, vec![spot]),
                Mark::Bars(Tone::Persistence, vec![bar]),
                Mark::Level(0.95, "promised".to_owned()),
                Mark::Moment(1.5, "now".to_owned()),
            ],
        };
        for size in [Size::Wide, Size::Narrow, Size::Half, Size::Third] {
            let svg = chart.draw(size);
            for part in
                ["aria-label=\"&quot;quoted&quot;\"", "a &lt; b", "&lt;5 &amp; more", "50 %", "promised"]
            {
                assert!(svg.contains(part), "{part}: {svg}");
            }
            for class in
                ["area interval", "line truth", "line dashes seasonal", "spot forecast", "area persistence"]
            {
                assert_eq!(svg.matches(&format!("class=\"{class}\"")).count(), 1, "{class}");
            }
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
        }
    }
}
