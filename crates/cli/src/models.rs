//! The model folder: `<models>/<name>/<version>/model.spinwell` with `card.json` beside it.

use crate::failure;
use spinwell_core::{Code, Fault, ModelName, ModelVersion};
use spinwell_engine::AnyModel;
use spinwell_node::read_model;
use spinwell_runtime::files::{rename_folder, write_atomically};
use std::fs;
use std::path::{Path, PathBuf};

/// The file of a model inside its version's folder.
pub(crate) const FILE: &str = "model.spinwell";
/// What stands beside it.
pub(crate) const CARD: &str = "card.json";

/// What a model was saved as.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) version: ModelVersion,
    pub(crate) path: PathBuf,
}

/// Which version a model is saved as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The one after the highest.
    Next,
    /// This one, which must be free.
    Exactly(ModelVersion),
}

/// Saves a model and its card under the next free version. The version's folder appears complete or not at all.
/// `card` is given the version and the model's path.
pub(crate) fn save(
    models: &Path,
    name: &ModelName,
    model: &[u8],
    card: impl Fn(ModelVersion, &Path) -> String,
) -> anyhow::Result<Saved> {
    save_at(models, name, Place::Next, model, |version, path| Some(card(version, path)))
}

/// The same under a version of choice, and perhaps without a card.
pub(crate) fn save_at(
    models: &Path,
    name: &ModelName,
    place: Place,
    model: &[u8],
    card: impl Fn(ModelVersion, &Path) -> Option<String>,
) -> anyhow::Result<Saved> {
    let home = models.join(name.as_str());
    fs::create_dir_all(&home).map_err(|e| failure::io(&home, "creating", &e))?;
    let staging = home.join(format!(".{}.partial", std::process::id()));
    fs::create_dir_all(&staging).map_err(|e| failure::io(&staging, "creating", &e))?;
    let saved = publish(&home, &staging, place, model, card);
    if saved.is_err() {
        // The first error is the one to report; an unpublished folder is invisible to every reader.
        let _ = fs::remove_dir_all(&staging);
        // Only where it is empty.
        let _ = fs::remove_dir(&home);
    }
    saved
}

fn publish(
    home: &Path,
    staging: &Path,
    place: Place,
    model: &[u8],
    card: impl Fn(ModelVersion, &Path) -> Option<String>,
) -> anyhow::Result<Saved> {
    write_atomically(&staging.join(FILE), model)
        .map_err(|e| failure::io(&staging.join(FILE), "writing", &e))?;
    let mut version = match place {
        Place::Next => versions(home).into_iter().max().map_or(1, |newest| newest.0.saturating_add(1)),
        Place::Exactly(version) => version.0,
    };
    loop {
        let folder = home.join(version.to_string());
        let path = folder.join(FILE);
        if let Some(text) = card(ModelVersion(version), &path) {
            let staged_card = staging.join(CARD);
            write_atomically(&staged_card, text.as_bytes())
                .map_err(|e| failure::io(&staged_card, "writing", &e))?;
        }
        match rename_folder(staging, &folder) {
            Ok(()) => return Ok(Saved { version: ModelVersion(version), path }),
            Err(_) if folder.exists() && place != Place::Next => {
                let text = format!("{} is there already; nothing was written", folder.display());
                return Err(Fault::new(Code::VersionExists, text).into());
            }
            // Somebody else took the number between our look and our rename.
            Err(_) if folder.exists() && version < u32::MAX => version += 1,
            Err(error) => return Err(failure::io(&folder, "creating", &error)),
        }
    }
}

/// The versions in a model's folder that a server would look at, lowest first.
pub(crate) fn versions(home: &Path) -> Vec<ModelVersion> {
    spinwell_node::versions_in(home).unwrap_or_default()
}

/// A model that was asked for by name, name and version, or path.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) model: AnyModel,
    /// How to call it in messages.
    pub(crate) title: String,
}

/// A model's file, by what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located {
    /// The file, which may not be there.
    pub(crate) path: PathBuf,
    /// The name and version, where it was asked for by name.
    pub(crate) name: Option<(ModelName, ModelVersion)>,
    /// How to call it in messages.
    pub(crate) title: String,
}

/// Reads the model that `reference` (NAME, NAME:VERSION or a path) means.
pub(crate) fn find(reference: &str, models: &Path) -> anyhow::Result<Found> {
    let located = locate(reference, models)?;
    read(&located.path, &located.title)
}

/// Where the model is that `reference` (NAME, NAME:VERSION or a path) means. Its file is not looked at.
pub(crate) fn locate(reference: &str, models: &Path) -> anyhow::Result<Located> {
    let as_path = Path::new(reference);
    let of_path = |path: PathBuf| Located { path, name: None, title: reference.to_owned() };
    if as_path.is_file() {
        return Ok(of_path(as_path.to_owned()));
    }
    if as_path.is_dir() && as_path.join(FILE).is_file() {
        return Ok(of_path(as_path.join(FILE)));
    }
    let (name, version) = named(reference)?;
    let home = models.join(name.as_str());
    let present = versions(&home);
    if present.is_empty() {
        let text = format!("there is no model {name} in {} and no file of that name", models.display());
        return Err(Fault::new(Code::ModelNotFound, text).into());
    }
    let newest = present.iter().copied().max();
    let version = version.or(newest).filter(|version| present.contains(version));
    let version = version.ok_or_else(|| no_version(&name, &present))?;
    let path = home.join(version.to_string()).join(FILE);
    let title = format!("{name}:{version}");
    Ok(Located { path, name: Some((name, version)), title })
}

