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
}

fn joined<'p>(points: impl Iterator<Item = &'p (f64, f64)>) -> String {
    let mut text = String::new();
    for (x, y) in points {
        write!(text, "{x:.1},{y:.1} ").expect("writing to a string does not fail");
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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
    }
}
