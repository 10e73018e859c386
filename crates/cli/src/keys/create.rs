//! `spinwell keys create`.

use crate::failure;
use crate::output::{self, remark, say};
use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use serde_json::json;
use spinwell_core::Code;
use spinwell_runtime::{entropy, files};
use spinwell_security::envelope::{RootKey as _, Roots};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Options of `spinwell keys create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The newest root key stands first; those behind it still open what they have wrapped, until `spinwell keys rotate` has put all under the first.
Keep a copy elsewhere: what a root key protects is gone with it.

Examples:
  spinwell keys create /etc/spinwell/root.key")]
pub(super) struct Args {
    /// The file, which is made where it is not there.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

/// Makes a root key.
pub(super) fn run(args: &Args) -> Result<()> {
    let folder = args.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Two who make one at the same time would lose one of both.
    let locked = fs::File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
    let _locked = locked.map_err(|error| failure::io(folder, "locking", &error))?;
    let before = match fs::read_to_string(&args.file) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Zeroizing::default(),
        Err(error) => return Err(failure::io(&args.file, "reading", &error)),
    };
    let wrong = |invalid| failure::fault(Code::OptionInvalid, format!("{}: {invalid}", args.file.display()));
    let is_first = Roots::parse(&before).map_err(wrong)?.is_none();
    let key = Zeroizing::new(entropy::secret().context("the system gives no random bytes")?);
    let text = Zeroizing::new(format!("{}\n{}", *Zeroizing::new(HEXLOWER.encode(&*key)), *before));
    let name = Roots::parse(&text).map_err(wrong)?.map(|roots| roots.key_ref().to_string());
    files::write_secret_atomically(&args.file, text.as_bytes())
        .map_err(|error| failure::io(&args.file, "writing", &error))?;
    if args.json {
        output::document(&json!({"file": args.file, "root_key": name, "is_first": is_first}));
        return Ok(());
    }
    say(&format!("created {}: root key {}", args.file.display(), name.unwrap_or_default()));
    match is_first {
        true => remark("keep a copy elsewhere: what it protects is gone with it"),
        false => remark(
            "it stands before the older ones: restart the servers that read this file, then `spinwell keys rotate`, then remove the older ones",
        ),
    }
    Ok(())
}