/// The fault of who asks for a version that a model has not.
pub(crate) fn no_version(name: &ModelName, present: &[ModelVersion]) -> Fault {
    let list = present.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Fault::new(Code::VersionNotFound, format!("model {name} has no such version; there are {list}"))
}

/// A reference as a name and perhaps a version.
pub(crate) fn named(reference: &str) -> anyhow::Result<(ModelName, Option<ModelVersion>)> {
    let (name, version) = match reference.split_once(':') {
        Some((name, version)) => (name, Some(version)),
        None => (reference, None),
    };
    let not_found = |error: &dyn std::fmt::Display| Fault::new(Code::ModelNotFound, error.to_string());
    let name: ModelName = name.parse().map_err(|error: spinwell_core::InvalidName| not_found(&error))?;
    let number = |text: &str| {
        let wrong =
            || Fault::new(Code::VersionNotFound, format!("{text:?} is not a version number, such as 1"));
        text.parse().ok().filter(|version| *version > 0).map(ModelVersion).ok_or_else(wrong)
    };
    Ok((name, version.map(number).transpose()?))
}

fn read(path: &Path, title: &str) -> anyhow::Result<Found> {
    let (model, _) = read_model(path).map_err(|error| failure::model_fault(path, &error))?;
    Ok(Found { model, title: title.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_and_nothing_unfinished_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let name: ModelName = "taxi".parse().unwrap();
        for wanted in 1..=3 {
            let saved =
                save(folder.path(), &name, b"model", |version, _| format!("{{\"version\":{version}}}"))
                    .unwrap();
            assert_eq!(saved.version, ModelVersion(wanted));
            assert_eq!(fs::read(&saved.path).unwrap(), b"model");
            let card = fs::read_to_string(saved.path.with_file_name("card.json")).unwrap();
            assert_eq!(card, format!("{{\"version\":{wanted}}}"));
        }
        assert_eq!(fs::read_dir(folder.path().join("taxi")).unwrap().count(), 3);
    }

    #[test]
    fn a_file_that_is_named_like_a_version_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (home, name) = (folder.path().join("taxi"), "taxi".parse().unwrap());
        save(folder.path(), &name, b"model", |_, _| String::new()).unwrap();
        write_atomically(&home.join("2"), b"notes").unwrap();
        write_atomically(&home.join("9"), b"notes").unwrap();
        assert_eq!(versions(&home), [ModelVersion(1)]);
        assert_eq!(locate("taxi", folder.path()).unwrap().title, "taxi:1");
        // Nor is it written over.
        let saved = save(folder.path(), &name, b"model", |_, _| String::new()).unwrap();
        assert_eq!((saved.version, versions(&home).len()), (ModelVersion(3), 2));
    }

    #[test]
    fn a_version_of_choice_must_be_free() {
        let folder = tempfile::tempdir().unwrap();
        let name: ModelName = "taxi".parse().unwrap();
        let put = |version, bytes: &[u8]| {
            let place = Place::Exactly(ModelVersion(version));
            save_at(folder.path(), &name, place, bytes, |_, _| None)
                .map_err(|error| error.downcast_ref::<Fault>().map(Fault::code).unwrap())
        };
        assert_eq!(put(7, b"first").unwrap().version, ModelVersion(7));
        assert_eq!(put(7, b"second").unwrap_err(), Code::VersionExists);
        assert_eq!(fs::read(folder.path().join("taxi/7/model.spinwell")).unwrap(), b"first");
        assert_eq!(put(u32::MAX, b"last").unwrap().version, ModelVersion(u32::MAX));
        // There is no number after the last one.
        let none = save(folder.path(), &name, b"next", |_, _| String::new()).unwrap_err();
        assert_eq!(none.downcast_ref::<Fault>().map(Fault::code), Some(Code::Io));
        assert_eq!(fs::read_dir(folder.path().join("taxi")).unwrap().count(), 2);
    }

    #[test]
    fn references_are_names_versions_or_paths() {
        assert_eq!(named("taxi").unwrap().1, None);
        assert_eq!(named("taxi:3").unwrap().1, Some(ModelVersion(3)));
        for wrong in ["taxi:0", "taxi:x", "../x", ""] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
        let folder = tempfile::tempdir().unwrap();
        let error = find("taxi", folder.path()).unwrap_err();
        assert_eq!(error.downcast_ref::<Fault>().map(Fault::code), Some(Code::ModelNotFound));
        let foreign = folder.path().join("x.spinwell");
        fs::File::create(&foreign).unwrap();
        let error = find(foreign.to_str().unwrap(), folder.path()).unwrap_err();
        assert_eq!(error.downcast_ref::<Fault>().map(Fault::code), Some(Code::FileTruncated));
    }
}
