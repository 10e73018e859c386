//! The ledger of a process: its keys, and its log.

use super::at_rest::secret;
use super::witnesses::Witnesses;
use anyhow::{Context, Result};
use spinwell_core::{Code, Fault};
use spinwell_gateway::Audit;
use spinwell_ledger::{Commitments, LogKey};
use spinwell_runtime::at_rest::{AtRest, Veil};
use spinwell_runtime::options::{LedgerOptions, storage_environment};
use spinwell_runtime::{clock, files, machine};
use spinwell_store::ledger::{Copier, CopySettings, CopyTo, Settings, Writer};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The public keys of all logs in a ledger's folder, a line each.
const PUBLIC_KEYS: &str = "log.vkey";

/// Opens the ledger of the gateway of this name, and has its witnesses asked. Must be called within a tokio runtime.
///
/// # Errors
/// Those of [`writer`], and where a witness's key is none.
pub(super) fn open(
    options: &LedgerOptions,
    name: &str,
    at_rest: Option<Arc<AtRest>>,
) -> Result<Option<Arc<Audit>>> {
    let witnesses = Witnesses::of(options)?;
    let Some((writer, commitments)) = writer(options, name, at_rest.as_ref())? else { return Ok(None) };
    let public = writer.public().clone();
    let veil = Veil::of(at_rest);
    // Of findings that are nobody's, and of who has not shown who he is.
    veil.prepare_own()?;
    veil.prepare("default")?;
    let audit = Audit::new(name.to_owned(), writer, commitments).veiled(veil);
    let audit = Arc::new(match &options.copy_to {
        None => audit,
        Some(to) => {
            let wrong = |error| Fault::new(Code::ConfigInvalid, format!("ledger.copy_to: {error:#}"));
            let (folder, public) = (options.dir.join(name), public.clone());
            let to = copy_to(to).map_err(wrong)?;
            audit.with_copier(Copier::start(CopySettings { folder, public, name: name.to_owned(), to })?)
        }
    });
    let shown = audit.clone();
    witnesses
        .ask(&options.dir.join(name), &public, move |witness, entries| shown.witnessed(witness, entries));
    Ok(Some(audit))
}

/// Opens the log of the process of this name, with its keys, which are made where there are none.
///
/// # Errors
/// Where a file cannot be read or written, or the log is not what its key has signed.
pub(super) fn writer(
    options: &LedgerOptions,
    name: &str,
    at_rest: Option<&Arc<AtRest>>,
) -> Result<Option<(Writer, Commitments)>> {
    if !options.is_enabled {
        return Ok(None);
    }
    let dir = &options.dir;
    fs::create_dir_all(dir)
        .with_context(|| format!("the ledger's folder {} cannot be made", dir.display()))?;
    let origin = format!("{}/{name}", options.origin);
    is_whole(dir, name)?;
    let path = dir.join(format!("{name}.commitments"));
    let text = secret(&path, at_rest, |bytes| Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))?;
    let commitments = commitments(&text).ok_or_else(|| invalid(&path, &"it is not 64 hexadecimal digits"))?;
    let path = dir.join(format!("{name}.key"));
    let key = secret(&path, at_rest, |seed| {
        LogKey::of_seed(&origin, seed)
            .map(|key| key.secret_text().to_owned())
            .map_err(|error| invalid(&path, &error))
    })?;
    let key = LogKey::of_text(key.trim()).map_err(|error| invalid(&path, &error))?;
    make_known(dir, &key)?;
    let writer = Writer::open(Settings {
        folder: dir.join(name),
        key,
        program: format!("spinwell {}", spinwell_gateway::VERSION),
        boot: machine::boot(),
        span: options.span.into(),
        checkpoint: options.checkpoint.into(),
        clock: clock::unix_micros,
    });
    let writer = writer.map_err(|error| error.fault())?;
    Ok(Some((writer, commitments)))
}

/// Whether a log whose key is there is there as well, with the key of its commitments: both are made before the key. Who lost one of them would
/// begin another log under the same name, or find that no input is the one that was asked.
///
/// # Errors
/// Where one of them is gone.
fn is_whole(dir: &Path, name: &str) -> Result<(), Fault> {
    let (key, log) = (dir.join(format!("{name}.key")), dir.join(name));
    let commitments = dir.join(format!("{name}.commitments"));
    if key.exists() {
        let gone = [&log, &commitments].into_iter().find(|path| !path.exists());
        return gone.map_or(Ok(()), |path| {
            let message = format!(
                "{} is gone, and {} is there: bring it back from a copy; to begin another log, move that key away, too",
                path.display(),
                key.display()
            );
            Err(Fault::new(Code::LedgerWrong, message))
        });
    }
    fs::create_dir_all(&log)
        .map_err(|error| Fault::new(Code::Io, format!("{} cannot be made: {error}", log.display())))
}

/// The place of this address, as this process's environment has it.
pub(crate) fn copy_to(address: &str) -> Result<CopyTo> {
    Ok(CopyTo::parse(address, &storage_environment())?)
}

fn invalid(path: &Path, why: &dyn std::fmt::Display) -> Fault {
    Fault::new(Code::ConfigInvalid, format!("{} cannot be used: {why}", path.display()))
}

/// The key of commitments that this text stands for.
pub(crate) fn commitments(text: &str) -> Option<Commitments> {
    let text = text.trim();
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(Commitments::of_key(&key))
}

/// Adds a log's public key to those that stand beside the logs.
fn make_known(dir: &Path, key: &LogKey) -> Result<()> {
    let (path, line) = (dir.join(PUBLIC_KEYS), key.public().to_string());
    let known = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    if known.lines().any(|known| known == line) {
        return Ok(());
    }
    let all = format!("{known}{line}\n");
    files::write_atomically(&path, all.as_bytes())
        .with_context(|| format!("{} cannot be written", path.display()))
}
