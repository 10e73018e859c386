//! What the operator can set, where it came from, and what it may be.
//!
//! Four sources, later ones win: defaults, one TOML file, `SPINWELL_SECTION_KEY` in the environment, the
//! command line. Every key is text until here and is parsed in one place, so an error can always name the key,
//! the value and the source, whichever source it was. An unknown key in the file is an error: a misspelt limit
//! would otherwise be a limit that does not hold. An unknown variable is only mentioned in the log, because
//! container platforms put variables of their own under any service's name.

mod access;
mod accuracy;
mod capacity;
mod control;
mod device;
mod edge;
mod encryption;
mod error;
mod exposure;
mod keys;
mod ledger;
mod load_reporting;
mod region;
mod sources;
mod store;
mod telemetry;

pub use access::{AccessOptions, Threats};
pub use accuracy::Accuracy;
pub use capacity::RegionCapacity;
pub use control::ControlOptions;
pub use device::Device;
pub use encryption::RootKeyText;
pub use error::Error;
pub use exposure::Exposure;
pub use ledger::{LedgerOptions, WitnessAddress};
pub use load_reporting::LoadReporting;
pub use region::{Nodes, Region, StaticNode};
pub use sources::{Override, Sources, storage_environment};
pub use store::StoreUrl;
pub use telemetry::{AccessLog, Otlp, OutcomeReaders};

use crate::tls::EdgeFiles;
use keys::KEYS;
use sources::Layered;
use spinwell_core::{Millis, NodeId};
use spinwell_security::envelope::Roots;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// How a line looks.
    pub format: LogFormat,
    /// The filter, such as `info` or `warn,spinwell_node=debug`.
    pub level: String,
}

/// Where the listeners are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Inference over HTTP.
    pub http: SocketAddr,
    /// Inference over gRPC.
    pub grpc: SocketAddr,
    /// Metrics and health.
    pub ops: SocketAddr,
}

/// What one caller, or all of them, can ask for at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest body or message.
    pub body_bytes: usize,
    /// Bytes of all bodies and messages that are being received or wait for their answers.
    pub bodies_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Millis,
    /// How long a new connection may take to show that it is one: its first HTTP/1.1 head, or the HTTP/2 preface, and then its
    /// first request.
    pub head_timeout: Millis,
    /// How long an HTTP/1.1 connection may idle, and with it how long any later head may take. Clients keep
    /// connections for about a minute; closing sooner than they do makes their next request fail.
    pub idle_timeout: Millis,
    /// How long a request may take after its last byte arrived, where the caller does not say.
    pub deadline: Millis,
    /// The longest time that a request may ask for itself.
    pub deadline_max: Millis,
    /// Requests that may wait in the node's queue.
    pub queue_len_max: usize,
    /// Age of the oldest request in the queue beyond which the least urgent are shed, if it lasts.
    pub queue_target: Millis,
    /// For how long it must last.
    pub queue_interval: Millis,
    /// Windows in one batch, and so in one request.
    pub batch_windows_max: usize,
    /// Rows in all windows of one batch, and so of one request.
    pub batch_rows_max: usize,
    /// Rows in one window.
    pub rows_max: usize,
    /// Requests in one batch call.
    pub batch_call_requests_max: usize,
    /// Connections open at the same time on each listener.
    pub connections_max: usize,
    /// Those of them that one address may have, where the operator says so; see [`Limits::connections_of`].
    pub connections_per_address_max: Option<usize>,
}

impl Limits {
    /// How many of the connections to a listener this address may have. Where nobody has said: a quarter, more than a caller needs
    /// and so little that one alone, or two or three, cannot keep everybody else out; and all of them from this machine, where a
    /// proxy may stand for everybody.
    #[must_use]
    pub fn connections_of(&self, address: IpAddr) -> usize {
        match self.connections_per_address_max {
            Some(max) => max,
            None if address.to_canonical().is_loopback() => self.connections_max,
            None => (self.connections_max / 4).max(1),
        }
    }
}

