//! `spinwell model list`.

use super::entry::{Entry, held_out_text, short, size, trouble};
use super::roles::{Role, Roles};
use crate::client::Client;
use crate::connection::Connection;
use crate::output::{self, remark, say};
use crate::{failure, models};
use serde_json::{Map, Value, json};
use spinwell_core::{ModelName, ModelVersion};
use std::fs;
use std::path::{Path, PathBuf};

/// Options of `spinwell model list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every file is read and checked, as a server would; `serving` says what a model's serving.toml makes of its versions.
With --url the server says what it serves, what it does not and
why, and how many requests it has answered since it started.

Examples:
  spinwell model list
  spinwell model list --models /srv/models --json
  spinwell model list --url http://127.0.0.1:8000")]
pub(super) struct Args {
    /// Folder of models.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/models", conflicts_with = "url")]
    models: PathBuf,
    /// Ask a running server instead, such as http://127.0.0.1:8000.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

/// Lists and prints.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (place, listed) = match &args.url {
        Some(url) => (json!({"url": url}), of_server(url, &args.connection)?),
        None => (json!({"folder": args.models.display().to_string()}), of_folder(&args.models)?),
    };
    if args.json {
        let mut document = place;
        document["models"] = Value::Array(listed.into_iter().map(Value::Object).collect());
        output::document(&document);
        return Ok(());
    }
    if listed.is_empty() {
        let place = args.url.clone().unwrap_or_else(|| args.models.display().to_string());
        say(&format!("no models in {place}"));
        return Ok(());
    }
    say(&output::aligned(&if args.url.is_some() { server_table(&listed) } else { folder_table(&listed) }));
    for row in &listed {
        if let Some(why) = row.get("trouble").and_then(|trouble| trouble["error"].as_str()) {
            let code = row["trouble"]["code"].as_str().unwrap_or_default();
            let (name, version) = (text(&row["name"]), text(&row["version"]));
            remark(&format!("{name}:{version} cannot be loaded [{code}]: {why}"));
        }
    }
    let mut troubles: Vec<&Value> = listed.iter().filter_map(|row| row.get("serving_trouble")).collect();
    troubles.dedup();
    for trouble in troubles.into_iter().filter(|trouble| !trouble.is_null()) {
        let (code, why) = (text(&trouble["code"]), text(&trouble["error"]));
        remark(&format!("no server follows this as it stands [{code}]: {why}"));
    }
    Ok(())
}

/// The names and versions in a models folder, in order.
fn present(folder: &Path) -> anyhow::Result<Vec<(ModelName, ModelVersion)>> {
    let entries = fs::read_dir(folder).map_err(|error| failure::io(folder, "reading", &error))?;
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failure::io(folder, "reading", &error))?;
        let Some(name) = entry.file_name().to_str().and_then(|name| name.parse::<ModelName>().ok()) else {
            continue;
        };
        all.extend(models::versions(&entry.path()).into_iter().map(|version| (name.clone(), version)));
    }
    all.sort();
    Ok(all)
}

/// One file after the other is in memory, however many there are.
fn of_folder(folder: &Path) -> anyhow::Result<Vec<Map<String, Value>>> {
    let one = |(name, version): &(ModelName, ModelVersion)| {
        let path = folder.join(name.as_str()).join(version.to_string()).join(models::FILE);
        Entry::read(&path).summary(name, *version)
    };
    let mut all = Vec::new();
    for own in present(folder)?.chunk_by(|one, next| one.0 == next.0) {
        let mut rows: Vec<_> = own.iter().map(one).collect();
        if let Some((name, _)) = own.first() {
            add_roles(&mut rows, own, &folder.join(name.as_str()), name);
        }
        all.extend(rows);
    }
    Ok(all)
}

