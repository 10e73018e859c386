//! A forecast as a table for people and as one JSON document for scripts.

use super::Answer;
use crate::output::{self, aligned, figure};
use serde_json::{Map, Value, json};
use spinwell_engine::Forecast;

/// Rows up to which a table also says where each forecast points: a longer one is skimmed, not read.
const DIRECTIONS_ROWS_MAX: usize = 48;

/// The JSON document.
pub(super) fn document(answer: &Answer, times: &[Option<String>]) -> Value {
    let count = answer.targets.len();
    let row = |(step, time): (usize, &Option<String>)| {
        let target = |(k, name): (usize, &String)| (name.clone(), values(&answer.forecast, step * count + k));
        let targets: Map<String, Value> = answer.targets.iter().enumerate().map(target).collect();
        json!({"step": step + 1, "time": time, "targets": targets})
    };
    json!({
        "model": answer.title,
        "family": answer.family,
        "model_hash": answer.model_hash,
        "window": answer.window,
        "coverage": answer.coverage,
        "forecast": times.iter().enumerate().map(row).collect::<Vec<_>>(),
    })
}

fn values(forecast: &Forecast, at: usize) -> Value {
    json!({
        "forecast": forecast.forecast[at],
        "lower": forecast.lower[at],
        "upper": forecast.upper[at],
        "direction": forecast.direction.get(at),
        "confidence": forecast.confidence.get(at),
    })
}

/// The table.
pub(super) fn text(answer: &Answer, times: &[Option<String>]) -> String {
    let (count, forecast) = (answer.targets.len(), &answer.forecast);
    let has_directions = times.len() <= DIRECTIONS_ROWS_MAX && !forecast.direction.is_empty();
    let mut heads = vec!["time".to_owned()];
    for target in &answer.targets {
        heads.extend([target.clone(), "lower".to_owned(), "upper".to_owned()]);
        heads.extend(has_directions.then(|| "direction".to_owned()));
    }
    let mut rows = vec![heads];
    for (step, time) in times.iter().enumerate() {
        let mut row = vec![time.clone().unwrap_or_else(|| format!("+{}", step + 1))];
        for at in step * count..(step + 1) * count {
            let values = [forecast.forecast[at], forecast.lower[at], forecast.upper[at]];
            row.extend(values.map(|value| figure(f64::from(value))));
            row.extend(has_directions.then(|| direction(forecast, at)).flatten());
        }
        rows.push(row);
    }
    format!(
        "model {} ({}), from the newest {} rows, {} % interval\n{}",
        answer.title,
        answer.family,
        answer.window,
        output::without_zeros(answer.coverage * 100.0),
        aligned(&rows)
    )
}

/// Where a forecast points from the last observed value, and how likely the truth goes there too.
fn direction(forecast: &Forecast, at: usize) -> Option<String> {
    let arrow = match forecast.direction.get(at)? {
        ..0 => '↓',
        0 => '→',
        1.. => '↑',
    };
    Some(format!("{arrow} {:>3.0} %", forecast.confidence.get(at)? * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_engine::data::Table;

    fn answer(steps: usize) -> Answer {
        let directions = [1, -1, 0].into_iter().cycle();
        Answer {
            title: "taxi:1".to_owned(),
            family: "echo".to_owned(),
            model_hash: "ab".to_owned(),
            targets: vec!["value".to_owned()],
            coverage: 0.95,
            time_column: None,
            table: Table {
                names: vec!["value".to_owned()],
                columns: vec![vec![1.0; 9]],
                times: None,
                missing: Vec::new(),
                notes: Vec::new(),
            },
            window: 9,
            forecast: Forecast {
                forecast: vec![2.0; steps],
                lower: vec![1.0; steps],
                upper: vec![3.0; steps],
                direction: directions.take(steps).collect(),
                confidence: [1.0, 0.555, 0.5].into_iter().cycle().take(steps).collect(),
                activity: None,
            },
        }
    }

    #[test]
    fn a_short_table_points_and_a_long_one_does_not() {
        let shown = text(&answer(3), &vec![None; 3]);
        let lines: Vec<&str> = shown.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "  time  value  lower  upper  direction",
                "  +1    2.000  1.000  3.000    ↑ 100 %",
                "  +2    2.000  1.000  3.000    ↓  56 %",
                "  +3    2.000  1.000  3.000    →  50 %",
            ]
        );
        let rows = DIRECTIONS_ROWS_MAX + 1;
        assert!(!text(&answer(rows), &vec![None; rows]).contains("direction"));
    }

    #[test]
    fn the_document_always_holds_direction_and_confidence() {
        let rows = DIRECTIONS_ROWS_MAX + 1;
        let long = document(&answer(rows), &vec![None; rows]);
        let last = &long["forecast"][rows - 1]["targets"]["value"];
        assert_eq!((&last["direction"], &last["confidence"]), (&json!(1), &json!(1.0)));
        let mut old = answer(1);
        old.forecast.direction.clear();
        old.forecast.confidence.clear();
        let value = &document(&old, &[None])["forecast"][0]["targets"]["value"];
        assert_eq!((&value["direction"], &value["upper"]), (&Value::Null, &json!(3.0)));
        assert!(!text(&old, &[None]).contains("direction"));
    }
}
