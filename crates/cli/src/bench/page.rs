//! A run as a page with charts.

use super::show::{PROMISES, Run};
use super::tally::Latencies;
use crate::failure;
use crate::output::figure as number;
use crate::plot::{Axis, Chart, Mark, Ticks, Tone};
use crate::report::Page;
use crate::report::figure::{Card, Figure, Grade, Key, facts};
use spinwell_runtime::files::write_atomically;
use std::path::Path;

/// Points of the curve of latencies, from half of all requests to all but one in 100,000.
const CURVE_POINTS: usize = 120;
/// Nines at the curve's right end.
const NINES: f64 = 5.0;

/// Writes the page.
pub(crate) fn write(run: &Run, path: &Path) -> anyhow::Result<()> {
    write_atomically(path, page(run).as_bytes()).map_err(|error| failure::io(path, "writing", &error))
}

fn page(run: &Run) -> String {
    let title = format!("{} over {}", run.subject.name, run.protocol.as_str());
    let sections = [
        ("latency", "Latency", curve(&run.tally.answered).markup()),
        ("time", "Over time", over_time(run)),
        ("run", "Run", facts(&facts_of(run))),
    ];
    Page {
        brand: "spinwell bench",
        title: &title,
        subtitle: &format!("{}; {}", run.offered(), run.request()),
        notices: String::new(),
        summary: &summary(run),
        cards: &cards(run),
        sections: &sections,
    }
    .markup()
}

fn summary(run: &Run) -> String {
    let tally = &run.tally;
    let (refused, failed) = (tally.refused.count(), tally.failed_count());
    let in_part = match tally.failed_in_part {
        0 => String::new(),
        some => format!(", {some} of them in part"),
    };
    format!(
        "{} requests a second were answered for {} seconds, half of them within {} ms and 99 % within {} ms; {refused} were \
         refused for now, {failed} failed{in_part}.",
        number(run.rate_answered()),
        number(run.elapsed.as_secs_f64()),
        number(tally.answered.quantile(0.5)),
        number(tally.answered.quantile(0.99)),
    )
}

fn cards(run: &Run) -> Vec<Card> {
    let mut cards: Vec<Card> = PROMISES
        .iter()
        .map(|&(name, share, promise)| {
            let latency = run.tally.answered.quantile(share);
            let promised = format!("promised: below {promise} ms");
            let (grade, note) = match run.tally.answered.keep(share, promise) {
                Some(true) => (Grade::Good, promised),
                Some(false) => (Grade::Bad, promised),
                None => (Grade::Plain, format!("{promised}; too few requests to tell")),
            };
            Card { name, value: format!("{} ms", number(latency)), grade, note }
        })
        .collect();
    let failed = run.tally.failed_count();
    let all = run.tally.measured();
    let share = failed as f64 / all.max(1) as f64;
    cards.push(Card {
        name: "failed",
        value: failed.to_string(),
        grade: if failed == 0 { Grade::Good } else { Grade::Bad },
        note: format!("{} % of {all} requests", number(share * 100.0)),
    });
    cards
}

/// Latency by the share of requests that it is not exceeded by, on an axis of nines.
fn curve(latencies: &Latencies) -> Figure {
    let first = 0.5_f64.log10().abs();
    let nines = |place: usize| first + (NINES - first) * place as f64 / CURVE_POINTS as f64;
    let at = |nines: f64| latencies.quantile(1.0 - 10_f64.powf(-nines));
    let points: Vec<(f64, f64)> = (0..=CURVE_POINTS).map(|place| (nines(place), at(nines(place)))).collect();
    let promised: Vec<(f64, f64)> =
        PROMISES.iter().map(|&(_, share, promise)| (-(1.0 - share).log10(), promise)).collect();
    let highest = points.last().map_or(1.0, |last| last.1);
    let labels: Vec<(f64, String)> =
        [(first, "50 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %"), (5.0, "99.999 %")]
            .map(|(place, text)| (place, text.to_owned()))
            .to_vec();
    // The promises only where they do not flatten the curve.
    let top = if highest > 20.0 { highest.max(210.0) } else { highest * 1.1 };
    let promised: Vec<_> = promised.into_iter().filter(|(_, promise)| *promise <= top).collect();
    let mut keys = vec![Key::line(Tone::Forecast, "latency")];
    if !promised.is_empty() {
        keys.push(Key::dashes(Tone::Guide, "promised"));
    }
    let chart = Chart {
        label: "Latency by share of requests".to_owned(),
        x: Axis { title: "share of requests".to_owned(), ends: (first, NINES), ticks: Ticks::At(&labels) },
        y: Axis { title: "ms".to_owned(), ends: (0.0, top.max(0.001)), ticks: Ticks::Numbers },
        marks: vec![Mark::Dashes(Tone::Guide, promised), Mark::Line(Tone::Forecast, points)],
    };
    Figure::wide(
        "Latency by share of requests".to_owned(),
        "So many requests were answered within this time, counted from when they were due. Each step to the right is a \
         tenth of the requests before."
            .to_owned(),
        keys,
        &chart,
    )
}