/// Says of each version of a model what its `serving.toml` makes of it, or what is wrong with the file.
fn add_roles(
    rows: &mut [Map<String, Value>],
    own: &[(ModelName, ModelVersion)],
    home: &Path,
    name: &ModelName,
) {
    let loadable = |row: &Map<String, Value>| row.get("loadable") == Some(&Value::Bool(true));
    let versions: Vec<ModelVersion> = own
        .iter()
        .zip(rows.iter())
        .filter(|(_, row)| loadable(row))
        .map(|((_, version), _)| *version)
        .collect();
    let (roles, wrong) = match Roles::read(home, name) {
        Ok(roles) => {
            let wrong = roles.missing(&versions);
            (Some(roles), wrong)
        }
        Err(fault) => (None, Some(fault)),
    };
    let wrong = json!(wrong.as_ref().map(trouble));
    for ((_, version), row) in own.iter().zip(rows) {
        let own: Option<Vec<Value>> =
            roles.as_ref().map(|roles| roles.of(*version, &versions).into_iter().map(Role::json).collect());
        row.insert("serving".to_owned(), json!(own));
        row.insert("serving_trouble".to_owned(), wrong.clone());
    }
}

/// What a version does for requests that name none, as a cell.
fn serving_text(serving: &Value) -> String {
    let one = |role: &Value| {
        let share = role.get("share").map(|share| format!(" {share}")).unwrap_or_default();
        format!("{}{share}", text(&role["role"]))
    };
    match serving.as_array().map(Vec::as_slice) {
        None => "?".to_owned(),
        Some([]) => "-".to_owned(),
        Some(roles) => roles.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

fn of_server(url: &str, connection: &Connection) -> anyhow::Result<Vec<Map<String, Value>>> {
    let client = Client::new(url, connection)?;
    let (index, counted) = (client.index()?, client.statistics()?);
    let one = |indexed: crate::client::Indexed| {
        let counts =
            counted.iter().find(|counts| counts.name == indexed.name && counts.version == indexed.version);
        let pairs = [
            ("name", json!(indexed.name)),
            ("version", json!(indexed.version)),
            ("state", json!(indexed.state)),
            ("reason", json!(indexed.reason)),
            ("requests_answered", json!(counts.map_or(0, |counts| counts.answered))),
            ("requests_failed", json!(counts.map_or(0, |counts| counts.failed))),
            ("windows_predicted", json!(counts.map_or(0, |counts| counts.windows))),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    };
    Ok(index.into_iter().map(one).collect())
}

/// A value as a cell: a dash where there is none.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn folder_table(listed: &[Map<String, Value>]) -> Vec<Vec<String>> {
    let heads = [
        "model",
        "task",
        "family",
        "horizon",
        "window",
        "held-out error",
        "size",
        "hash",
        "loads",
        "serving",
    ];
    let row = |row: &Map<String, Value>| {
        let window = match (&row["window_min"], &row["window_recommended"]) {
            (Value::Null, _) => "-".to_owned(),
            (least, best) if least == best => text(least),
            (least, best) => format!("{least}..{best}"),
        };
        vec![
            format!("{}:{}", text(&row["name"]), row["version"]),
            text(&row["task"]),
            text(&row["family"]),
            text(&row["horizon"]),
            window,
            held_out_text(&row["held_out"]),
            row["size_bytes"].as_u64().map_or_else(|| "-".to_owned(), size),
            row["model_hash"].as_str().map_or_else(|| "-".to_owned(), |hash| short(hash).to_owned()),
            if row["loadable"] == true { "yes".to_owned() } else { text(&row["trouble"]["code"]) },
            serving_text(&row["serving"]),
        ]
    };
    let heads = heads.map(str::to_owned).to_vec();
    std::iter::once(heads).chain(listed.iter().map(row)).collect()
}

fn server_table(listed: &[Map<String, Value>]) -> Vec<Vec<String>> {
    let heads = ["model", "state", "answered", "failed", "windows", "reason"];
    let row = |row: &Map<String, Value>| {
        let cells = ["state", "requests_answered", "requests_failed", "windows_predicted", "reason"];
        let name = format!("{}:{}", text(&row["name"]), text(&row["version"]));
        std::iter::once(name).chain(cells.map(|key| text(&row[key]))).collect()
    };
    let heads = heads.map(str::to_owned).to_vec();
    std::iter::once(heads).chain(listed.iter().map(row)).collect()
}
