//! The report of an evaluation: one HTML file that says how good a model is and lets a reader see why.
//!
//! It holds everything it shows, asks nothing of any host and runs no script, so it can be mailed, printed and read in
//! ten years. The same evaluation gives the same bytes. `diagnosis` computes, `charts` draws, `figure` marks up, and
//! here it is decided what stands on the page and what it says.

mod charts;
mod diagnosis;
mod examples;
pub(crate) mod figure;
mod words;

pub(crate) use diagnosis::{Diagnosis, Step};
pub(crate) use words::{by_horizon, coverage_range, grouped, reliability as reliability_table, scored_rows};

use crate::output::{figure as number, percent, signed};
use crate::plot::escaped;
use crate::{failure, pictures};
use charts::Charts;
use spinwell_engine::Model;
use spinwell_engine::backtest::{Evaluation, Plan};
use spinwell_engine::data::Table;
use spinwell_engine::metrics::{Figures, Scored};
use spinwell_runtime::files::write_atomically;
use std::path::Path;

/// Targets that get a chart of their own; the table holds all.
const CHARTED_TARGETS: usize = 4;
/// Rows of the table of targets; a file of a thousand columns is not read as a table.
const TABLED_TARGETS: usize = 200;

/// What was evaluated, and what came out.
#[derive(Debug)]
pub(crate) struct Case {
    /// The model.
    pub(crate) model: Model,
    /// How to call it.
    pub(crate) title: String,
    /// The data file's name.
    pub(crate) file: String,
    /// The SHA-256 of the data file.
    pub(crate) data_sha256: String,
    /// The data: targets first, then inputs.
    pub(crate) table: Table,
    /// Which rows were scored and how.
    pub(crate) plan: Plan,
    /// How the model did.
    pub(crate) evaluation: Evaluation,
    /// Whether training saw these rows.
    pub(crate) seen: Seen,
}

/// Whether training saw the rows that were scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The card beside the model names this very file.
    InTraining,
    /// The card names another file, which may still hold some of these rows.
    NotThisFile,
    /// There is no card.
    Unknown,
}

impl Case {
    /// The name of a target.
    pub(crate) fn target(&self, target: usize) -> &str {
        &self.model.targets()[target]
    }

    /// The forecast made at the origin of index `at` for `step` rows later, beside what the data holds there.
    pub(crate) fn compared(&self, at: usize, step: usize, target: usize) -> Scored {
        let (origin, forecast) = (self.evaluation.origins[at], &self.evaluation.forecasts[at]);
        let (column, season) = (&self.table.columns[target], self.model.season());
        let output = (step - 1) * self.model.targets().len() + target;
        let season_before = (origin + step).checked_sub(season * step.div_ceil(season));
        Scored {
            truth: column[origin + step],
            forecast: f64::from(forecast.forecast[output]),
            lower: f64::from(forecast.lower[output]),
            upper: f64::from(forecast.upper[output]),
            last: column[origin],
            seasonal: season_before.map_or(column[origin], |row| column[row]),
        }
    }

    /// The same, where there is a truth.
    pub(crate) fn scored(&self, at: usize, step: usize, target: usize) -> Option<Scored> {
        let row = self.evaluation.origins[at] + step;
        (!self.table.is_missing(target, row)).then(|| self.compared(at, step, target))
    }
}

/// Writes the report.
pub(crate) fn write(case: &Case, diagnosis: &Diagnosis, path: &Path) -> anyhow::Result<()> {
    write_atomically(path, page(case, diagnosis).as_bytes())
        .map_err(|error| failure::io(path, "writing", &error))
}

/// The whole page.
fn page(case: &Case, diagnosis: &Diagnosis) -> String {
    let times = pictures::times(&case.table, 0);
    let charts = Charts { case, diagnosis, times: times.as_deref() };
    let title = format!("{} on {}", case.title, case.file);
    let sections = [
        ("forecasts", "Forecasts", forecasts(&charts)),
        ("error", "Error", error(&charts)),
        ("intervals", "Intervals", intervals(&charts)),
        ("checks", "Directions and errors", checks(&charts)),
        ("targets", "Figures", targets(case, diagnosis)),
        ("model", "Model", figure::facts(&words::model(case))),
    ];
    Page {
        brand: "spinwell evaluation",
        title: &title,
        subtitle: &words::subtitle(case),
        notices: notices(case),
        summary: &words::summary(case, diagnosis),
        cards: &words::cards(case, diagnosis),
        sections: &sections,
    }
    .markup()
}

