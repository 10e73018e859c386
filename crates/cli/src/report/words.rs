//! What a report says in words and tables: sentences, cards, terms.

use super::charts::ahead;
use super::diagnosis::{Diagnosis, Naive, Step, telling_steps};
use super::figure::{Card, Grade};
use super::{Case, Seen};
use crate::output::{figure, is_defined, parameters, percent, without_zeros};
use spinwell_engine::backtest::Mode;
use spinwell_engine::metrics::{Figures, Reliability, plausible};
use spinwell_engine::train::Score;

/// Rows of the table of errors by rows ahead.
const STEPS_TOLD: usize = 8;

/// How the table of baselines is read.
pub(super) const BASELINES_HOW: &str = "A model earns its place by the distance between its row and the others: naive forecasts cost nothing. Best at \
     the smallest NRMSE, RMSE, MAE, MASE and sMAPE, and the largest R2.";

/// The terms of a report.
pub(super) const TERMS: [(&str, &str); 10] = [
    ("RMSE, MAE", "root mean squared and mean absolute error, in the data's units"),
    (
        "NRMSE",
        "RMSE divided by the standard deviation of the truths: 0 is perfect, 1 is as bad as their mean",
    ),
    ("MASE", "MAE divided by that of the seasonal naive forecast on the rows before the scored ones"),
    ("R2", "share of the truths' variance that the forecasts explain"),
    (
        "skill (last), skill (season)",
        "share of error saved against repeating the last value, or the last season",
    ),
    ("coverage", "share of truths inside the interval"),
    ("worst 200", "the lowest coverage of 200 consecutive forecasts of the last horizon"),
    (
        "effective n",
        "how many independent forecasts would fix the coverage as well: forecasts that overlap repeat each other",
    ),
    ("width", "mean width of the interval, in the data's units"),
    (
        "interval score",
        "width and misses in one, in standard deviations of the truths (Gneiting & Raftery 2007); smaller is better",
    ),
];

/// A number with its thousands set apart.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The share of truths that intervals promise to hold.
fn promised(case: &Case) -> String {
    format!("{} %", without_zeros(case.model.coverage() * 100.0))
}

/// The coverages that are plausible, given how many independent forecasts there are.
pub(crate) fn coverage_range(case: &Case, diagnosis: &Diagnosis) -> (f64, f64) {
    plausible(case.evaluation.overall.coverage, diagnosis.coverage_effective_n)
}

/// The first and the last row scored, counted from 0.
pub(crate) fn scored_rows(case: &Case) -> (usize, usize) {
    let first_step = if case.plan.score == Score::Path { 1 } else { case.model.horizon() };
    let first = case.evaluation.origins.first().map_or(0, |origin| origin + first_step);
    let last = case.evaluation.origins.last().map_or(0, |origin| origin + case.model.horizon());
    (first, last)
}

/// Which rows, how, and how far ahead.
pub(super) fn subtitle(case: &Case) -> String {
    let (first, last) = scored_rows(case);
    let time = |row: usize| Some(case.table.times.as_ref()?.get(row)?.to_string());
    let times = match (time(first), time(last)) {
        (Some(first), Some(last)) => format!(" ({first} to {last})"),
        _ => String::new(),
    };
    let mode = match case.plan.mode {
        Mode::Stream => "row by row".to_owned(),
        Mode::Window(rows) => format!("as cold windows of {} rows", grouped(rows)),
    };
    format!(
        "{} model, {}: rows {} to {}{times} of {}, counted from 0, fed {mode}",
        case.model.family(),
        ahead(case.model.horizon()),
        grouped(first),
        grouped(last),
        grouped(case.table.rows())
    )
}

