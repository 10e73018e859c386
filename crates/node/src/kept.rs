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

/// The file of that name and hash, with the version that it was served under.
pub(crate) fn find(folder: &Path, name: &ModelName, hash: &ModelHash) -> Option<(Vec<u8>, ModelVersion)> {
    let (start, end) = (format!("{hash}."), format!(".{name}"));
    let version = |file: &str| ModelVersion::of_folder(file.strip_prefix(&start)?.strip_suffix(&end)?);
    let mut files = fs::read_dir(folder).ok()?.flatten();
    files.find_map(|entry| {
        let version = version(entry.file_name().to_str()?)?;
        Some((fs::read(entry.path()).ok()?, version))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::forecaster;

    #[test]
    fn a_file_is_kept_once_and_found_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let (own, model) = (folder.path().join("models"), forecaster(1));
        assert_eq!(find(&own, &model.name, &model.hash), None);
        for _ in 0..2 {
            keep(&own, &model, b"model").unwrap();
        }
        let found = find(&own, &model.name, &model.hash).unwrap();
        assert_eq!(found, (b"model".to_vec(), model.version));
        assert_eq!(find(&own, &model.name, &ModelHash([1; 32])), None);
        assert_eq!(find(&own, &"other".parse().unwrap(), &model.hash), None);
        assert_eq!(fs::read_dir(&own).unwrap().count(), 1);
    }
}
