//! What a node process leaves in its folder, so that whoever looks after it next finds it.
//!
//! The node writes it itself, once it alone has the folder: a control that is killed right after it has started a node leaves no node
//! behind that nobody knows of. It is believed where the process that it names runs, and is the very one that it means.

use serde_json::{Value, json};
use spinwell_core::{Code, Fault};
use spinwell_runtime::files::write_atomically;
use spinwell_runtime::process::Process;
use spinwell_store::Lock;
use std::net::SocketAddr;
use std::path::Path;

/// The file in a process's folder.
const FILE_NAME: &str = "process.json";

/// A node process and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The process.
    pub process: Process,
    /// Where gateways reach it.
    pub address: SocketAddr,
    /// Where its metrics are.
    pub ops: SocketAddr,
    /// A number of its life, by which the region knows it.
    pub life: u64,
}

/// The folder of a running process, which no other process takes meanwhile.
#[derive(Debug)]
pub struct Claim {
    _lock: Lock,
}

impl Claim {
    /// Takes a folder for this process, and says in it where it is reached.
    ///
    /// # Errors
    /// Where another process has it, or it cannot be written.
    pub fn take(folder: &Path, address: SocketAddr, ops: SocketAddr, life: u64) -> Result<Self, Fault> {
        let lock = Lock::take(folder).map_err(|error| error.fault())?;
        let failed = |error: std::io::Error| {
            Fault::new(Code::Io, format!("{} cannot be written: {error}", folder.join(FILE_NAME).display()))
        };
        let process = Process::own().map_err(failed)?;
        Record { process, address, ops, life }.write(folder).map_err(failed)?;
        Ok(Self { _lock: lock })
    }
}

impl Record {
    /// The process that runs in a folder, where one does.
    #[must_use]
    pub fn of_living(folder: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join(FILE_NAME)).ok()?;
        Self::of_json(&serde_json::from_str(&text).ok()?).filter(|record| record.process.is_alive())
    }

    pub(crate) fn write(&self, folder: &Path) -> std::io::Result<()> {
        let Self { process: Process { pid, started, boot }, address, ops, life } = self;
        let (address, ops, life) = (address.to_string(), ops.to_string(), format!("{life:016x}"));
        let document = json!({
            "pid": pid, "started": started, "boot": boot, "address": address, "ops": ops, "life": life,
        });
        write_atomically(&folder.join(FILE_NAME), document.to_string().as_bytes())
    }

    fn of_json(document: &Value) -> Option<Self> {
        let address = |key: &str| document[key].as_str()?.parse().ok();
        let process = Process {
            pid: u32::try_from(document["pid"].as_u64()?).ok()?,
            started: document["started"].as_u64()?,
            boot: document["boot"].as_str()?.to_owned(),
        };
        // A release before this one did not write it.
        let life = document["life"].as_str().and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0);
        Some(Self { process, address: address("address")?, ops: address("ops")?, life })
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests leave files as a stranger would")]

    use super::*;

    #[test]
    fn who_runs_in_a_folder_is_found_and_who_has_run_there_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("process");
        assert_eq!(Record::of_living(&folder), None);
        let (address, ops) = ("127.0.0.1:5".parse().unwrap(), "[::1]:6".parse().unwrap());
        let claim = Claim::take(&folder, address, ops, 7).unwrap();
        let found = Record::of_living(&folder).unwrap();
        assert_eq!(found, Record { process: Process::own().unwrap(), address, ops, life: 7 });
        assert_eq!(Claim::take(&folder, address, ops, 7).unwrap_err().code(), Code::DataInUse);
        drop(claim);
        // A number that was given again.
        let other = Process { started: found.process.started - 1, ..found.process.clone() };
        Record { process: other, ..found }.write(&folder).unwrap();
        assert_eq!(Record::of_living(&folder), None);
        std::fs::write(folder.join(FILE_NAME), "{\"pid\":").unwrap();
        assert_eq!(Record::of_living(&folder), None);
    }
}
