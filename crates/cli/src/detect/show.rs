//! Alarms as tables for people, as JSON for scripts, and as a picture.

use super::{Alarm, Count, Judged};
use crate::output::{aligned, figure, number, without_zeros};
use crate::pictures;
use crate::plot::{AlarmsPicture, Panel};
use serde_json::{Map, Value, json};
use spinwell_engine::detect::{Detector, Events};
use std::path::Path;

/// Alarms in a JSON document: a year of them is no answer any more, and their number stands beside.
const ALARMS_MAX: usize = 500;
/// Alarms in a table for people.
const ALARMS_SHOWN: usize = 30;

/// At most so many alarms, those with the highest scores, in the order of their rows.
fn foremost(mut alarms: Vec<Alarm>, most: usize) -> Vec<Alarm> {
    alarms.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.row.cmp(&b.row)));
    alarms.truncate(most);
    alarms.sort_by_key(|alarm| alarm.row);
    alarms
}

/// Figures under the names of the contract. Those of windows are absent where no labels are given.
pub(super) fn figures_json(judged: &Judged<'_>, detector: &Detector) -> Map<String, Value> {
    let (count, alarms) = (judged.count(), judged.alarms());
    let mut figures = Map::new();
    if let Some(Events { windows_detected, windows_total, false_events }) = judged.events() {
        figures.insert("windows_detected".to_owned(), json!(windows_detected));
        figures.insert("windows_total".to_owned(), json!(windows_total));
        figures.insert("false_events".to_owned(), json!(false_events));
    }
    let alarm = |alarm: &Alarm| {
        let mut document = Map::new();
        document.insert("row".to_owned(), json!(alarm.row));
        if let Some(time) = time(judged, alarm.row) {
            document.insert("time".to_owned(), json!(time));
        }
        document.insert("score".to_owned(), json!(alarm.score));
        if let Some(inside) = judged.is_inside(alarm.row) {
            document.insert("in_window".to_owned(), json!(inside));
        }
        Value::Object(document)
    };
    let more = [
        ("first_row", json!(judged.first)),
        ("rows_scored", json!(count.judged)),
        ("anomalies", json!(count.anomalies)),
        ("anomaly_share", count.share().map_or(Value::Null, number)),
        ("alpha", json!(detector.alpha())),
        ("alarms_total", json!(alarms.len())),
        ("alarms", foremost(alarms, ALARMS_MAX).iter().map(alarm).collect()),
    ];
    figures.extend(more.map(|(name, value)| (name.to_owned(), value)));
    figures
}

/// A count for the card.
pub(super) fn count_json(count: Count, rows: usize) -> Value {
    json!({
        "rows": rows,
        "rows_scored": count.judged,
        "anomalies": count.anomalies,
        "anomaly_share": count.share().map_or(Value::Null, number),
    })
}

fn time(judged: &Judged<'_>, row: usize) -> Option<String> {
    judged.table.times.as_ref().map(|times| times[row].to_string())
}

/// How many rows were called anomalies, beside what was promised.
pub(super) fn called(count: Count, alpha: f64) -> String {
    let share = count.share().map_or_else(|| "-".to_owned(), percent);
    format!(
        "{} of {} rows called anomalies, {share}; at most {} of usual rows are promised",
        count.anomalies,
        count.judged,
        percent(alpha)
    )
}

/// A share that may be small.
fn percent(share: f64) -> String {
    match share * 100.0 {
        small if small > 0.0 && small < 1e-3 => format!("{small:.1e} %"),
        percent => format!("{} %", without_zeros(percent)),
    }
}

/// What the alarms were worth, where that is known.
pub(super) fn worth(judged: &Judged<'_>) -> Option<String> {
    judged.events().map(|Events { windows_detected, windows_total, false_events }| {
        let events = if false_events == 1 { "event" } else { "events" };
        format!(
            "{windows_detected} of {windows_total} labelled windows detected, {false_events} false {events}"
        )
    })
}

/// The alarms, one a line.
pub(super) fn alarms(judged: &Judged<'_>, detector: &Detector) -> String {
    let all = judged.alarms();
    if all.is_empty() {
        return "no row was called an anomaly".to_owned();
    }
    let more = all.len().saturating_sub(ALARMS_SHOWN);
    let mut heads = vec!["row".to_owned()];
    heads.extend(judged.table.times.is_some().then(|| "time".to_owned()));
    heads.extend(detector.targets().iter().cloned());
    heads.push("score".to_owned());
    heads.extend(judged.labels.is_some().then(|| "in a window".to_owned()));
    let mut rows = vec![heads];
    for Alarm { row, score } in foremost(all, ALARMS_SHOWN) {
        let mut cells = vec![row.to_string()];
        cells.extend(time(judged, row));
        let target = |target: usize| match judged.table.is_missing(target, row) {
            true => "-".to_owned(),
            false => figure(judged.table.columns[target][row]),
        };
        cells.extend((0..detector.targets().len()).map(target));
        cells.push(figure(score));
        cells.extend(judged.is_inside(row).map(|inside| if inside { "yes" } else { "no" }.to_owned()));
        rows.push(cells);
    }
    let mut text = aligned(&rows);
    if more > 0 {
        text += &format!("\n  and {more} more with lower scores");
    }
    text
}

/// Draws the judged file.
pub(super) fn draw(judged: &Judged<'_>, detector: &Detector, data: &Path, to: &Path) -> anyhow::Result<()> {
    let table = judged.table;
    let panel = |(target, name): (usize, &String)| {
        let known = (0..table.rows()).filter(|&row| !table.is_missing(target, row));
        let observed = known.map(|row| (row, table.columns[target][row])).collect();
        Panel { title: name.clone(), observed, ..Panel::default() }
    };
    let figures = [Some(called(judged.count(), detector.alpha())), worth(judged)];
    let figures: Vec<String> = figures.into_iter().flatten().collect();
    let picture = AlarmsPicture {
        title: format!("Anomalies of {}", pictures::file_name(data)),
        note: format!("{}: {}", detector.forecaster().family(), figures.join("; ")),
        panels: detector.targets().iter().enumerate().map(panel).collect(),
        windows: judged.windows(),
        alarms: judged.alarms().iter().map(|alarm| alarm.row).collect(),
        first: judged.first,
        times: pictures::times(table, 0),
    };
    pictures::write_svg(&picture.to_svg(), to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_foremost_alarms_keep_the_order_of_their_rows() {
        let alarms: Vec<Alarm> = [3.0, 9.0, 1.0, 9.0, 5.0]
            .into_iter()
            .enumerate()
            .map(|(row, score)| Alarm { row, score })
            .collect();
        let rows = |most| foremost(alarms.clone(), most).iter().map(|alarm| alarm.row).collect::<Vec<_>>();
        assert_eq!((rows(3), rows(9)), (vec![1, 3, 4], vec![0, 1, 2, 3, 4]));
    }

    #[test]
    fn small_shares_keep_their_digits() {
        assert_eq!([5e-4, 0.0, 1e-7, 0.25].map(percent), ["0.05 %", "0 %", "1.0e-5 %", "25 %"]);
        let text = called(Count { judged: 2000, anomalies: 1 }, 5e-4);
        assert!(text.starts_with("1 of 2000 rows called anomalies, 0.05 %; at most 0.05 %"), "{text}");
    }
}