/// The outcome in three sentences.
pub(super) fn summary(case: &Case, diagnosis: &Diagnosis) -> String {
    let figures = &case.evaluation.overall;
    let spread = match is_defined(figures.nrmse) {
        true => format!(", {} of the series' own spread", percent(figures.nrmse)),
        false => String::new(),
    };
    let of = match case.model.targets().len() {
        1 => String::new(),
        several => format!(", in the mean of {several} targets"),
    };
    let mut text = format!(
        "Over {} forecasts the typical error is {}{spread}{of}. ",
        grouped(case.evaluation.scored * case.model.targets().len()),
        figure(figures.rmse)
    );
    let against = |skill: f64, naive: &str| match skill {
        skill if !is_defined(skill) => format!("not to be compared with {naive}"),
        skill if skill >= 0.0 => format!("{} less than {naive}", percent(skill)),
        skill => format!("{} more than {naive}", percent(-skill)),
    };
    text += &format!("That is {}", against(figures.skill_persistence, "repeating the last value"));
    if case.model.season() > 1 {
        text += &format!(" and {}", against(figures.skill_seasonal, "repeating the last season"));
    }
    let (low, high) = coverage_range(case, diagnosis);
    text += &format!(
        ". Intervals that promise {} held {} of what came ({} to {}, allowing for chance).",
        promised(case),
        percent(figures.coverage),
        percent(low),
        percent(high)
    );
    text
}

/// What a reader must know before believing the figures.
pub(super) fn notices(case: &Case) -> Vec<String> {
    let mut notices = Vec::new();
    if case.seen == Seen::InTraining {
        notices.push(
            "The model was trained on this very file: these are errors on rows it has seen, and better than it will do on new \
             ones. `spinwell backtest` scores rows that training has not seen."
                .to_owned(),
        );
    }
    if !case.model.is_calibrated() {
        notices.push(
            "Training had too few rows to calibrate the intervals at this level: take them as a rough guide."
                .to_owned(),
        );
    }
    notices.extend(case.table.notes.iter().cloned());
    notices
}

/// The figures that matter most.
pub(super) fn cards(case: &Case, diagnosis: &Diagnosis) -> Vec<Card> {
    let figures = &case.evaluation.overall;
    let mut cards = vec![Card {
        name: "NRMSE",
        value: figure(figures.nrmse),
        grade: if figures.nrmse < 1.0 { Grade::Plain } else { Grade::Bad },
        note: format!("RMSE {}; 0 is perfect, 1 is as bad as the mean", figure(figures.rmse)),
    }];
    let skill = |name, skill: f64, against: &str| Card {
        name,
        value: if is_defined(skill) { format!("{:+.1} %", 100.0 * skill) } else { "-".to_owned() },
        grade: if skill > 0.0 { Grade::Good } else { Grade::Bad },
        note: format!("{} error than {against}", if skill > 0.0 { "less" } else { "no less" }),
    };
    cards.push(skill("Skill, last value", figures.skill_persistence, "repeating it"));
    if case.model.season() > 1 {
        let rows = format!("repeating the value {} rows before", case.model.season());
        cards.push(skill("Skill, last season", figures.skill_seasonal, &rows));
    }
    cards.push(coverage_card(case, diagnosis));
    let promised = case.model.coverage();
    cards.push(Card {
        name: "Worst 200 in a row",
        value: percent(figures.coverage_worst_200),
        grade: match promised - figures.coverage_worst_200 {
            gap if gap <= 0.07 => Grade::Good,
            gap if gap <= 0.15 => Grade::Doubtful,
            _ => Grade::Bad,
        },
        note: "lowest coverage of 200 consecutive forecasts".to_owned(),
    });
    let found = &diagnosis.reliability;
    cards.push(Card {
        name: "Direction right",
        value: percent(found.observed()),
        grade: if found.expected_calibration_error <= 0.05 { Grade::Good } else { Grade::Doubtful },
        note: format!("stated confidence is off by {}", percent(found.expected_calibration_error)),
    });
    cards
}

fn coverage_card(case: &Case, diagnosis: &Diagnosis) -> Card {
    let (covered, promised) = (case.evaluation.overall.coverage, case.model.coverage());
    let (low, high) = coverage_range(case, diagnosis);
    let (grade, verdict) = match promised {
        promised if promised > high => (Grade::Bad, "too narrow"),
        promised if promised < low => (Grade::Doubtful, "wider than needed"),
        _ => (Grade::Good, "as promised"),
    };
    let note = format!(
        "{verdict}: {} promised; worth {} independent forecasts",
        self::promised(case),
        grouped(diagnosis.coverage_effective_n.round() as usize)
    );
    Card { name: "Coverage", value: percent(covered), grade, note }
}

