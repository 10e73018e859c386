//! What a server holds, and having it hold something else: the protocol's extensions for repositories and statistics.

use super::{Asked, Client, not_the_protocol};
use serde_json::Value;
use spinwell_core::Fault;
use std::time::Duration;

/// How long a server may take to load a model and try it out, on a graphics card that compiles for it too.
const LOAD_TIMEOUT: Duration = Duration::from_mins(5);

/// A version that a server could serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Indexed {
    /// The model's name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// The protocol's word: `READY` or `UNAVAILABLE`.
    pub(crate) state: String,
    /// Why it is not ready.
    pub(crate) reason: String,
}

impl Indexed {
    /// Whether it answers.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == "READY"
    }
}

/// What a server has done with a version since it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The model's name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Requests that were answered.
    pub(crate) answered: u64,
    /// Requests that were not.
    pub(crate) failed: u64,
    /// Windows predicted.
    pub(crate) windows: u64,
}

fn indexed(entry: &Value) -> Indexed {
    Indexed {
        name: text(&entry["name"]),
        version: text(&entry["version"]),
        state: text(&entry["state"]),
        reason: text(&entry["reason"]),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Client {
    /// Every version that the server could serve, whether it does or not.
    ///
    /// # Errors
    /// The server's own fault, or unreachable.
    pub(crate) fn index(&self) -> Result<Vec<Indexed>, Fault> {
        let document = self.document(Asked::post("/v2/repository/index"))?;
        let all = document.as_array().ok_or_else(|| not_the_protocol("its repository index is no list"))?;
        Ok(all.iter().map(indexed).collect())
    }

    /// What the server has counted of every version.
    ///
    /// # Errors
    /// The server's own fault, or unreachable.
    pub(crate) fn statistics(&self) -> Result<Vec<Counted>, Fault> {
        let document = self.document(Asked::get("/v2/models/stats"))?;
        let all = document["model_stats"].as_array();
        let all = all.ok_or_else(|| not_the_protocol("its statistics have no model_stats"))?;
        let one = |entry: &Value| {
            let count = |key: &str| entry["inference_stats"][key]["count"].as_u64().unwrap_or_default();
            Counted {
                name: text(&entry["name"]),
                version: text(&entry["version"]),
                answered: count("success"),
                failed: count("fail"),
                windows: entry["inference_count"].as_u64().unwrap_or_default(),
            }
        };
        Ok(all.iter().map(one).collect())
    }

    /// Has the server serve a model's files as they are now. Comes with the versions that are not, or not on every node of a
    /// region.
    ///
    /// # Errors
    /// The server's own fault, or unreachable.
    pub(crate) fn load(&self, name: &str) -> Result<Vec<Indexed>, Fault> {
        let body = self.change(name, "load")?;
        // A server of another kind may answer with nothing.
        let document: Value = serde_json::from_slice(&body).unwrap_or_default();
        Ok(document["not_loaded"].as_array().into_iter().flatten().map(indexed).collect())
    }

    /// Has the server serve no version of a model any more.
    ///
    /// # Errors
    /// The server's own fault, or unreachable.
    pub(crate) fn unload(&self, name: &str) -> Result<(), Fault> {
        self.change(name, "unload").map(drop)
    }

    fn change(&self, name: &str, what: &str) -> Result<Vec<u8>, Fault> {
        let path = format!("/v2/repository/models/{name}/{what}");
        self.send(Asked { limit: LOAD_TIMEOUT, ..Asked::post(path) }).map(|(_, body)| body)
    }
}
