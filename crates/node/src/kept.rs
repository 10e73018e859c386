//! Model files that sequences need though they may not be served any more.
//!
//! A state is good for the very bytes that made it. So the file of every model that can keep sequences is copied once,
//! under its hash, beside the sequences themselves.

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
    let path = path(folder, &model.hash, model.version, &model.name);
    if fs::metadata(&path).is_ok_and(|kept| kept.len() == bytes.len() as u64) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    write_atomically(&path, bytes)
}

/// The file of that hash, with the name and version that it was served under.
pub(crate) fn find(folder: &Path, hash: &ModelHash) -> Option<(Vec<u8>, ModelName, ModelVersion)> {
    let start = format!("{hash}.");
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let file = entry.file_name();
        let Some((version, name)) = file.to_str()?.strip_prefix(&start).and_then(|rest| rest.split_once('.'))
        else {
            continue;
        };
        let (version, name) = (ModelVersion::of_folder(version)?, name.parse().ok()?);
        return Some((fs::read(entry.path()).ok()?, name, version));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::forecaster;

    #[test]
    fn a_file_is_kept_once_and_found_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let (own, model) = (folder.path().join("models"), forecaster(1));
        assert_eq!(find(&own, &model.hash), None);
        for _ in 0..2 {
            keep(&own, &model, b"model").unwrap();
        }
        let found = find(&own, &model.hash).unwrap();
        assert_eq!(found, (b"model".to_vec(), model.name.clone(), model.version));
        assert_eq!(find(&own, &ModelHash([1; 32])), None);
        assert_eq!(fs::read_dir(&own).unwrap().count(), 1);
    }
}