/// The model beside the naive forecasts.
pub(super) fn baselines(case: &Case, diagnosis: &Diagnosis) -> Vec<Vec<String>> {
    let heads = ["forecast", "NRMSE", "RMSE", "MAE", "MASE", "sMAPE", "R2"];
    let row = |name: &str, f: &Figures| {
        let figures = [f.nrmse, f.rmse, f.mae, f.mase, f.smape, f.r2].map(figure);
        [name.to_owned()].into_iter().chain(figures).collect::<Vec<_>>()
    };
    let mut rows = vec![
        heads.map(str::to_owned).to_vec(),
        row("this model", &case.evaluation.overall),
        row("last value", &diagnosis.naive.persistence),
    ];
    if case.model.season() > 1 {
        rows.push(row("last season", &diagnosis.naive.seasonal));
    }
    rows
}

/// Errors by rows ahead, at a few that tell most, and over all.
pub(crate) fn by_horizon(case: &Case, diagnosis: &Diagnosis) -> Vec<Vec<String>> {
    let heads = ["rows ahead", "NRMSE", "last value", "last season", "MAE", "coverage"];
    let line = |name: String, ours: &Figures, naive: &Naive| {
        let figures = [ours.nrmse, naive.persistence.nrmse, naive.seasonal.nrmse, ours.mae].map(figure);
        [name].into_iter().chain(figures).chain([percent(ours.coverage)]).collect::<Vec<_>>()
    };
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for step in telling_steps(case.model.horizon(), STEPS_TOLD) {
        let Step { step, ours, naive } = &diagnosis.by_horizon[step - 1];
        rows.push(line(step.to_string(), ours, naive));
    }
    if case.plan.score == Score::Path && case.model.horizon() > 1 {
        rows.push(line("all".to_owned(), &case.evaluation.overall, &diagnosis.naive));
    }
    rows
}

/// The reliability table.
pub(crate) fn reliability(found: &Reliability) -> Vec<Vec<String>> {
    let mut rows = vec![["confidence", "forecasts", "mean said", "right"].map(str::to_owned).to_vec()];
    rows.extend(found.bins.iter().map(|bin| {
        vec![
            format!("{} to {} %", without_zeros(bin.low * 100.0), without_zeros(bin.high * 100.0)),
            grouped(bin.count),
            percent(bin.predicted),
            percent(bin.observed),
        ]
    }));
    rows
}

/// The model's choices and where it came from.
pub(super) fn model(case: &Case) -> Vec<(&'static str, String)> {
    let model = &case.model;
    let rows = |rows: Option<usize>| rows.map_or_else(|| "more than 1,000".to_owned(), grouped);
    let forgets = model.contraction();
    let mut facts = vec![("model", case.title.clone()), ("family", model.family().to_string())];
    if !model.family().is_naive() {
        facts.push(("choices", parameters(model.spec())));
    }
    facts.extend([
        ("hash (SHA-256)", model.hash().to_string()),
        ("numeric profile", model.profile().as_str().to_owned()),
        ("horizon", format!("{} rows", grouped(model.horizon()))),
        (
            "season",
            if model.season() > 1 { format!("{} rows", grouped(model.season())) } else { "none".to_owned() },
        ),
        ("interval", promised(case)),
        (
            "window",
            format!(
                "at least {} rows, {} recommended",
                grouped(model.window_min()),
                grouped(model.window_recommended())
            ),
        ),
        (
            "contraction",
            format!(
                "its start is forgotten to 1e-3 after {} rows, to 1e-6 after {}",
                rows(forgets.to_1e3),
                rows(forgets.to_1e6)
            ),
        ),
        ("targets", model.targets().join(", ")),
        ("channels it hears", model.channels().join(", ")),
        ("data", format!("{}, {} rows", case.file, grouped(case.table.rows()))),
        ("data (SHA-256)", case.data_sha256.clone()),
        (
            "seen in training",
            match case.seen {
                Seen::InTraining => "yes, this very file".to_owned(),
                Seen::NotThisFile => "not this file".to_owned(),
                Seen::Unknown => "unknown: there is no card beside the model".to_owned(),
            },
        ),
    ]);
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::signed;

    #[test]
    fn thousands_are_set_apart() {
        let wanted = ["0", "999", "1,000", "10,320", "1,234,567"];
        assert_eq!([0, 999, 1000, 10_320, 1_234_567].map(grouped), wanted);
        assert_eq!([signed(0.5), signed(-0.25), signed(f64::MIN)], ["+0.500", "-0.250", "-"]);
    }
}
