//! `spinwell audit replay`: a recorded prediction, computed again.
//!
//! The record names the model by its hash and the arithmetic by its profile, and binds input and output by keyed commitments. Whoever has the
//! key, the model's file and the input makes both commitments again; where they are the recorded ones, the prediction was this one.

use super::logs::Place;
use super::receipt::of_files;
use crate::failure;
use crate::models::{FILE, versions};
use crate::output::{self, say};
use crate::serve::{commitments, read_secret};
use crate::training_args::read_data;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use spinwell_core::{Code, Fault, ModelName, ModelVersion, NumericProfile, Samples, Series};
use spinwell_engine::backtest::cut;
use spinwell_engine::data::Columns;
use spinwell_gateway::commitment::{of_input, of_output};
use spinwell_ledger::{Commitments, ReceiptId, bytes_text};
use spinwell_node::{Alone, read_model};
use spinwell_protocol::rest::{self, Framing};
use spinwell_protocol::{Outputs, Packing};
use spinwell_runtime::options::{Limits, Options, Sources};
use std::fs;
use std::path::{Path, PathBuf};

/// Options of `spinwell audit replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The ledger has no inputs, only what binds a record to one: give the request as it was sent. Values count and not how they came, so that a request
over gRPC, or one of a batch call, can be given as the JSON of an inference request as well, with the outputs that it named. Of a CSV all rows
are the window, in the columns of the model. It takes the secret key of the log's commitments, which also shows that the input is the one.

Not computed again are steps of sequences, as the states that they were fed to are nowhere in the ledger; what a graphics card has computed, as
its bits are not the CPU's; and what was not answered.

Examples:
  spinwell audit replay gateway-0-4711 --input request.json
  spinwell audit replay gateway-0-4711 --input window.csv --models old-models --json
  spinwell audit replay gateway-0-4711 --offline copy/ledger --commitments secret/gateway.commitments --input request.json")]
