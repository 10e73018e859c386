//! What encrypts a process's own files, and secrets that are read and made through it.

use crate::keys::of_data;
use anyhow::{Context as _, Result};
use spinwell_core::{Code, Fault};
use spinwell_runtime::at_rest::{AtRest, HOUSE, is_sealed, no_root_key};
use spinwell_runtime::options::Options;
use spinwell_runtime::{entropy, files};
use spinwell_security::envelope::{Context, Roots};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What encrypts the files of the data folder; nothing where no root key is given.
///
/// # Errors
/// Where they were encrypted with another root key, or with one and there is none now.
pub(super) fn of(options: &Options) -> Result<Option<Arc<AtRest>>, Fault> {
    of_data_folder(options.encryption.as_ref(), &options.data_dir)
}

/// The same with these root keys.
///
/// # Errors
/// Those of [`of`].
pub(crate) fn of_data_folder(roots: Option<&Arc<Roots>>, data: &Path) -> Result<Option<Arc<AtRest>>, Fault> {
    let keys = of_data(data);
    match roots {
        Some(roots) => AtRest::open(roots.clone(), Box::new(keys)).map(Some),
        None if keys.are_there()? => Err(no_root_key(&format!("what rests in {}", data.display()))),
        None => Ok(None),
    }
}

/// The text of a secret file, which is made where there is none. One that was not encrypted is, from now on.
///
/// # Errors
/// Where it cannot be read, opened or written.
pub(crate) fn secret(
    path: &Path,
    at_rest: Option<&Arc<AtRest>>,
    make: impl FnOnce(&[u8; 32]) -> Result<String, Fault>,
) -> Result<Zeroizing<String>> {
    match fs::read(path) {
        Ok(bytes) if is_sealed(&bytes) => opened(path, &bytes, at_rest),
        Ok(bytes) => {
            let text = utf8(path, &bytes)?;
            if let Some(at_rest) = at_rest {
                write(path, Some(at_rest), text.trim())?;
                tracing::info!(path = %path.display(), "a secret that was not encrypted is now");
            }
            Ok(text)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = Zeroizing::new(make(&entropy::secret()?)?);
            write(path, at_rest, &text)?;
            Ok(text)
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// The text of a secret file that is there.
///
/// # Errors
/// Where it cannot be read or opened.
pub(crate) fn read_secret(path: &Path, at_rest: Option<&Arc<AtRest>>) -> Result<Zeroizing<String>> {
    let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    if is_sealed(&bytes) { opened(path, &bytes, at_rest) } else { utf8(path, &bytes) }
}

fn opened(path: &Path, bytes: &[u8], at_rest: Option<&Arc<AtRest>>) -> Result<Zeroizing<String>> {
    let at_rest = at_rest.ok_or_else(|| no_root_key(&path.display().to_string()))?;
    utf8(path, at_rest.open_sealed(&place(&name(path)), bytes)?.expose())
}

fn write(path: &Path, at_rest: Option<&Arc<AtRest>>, text: &str) -> Result<()> {
    let line = Zeroizing::new(format!("{text}\n"));
    let sealed = match at_rest {
        Some(at_rest) => {
            at_rest.add_missing(HOUSE)?;
            Some(at_rest.seal(&place(&name(path)), line.as_bytes())?)
        }
        None => None,
    };
    files::write_secret_atomically(path, sealed.as_deref().unwrap_or(line.as_bytes()))
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn utf8(path: &Path, bytes: &[u8]) -> Result<Zeroizing<String>> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        Fault::new(Code::ConfigInvalid, format!("{} cannot be used: it is no text", path.display()))
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn place(name: &str) -> Context<'_> {
    Context { tenant: HOUSE, path: name, field: "secret" }
}
