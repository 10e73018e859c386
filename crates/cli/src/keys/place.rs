//! Where keys are, and the root key that opens them.

use crate::failure;
use anyhow::{Context, Result};
use spinwell_core::{Code, Fault};
use spinwell_node::RegionKeys;
use spinwell_runtime::at_rest::{FolderKeys, KeyHome};
use spinwell_runtime::options::StoreUrl;
use spinwell_security::envelope::Roots;
use spinwell_store::postgres::Postgres;
use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

/// The folder of a data folder that its keys are in.
const FOLDER: &str = "keys";

/// The keys of a data folder.
pub(crate) fn of_data(data: &Path) -> FolderKeys {
    FolderKeys::of(data.join(FOLDER))
}

/// Whose keys.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Place {
    /// The data folder of the server.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data", conflicts_with = "store")]
    data: PathBuf,
    /// The database of a region, whose nodes have their keys there (`store.url`).
    #[arg(long, value_name = "URL", value_parser = store)]
    store: Option<StoreUrl>,
    /// Print one JSON document instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// Keys, and what they need to be read.
pub(super) struct Home {
    pub(super) keys: Box<dyn KeyHome>,
    /// What the store's connections live in.
    _runtime: Runtime,
}

impl Place {
    /// Opens them.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    pub(super) fn open(&self) -> Result<Home> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.context("the runtime cannot be started")?;
        let keys: Box<dyn KeyHome> = match &self.store {
            None => Box::new(of_data(&self.data)),
            Some(url) => {
                let store = runtime.block_on(Postgres::open(url.expose())).map_err(|error| error.fault())?;
                Box::new(RegionKeys::of(store, runtime.handle().clone()))
            }
        };
        Ok(Home { keys, _runtime: runtime })
    }
}

fn store(url: &str) -> Result<StoreUrl, String> {
    StoreUrl::of(url).ok_or_else(|| "it must be postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned())
}

/// The root key, of commands that read or change what rests encrypted.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RootKey {
    /// The file with the root key, and with older ones behind it.
    #[arg(long, value_name = "FILE", conflicts_with = "root_key")]
    root_key_file: Option<PathBuf>,
    /// The root key itself comes from the environment alone.
    #[arg(long, hide = true, value_name = "KEY", env = "SPINWELL_ROOT_KEY", hide_env_values = true)]
    root_key: Option<Text>,
}

/// A root key's text, which is never printed.
#[derive(Clone)]
struct Text(Arc<Zeroizing<String>>);

impl FromStr for Text {
    type Err = Infallible;

    /// Takes anything: a parser that refuses would have the refused text printed.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Arc::new(Zeroizing::new(text.to_owned()))))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(..)")
    }
}

impl RootKey {
    /// The root keys that were given; none where none were.
    ///
    /// # Errors
    /// Where the file cannot be read, or what it holds is none.
    pub(crate) fn roots(&self) -> Result<Option<Arc<Roots>>> {
        let (text, origin) = match (&self.root_key_file, &self.root_key) {
            (None, None) => return Ok(None),
            (Some(path), _) => {
                let text = fs::read_to_string(path).map_err(|error| failure::io(path, "reading", &error))?;
                (Zeroizing::new(text), path.display().to_string())
            }
            (None, Some(text)) => (Zeroizing::new(text.0.to_string()), "SPINWELL_ROOT_KEY".to_owned()),
        };
        let wrong = |why: String| Fault::new(Code::OptionInvalid, format!("{origin}: {why}"));
        let roots = Roots::parse(&text).map_err(|invalid| wrong(invalid.to_string()))?;
        Ok(Some(Arc::new(roots.ok_or_else(|| wrong("it holds no root key".to_owned()))?)))
    }
}