pub(super) struct Args {
    /// The id of the prediction's receipt.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    place: Place,
    /// The request as it was sent, or a CSV with the window.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// How many bytes of the request are JSON, where binary tensors follow (Inference-Header-Content-Length).
    #[arg(long, value_name = "N")]
    json_bytes: Option<usize>,
    /// Folder of models.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/models")]
    models: PathBuf,
    /// The key of the log's commitments [default: NAME.commitments beside the log].
    #[arg(long, value_name = "FILE")]
    commitments: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Computes and prints.
pub(super) fn run(args: &Args) -> Result<()> {
    let record = record(args)?;
    let profile = replayable(&args.id, &record)?;
    let commitments = key(args)?;
    let (alone, path) = model(args, &record)?;
    let asked = asked(args, &alone)?;
    let recorded = |member: &str| record[member].as_str().unwrap_or_default();
    let own = |bytes: [u8; 32]| bytes_text(&bytes);
    let is_it = |(series, _): &&(Series, Outputs)| own(of_input(&commitments, series)) == recorded("input");
    let of_input: Vec<_> = asked.iter().filter(is_it).collect();
    if of_input.is_empty() {
        let message = format!(
            "{} is not what was asked in {}: it does not make the commitment of the record",
            args.input.display(),
            args.id
        );
        return told(args, &record, &path, &Found::OtherInput(message));
    }
    for (series, outputs) in of_input {
        let (predictions, used) = alone.predict(series, outputs)?;
        if used != profile {
            let message = format!("it was computed in {profile}, and this program does it in {used}");
            return Err(failure::fault(Code::NotOffered, message));
        }
        if own(of_output(&commitments, &predictions)) == recorded("output") {
            return told(args, &record, &path, &Found::Agrees);
        }
    }
    let message = format!(
        "the input of {} is the one that was asked, and its answer is not what was answered then; were the same outputs asked for?",
        args.id
    );
    told(args, &record, &path, &Found::OtherAnswer(message))
}

/// What came of it.
enum Found {
    Agrees,
    OtherInput(String),
    OtherAnswer(String),
}

/// Says what was found, and ends with it.
fn told(args: &Args, record: &Value, model: &Path, found: &Found) -> Result<()> {
    let (error, result) = match found {
        Found::Agrees => (None, Ok(())),
        Found::OtherInput(message) | Found::OtherAnswer(message) => {
            (Some(message), Err(failure::fault(Code::LedgerWrong, message)))
        }
    };
    if args.json {
        output::document(&json!({
            "agrees": error.is_none(), "input_is_the_one": !matches!(found, Found::OtherInput(_)), "record": record,
            "model": model.display().to_string(), "error": error,
        }));
    } else if error.is_none() {
        let text = |member: &str| record[member].as_str().unwrap_or_default();
        say(&format!("record   {} of {}", args.id, text("model")));
        say(&format!("input    {} is what was asked", args.input.display()));
        say(&format!("model    {}, {}", model.display(), text("profile")));
        say("agrees   the answer is the recorded one, bit for bit");
    }
    result
}

/// The record of that id, whose receipt holds.
fn record(args: &Args) -> Result<Value> {
    let (receipt, keys) = of_files(&args.place, &args.id)?;
    receipt.check(&keys).map_err(|error| failure::fault(Code::LedgerWrong, error.to_string()))?;
    serde_json::from_str(&receipt.record).context("the record is no JSON")
}

/// The arithmetic that a record can be computed again in.
///
/// # Errors
/// Why it cannot.
fn replayable(id: &str, record: &Value) -> Result<NumericProfile> {
    let text = |member: &str| record[member].as_str().unwrap_or_default();
    let cannot =
        |why: String| Err(failure::fault(Code::NotOffered, format!("{id} cannot be computed again: {why}")));
    if record.get("phase").is_some() {
        return cannot("it is the record of a batch call, whose requests have records of their own".into());
    }
    if text("result") != "answered" {
        return cannot(format!("it was not answered ({})", text("result")));
    }
    if record.get("sequence").is_some() {
        return cannot(
            "it is a step of a sequence, and the state that it was fed to is not in the ledger".into(),
        );
    }
    match text("profile") {
        "cpu-f32" => Ok(NumericProfile::CpuF32),
        "cpu-f64" => Ok(NumericProfile::CpuF64),
        other => cannot(format!(
            "it was computed in {other}, whose bits are those of that graphics card and not of a CPU"
        )),
    }
}

/// The key of the log's commitments.
fn key(args: &Args) -> Result<Commitments> {
    let name = args.id.parse::<ReceiptId>().map(|id| id.log).unwrap_or_default();
    let dir = args.place.dir();
    let beside = if dir.join("checkpoint").is_file() { dir.parent().unwrap_or(Path::new(".")) } else { &dir };
    let path = args.commitments.clone().unwrap_or_else(|| beside.join(format!("{name}.commitments")));
    let at_rest = args.place.at_rest()?;
    let text = read_secret(&path, at_rest.as_ref())?;
    commitments(&text).ok_or_else(|| {
        failure::fault(Code::OptionInvalid, format!("{} is not 64 hexadecimal digits", path.display()))
    })
}

/// The model whose hash the record has, and where it is: under its name and version, or wherever it went.
fn model(args: &Args, record: &Value) -> Result<(Alone, PathBuf)> {
    let text = |member: &str| record[member].as_str().unwrap_or_default();
    let name: ModelName = text("model").parse().context("the record names no model")?;
    let version = record["version"].as_u64().and_then(|version| u32::try_from(version).ok());
    let version = ModelVersion(version.context("the record names no version")?);
    let named = args.models.join(name.as_str()).join(version.to_string()).join(FILE);
    let hash_of = |path: &Path| {
        let (model, _) = read_model(path).ok()?;
        Some((bytes_text(&model.hash().0), model))
    };
    let there = hash_of(&named);
    let other = there.as_ref().map(|(hash, _)| hash.clone()).filter(|hash| hash != text("model_hash"));
    let found = there.filter(|(hash, _)| hash == text("model_hash")).map(|(_, model)| (model, named.clone()));
    let found = found.or_else(|| {
        let wanted = |path: PathBuf| {
            let (hash, model) = hash_of(&path)?;
            (hash == text("model_hash")).then_some((model, path))
        };
        all_in(&args.models).into_iter().filter(|path| *path != named).find_map(wanted)
    });
    let Some((model, path)) = found else {
        let hash = text("model_hash");
        let message = match other {
            Some(other) => format!(
                "{} is another model than the one that answered: its hash is {other}, and the record has {hash}; no other in {} has it",
                named.display(),
                args.models.display()
            ),
            None => {
                format!("no model in {} has the hash {hash} of the one that answered", args.models.display())
            }
        };
        return Err(failure::fault(Code::ModelNotFound, message));
    };
    Ok((Alone::new(model, &name, version, &limits()?), path))
}

/// The model files in a folder, by names and versions.
fn all_in(models: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> =
        fs::read_dir(models).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()).collect();
    names.sort();
    let of_name = |name: PathBuf| {
        let files = versions(&name).into_iter().map(|version| name.join(version.to_string()).join(FILE));
        files.collect::<Vec<_>>()
    };
    names.into_iter().flat_map(of_name).collect()
}

