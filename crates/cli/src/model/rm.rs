//! `spinwell model rm`: versions out of a models folder, after a server has let go of them.
//!
//! A version is first given a name that nobody reads, which can be undone, then the server reads the folder again, and
//! only when it has let go is anything deleted. So a server never serves what is gone, and a failure leaves all as it was.
//! A version that `serving.toml` names is not removed: the next start of a server would find a file that it cannot follow.

use super::entry::{Entry, placed, short, size};
use super::roles::Roles;
use crate::client::Client;
use crate::connection::Connection;
use crate::output::{self, remark, say};
use crate::{failure, models};
use serde_json::json;
use spinwell_core::{Code, Fault, ModelName, ModelVersion};
use spinwell_node::SETTINGS_FILE;
use spinwell_runtime::files::{hide_folder, rename_folder};
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

/// Options of `spinwell model rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --url, a running server goes on with what it has loaded until it is told to load again.
Sequences that were begun with a version go on while another version of the model is served: the server keeps the file under
<data>/sequences/models. After the last version, as with --all, their steps are answered with 404 until a version of that
name is served again; their states are kept, and they go on then.
A version that serving.toml names as default, canary or shadow is not removed; --all removes serving.toml as well.
Where the nodes of a region have folders of their own, remove it from each of them without --url first: a load call brings a version
that one of them still has back to all.

Examples:
  spinwell model rm taxi:1
  spinwell model rm taxi:1 --yes --url http://127.0.0.1:8000
  spinwell model rm taxi --all --yes --models /srv/models --json")]
pub(super) struct Args {
    /// Version to remove: NAME:VERSION, NAME where it has one version, or the path of its folder in a models folder.
    model: String,
    /// Remove every version of the model.
    #[arg(long)]
    all: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Folder of models.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/models")]
    models: PathBuf,
    /// Have the server there let go first, such as http://127.0.0.1:8000.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// Print one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

/// A version, or the file beside them, that is out of sight and can be brought back.
struct Hidden {
    from: PathBuf,
    to: PathBuf,
}

/// Says what would go, asks, and removes.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (folder, name, version) = named(args)?;
    let home = folder.join(name.as_str());
    let versions = chosen(args, &home, &folder, &name, version)?;
    let settings = home.join(SETTINGS_FILE);
    // A link to nothing as well.
    let settings = (args.all && fs::symlink_metadata(&settings).is_ok()).then_some(settings);
    if !args.all {
        Roles::read(&home, &name)?.allow_removal(&versions, &models::versions(&home))?;
    }
    for version in &versions {
        remark(&format!("removes {}", described(&home, &name, *version)));
    }
    if let Some(settings) = &settings {
        remark(&format!("removes {}", settings.display()));
    }
    if !args.yes && !confirmed(&name, versions.len())? {
        if args.json {
            output::document(&json!({"removed": null}));
        } else {
            say("nothing was removed");
        }
        return Ok(());
    }
    let paths = versions.iter().map(|version| home.join(version.to_string())).chain(settings);
    let hidden = hide(paths)?;
    if let Some(url) = &args.url {
        release(args, url, &name, &versions)
            .inspect_err(|_| restore(&hidden))
            .map_err(|fault| Fault::new(fault.code(), format!("nothing was removed: {}", fault.message())))?;
    }
    delete(&hidden)?;
    // Only where nothing is left in it; somebody may just be putting a version there.
    let _ = fs::remove_dir(&home);
    show(args, &name, &versions, models::versions(&home).is_empty());
    Ok(())
}

fn show(args: &Args, name: &ModelName, versions: &[ModelVersion], is_gone: bool) {
    let numbers: Vec<u32> = versions.iter().map(|version| version.0).collect();
    if args.json {
        let removed = json!({"name": name.as_str(), "versions": numbers, "url": args.url});
        output::document(&json!({"removed": removed}));
    } else {
        let list: Vec<String> = numbers.iter().map(|number| format!("{name}:{number}")).collect();
        say(&format!("removed {}", list.join(", ")));
    }
    let sequences = if is_gone {
        format!(
            "steps of sequences that were begun with it are answered with 404 until a version of {name} is served again; \
             their states are kept, and they go on then"
        )
    } else {
        "sequences that were begun with it go on, with the file under <data>/sequences/models".to_owned()
    };
    remark(&match args.url {
        Some(_) => format!("note: {sequences}"),
        None => format!(
            "note: a running server goes on with what it has loaded; --url URL has it let go. Then {sequences}"
        ),
    });
}

/// The models folder, name and perhaps version that are meant.
fn named(args: &Args) -> anyhow::Result<(PathBuf, ModelName, Option<ModelVersion>)> {
    // A removal never guesses: only what cannot be a name is a path.
    if args.model.contains(std::path::is_separator) {
        let place = placed(Path::new(&args.model)).ok_or_else(|| {
            let text = format!("{} is no version in a models folder, DIR/NAME/VERSION", args.model);
            Fault::new(Code::OptionInvalid, text)
        })?;
        return Ok((place.0, place.1, Some(place.2)));
    }
    let (name, version) = models::named(&args.model)?;
    Ok((args.models.clone(), name, version))
}

