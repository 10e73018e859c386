//! `spinwell model show`.

use super::entry::{Card, Entry, horizon, placed, size, trouble};
use crate::client::{Client, ModelRef};
use crate::connection::Connection;
use crate::failure;
use crate::models::{self, Located};
use crate::output::{self, cost_json, cost_line, say};
use serde_json::{Map, Value, json};
use spinwell_core::ModelVersion;
use spinwell_engine::AnyModel;
use std::path::PathBuf;

/// Options of `spinwell model show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A damaged file is shown as far as its card goes, and the command fails with the code of the damage.

Examples:
  spinwell model show taxi
  spinwell model show taxi:2 --models /srv/models --json
  spinwell model show ./taxi.spinwell
  spinwell model show taxi --url http://127.0.0.1:8000")]
pub(super) struct Args {
    /// Model: NAME, NAME:VERSION, or the path of a model file.
    model: String,
    /// Folder of models.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/models", conflicts_with = "url")]
    models: PathBuf,
    /// Ask a running server instead, such as http://127.0.0.1:8000.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// Print one JSON document with everything, the card included.
    #[arg(long)]
    json: bool,
}

/// Shows a model.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(url) = &args.url {
        return of_server(args, url);
    }
    let located = models::locate(&args.model, &args.models)?;
    let entry = Entry::read(&located.path);
    if args.json {
        output::document(&Value::Object(document(&located, &entry)));
    } else {
        say(&file_text(&located.title, &entry));
        if let Ok(model) = &entry.model {
            say(&model_text(model));
        }
        let figures = figures_text(&entry.card);
        if !figures.is_empty() {
            say(&figures);
        }
    }
    entry.model.map(|_| ()).map_err(Into::into)
}

/// Everything there is to say of a file, for scripts.
fn document(located: &Located, entry: &Entry) -> Map<String, Value> {
    let named =
        located.name.clone().or_else(|| placed(&entry.path).map(|(_, name, version)| (name, version)));
    let file = [
        ("name", json!(named.as_ref().map(|(name, _)| name.as_str()))),
        ("version", json!(named.as_ref().map(|(_, ModelVersion(version))| version))),
        ("path", json!(entry.path.display().to_string())),
        ("size_bytes", json!(entry.size)),
        ("model_hash", json!(entry.hash())),
        ("loadable", json!(entry.model.is_ok())),
        ("trouble", json!(entry.model.as_ref().err().map(trouble))),
        ("card_is_of_this_model", json!(entry.card_is_of_it())),
        ("card", if let Card::Read(card) = &entry.card { json!(card) } else { Value::Null }),
        ("card_trouble", if let Card::Unreadable(why) = &entry.card { json!(why) } else { Value::Null }),
    ];
    let mut all: Map<_, _> = file.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    if let Ok(model) = &entry.model {
        all.extend(facts(model));
    }
    all
}