/// What a request could be of by a server's own limits: a longer one was never answered.
fn limits() -> Result<Limits> {
    let loaded = Options::load(&Sources::default()).map_err(|error| error.fault())?;
    Ok(loaded.options.limits)
}

/// What the file asks for, in every way that it may be meant.
fn asked(args: &Args, alone: &Alone) -> Result<Vec<(Series, Outputs)>> {
    let description = alone.description();
    let in_file =
        |fault: Fault| failure::fault(fault.code(), format!("{}: {}", args.input.display(), fault.message()));
    if args.input.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        let columns = Columns { values: description.channels.clone(), time: None };
        let table = read_data(&args.input, &columns)?.table;
        let series = cut(&table, &(0..table.width()), 0, table.rows());
        // A client sends 32 bits or 64, and names outputs or none.
        let narrow = Samples::F32(
            (0..series.samples().len()).map(|place| series.samples().get(place) as f32).collect(),
        );
        let narrow = Series::new(1, series.rows(), series.channels(), narrow);
        let names = description.outputs().iter().map(|output| (output.name.as_str(), None));
        let all = Outputs::requested(names, Packing::Json, description).map_err(in_file)?;
        let usual = Outputs::usual(description, Packing::Json);
        let series = narrow.into_iter().chain([series]);
        return Ok(series.flat_map(|series| [(series.clone(), usual), (series, all)]).collect());
    }
    let body = fs::read(&args.input).map_err(|error| failure::io(&args.input, "reading", &error))?;
    let framing = args.json_bytes.map_or(Framing::Json, |json_bytes| Framing::Binary { json_bytes });
    let call = rest::decode(&body, framing, description).map_err(in_file)?;
    Ok(vec![(call.series, call.outputs)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_computed_again_is_told_with_the_reason() {
        let check = |record: Value, wanted: Result<NumericProfile, &str>| match (
            replayable("g-0-1", &record),
            wanted,
        ) {
            (Ok(profile), Ok(wanted)) => assert_eq!(profile, wanted),
            (Err(error), Err(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
            (found, wanted) => panic!("{record}: {found:?}, and not {wanted:?}"),
        };
        let record = |profile: &str| json!({"result": "answered", "profile": profile, "n": 1});
        check(record("cpu-f32"), Ok(NumericProfile::CpuF32));
        check(record("cpu-f64"), Ok(NumericProfile::CpuF64));
        check(record("gpu-f32"), Err("computed in gpu-f32, whose bits are those of that graphics card"));
        check(json!({"result": "cancelled", "n": 1}), Err("it was not answered (cancelled)"));
        check(json!({"phase": "started", "n": 1}), Err("the record of a batch call"));
        let mut step = record("cpu-f32");
        step["sequence"] = json!("s-1");
        check(step, Err("the state that it was fed to is not in the ledger"));
    }
}