/// How the sequences of a node are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequences {
    /// Whether a step is answered only when the step log has it on the disk.
    pub is_durable: bool,
    /// Without use for so long, a sequence expires.
    pub idle_expiry: Millis,
    /// How often states are copied to the database at least, while there is anything to copy.
    pub snapshot_interval: Millis,
    /// Bytes of states in memory beyond which idle sequences leave it.
    pub memory_bytes: usize,
}

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Who may reach the listeners.
    pub exposure: Exposure,
    /// Where the listeners are.
    pub addresses: Addresses,
    /// The certificate that callers are shown; none where they are answered in the clear.
    pub edge: Option<EdgeFiles>,
    /// Where the process keeps its own files.
    pub data_dir: PathBuf,
    /// Where the models are.
    pub models_dir: PathBuf,
    /// What can be asked for at most.
    pub limits: Limits,
    /// The node's name in answers and records.
    pub node_id: NodeId,
    /// Threads that run models.
    pub executors: usize,
    /// Where reservoirs step.
    pub device: Device,
    /// How the processes of a region find and hear each other.
    pub region: Region,
    /// What control does beside leading.
    pub control: ControlOptions,
    /// The database that the processes of a region share; none where each has its own.
    pub store: Option<StoreUrl>,
    /// How the ledger is kept.
    pub ledger: LedgerOptions,
    /// The root keys of what rests encrypted; none where nothing is.
    pub encryption: Option<Arc<Roots>>,
    /// Who is served.
    pub access: AccessOptions,
    /// How sequences are kept.
    pub sequences: Sequences,
    /// How forecasts are remembered until their truth is known.
    pub accuracy: Accuracy,
    /// For how long a process that was asked to stop still takes new requests, while it says that it is not ready and ends
    /// each connection with its next answer: until balancers and callers have noticed.
    pub drain_notice: Millis,
    /// How long requests in flight are waited for when the process stops, the notice included.
    pub drain_timeout: Millis,
    /// To whom a report of the load is sent with an answer.
    pub load_reporting: LoadReporting,
    /// What is logged.
    pub log: LogOptions,
    /// Who reads outcomes besides the metrics.
    pub readers: OutcomeReaders,
}

/// A variable of the environment that looks like ours and sets nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// The variable that was likely meant, where one is near enough.
    pub nearest: Option<String>,
}

/// A value that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective<'a> {
    /// Its key.
    pub key: &'static str,
    /// The value as text, without a password in it.
    pub value: Cow<'a, str>,
    /// Whether that is a whole number or a truth value, which a file has without quotation marks.
    pub is_bare: bool,
    /// The source that set it.
    pub source: &'a str,
}

/// Options, and where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The options.
    pub options: Options,
    layered: Layered,
}

impl Options {
    /// Merges the sources and checks every value.
    ///
    /// # Errors
    /// The first key that is unknown or whose value is not valid, with its source.
    pub fn load(sources: &Sources) -> Result<Loaded, Error> {
        let mut layered = sources.merge()?;
        let data_dir = PathBuf::from(layered.text("data.dir"));
        layered.default_to("models.dir", || data_dir.join("models").display().to_string());
        layered.default_to("ledger.dir", || data_dir.join("ledger").display().to_string());
        layered.default_to("access.dir", || data_dir.join("access").display().to_string());
        layered.default_to("node.executors", || {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string()
        });
        let edge = edge::edge(&layered)?;
        let access_required = layered.flag("access.required")?;
        let options = Options {
            exposure: match layered.flag("insecure")? {
                true => Exposure::Insecure,
                false => Exposure::of_callers(edge.as_ref(), access_required),
            },
            addresses: Addresses {
                http: layered.address("http.address")?,
                grpc: layered.address("grpc.address")?,
                ops: layered.address("ops.address")?,
            },
            edge,
            data_dir,
            models_dir: PathBuf::from(layered.text("models.dir")),
            limits: limits(&layered)?,
            node_id: id(&layered, "node.id")?,
            executors: layered.number("node.executors", 1..=1024)?,
            device: (layered.text("node.device").parse())
                .map_err(|()| layered.invalid("node.device", Device::FORMS))?,
            region: region::region(&layered)?,
            control: control::control(&layered)?,
            store: store::store(&layered)?,
            ledger: ledger::ledger(&layered)?,
            encryption: encryption::roots(&layered, sources)?,
            access: access::access(&layered)?,
            sequences: sequences(&layered)?,
            accuracy: accuracy::accuracy(&layered)?,
            drain_notice: Millis(layered.number("drain.notice_ms", 0..=3_600_000)? as u64),
            drain_timeout: layered.millis("drain.timeout_ms")?,
            load_reporting: load_reporting::load_reporting(&layered)?,
            log: LogOptions {
                format: match layered.text("log.format") {
                    "text" => LogFormat::Text,
                    "json" => LogFormat::Json,
                    _ => return Err(layered.invalid("log.format", "text or json")),
                },
                level: layered.text("log.level").to_owned(),
            },
            readers: telemetry::readers(&layered)?,
        };
        Ok(Loaded { options, layered })
    }
}

