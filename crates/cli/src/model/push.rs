//! `spinwell model push`: a model file into a models folder, and from there into a running server.

use super::entry::{Card, Entry, placed, short, trouble};
use super::roles::{Role, Roles};
use crate::client::{Client, Indexed, ModelRef};
use crate::connection::Connection;
use crate::failure;
use crate::models::{self, Place, Saved};
use crate::output::{self, remark, say};
use serde_json::{Map, Value, json};
use spinwell_core::{Code, Fault, ModelName, ModelVersion};
use std::fs;
use std::path::{Path, PathBuf};

/// Options of `spinwell model push`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The file is read and checked first; it and the card.json beside it then appear as a whole version or not at all.
Pushing bytes that a version holds already changes nothing and says so, unless --version asks for another one. What serving.toml makes of the version is said as well: whether
it answers requests that name none, or a share of them, or only those that name it. With --url, a server whose models folder this is loads the
model; a gateway of which one node has this folder brings it to all nodes of its region first. A push over the network, into a folder of
another machine, needs identities and is not there yet.

Examples:
  spinwell model push taxi.spinwell --name taxi
  spinwell model push taxi:2 --models /srv/models --url http://127.0.0.1:8000
  spinwell model push ./spinwell-data/models/taxi/2/model.spinwell --models /srv/models --version 7 --json")]
pub(super) struct Args {
    /// Model to push: the path of a model file, or NAME or NAME:VERSION in the folder of --from.
    model: String,
    /// Name to push it under [default: its own name, or the file's stem].
    #[arg(long, value_name = "NAME")]
    name: Option<ModelName>,
    /// Folder of models to push into.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/models")]
    models: PathBuf,
    /// Folder of models to take NAME or NAME:VERSION from.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/models")]
    from: PathBuf,
    /// Version to push it as [default: the next one].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Have the server there load the model, such as http://127.0.0.1:8000.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// Print one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

/// What became of the file.
struct Pushed {
    saved: Saved,
    /// The version was there before, with the same bytes.
    was_there: bool,
    has_card: bool,
}

/// Checks, puts, and perhaps has a server load.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let located = models::locate(&args.model, &args.from)?;
    let entry = Entry::read(&located.path);
    let (Some(hash), Some(bytes)) = (entry.hash(), &entry.bytes) else {
        let fault = entry.model.err();
        return Err(fault.unwrap_or_else(|| Fault::new(Code::Internal, "a model without bytes")).into());
    };
    let name = match args.name.clone().or(located.name.map(|(name, _)| name)) {
        Some(name) => name,
        None => own_name(&entry)?,
    };
    let card = card(&entry);
    let pushed = put(args, &name, bytes, &hash, card)?;
    let (version, path) = (pushed.saved.version, pushed.saved.path.display().to_string());
    let home = args.models.join(name.as_str());
    let (versions, roles) = (models::versions(&home), Roles::read(&home, &name));
    let outcome = args.url.as_ref().map(|url| load(args, url, &name, version, &hash));
    let elsewhere =
        outcome.iter().flatten().flatten().map(|entry| format!("{}: {}", entry.version, entry.reason));
    let elsewhere: Vec<String> = elsewhere.collect();
    if args.json {
        let server = outcome.as_ref().map(|outcome| match outcome {
            Ok(_) => json!({"url": args.url, "loaded": true, "trouble": null, "not_loaded": elsewhere}),
            Err(fault) => {
                json!({"url": args.url, "loaded": false, "trouble": trouble(fault), "not_loaded": elsewhere})
            }
        });
        output::document(&json!({
            "name": name.as_str(),
            "version": version.0,
            "path": path,
            "model_hash": hash,
            "size_bytes": bytes.len(),
            "already_there": pushed.was_there,
            "card": pushed.has_card,
            "serving": roles.as_ref().ok().map(|roles| {
                roles.of(version, &versions).into_iter().map(Role::json).collect::<Vec<_>>()
            }),
            "serving_trouble": roles.as_ref().err().map(trouble),
            "server": server,
        }));
    } else if pushed.was_there {
        say(&format!(
            "{name}:{version} is there already with these very bytes ({path}); nothing was written"
        ));
    } else {
        let card = if pushed.has_card { "with its card" } else { "without a card" };
        say(&format!("pushed {name}:{version} as {path}, {card}"));
    }
    if !args.json {
        match &roles {
            Ok(roles) => say(&format!("{}{}", roles.effect(version, &versions), when(&outcome))),
            Err(fault) => {
                remark(&format!("note: no server loads the model as it stands: {}", fault.message()));
            }
        }
    }
    match outcome {
        None => Ok(()),
        Some(Ok(_)) => {
            if !args.json {
                say(&format!(
                    "{} serves {name}:{version} ({})",
                    args.url.as_deref().unwrap_or_default(),
                    short(&hash)
                ));
                elsewhere.iter().for_each(|text| remark(&format!("note: not everywhere: {name}:{text}")));
            }
            Ok(())
        }
        Some(Err(fault)) => {
            let text = format!("{name}:{version} is in the folder and not served: {}", fault.message());
            Err(failure::of_server(Fault::new(fault.code(), text)))
        }
    }
}

