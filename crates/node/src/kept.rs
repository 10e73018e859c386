//! Model files that sequences need though they may not be served any more.
//!
//! A state is good for the very bytes that made it. So the file of every model that can keep sequences is copied once,
//! under its hash, beside the sequences themselves. At the start those go that no version and no sequence needs any more;
//! before, a sequence may begin at any time with a version that is just being replaced.

use spinwell_core::{ModelHash, ModelName, ModelVersion};
use spinwell_protocol::ModelDescription;
use spinwell_runtime::files::write_atomically;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn path(folder: &Path, hash: &ModelHash, version: ModelVersion, name: &ModelName) -> PathBuf {
    folder.join(format!("{hash}.{version}.{name}"))
}

/// Keeps a model's file, unless it is kept already.
pub(crate) fn keep(folder: &Path, model: &ModelDescription, bytes: &[u8]) -> io::Result<()> {
    keep_file(folder, &model.hash, model.version, &model.name, bytes)
}

/// Keeps the file of that hash, unless it is kept already.
pub(crate) fn keep_file(
    folder: &Path,
    hash: &ModelHash,
    version: ModelVersion,
    name: &ModelName,
    bytes: &[u8],
) -> io::Result<()> {
    let path = path(folder, hash, version, name);
    if fs::metadata(&path).is_ok_and(|kept| kept.len() == bytes.len() as u64) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    write_atomically(&path, bytes)
}

/// Where the file of that name and hash is, with the version that it was served under.
pub(crate) fn find(folder: &Path, name: &ModelName, hash: &ModelHash) -> Option<(PathBuf, ModelVersion)> {
    let (start, end) = (format!("{hash}."), format!(".{name}"));
    let version = |file: &str| ModelVersion::of_folder(file.strip_prefix(&start)?.strip_suffix(&end)?);
    let mut files = fs::read_dir(folder).ok()?.flatten();
    files.find_map(|entry| {
        let version = version(entry.file_name().to_str()?)?;
        Some((entry.path(), version))
    })
}

/// Removes the files of models that are not `needed`, and what was begun and never finished. Gives how many went.
///
/// # Errors
/// Where the folder cannot be read or a file in it not be removed; the rest may have gone. A folder that is not there is empty.
pub(crate) fn clean(folder: &Path, needed: impl Fn(&ModelName, &str) -> bool) -> io::Result<usize> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        let file = entry.file_name();
        let Some(file) = file.to_str() else { continue };
        let is_unfinished = file.starts_with('.') && file.ends_with(".partial");
        if is_unfinished || model_of(file).is_some_and(|(hash, name)| !needed(&name, hash)) {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// The hash and the name of the model whose file is called so here.
fn model_of(file: &str) -> Option<(&str, ModelName)> {
    let (hash, rest) = file.split_once('.')?;
    let (version, name) = rest.split_once('.')?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    ModelVersion::of_folder(version).filter(|_| is_hash)?;
    Some((hash, name.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::forecaster;

    #[test]
    fn what_nobody_needs_goes_and_what_is_no_model_s_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(clean(&folder.path().join("none"), |_, _| false).unwrap(), 0);
        let (own, model) = (folder.path(), forecaster(1));
        keep(own, &model, b"model").unwrap();
        for other in [".x.1-0.partial", "notes.txt", "abc.1.echo"] {
            write_atomically(&own.join(other), b"x").unwrap();
        }
        let is_it = |name: &ModelName, hash: &str| *name == model.name && hash == model.hash.to_string();
        assert_eq!(clean(own, is_it).unwrap(), 1);
        assert!(find(own, &model.name, &model.hash).is_some());
        assert_eq!(clean(own, |name, hash| is_it(name, hash) && hash.is_empty()).unwrap(), 1);
        assert_eq!(find(own, &model.name, &model.hash), None);
        assert_eq!(fs::read_dir(own).unwrap().count(), 2);
    }

    #[test]
    fn a_file_is_kept_once_and_found_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let (own, model) = (folder.path().join("models"), forecaster(1));
        assert_eq!(find(&own, &model.name, &model.hash), None);
        for _ in 0..2 {
            keep(&own, &model, b"model").unwrap();
        }
        let found = find(&own, &model.name, &model.hash).unwrap();
        assert_eq!((fs::read(found.0).unwrap(), found.1), (b"model".to_vec(), model.version));
        assert_eq!(find(&own, &model.name, &ModelHash([1; 32])), None);
        assert_eq!(find(&own, &"other".parse().unwrap(), &model.hash), None);
        assert_eq!(fs::read_dir(&own).unwrap().count(), 1);
    }
}