impl Loaded {
    /// The effective values as a TOML file whose comments name each value's source.
    #[must_use]
    pub fn print(&self) -> String {
        self.layered.print()
    }

    /// The same values, in the order of the file.
    pub fn effective(&self) -> impl Iterator<Item = Effective<'_>> {
        self.layered.effective()
    }

    /// Environment variables that look like ours and are none of our keys.
    #[must_use]
    pub fn unknown_variables(&self) -> &[UnknownVariable] {
        self.layered.unknown_variables()
    }
}

fn limits(layered: &Layered) -> Result<Limits, Error> {
    let body_bytes = layered.number("limits.body_bytes", 1024..=1 << 32)?;
    let bodies_bytes_max = layered.number("limits.bodies_bytes_max", 1024..=1 << 40)?;
    if bodies_bytes_max < body_bytes {
        return Err(layered.invalid("limits.bodies_bytes_max", "at least limits.body_bytes"));
    }
    Ok(Limits {
        body_bytes,
        bodies_bytes_max,
        body_timeout: layered.millis("limits.body_timeout_ms")?,
        head_timeout: layered.millis("limits.head_timeout_ms")?,
        idle_timeout: layered.millis("limits.idle_timeout_ms")?,
        deadline: layered.millis("limits.deadline_ms")?,
        deadline_max: layered.millis("limits.deadline_max_ms")?,
        queue_len_max: layered.number("limits.queue_len_max", 1..=1 << 24)?,
        queue_target: layered.millis("limits.queue_target_ms")?,
        queue_interval: layered.millis("limits.queue_interval_ms")?,
        batch_windows_max: layered.number("limits.batch_windows_max", 1..=1 << 20)?,
        batch_rows_max: layered.number("limits.batch_rows_max", 1..=1 << 28)?,
        rows_max: layered.number("limits.rows_max", 1..=1 << 24)?,
        batch_call_requests_max: layered.number("limits.batch_call_requests_max", 1..=1 << 16)?,
        connections_max: layered.number("limits.connections_max", 1..=1 << 20)?,
        connections_per_address_max: match layered.text("limits.connections_per_address_max") {
            "" => None,
            _ => Some(layered.number("limits.connections_per_address_max", 1..=1 << 20)?),
        },
    })
}

fn sequences(layered: &Layered) -> Result<Sequences, Error> {
    Ok(Sequences {
        is_durable: match layered.text("sequences.durability") {
            "log" => true,
            "none" if layered.text("store.url").is_empty() => false,
            "none" => return Err(layered.invalid("sequences.durability", "log where store.url is set")),
            _ => return Err(layered.invalid("sequences.durability", "log or none")),
        },
        // A year: whoever comes back later has begun something new.
        idle_expiry: Millis(layered.number("sequences.idle_expiry_ms", 1..=31_536_000_000)? as u64),
        snapshot_interval: layered.millis("sequences.snapshot_interval_ms")?,
        memory_bytes: layered.number("sequences.memory_bytes", 1 << 20..=1 << 40)?,
    })
}

