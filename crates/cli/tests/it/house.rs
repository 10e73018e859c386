//! A folder of access files as an operator makes them, and servers that ask who calls.

use crate::serving::json_request;
use crate::support::{
    Answer, BOUND, Request, Server, json, models, run, said, send, text, wait_until, window,
};
use serde_json::Value;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Instant;

/// The route that most tests ask.
pub(crate) const WAVE: &str = "/v2/models/wave/infer";
/// Rows of a window.
const ROWS: usize = 64;

/// An API key as it is shown once.
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) text: String,
}

/// Access files, the data of a server, and its log.
pub(crate) struct House {
    folder: tempfile::TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A key of somebody, who is named TENANT/NAME.
    pub(crate) fn key(&self, who: &str, role: &str) -> Key {
        let (tenant, name) = who.split_once('/').unwrap();
        let dir = self.path("access");
        let options = ["--tenant", tenant, "--role", role, "--dir", text(&dir), "--json"];
        let made = json(&[&["token", "create", name], &options[..]].concat());
        let member = |name: &str| made[name].as_str().unwrap().to_owned();
        assert_eq!(made["principal"], who);
        Key { id: member("id"), text: member("token") }
    }

    pub(crate) fn revoke(&self, key: &Key) {
        said(&["token", "revoke", &key.id, "--dir", text(&self.path("access"))]);
    }

    /// Writes an access file, whole.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let (path, beside) = (self.path("access").join(name), self.path("beside"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&beside, content).unwrap();
        fs::rename(beside, path).unwrap();
    }

    /// A server that asks, with more tables of configuration.
    pub(crate) fn serve(&self, config: &str) -> Server {
        self.serve_with(config, &[])
    }

    /// The same with more options.
    pub(crate) fn serve_with(&self, config: &str, options: &[&str]) -> Server {
        let (file, data) = (self.path("spinwell.toml"), self.path("data"));
        let access = format!("[access]\nrequired = true\ndir = {:?}\n", self.path("access"));
        fs::write(&file, format!("[ledger]\ncheckpoint_ms = 100\n{access}{config}")).unwrap();
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let all = [&["--config", text(&file), "--data", text(&data)], options].concat();
        Server::start_logged(models(), &all, log)
    }

    /// What the server has written to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Everything that stands in the ledger.
    pub(crate) fn exported(&self) -> Vec<Value> {
        let output = run(&["audit", "export", "--data", text(&self.path("data"))]);
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// So many events of a kind, as soon as they stand in the ledger.
    pub(crate) fn events(&self, what: &str, count: usize, is_one: impl Fn(&Value) -> bool) -> Vec<Value> {
        let since = Instant::now();
        loop {
            let all = self.exported();
            let found: Vec<Value> = all.iter().filter(|event| is_one(event)).cloned().collect();
            if found.len() >= count {
                return found;
            }
            assert!(since.elapsed() < BOUND, "{what} is not in the ledger: {all:#?}");
        }
    }
}

/// A request for predictions from a good window.
pub(crate) fn prediction(id: &str) -> Request {
    let mut body = json_request([1, ROWS, 1], &window(ROWS, 0.5));
    body["id"] = id.into();
    Request::post(WAVE, body.to_string())
}

/// Status and code of an answer.
pub(crate) fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

/// What a request is told when it is sent with a credential.
pub(crate) fn ask(server: &Server, request: Request, credential: &str) -> (u16, String) {
    told(&send(server.http, &request.bearer(credential)))
}

/// Asks for predictions until the answer is this one.
pub(crate) fn ask_until(what: &str, server: &Server, credential: &str, status: u16, code: &str) {
    wait_until(what, || ask(server, prediction("until"), credential) == (status, code.to_owned()));
}

/// A metric of a server, as somebody reads it who may.
pub(crate) fn metric(server: &Server, key: &Key, series: &str) -> f64 {
    let page = send(server.ops, &Request::new("GET", "/metrics").bearer(&key.text)).text();
    let line = page.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap_or_else(|| panic!("no {series} in {page}")).trim().parse().unwrap()
}
