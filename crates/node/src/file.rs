//! Reading a model file. What lies in the place of one may be anything: a pipe that nobody writes to, a device without an end,
//! something else of many gigabytes. So it is looked at before it is opened, and its header before the rest is read.

use spinwell_core::Code;
use spinwell_engine::AnyModel;
use spinwell_engine::artefact::{self, HEADER, check_header};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Why there is no model in a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read, or is no regular file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What it holds is no model.
    #[error(transparent)]
    Model(#[from] artefact::Error),
}

impl FileError {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            FileError::Io(_) => Code::Io,
            FileError::Model(error) => error.code(),
        }
    }
}

/// The model in a file, and the file's bytes. Links are followed.
///
/// # Errors
/// Where the file cannot be read, is no regular one (a pipe, a device, a folder), or is no whole model.
pub fn read_model(path: &Path) -> Result<(AnyModel, Vec<u8>), FileError> {
    let is_regular = |file: fs::Metadata| match file.is_file() {
        true => Ok(file.len()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
    };
    // Before it is opened: to open a pipe waits for somebody who writes to it.
    is_regular(fs::metadata(path)?)?;
    let file = File::open(path)?;
    let length = is_regular(file.metadata()?)?;
    let mut bytes = Vec::with_capacity(HEADER);
    (&file).take(HEADER as u64).read_to_end(&mut bytes)?;
    check_header(&bytes, length)?;
    // No more, should the file grow meanwhile.
    (&file).take(length - bytes.len() as u64).read_to_end(&mut bytes)?;
    Ok((AnyModel::from_bytes(&bytes)?, bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests leave files as a stranger would")]

    use super::*;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    fn code(path: &Path) -> Code {
        read_model(path).map(|_| ()).unwrap_err().code()
    }

    #[test]
    fn a_pipe_a_device_and_a_folder_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        symlink("/dev/zero", at("zeros")).unwrap();
        symlink(at("pipe"), at("link")).unwrap();
        for path in [at("pipe"), at("zeros"), at("link"), at("none"), folder.path().to_owned()] {
            assert_eq!(code(&path), Code::Io, "{}", path.display());
        }
    }

    #[test]
    fn no_more_is_read_of_a_file_than_its_header_where_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.spinwell");
        let header = |length: u64| {
            let mut head = [b"SPINWELL".as_slice(), &2u32.to_le_bytes(), &length.to_le_bytes()].concat();
            head.resize(HEADER, 0);
            head
        };
        for (head, wanted) in [
            (Vec::new(), Code::FileForeign),
            (header(u64::MAX), Code::FileTruncated),
            (header(7), Code::FileCorrupt),
        ] {
            fs::write(&path, head).unwrap();
            // A petabyte, which no memory takes: holes cost nothing on the disk.
            let longest = [1 << 50, 1 << 43].into_iter();
            let file = File::options().write(true).open(&path).unwrap();
            assert!(longest.map(|length| file.set_len(length)).any(|set| set.is_ok()), "no sparse file");
            assert_eq!(code(&path), wanted);
        }
        fs::write(&path, &header(7)[..20]).unwrap();
        assert_eq!(code(&path), Code::FileTruncated);
    }
}