/// What was answered in each second, and how soon.
fn over_time(run: &Run) -> String {
    // A part of a second would look like a collapse; where that is all there is, it is better than nothing.
    let whole = run.whole_seconds().clamp(1, run.tally.seconds.len().max(1));
    let seconds = &run.tally.seconds[..whole.min(run.tally.seconds.len())];
    let last = seconds.len().max(2) as f64;
    let line = |of: fn(&super::tally::Second) -> f64| -> Vec<(f64, f64)> {
        seconds.iter().enumerate().map(|(second, figures)| (second as f64 + 1.0, of(figures))).collect()
    };
    let top = |lines: &[&Vec<(f64, f64)>]| {
        lines.iter().flat_map(|line| line.iter()).map(|point| point.1).fold(1e-3, f64::max) * 1.1
    };
    let axis =
        |title: &str, end: f64| Axis { title: title.to_owned(), ends: (0.0, end), ticks: Ticks::Numbers };
    let time = || Axis { title: "second".to_owned(), ends: (1.0, last), ticks: Ticks::Whole };
    let (answered, failed) =
        (line(|second| second.answered as f64), line(|second| (second.refused + second.failed) as f64));
    let (p50, p99, longest) =
        (line(|second| second.p50), line(|second| second.p99), line(|second| second.max));
    let throughput = Chart {
        label: "Requests a second over time".to_owned(),
        x: time(),
        y: axis("requests/s", top(&[&answered, &failed])),
        marks: vec![Mark::Line(Tone::Truth, answered), Mark::Line(Tone::Forecast, failed)],
    };
    let latency = Chart {
        label: "Latency over time".to_owned(),
        x: time(),
        y: axis("ms", top(&[&longest])),
        marks: vec![
            Mark::Dashes(Tone::Guide, longest),
            Mark::Line(Tone::Forecast, p99),
            Mark::Line(Tone::Truth, p50),
        ],
    };
    let throughput = Figure::half(
        "Throughput".to_owned(),
        "Requests answered, and refused or failed, in each second.".to_owned(),
        vec![Key::line(Tone::Truth, "answered"), Key::line(Tone::Forecast, "refused or failed")],
        &throughput,
    );
    let latency = Figure::half(
        "Latency".to_owned(),
        "Of the requests that were answered in each second.".to_owned(),
        vec![
            Key::line(Tone::Truth, "P50"),
            Key::line(Tone::Forecast, "P99"),
            Key::dashes(Tone::Guide, "longest"),
        ],
        &latency,
    );
    format!("<div class=\"grid halves\">\n{}{}</div>\n", throughput.markup(), latency.markup())
}

fn facts_of(run: &Run) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("server", run.url.clone()),
        ("protocol", run.protocol.as_str().to_owned()),
        ("load", run.offered()),
        ("request", run.request()),
        ("measured", format!("{} s", number(run.elapsed.as_secs_f64()))),
        ("answered", run.tally.answered.count().to_string()),
        ("predictions", run.tally.predictions.to_string()),
    ];
    facts.extend(run.tally.failures.iter().map(|(code, count)| ("failed", format!("{count} {code}"))));
    if let Some(counted) = run.server_counted {
        facts.push(("counted by the server", counted.to_string()));
    }
    facts
}