/// What the file itself says of the model.
fn facts(model: &AnyModel) -> Map<String, Value> {
    let common = [
        ("task", json!(model.task())),
        ("family", json!(model.family())),
        ("channels", json!(model.channels())),
        ("time_column", json!(model.time_column())),
        ("horizon", horizon(model)),
        ("window_min", json!(model.window_min())),
        ("window_recommended", json!(model.window_recommended())),
        ("profile", json!(model.profile().as_str())),
        ("cost", cost_json(model.cost())),
    ];
    let own = match model {
        AnyModel::Forecaster(model) => vec![
            ("targets", json!(model.targets())),
            ("season", json!(model.season())),
            ("coverage_nominal", json!(model.coverage())),
            ("calibrated", json!(model.is_calibrated())),
        ],
        AnyModel::Classifier(classifier) => {
            vec![("labels", json!(classifier.labels())), ("features", json!(classifier.features()))]
        }
        AnyModel::Detector(detector) => vec![
            ("targets", json!(detector.targets())),
            ("season", json!(detector.forecaster().season())),
            ("alpha", json!(detector.alpha())),
        ],
    };
    let params = parameters(model).into_iter().map(|(key, value)| (key, Value::String(value)));
    let params = ("params", Value::Object(params.collect()));
    common.into_iter().chain(own).chain([params]).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The hyper-parameters, in their order.
fn parameters(model: &AnyModel) -> Vec<(String, String)> {
    let owned =
        |pairs: Vec<(&str, String)>| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    match model {
        AnyModel::Forecaster(model) => owned(model.spec().parameters()),
        AnyModel::Classifier(classifier) => classifier.parameters().to_vec(),
        AnyModel::Detector(detector) => owned(detector.forecaster().spec().parameters()),
    }
}

fn line(key: &str, value: &str) -> String {
    format!("  {key:<12} {value}")
}

/// The file, its checksum and its card.
fn file_text(title: &str, entry: &Entry) -> String {
    let bytes = entry.size.map_or_else(|| "missing".to_owned(), size);
    let whole = match &entry.model {
        Ok(_) => "whole: its checksum holds".to_owned(),
        Err(fault) => format!("cannot be loaded: {}", fault.code()),
    };
    let card = match (&entry.card, entry.card_is_of_it()) {
        (Card::None, _) => "none beside the file".to_owned(),
        (Card::Unreadable(why), _) => format!("unreadable: {why}"),
        (Card::Read(_), Some(true)) => "of this model".to_owned(),
        (Card::Read(_), Some(false)) => "OF ANOTHER MODEL: its figures are not of this one".to_owned(),
        (Card::Read(_), None) => "it cannot be told whether it is of this model".to_owned(),
    };
    let mut lines = vec![
        title.to_owned(),
        line("file", &format!("{} ({bytes})", entry.path.display())),
        line("state", &whole),
        line("card", &card),
    ];
    lines.extend(entry.hash().map(|hash| line("hash", &hash)));
    lines.join("\n")
}

/// What the model is and takes.
fn model_text(model: &AnyModel) -> String {
    let cost = model.cost();
    let mut lines = vec![
        line("task", model.task()),
        line("family", model.family()),
        line("channels", &model.channels().join(", ")),
    ];
    lines.extend(model.time_column().map(|column| line("time", &format!("rows in the order of {column}"))));
    match model {
        AnyModel::Forecaster(model) => {
            let how = if model.is_calibrated() { "calibrated" } else { "a rough guide: too few rows" };
            lines.push(line("targets", &model.targets().join(", ")));
            lines.push(line("horizon", &format!("{} rows, season {}", model.horizon(), model.season())));
            lines.push(line("intervals", &format!("{} ({how})", output::percent(model.coverage()))));
        }
        AnyModel::Classifier(classifier) => {
            lines.push(line("labels", &classifier.labels().join(", ")));
            lines.push(line("features", &classifier.features().to_string()));
        }
        AnyModel::Detector(detector) => {
            lines.push(line("targets", &detector.targets().join(", ")));
            lines.push(line("alpha", &detector.alpha().to_string()));
        }
    }
    let (least, best) = (model.window_min(), model.window_recommended());
    lines.push(line("window", &format!("{least} rows at least, {best} recommended")));
    lines.push(line("arithmetic", model.profile().as_str()));
    lines.push(line("cost", &cost_line(cost)));
    let pairs: Vec<String> = parameters(model).iter().map(|(key, value)| format!("{key}={value}")).collect();
    if !pairs.is_empty() {
        lines.push(line("parameters", &pairs.join(" ")));
    }
    lines.join("\n")
}

/// What the card says of rows or cases that were kept back.
fn figures_text(card: &Card) -> String {
    let number = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), output::figure);
    let share = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), output::percent);
    let (holdout, test) = (card.get("holdout"), card.get("test"));
    if test.is_object() {
        let (n, accuracy) = (&test["n"], share(&test["accuracy"]));
        return format!("on {n} test cases: accuracy {accuracy}, log loss {}", number(&test["log_loss"]));
    }
    if let Some(called) = holdout.get("anomaly_share") {
        let rows = &holdout["rows_scored"];
        return format!("on {rows} rows kept back: {} anomalies, {}", holdout["anomalies"], share(called));
    }
    if !holdout.is_object() {
        return String::new();
    }
    let heads = ["mode", "NRMSE", "MASE", "R2", "coverage", "worst 200", "width"].map(str::to_owned);
    let row = |mode: String, figures: &Value| {
        let mut row = vec![mode];
        row.extend(["nrmse", "mase", "r2"].map(|key| number(&figures[key])));
        row.extend(["coverage", "coverage_worst_200"].map(|key| share(&figures[key])));
        row.push(number(&figures["width_mean"]));
        row
    };
    let mut rows = vec![heads.to_vec(), row("as a stream".to_owned(), &holdout["stream"])];
    if holdout["window"].is_object() {
        rows.push(row(format!("as windows of {} rows", holdout["window_rows"]), &holdout["window"]));
    }
    format!("on the newest {} rows, kept back in training:\n{}", holdout["rows"], output::aligned(&rows))
}

/// What a server says of a model.
fn of_server(args: &Args, url: &str) -> anyhow::Result<()> {
    let (name, version) = models::named(&args.model)?;
    let reference = ModelRef { name: name.as_str(), version: version.map(|version| version.0) };
    let remote = Client::new(url, &args.connection)?.metadata(&reference).map_err(failure::of_server)?;
    if args.json {
        output::document(&json!({
            "url": url,
            "name": remote.name,
            "versions": remote.versions,
            "platform": remote.platform,
            "outputs": remote.outputs,
            "properties": remote.properties,
        }));
        return Ok(());
    }
    let (versions, outputs) = (remote.versions.join(", "), remote.outputs.join(", "));
    let facts = [("versions", versions), ("platform", remote.platform), ("outputs", outputs)];
    say(&format!("{} on {url}", args.model));
    for (key, value) in
        facts.into_iter().chain(remote.properties.iter().map(|(key, v)| (key.as_str(), v.clone())))
    {
        say(&format!("  {key:<18} {value}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_every_kind_of_card_are_told() {
        let told = |card: Value| {
            let Value::Object(card) = card else { unreachable!("cards are objects") };
            figures_text(&Card::Read(card))
        };
        let figures = json!({"nrmse": 0.5, "mase": 1.25, "r2": 0.75, "coverage": 0.95,
            "coverage_worst_200": 0.9, "width_mean": null});
        let both =
            told(json!({"holdout": {"rows": 60, "stream": figures, "window": figures, "window_rows": 24}}));
        assert!(both.contains("60 rows") && both.contains("0.5000") && both.contains("95.0 %"), "{both}");
        assert_eq!(both.matches("0.5000").count(), 2, "{both}");
        assert!(both.contains("as windows of 24 rows"), "{both}");
        let classes = told(json!({"test": {"n": 20, "accuracy": 0.9, "log_loss": 0.5}}));
        assert_eq!(classes, "on 20 test cases: accuracy 90.0 %, log loss 0.5000");
        let anomalies = json!({"rows_scored": 100, "anomalies": 2, "anomaly_share": 0.02});
        assert_eq!(told(json!({"holdout": anomalies})), "on 100 rows kept back: 2 anomalies, 2.0 %");
        assert_eq!(told(json!({"holdout": null, "test": null})), "");
        assert_eq!(figures_text(&Card::None), "");
    }
}