/// The versions to remove, in order.
fn chosen(
    args: &Args,
    home: &Path,
    folder: &Path,
    name: &ModelName,
    version: Option<ModelVersion>,
) -> anyhow::Result<Vec<ModelVersion>> {
    // Told apart from a folder without the model.
    fs::read_dir(folder).map_err(|error| failure::io(folder, "reading", &error))?;
    let present = models::versions(home);
    let text = |text: String| Err(Fault::new(Code::OptionInvalid, text).into());
    match (version, args.all) {
        _ if present.is_empty() => {
            let text = format!("there is no model {name} in {}", folder.display());
            Err(Fault::new(Code::ModelNotFound, text).into())
        }
        (Some(version), true) => {
            text(format!("{name}:{version} is one version and --all means all; say which"))
        }
        (None, true) => Ok(present),
        (Some(version), false) if present.contains(&version) => Ok(vec![version]),
        (Some(_), false) => Err(models::no_version(name, &present).into()),
        (None, false) if present.len() == 1 => Ok(present),
        (None, false) => {
            let list: Vec<String> = present.iter().map(|version| format!("{name}:{version}")).collect();
            text(format!("model {name} has several versions: name one of {}, or say --all", list.join(", ")))
        }
    }
}

/// A version in a line, also where it is broken.
fn described(home: &Path, name: &ModelName, version: ModelVersion) -> String {
    let folder = home.join(version.to_string());
    let entry = Entry::read(&folder.join(models::FILE));
    let what = match (&entry.model, entry.hash()) {
        (Ok(model), Some(hash)) => format!("{}, {}, {}", model.task(), model.family(), short(&hash)),
        (Err(fault), _) => format!("cannot be loaded: {}", fault.code()),
        (Ok(_), None) => String::new(),
    };
    let bytes = entry.size.map_or_else(|| "no file".to_owned(), size);
    format!("{name}:{version} ({what}; {bytes}) in {}", folder.display())
}

/// Asks whoever sits there; refuses where nobody does.
#[expect(clippy::print_stderr, reason = "a question must stand in front of its answer")]
fn confirmed(name: &ModelName, count: usize) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        let text = "nobody can be asked here, because standard input is no terminal: say --yes";
        return Err(Fault::new(Code::OptionInvalid, text).into());
    }
    let what = if count == 1 { "this version".to_owned() } else { format!("these {count} versions") };
    eprint!("remove {what} of {name}? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Takes these out of sight, all or none.
fn hide(paths: impl Iterator<Item = PathBuf>) -> anyhow::Result<Vec<Hidden>> {
    let mut hidden = Vec::new();
    for from in paths {
        match hide_folder(&from) {
            Ok(to) => hidden.push(Hidden { from, to }),
            Err(error) => {
                restore(&hidden);
                return Err(failure::io(&from, "removing", &error));
            }
        }
    }
    Ok(hidden)
}

fn restore(hidden: &[Hidden]) {
    // How versions are served comes back before they do.
    for Hidden { from, to } in hidden.iter().rev() {
        if let Err(error) = rename_folder(to, from) {
            remark(&format!("{} could not be brought back from {}: {error}", from.display(), to.display()));
        }
    }
}

fn delete(hidden: &[Hidden]) -> anyhow::Result<()> {
    for Hidden { to, .. } in hidden {
        let is_folder = fs::symlink_metadata(to).is_ok_and(|found| found.is_dir());
        let deleted = if is_folder { fs::remove_dir_all(to) } else { fs::remove_file(to) };
        deleted.map_err(|error| failure::io(to, "deleting", &error))?;
    }
    Ok(())
}

/// Has a server let go of versions that are out of sight.
fn release(args: &Args, url: &str, name: &ModelName, versions: &[ModelVersion]) -> Result<(), Fault> {
    let client = Client::new(url, &args.connection)?;
    match client.load(name.as_str()) {
        Ok(_) => {}
        // Nothing is left that could be served in its place.
        Err(fault) if is_of_the_folder(fault.code()) => match client.unload(name.as_str()) {
            Err(fault) if fault.code() != Code::ModelNotFound => return Err(fault),
            _ => {}
        },
        Err(fault) => return Err(fault),
    }
    let index = client.index()?;
    let is_served = |version: &&ModelVersion| {
        let number = version.to_string();
        index.iter().any(|entry| entry.name == name.as_str() && entry.version == number && entry.is_ready())
    };
    match versions.iter().find(is_served) {
        None => Ok(()),
        Some(version) => {
            let text = format!(
                "the server at {url} still serves {name}:{version}: its models folder is another one, or another node of its region has \
                 the version as well"
            );
            Err(Fault::new(Code::OptionInvalid, text))
        }
    }
}

/// Whether a load failed because of what the folder holds.
fn is_of_the_folder(code: Code) -> bool {
    matches!(
        code,
        Code::ModelNotFound
            | Code::FileForeign
            | Code::FileTruncated
            | Code::FileCorrupt
            | Code::FileFromTheFuture
            | Code::Io
    )
}