/// A report that stands alone: what it is, what came out in a sentence and in cards, and sections with charts.
pub(crate) struct Page<'p> {
    /// What kind of report it is.
    pub(crate) brand: &'p str,
    /// What it is of.
    pub(crate) title: &'p str,
    /// What else was given.
    pub(crate) subtitle: &'p str,
    /// What must be known first, as markup.
    pub(crate) notices: String,
    /// What came out.
    pub(crate) summary: &'p str,
    /// The figures that matter most.
    pub(crate) cards: &'p [figure::Card],
    /// Anchor, heading and markup of each section.
    pub(crate) sections: &'p [(&'p str, &'p str, String)],
}

impl Page<'_> {
    /// The page as HTML.
    pub(crate) fn markup(&self) -> String {
        let links: String =
            self.sections.iter().map(|(id, name, _)| format!("<a href=\"#{id}\">{name}</a>\n")).collect();
        let section = |(id, name, body): &(&str, &str, String)| {
            format!("<section id=\"{id}\">\n<h2>{name}</h2>\n{body}</section>\n")
        };
        format!(
            include_str!("page.html"),
            brand = self.brand,
            title = escaped(self.title),
            style = include_str!("style.css"),
            heading = escaped(self.title),
            subtitle = escaped(self.subtitle),
            links = links,
            summary = escaped(self.summary),
            notices = self.notices,
            cards = self.cards.iter().map(figure::Card::markup).collect::<String>(),
            body = self.sections.iter().map(section).collect::<String>(),
            version = env!("CARGO_PKG_VERSION"),
        )
    }
}

fn notices(case: &Case) -> String {
    let notices = words::notices(case);
    notices.iter().map(|notice| format!("<p class=\"notice\">{}</p>\n", escaped(notice))).collect()
}

fn grid(class: &str, parts: &[String]) -> String {
    format!("<div class=\"grid {class}\">\n{}</div>\n", parts.concat())
}

fn forecasts(charts: &Charts<'_>) -> String {
    let examples = examples::examples(charts.case, charts.diagnosis);
    let examples: Vec<String> = examples.iter().map(|example| charts.example(example).markup()).collect();
    let followed = (0..charts.diagnosis.targets.len().min(CHARTED_TARGETS))
        .map(|target| charts.followed(target).markup())
        .collect::<String>();
    followed + &grid("thirds", &examples)
}

fn error(charts: &Charts<'_>) -> String {
    let baselines = format!(
        "<div class=\"panel\">\n<h3>Beside the naive forecasts</h3>\n{}<p class=\"caption\">{}</p>\n</div>\n",
        figure::table(&words::baselines(charts.case, charts.diagnosis)),
        escaped(words::BASELINES_HOW)
    );
    let pair = [charts.error_by_horizon().markup(), baselines];
    grid("halves", &pair) + &charts.error_over_time().markup()
}

fn intervals(charts: &Charts<'_>) -> String {
    let over_time = charts.coverage_over_time().markup();
    if charts.case.model.horizon() == 1 {
        return over_time;
    }
    let pair = [charts.coverage_by_horizon().markup(), charts.width_by_horizon().markup()];
    over_time + &grid("halves", &pair)
}

fn checks(charts: &Charts<'_>) -> String {
    let pair = [charts.reliability().markup(), charts.residuals().markup()];
    let table = figure::table(&words::reliability(&charts.diagnosis.reliability));
    let details =
        format!("<details>\n<summary>Confidence of directions, as a table</summary>\n{table}</details>\n");
    grid("halves", &pair) + &details
}

