//! What the user sees when a command fails: a code, what was wrong, and what to do.

use spinwell_core::{Code, Fault};
use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// A fault that has a hint of its own, because of where it came from.
#[derive(Debug)]
struct Hinted {
    fault: Fault,
    hint: &'static str,
}

impl fmt::Display for Hinted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.fault.message())
    }
}

impl std::error::Error for Hinted {}

/// A fault with a hint that fits better than that of its code.
pub(crate) fn with_hint(fault: Fault, hint: &'static str) -> anyhow::Error {
    Hinted { fault, hint }.into()
}

/// A fault of a running server, whose models are not where this command line looks.
pub(crate) fn of_server(fault: Fault) -> anyhow::Error {
    match fault.code() {
        Code::ModelNotFound | Code::VersionNotFound => {
            Hinted { fault, hint: "`spinwell model list --url URL` shows what the server has" }.into()
        }
        _ => fault.into(),
    }
}

/// A failure of the start of a server: models that are damaged are left out, so a damaged file is one of the data folder.
pub(crate) fn of_data_folder(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Fault>() {
        Ok(fault) if fault.code() == Code::FileCorrupt => Hinted {
            fault,
            hint: "restore the data folder, or move the named file away: the steps in it are lost then; nothing was changed",
        }
        .into(),
        Ok(fault) => fault.into(),
        Err(error) => error,
    }
}

/// The fault in an error, with the hint that fits it.
fn known(error: &anyhow::Error) -> Option<(&Fault, Option<&'static str>)> {
    error.chain().find_map(|cause| match cause.downcast_ref::<Hinted>() {
        Some(Hinted { fault, hint }) => Some((fault, Some(*hint))),
        None => cause.downcast_ref::<Fault>().map(|fault| (fault, hint(fault.code()))),
    })
}

/// Prints an error with its code and its causes, and chooses the exit code.
#[expect(clippy::print_stderr, reason = "this is where the command line reports failures")]
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let (fault, hint) = known(error).unzip();
    let code = fault.map(Fault::code);
    let said: Vec<String> = error
        .chain()
        .map(|cause| {
            cause
                .downcast_ref::<Fault>()
                .map_or_else(|| cause.to_string(), |fault| fault.message().to_owned())
        })
        .collect();
    match code {
        Some(code) => eprintln!("error[{code}]: {}", said.join(": ")),
        None => eprintln!("error: {}", said.join(": ")),
    }
    if let Some(hint) = hint.flatten() {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(if code == Some(Code::OptionInvalid) { 2 } else { 1 })
}

fn hint(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::CsvColumn => "name columns exactly as in the first line of the file",
        Code::CsvMissing => "fill the gap, or cut the file so that it lies outside",
        Code::CsvTime => "leave --time out to take the rows in the order of the file",
        Code::SeriesTooShort => "use more rows or cases; a shorter --horizon or --season needs fewer",
        Code::FileForeign | Code::FileTruncated | Code::FileCorrupt => {
            "copy the file again from where it was trained, or train it again; nothing was loaded"
        }
        Code::ModelNotFound | Code::VersionNotFound => {
            "`spinwell train --models DIR` puts models where --models looks"
        }
        Code::VersionExists => "leave --version out to take the next number",
        Code::FileExists => "choose another folder, or say --force to replace it",
        Code::CredentialsMissing => {
            "give --token, or SPINWELL_TOKEN in the environment (`spinwell token create` makes a key); a certificate has to be entered in \
             certificates.toml beside the server"
        }
        Code::CredentialsRefused => "`spinwell token list` beside the server shows which keys are good",
        Code::NotPermitted => {
            "use a key with a role that may; `spinwell policy test` tries what policies decide"
        }
        Code::ListenRefused => "choose another address; --help shows the options for each",
        Code::Unreachable => "is `spinwell serve` running, and is the address right?",
        _ => return None,
    })
}

/// A failure with a code that came from a library's own error.
pub(crate) fn fault(code: Code, error: impl fmt::Display) -> anyhow::Error {
    Fault::new(code, error.to_string()).into()
}

/// A failure of reading or writing `path`.
pub(crate) fn io(path: &Path, doing: &str, error: &std::io::Error) -> anyhow::Error {
    io_fault(path, doing, error).into()
}

/// The fault of a model file that was not read.
pub(crate) fn model_fault(path: &Path, error: &spinwell_node::FileError) -> Fault {
    match error {
        spinwell_node::FileError::Io(error) => io_fault(path, "reading", error),
        spinwell_node::FileError::Model(error) => {
            Fault::new(error.code(), format!("{}: {error}", path.display()))
        }
    }
}

/// The same as a fault that may be kept.
pub(crate) fn io_fault(path: &Path, doing: &str, error: &std::io::Error) -> Fault {
    Fault::new(Code::Io, format!("{doing} {}: {error}", path.display()))
}
