//! The model folder: `<models>/<name>/<version>/model.spinwell` with `card.json` beside it.

use crate::failure;
use spinwell_core::{Code, Fault, ModelName, ModelVersion};
use spinwell_engine::AnyModel;
use spinwell_runtime::files::write_atomically;
use std::fs;
use std::path::{Path, PathBuf};

/// The file of a model inside its version's folder.
const FILE: &str = "model.spinwell";

/// What a model was saved as.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) version: ModelVersion,
    pub(crate) path: PathBuf,
}

/// Saves a model and its card under the next free version. The version's folder appears complete or not at all.
/// `card` is given the version and the model's path.
pub(crate) fn save(
    models: &Path,
    name: &ModelName,
    model: &[u8],
    card: impl Fn(ModelVersion, &Path) -> String,
) -> anyhow::Result<Saved> {
    let home = models.join(name.as_str());
    fs::create_dir_all(&home).map_err(|e| failure::io(&home, "creating", &e))?;
    let staging = home.join(format!(".{}.partial", std::process::id()));
    fs::create_dir_all(&staging).map_err(|e| failure::io(&staging, "creating", &e))?;
    let saved = publish(&home, &staging, model, card);
    if saved.is_err() {
        // The first error is the one to report; an unpublished folder is invisible to every reader.
        let _ = fs::remove_dir_all(&staging);
    }
    saved
}

fn publish(
    home: &Path,
    staging: &Path,
    model: &[u8],
    card: impl Fn(ModelVersion, &Path) -> String,
) -> anyhow::Result<Saved> {
    write_atomically(&staging.join(FILE), model)
        .map_err(|e| failure::io(&staging.join(FILE), "writing", &e))?;
    let mut version = versions(home).into_iter().max().map_or(1, |newest| newest.0 + 1);
    loop {
        let folder = home.join(version.to_string());
        let path = folder.join(FILE);
        let text = card(ModelVersion(version), &path);
        let staged_card = staging.join("card.json");
        write_atomically(&staged_card, text.as_bytes())
            .map_err(|e| failure::io(&staged_card, "writing", &e))?;
        match fs::rename(staging, &folder) {
            Ok(()) => return Ok(Saved { version: ModelVersion(version), path }),
            // Somebody else took the number between our look and our rename.
            Err(_) if folder.exists() => version += 1,
            Err(error) => return Err(failure::io(&folder, "creating", &error)),
        }
    }
}

/// The versions in a model's folder.
fn versions(home: &Path) -> Vec<ModelVersion> {
    let entries = fs::read_dir(home).into_iter().flatten().flatten();
    entries.filter_map(|entry| ModelVersion::of_folder(entry.file_name().to_str()?)).collect()
}

/// A model that was asked for by name, name and version, or path.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) model: AnyModel,
    /// How to call it in messages.
    pub(crate) title: String,
}

/// Reads the model that `reference` (NAME, NAME:VERSION or a path) means.
pub(crate) fn find(reference: &str, models: &Path) -> anyhow::Result<Found> {
    let as_path = Path::new(reference);
    if as_path.is_file() {
        return read(as_path, reference);
    }
    if as_path.is_dir() && as_path.join(FILE).is_file() {
        return read(&as_path.join(FILE), reference);
    }
    let (name, version) = named(reference)?;
    let home = models.join(name.as_str());
    let present = versions(&home);
    if present.is_empty() {
        let text = format!("there is no model {name} in {} and no file of that name", models.display());
        return Err(Fault::new(Code::ModelNotFound, text).into());
    }
    let newest = present.iter().copied().max();
    let version = version.or(newest).filter(|version| present.contains(version)).ok_or_else(|| {
        let list = present.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Fault::new(Code::VersionNotFound, format!("model {name} has no such version; there are {list}"))
    })?;
    read(&home.join(version.to_string()).join(FILE), &format!("{name}:{version}"))
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
    let bytes = fs::read(path).map_err(|error| failure::io(path, "reading", &error))?;
    let model = AnyModel::from_bytes(&bytes)
        .map_err(|error| failure::fault(error.code(), format!("{}: {error}", path.display())))?;
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
