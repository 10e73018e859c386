//! What can be wrong with the options.

use spinwell_core::{Code, Fault};
use std::path::PathBuf;

/// Why the options are not valid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not TOML", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<config::ConfigError>,
    },
    /// A key that does not exist.
    #[error("{origin}: there is no key {key}; {hint}")]
    Unknown {
        /// The key as it was written.
        key: String,
        /// The file it stands in.
        origin: String,
        /// A key that may have been meant.
        hint: String,
    },
    /// A secret that is none. It is not shown.
    #[error("{origin}: {why}")]
    Secret {
        /// Where it came from.
        origin: String,
        /// What it must be.
        why: String,
    },
    /// A value that the key cannot have.
    #[error("{origin}: {key} is {value:?}, it must be {wanted}")]
    Invalid {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// Where the value came from.
        origin: String,
        /// What it may be.
        wanted: String,
    },
}

impl Error {
    /// The error as it is shown to the operator.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::new(Code::ConfigInvalid, crate::telemetry::chain(self))
    }
}
