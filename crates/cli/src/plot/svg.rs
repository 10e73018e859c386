//! The few SVG elements a line chart is made of. A writer of our own, because the maintained chart crates either
//! draw through a browser or have stood still for two years; see docs/adr.

use std::fmt::Write as _;

/// A drawing in progress.
#[derive(Debug)]
pub(super) struct Drawing {
    body: String,
    width: f64,
    height: f64,
}

/// Where a text is anchored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    const fn as_str(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stroke {
    pub(super) colour: &'static str,
    pub(super) width: f64,
}

impl Drawing {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { body: String::new(), width, height }
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), class: &str, anchor: Anchor, text: &str) {
        let anchor = anchor.as_str();
        let text = escaped(text);
        self.push(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" class="{class}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), stroke: Stroke) {
        let Stroke { colour, width } = stroke;
        self.push(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}" stroke-width="{width}"/>"#
        ));
    }

    pub(super) fn polyline(&mut self, points: &[(f64, f64)], stroke: Stroke) {
        let Stroke { colour, width } = stroke;
        let points = joined(points.iter());
        self.push(format_args!(
            r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>"#
        ));
    }

    /// The area between two lines over the same x positions.
    pub(super) fn band(&mut self, lower: &[(f64, f64)], upper: &[(f64, f64)], colour: &str) {
        let points = joined(upper.iter().chain(lower.iter().rev()));
        self.push(format_args!(r#"<polygon points="{points}" fill="{colour}" stroke="none"/>"#));
    }

    pub(super) fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
        self.push(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{colour}"/>"#
        ));
    }

    /// A line through points, painted as its class says.
    pub(super) fn path(&mut self, points: &[(f64, f64)], class: &str) {
        let points = joined(points.iter());
        self.push(format_args!(r#"<polyline class="{class}" points="{points}"/>"#));
    }

    /// The area between two lines over the same x positions, painted as its class says.
    pub(super) fn area(&mut self, lower: &[(f64, f64)], upper: &[(f64, f64)], class: &str) {
        let points = joined(upper.iter().chain(lower.iter().rev()));
        self.push(format_args!(r#"<polygon class="{class}" points="{points}"/>"#));
    }

    /// A disc that says `note` when it is pointed at.
    pub(super) fn disc(&mut self, (x, y): (f64, f64), radius: f64, class: &str, note: &str) {
        let note = escaped(note);
        self.push(format_args!(
            r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius:.1}"><title>{note}</title></circle>"#
        ));
    }

    /// A bar between two corners that says `note` when it is pointed at.
    pub(super) fn bar(&mut self, a: (f64, f64), b: (f64, f64), class: &str, note: &str) {
        let (x, y, note) = (a.0.min(b.0), a.1.min(b.1), escaped(note));
        let (width, height) = ((a.0 - b.0).abs(), (a.1 - b.1).abs());
        self.push(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"><title>{note}</title></rect>"#
        ));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("writing to a string does not fail");
    }

    pub(super) fn finish(self) -> String {
        let Self { body, width, height } = self;
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
<style>text{{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#334155}} .title{{font-size:17px;font-weight:600;fill:#0f172a}} .note{{font-size:12.5px;fill:#64748b}} .tick{{font-size:11.5px;fill:#64748b}} .key{{font-size:12.5px}}</style>
<rect width="{width}" height="{height}" fill="#ffffff"/>
{body}</svg>
"##
        )
    }

    /// The drawing as a part of a page: as wide as its place, with the page's fonts and colours.
    pub(super) fn finish_part(self, class: &str, label: &str) -> String {
        let Self { body, width, height } = self;
        let label = escaped(label);
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\n{body}</svg>\n"
        )
    }
}

fn joined<'p>(points: impl Iterator<Item = &'p (f64, f64)>) -> String {
    let mut text = String::new();
    for (x, y) in points {
        write!(text, "{x:.1},{y:.1} ").expect("writing to a string does not fail");
    }
    text
}

/// Text that means nothing to a reader of markup, neither between tags nor in quotes.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_files_cannot_break_the_drawing() {
        let mut drawing = Drawing::new(10.0, 10.0);
        drawing.text((0.0, 0.0), "tick", Anchor::Start, "<script>&");
        let svg = drawing.finish();
        assert!(svg.contains("&lt;script&gt;&amp;") && !svg.contains("<script>"));
        let part = Drawing::new(1.0, 1.0).finish_part("wide", "\" onload=\"x");
        assert!(part.contains("aria-label=\"&quot; onload=&quot;x\""), "{part}");
    }
}