/// From when what stands in the folder holds.
fn when(outcome: &Option<Result<Vec<Indexed>, Fault>>) -> &'static str {
    match outcome {
        Some(Ok(_)) => "",
        Some(Err(_)) | None => ", once a server has loaded the model",
    }
}

/// A file's own name: that of its card, of its place in a models folder, or its stem.
fn own_name(entry: &Entry) -> anyhow::Result<ModelName> {
    let of_card = if entry.card_is_of_it() == Some(true) { entry.card.get("name").as_str() } else { None };
    if let Some(name) = of_card.and_then(|name| name.parse().ok()) {
        return Ok(name);
    }
    // A path such as `model.spinwell` says more once it is whole.
    let whole = fs::canonicalize(&entry.path).unwrap_or_else(|_| entry.path.clone());
    if let Some((_, name, _)) = placed(&whole) {
        return Ok(name);
    }
    let stem = entry.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    stem.parse().map_err(|error: spinwell_core::InvalidName| {
        Fault::new(Code::OptionInvalid, format!("say what to call the model with --name: {error}")).into()
    })
}

/// The card to push along, which must be of this very model.
fn card(entry: &Entry) -> Option<&Map<String, Value>> {
    match (&entry.card, entry.card_is_of_it()) {
        (Card::Read(card), Some(true)) => Some(card),
        (Card::Read(_), Some(false)) => {
            remark("note: the card.json beside the file is of another model, and is left behind");
            None
        }
        (Card::Read(_), None) => {
            remark("note: the card.json beside the file names no model_hash, and is left behind");
            None
        }
        (Card::Unreadable(why), _) => {
            remark(&format!("note: {why}; it is left behind"));
            None
        }
        (Card::None, _) => None,
    }
}

fn put(
    args: &Args,
    name: &ModelName,
    bytes: &[u8],
    hash: &str,
    card: Option<&Map<String, Value>>,
) -> anyhow::Result<Pushed> {
    let home = args.models.join(name.as_str());
    let at = |version: ModelVersion| home.join(version.to_string()).join(models::FILE);
    let asked = args.version.map(ModelVersion);
    let among = asked.map_or_else(|| models::versions(&home), |version| vec![version]);
    if let Some(version) = among.into_iter().filter(|version| holds(&at(*version), bytes)).max() {
        let has_card = at(version).with_file_name(models::CARD).is_file();
        return Ok(Pushed { saved: Saved { version, path: at(version) }, was_there: true, has_card });
    }
    let place = args.version.map_or(Place::Next, |version| Place::Exactly(ModelVersion(version)));
    if let Place::Exactly(version) = place
        && let Some(other) = Entry::read(&at(version)).hash()
    {
        let text = format!(
            "{name}:{version} is there already and is another model ({}, this one is {}); nothing was written",
            short(&other),
            short(hash)
        );
        return Err(Fault::new(Code::VersionExists, text).into());
    }
    let text = |version: ModelVersion, path: &Path| {
        let mut card = card?.clone();
        card.insert("name".to_owned(), json!(name.as_str()));
        card.insert("version".to_owned(), json!(version.0));
        card.insert("path".to_owned(), json!(path.display().to_string()));
        serde_json::to_string_pretty(&card).ok()
    };
    let saved = models::save_at(&args.models, name, place, bytes, text)?;
    Ok(Pushed { saved, was_there: false, has_card: card.is_some() })
}

/// Whether a file has these very bytes.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    let same_length = fs::metadata(path).is_ok_and(|file| file.len() == bytes.len() as u64);
    same_length && fs::read(path).is_ok_and(|there| there == bytes)
}

/// Has the server load the model, and makes sure that what it then serves is what was pushed. Comes with the versions that it does
/// not serve, or not on every node of its region.
fn load(
    args: &Args,
    url: &str,
    name: &ModelName,
    version: ModelVersion,
    hash: &str,
) -> Result<Vec<Indexed>, Fault> {
    let client = Client::new(url, &args.connection)?;
    let left_out = client.load(name.as_str())?;
    let number = version.to_string();
    let index = client.index()?;
    let served = index.iter().find(|entry| entry.name == name.as_str() && entry.version == number);
    let elsewhere = || {
        let text = format!(
            "the server at {url} does not serve what was pushed: it has another models folder than --models, or most nodes of its \
             region hold other bytes under that number"
        );
        Fault::new(Code::VersionNotFound, text)
    };
    let served = served.ok_or_else(elsewhere)?;
    if !served.is_ready() {
        let named = Code::ALL.iter().find(|code| served.reason.starts_with(code.as_str()));
        return Err(Fault::new(named.copied().unwrap_or(Code::Internal), served.reason.clone()));
    }
    let remote = client.metadata(&ModelRef { name: name.as_str(), version: Some(version.0) })?;
    if remote.properties.get("model_hash").is_some_and(|served| served != hash) {
        return Err(elsewhere());
    }
    Ok(left_out)
}