fn targets(case: &Case, diagnosis: &Diagnosis) -> String {
    let heads = [
        "target",
        "NRMSE",
        "RMSE",
        "MAE",
        "MASE",
        "R2",
        "skill (last)",
        "skill (season)",
        "coverage",
        "worst 200",
        "effective n",
        "width",
        "interval score",
    ];
    let row = |name: &str, f: &Figures, effective: f64| {
        vec![
            name.to_owned(),
            number(f.nrmse),
            number(f.rmse),
            number(f.mae),
            number(f.mase),
            number(f.r2),
            signed(f.skill_persistence),
            signed(f.skill_seasonal),
            percent(f.coverage),
            percent(f.coverage_worst_200),
            grouped(effective.round() as usize),
            number(f.width_mean),
            number(f.interval_score),
        ]
    };
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let each = case.model.targets().iter().zip(&case.evaluation.targets).zip(&diagnosis.targets);
    let each = each.take(TABLED_TARGETS);
    rows.extend(each.map(|((name, figures), target)| row(name, figures, target.coverage_effective_n)));
    if case.evaluation.targets.len() > 1 {
        rows.push(row("mean", &case.evaluation.overall, diagnosis.coverage_effective_n));
    }
    let terms = figure::facts(&words::TERMS.map(|(term, meaning)| (term, meaning.to_owned())));
    let terms = format!("<details>\n<summary>What the figures mean</summary>\n{terms}</details>\n");
    let ahead = match case.model.horizon() {
        1 => String::new(),
        _ => panel("By rows ahead", &by_horizon(case, diagnosis)),
    };
    panel("By target", &rows) + &ahead + &terms
}

fn panel(title: &str, rows: &[Vec<String>]) -> String {
    format!("<div class=\"panel\">\n<h3>{title}</h3>\n{}</div>\n", figure::table(rows))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use spinwell_engine::backtest::{Mode, Units, evaluate};
    use spinwell_engine::data::{Columns, read_csv};
    use spinwell_engine::settings::{Precision, Settings};
    use spinwell_engine::train::{Choice, Feeds, Folds, Options, Score, train};
    use spinwell_engine::{Family, Silent};
    use std::fmt::Write as _;

    fn waves(targets: usize, score: Score) -> Case {
        let mut csv = String::from("demand,\"<other>\"\n");
        for row in 0..400_u32 {
            let wave = (f64::from(row) * std::f64::consts::TAU / 12.0).sin();
            let grain = f64::from(row * 7919 % 101) / 101.0;
            writeln!(csv, "{},{}", 10.0 + 3.0 * wave + grain, 5.0 - wave + 0.5 * grain).unwrap();
        }
        let values = ["demand", "<other>"][..targets].iter().map(|&name| name.to_owned()).collect();
        let table = read_csv(csv.as_bytes(), &Columns { values, time: None }).unwrap();
        let options = Options {
            targets,
            feeds: Feeds::Everything,
            horizon: 3,
            season: Some(12),
            choice: Choice::Only(Family::Linear),
            settings: Settings::default(),
            precision: Precision::Auto,
            trials: 2,
            coverage: 0.9,
            seed: 42,
            score,
            time_column: None,
        };
        let model = train(&table, &Folds::inside(200), &options, &Silent).unwrap().model;
        let plan = Plan {
            train_end: 200,
            test_start: 200,
            test_end: 400,
            score,
            mode: Mode::Stream,
            stride: 1,
            units: Units::Data,
        };
        let evaluation = evaluate(&model, &table, &plan).unwrap();
        Case {
            model,
            title: "waves:1".to_owned(),
            file: "<waves>.csv".to_owned(),
            data_sha256: "0".repeat(64),
            table,
            plan,
            evaluation,
            seen: Seen::Unknown,
        }
    }

    /// A model of one wave on the rows after its training.
    pub(in crate::report) fn case(score: Score) -> Case {
        waves(1, score)
    }

    /// A model of two.
    pub(in crate::report) fn two_targets() -> Case {
        waves(2, Score::Path)
    }

    #[test]
    fn a_page_holds_its_figures_and_nothing_that_was_not_meant_as_markup() {
        for case in [case(Score::Path), two_targets()] {
            let diagnosis = Diagnosis::of(&case);
            let page = page(&case, &diagnosis);
            assert_eq!(page, super::page(&case, &diagnosis), "the same case gives the same bytes");
            assert!(
                page.contains("&lt;waves&gt;.csv") && !page.contains("<waves>") && !page.contains("<other>")
            );
            assert!(!page.contains("NaN") && !page.contains("inf\""), "a position is no number");
            for wanted in [number(case.evaluation.overall.nrmse), case.model.hash().to_string()] {
                assert!(page.contains(&wanted), "{wanted}");
            }
        }
    }

    #[test]
    fn what_was_seen_in_training_is_said() {
        let seen = Case { seen: Seen::InTraining, ..case(Score::Last) };
        assert!(words::notices(&seen)[0].contains("trained on this very file"));
    }
}