/// The name of a process.
fn id(layered: &Layered, key: &str) -> Result<NodeId, Error> {
    let id = layered.text(key);
    if is_id(id) {
        Ok(NodeId(id.into()))
    } else {
        Err(layered.invalid(key, "1 to 128 letters, digits, '.', '_' or '-'"))
    }
}

/// Whether a process may be called so.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use spinwell_core::Code;

    fn sources(file: &str, environment: &[(&str, &str)], overrides: &[(&'static str, &str)]) -> Sources {
        Sources {
            file: (!file.is_empty()).then(|| ("spinwell.toml".into(), file.to_owned())),
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            root_key: None,
            overrides: overrides
                .iter()
                .map(|(key, value)| Override { key, value: (*value).to_owned(), flag: "--flag" })
                .collect(),
        }
    }

    #[test]
    fn defaults_are_valid_and_bind_loopback() {
        let options = Options::load(&Sources::default()).unwrap().options;
        assert_eq!(options.addresses.http.to_string(), "127.0.0.1:8000");
        assert_eq!(options.exposure, Exposure::LoopbackOnly);
        assert_eq!(options.models_dir, PathBuf::from("./spinwell-data/models"));
        assert_eq!(options.limits.body_bytes, 16 * 1024 * 1024);
        assert!(options.executors >= 1);
    }

    #[test]
    fn connections_of_an_address_are_a_quarter_or_what_is_set() {
        let check = |file: &str, address: &str, wanted: usize| {
            let options = Options::load(&sources(file, &[], &[])).unwrap().options;
            assert_eq!(options.limits.connections_of(address.parse().unwrap()), wanted, "{file:?} {address}");
        };
        check("", "10.0.0.1", 1024);
        check("", "127.0.0.1", 4096);
        check("[limits]\nconnections_max = 2\n", "10.0.0.1", 1);
        check("[limits]\nconnections_per_address_max = \"\"\n", "10.0.0.1", 1024);
        check("[limits]\nconnections_per_address_max = 9\n", "127.0.0.1", 9);
    }

    #[test]
    fn later_sources_win_and_each_is_named() {
        let file = "[http]\naddress = \"127.0.0.1:1\"\n[limits]\ndeadline_ms = 5\nrows_max = 7\n";
        let environment = [("SPINWELL_LIMITS_DEADLINE_MS", "6"), ("SPINWELL_HTTP_ADDRESS", "127.0.0.1:2")];
        let loaded = Options::load(&sources(file, &environment, &[("http.address", "127.0.0.1:3")])).unwrap();
        assert_eq!(loaded.options.addresses.http.port(), 3);
        assert_eq!(loaded.options.limits.deadline, Millis(6));
        assert_eq!(loaded.options.limits.rows_max, 7);
        let printed = loaded.print();
        for line in [
            "address = \"127.0.0.1:3\"  # command line --flag",
            "deadline_ms = 6  # environment SPINWELL_LIMITS_DEADLINE_MS",
            "rows_max = 7  # spinwell.toml",
            "body_bytes = 16777216  # default",
        ] {
            assert!(printed.lines().any(|l| l == line), "{line:?} is missing in\n{printed}");
        }
    }

    #[test]
    fn the_printed_configuration_can_be_read_back() {
        let first = Options::load(&sources("", &[], &[("log.level", "warn,\"x\"=debug")])).unwrap();
        let second = Options::load(&sources(&first.print(), &[], &[])).unwrap();
        assert_eq!(first.options, second.options);
    }

    #[test]
    fn errors_name_the_key_and_the_source() {
        let check = |sources: Sources, words: &[&str]| {
            let fault = Options::load(&sources).unwrap_err().fault();
            assert_eq!(fault.code(), Code::ConfigInvalid);
            for word in words {
                assert!(fault.message().contains(word), "{word} is missing in: {fault}");
            }
        };
        check(
            sources("[limits]\nbody_byte = 5\n", &[], &[]),
            &["limits.body_byte", "spinwell.toml", "body_bytes"],
        );
        check(
            sources("[http]\naddress = \"nowhere\"\n", &[], &[]),
            &["http.address", "nowhere", "spinwell.toml"],
        );
        check(sources("[http\n", &[], &[]), &["spinwell.toml"]);
        check(sources("[http]\naddress = { a = 1 }\n", &[], &[]), &["http.address"]);
        check(sources("limits = 5\n", &[], &[]), &["limits"]);
        check(
            sources("", &[("SPINWELL_LIMITS_ROWS_MAX", "0")], &[]),
            &["limits.rows_max", "SPINWELL_LIMITS_ROWS_MAX", "from 1 to"],
        );
        check(sources("", &[("SPINWELL_INSECURE", "yes")], &[]), &["insecure", "true or false"]);
        check(
            sources("", &[], &[("limits.bodies_bytes_max", "5000000")]),
            &["limits.bodies_bytes_max", "at least limits.body_bytes"],
        );
        check(sources("", &[], &[("node.id", "a b")]), &["node.id", "--flag"]);
        check(sources("", &[("SPINWELL_NODE_DEVICE", "gpu:x")], &[]), &["node.device", "gpu:I"]);
        check(sources("[log]\nformat = \"xml\"\n", &[], &[]), &["log.format", "text or json"]);
        check(
            sources("", &[], &[("sequences.durability", "maybe")]),
            &["sequences.durability", "log or none"],
        );
        let none = ("sequences.durability", "none");
        check(
            sources("", &[], &[none, ("store.url", "postgres://own@127.0.0.1/own")]),
            &["sequences.durability", "log where store.url is set"],
        );
    }

    #[test]
    fn variables_of_others_are_only_mentioned() {
        let environment =
            [("SPINWELL_SERVICE_HOST", "10.0.0.1"), ("HOME", "/root"), ("SPINWELL_TOKEN", "for callers")];
        let loaded = Options::load(&sources("", &environment, &[])).unwrap();
        let wanted = UnknownVariable { name: "SPINWELL_SERVICE_HOST".to_owned(), nearest: None };
        assert_eq!(loaded.unknown_variables(), [wanted]);
    }

    #[test]
    fn a_misspelt_variable_is_mentioned_with_the_one_that_was_meant() {
        let check = |name: &str, wanted: Option<&str>| {
            let loaded = Options::load(&sources("", &[(name, "1")], &[])).unwrap();
            let [unknown] = loaded.unknown_variables() else { panic!("{name} is a key") };
            assert_eq!((unknown.name.as_str(), unknown.nearest.as_deref()), (name, wanted));
        };
        check("SPINWELL_LIMITS_DEADLNE_MS", Some("SPINWELL_LIMITS_DEADLINE_MS"));
        check("SPINWELL_LIMITS_BODY_BYTE", Some("SPINWELL_LIMITS_BODY_BYTES"));
        check("SPINWELL_http_address", Some("SPINWELL_HTTP_ADDRESS"));
        check("SPINWELL_INSCEURE", Some("SPINWELL_INSECURE"));
        // As container platforms set them.
        for theirs in ["SPINWELL_PORT", "SPINWELL_SERVICE_PORT", "SPINWELL_PORT_8000_TCP_ADDR", "SPINWELL_"] {
            check(theirs, None);
        }
        check(&format!("SPINWELL_{}", "é".repeat(1000)), None);
    }

    proptest! {
        #[test]
        fn any_value_of_any_key_is_taken_or_refused_by_name(number in 0..KEYS.len(), text in "\\PC{0,12}|[0-9]{1,20}") {
            let (key, _) = KEYS[number];
            match Options::load(&sources("", &[], &[(key, &text)])) {
                Ok(loaded) => prop_assert!(loaded.print().contains("# command line --flag")),
                Err(error) => prop_assert!(error.fault().message().contains(key)),
            }
        }

        #[test]
        fn no_file_makes_the_loader_panic(text in "\\PC{0,60}") {
            let _ = Options::load(&sources(&text, &[], &[]));
        }
    }
}
