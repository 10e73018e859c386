//! Which pictures the commands draw.

use crate::failure;
use crate::plot::{Panel, Picture, Predicted};
use spinwell_core::{Code, Fault};
use spinwell_engine::Model;
use spinwell_engine::backtest::{Evaluation, Point};
use spinwell_engine::data::{Moment, Table};
use spinwell_runtime::files::write_atomically;
use std::path::Path;

/// Rows of the panel that follows the last horizon over time: more would be a blur.
const FOLLOWED_ROWS: usize = 700;

/// Checks a plot's path before long work begins.
pub(crate) fn check_path(path: Option<&Path>) -> anyhow::Result<()> {
    check("--plot", path, "svg", "plots are SVG files, such as forecast.svg")
}

/// Checks a report's path before long work begins.
pub(crate) fn check_report_path(path: Option<&Path>) -> anyhow::Result<()> {
    check("--report", path, "html", "reports are HTML files, such as report.html")
}

fn check(option: &str, path: Option<&Path>, extension: &str, kind: &str) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let invalid = |what: &str| {
        Err(Fault::new(Code::OptionInvalid, format!("{option} {}: {what}", path.display())).into())
    };
    if path.extension().is_none_or(|found| !found.eq_ignore_ascii_case(extension)) {
        return invalid(kind);
    }
    if path.parent().is_some_and(|folder| folder != Path::new("") && !folder.is_dir()) {
        return invalid("there is no such folder");
    }
    Ok(())
}

/// A data file's name as a title wants it, without its folder.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Writes a picture.
pub(crate) fn write(picture: &Picture, path: &Path) -> anyhow::Result<()> {
    write_svg(&picture.to_svg(), path)
}

/// Writes a drawing.
pub(crate) fn write_svg(svg: &str, path: &Path) -> anyhow::Result<()> {
    write_atomically(path, svg.as_bytes()).map_err(|error| failure::io(path, "writing", &error))
}

/// Short labels of all rows and of some beyond the last, where the file has times.
pub(crate) fn times(table: &Table, beyond: usize) -> Option<Vec<String>> {
    let times = table.times.as_ref()?;
    let spacing = table.spacing();
    let last = *times.last()?;
    let known = times.iter().copied().map(Some);
    let future = (1..=beyond).map(|steps| spacing.and_then(|spacing| last.after(spacing, steps)));
    Some(known.chain(future).map(|moment| moment.map_or_else(String::new, short)).collect())
}

/// A time without what every tick repeats: the seconds, and midnight.
fn short(moment: Moment) -> String {
    let text = moment.to_string();
    match moment {
        Moment::Civil(_) => {
            let minutes = text.strip_suffix(":00").unwrap_or(&text);
            minutes.strip_suffix(" 00:00").unwrap_or(minutes).to_owned()
        }
        Moment::Number(_) => text,
    }
}

fn predicted(point: &Point) -> Predicted {
    let scored = &point.scored;
    Predicted { row: point.row, forecast: scored.forecast, lower: scored.lower, upper: scored.upper }
}

/// The newest forecast with its truth, and the last horizon followed over the end of the scored rows.
pub(crate) fn evaluation(
    title: &str,
    model: &Model,
    table: &Table,
    evaluation: &Evaluation,
    note: String,
) -> Picture {
    let column = &table.columns[0];
    let mut panels = Vec::new();
    if let (Some(first), true) = (evaluation.last_path.first(), model.horizon() > 1) {
        let origin = first.row - 1;
        let from = origin.saturating_sub((4 * model.horizon()).max(96));
        let to = origin + model.horizon();
        panels.push(Panel {
            title: format!("One forecast of {} rows, and what came", model.horizon()),
            observed: (from..=to).map(|row| (row, column[row])).collect(),
            predicted: evaluation.last_path.iter().map(predicted).collect(),
            origin: Some(origin),
        });
    }
    let followed = &evaluation.points[evaluation.points.len().saturating_sub(FOLLOWED_ROWS)..];
    let (plural, ahead) =
        if model.horizon() == 1 { ("", "1".to_owned()) } else { ("s", model.horizon().to_string()) };
    panels.push(Panel {
        title: format!("Forecasts made {ahead} row{plural} ahead, one after the other"),
        observed: followed.iter().map(|point| (point.row, point.scored.truth)).collect(),
        predicted: followed.iter().map(predicted).collect(),
        origin: None,
    });
    Picture { title: title.to_owned(), note, coverage: model.coverage(), panels, times: times(table, 0) }
}

/// One forecast into the unknown, of the first target.
pub(crate) fn forecast(
    title: &str,
    coverage: f64,
    table: &Table,
    steps: &[Predicted],
    note: String,
) -> Picture {
    let rows = table.rows();
    let from = rows.saturating_sub((4 * steps.len()).clamp(96, 2000));
    let panel = Panel {
        title: format!("The next {} rows of {}", steps.len(), table.names[0]),
        observed: (from..rows).map(|row| (row, table.columns[0][row])).collect(),
        predicted: steps.to_vec(),
        origin: Some(rows - 1),
    };
    Picture { title: title.to_owned(), note, coverage, panels: vec![panel], times: times(table, steps.len()) }
}
