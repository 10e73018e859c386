//! `spinwell adapt`: a model that has also learned from newer rows, as the next version.
//!
//! Nothing learned in service changes a model. This command is how one follows its series without a new search: the
//! readout goes on learning from the rows of a file, and the result is a version of its own, published only if it
//! forecasts the newest of those rows no worse than the model it comes from.

use crate::models::{self, Found, Saved};
use crate::output::{self, figure, remark, say};
use crate::report::Seen;
use crate::train::unix_seconds;
use crate::training_args::read_data;
use crate::{evaluate, failure};
use serde_json::{Value, json};
use spinwell_core::{Code, Fault, ModelName, ModelVersion};
use spinwell_engine::adapt::Adaptation;
use spinwell_engine::backtest::{self, Mode, Plan, Units};
use spinwell_engine::data::Table;
use spinwell_engine::metrics::Figures;
use spinwell_engine::train::Score;
use spinwell_engine::{AnyModel, Model};
use std::path::{Path, PathBuf};

/// Share of the new rows that decide whether the result is published.
const DECIDING: f64 = 0.25;

/// Options of `spinwell adapt`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The file holds the columns the model was trained on; rows before --from only warm the model up. First the model learns
from the first three quarters of the new rows and is compared with itself as it was on the last quarter; if it is no
worse, it learns from all of them and becomes the next version. Else nothing is written, `spinwell train` on all rows is
the better answer, and the exit status is 0 all the same: --json says `published`.

Examples:
  spinwell adapt demand newer.csv
  spinwell adapt demand:2 newer.csv --from 5000 --forgetting 0.9995 --json")]
pub(crate) struct Args {
    /// Model: NAME or NAME:VERSION. The result is the next version of NAME.
    model: String,
    /// CSV file with the columns the model was trained on.
    data: PathBuf,
    /// Folder of models.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/models")]
    models: PathBuf,
    /// The first row to learn from [default: the first that the model can forecast from].
    #[arg(long, value_name = "ROW")]
    from: Option<usize>,
    /// What the model has learned so far counts as much as so many rows.
    #[arg(long, value_name = "ROWS", default_value_t = Adaptation::default().inertia)]
    inertia: f64,
    /// Weight of the past per row: 0.999 looks back about a thousand rows, 1 for ever.
    #[arg(long, value_name = "L", default_value_t = Adaptation::default().forgetting)]
    forgetting: f64,
    /// Print one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

/// Learns, compares, and saves what is no worse.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (name, _) = models::named(&args.model)?;
    let Found { model, title } = models::find(&args.model, &args.models)?;
    let AnyModel::Forecaster(model) = model else {
        let text = format!("{title} is no forecaster, and only forecasters follow new rows; train it again");
        return Err(Fault::new(Code::TaskMismatch, text).into());
    };
    let data = read_data(&args.data, &evaluate::columns(&model))?;
    data.table.notes.iter().for_each(|note| remark(&format!("note: {note}")));
    let seen = evaluate::seen((&args.model, &args.models), &title, model.hash(), &data.hash);
    if seen == Seen::InTraining && args.from.is_none() {
        let text = format!(
            "{title} has learned from {} already, and would count its rows twice: give newer rows, or --from where they begin",
            args.data.display()
        );
        return Err(Fault::new(Code::OptionInvalid, text).into());
    }
    let rows = data.table.rows();
    let from = args.from.unwrap_or(model.window_min().max(1) - 1);
    let deciding = rows - (rows.saturating_sub(from) as f64 * DECIDING) as usize;
    let how = Adaptation { inertia: args.inertia, forgetting: args.forgetting };
    let adapted =
        |table: &Table| model.adapted(table, from, &how).map_err(|error| failure::fault(error.code(), error));
    let early = adapted(&data.table.first_rows(deciding))?;
    let (before, after) = (scored(&model, &data.table, deciding)?, scored(&early, &data.table, deciding)?);
    // In training deviations: rows that happen not to move would make any NRMSE infinite, and both equal.
    let is_no_worse = after.rmse <= before.rmse;
    let mut document = json!({
        "name": name.as_str(),
        "adapted_from": model.hash().to_string(),
        "task": "forecast",
        "family": model.family().as_str(),
        "rows_learned": rows - from,
        "rows_deciding": rows - deciding,
        "rmse_before": before.rmse,
        "rmse_after": after.rmse,
        "nrmse_before": before.nrmse,
        "nrmse_after": after.nrmse,
        "inertia": how.inertia,
        "forgetting": how.forgetting,
        "data_sha256": data.hash,
        "published": is_no_worse,
    });
    let saved =
        if is_no_worse { Some(publish(args, &name, &adapted(&data.table)?, &mut document)?) } else { None };
    if args.json {
        output::document(&document);
        return Ok(());
    }
    say(&format!(
        "{title} on the newest {} rows of {}: NRMSE {} as it was, {} after learning from the {} rows before them",
        rows - deciding,
        args.data.display(),
        figure(before.nrmse),
        figure(after.nrmse),
        deciding - from
    ));
    say(&match saved {
        Some(saved) => format!("saved {name}:{} as {}", saved.version, saved.path.display()),
        None => {
            "nothing was saved: it does not gain from these rows; `spinwell train` searches anew".to_owned()
        }
    });
    Ok(())
}

/// Saves the model as the next version and completes its card.
fn publish(args: &Args, name: &ModelName, model: &Model, document: &mut Value) -> anyhow::Result<Saved> {
    document["model_hash"] = json!(model.hash().to_string());
    document["cost"] = output::cost_json(model.cost());
    document["created_unix_seconds"] = json!(unix_seconds());
    let card = |version: ModelVersion, path: &Path| {
        let mut card = document.clone();
        card["version"] = json!(version.0);
        card["path"] = json!(path.display().to_string());
        card
    };
    let saved = models::save(&args.models, name, &model.to_bytes(), |version, path| {
        serde_json::to_string_pretty(&card(version, path)).expect("a JSON value is serialisable")
    })?;
    *document = card(saved.version, &saved.path);
    Ok(saved)
}

/// Errors of forecasts of rows from `first` on, fed row by row from the first, in deviations of the rows before.
fn scored(model: &Model, table: &Table, first: usize) -> anyhow::Result<Figures> {
    let plan = Plan {
        train_end: first,
        test_start: first,
        test_end: table.rows(),
        score: Score::Path,
        mode: Mode::Stream,
        stride: 1,
        units: Units::TrainingDeviations,
    };
    let evaluation = backtest::evaluate(model, table, &plan)
        .map_err(|error| failure::fault(Code::SeriesTooShort, error))?;
    Ok(evaluation.overall)
}
