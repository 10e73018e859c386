//! Who reads outcomes besides the metrics: the access log and the trace exporter.

use super::error::Error;
use super::sources::Layered;
use spinwell_core::Ratio;
use std::path::PathBuf;

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// To standard error, between the lines of the log.
    StandardError,
    /// To the end of a file, which is opened again on SIGHUP.
    File(PathBuf),
}

/// Where traces go.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// The collector, without the path of a signal, such as `http://127.0.0.1:4318`.
    pub endpoint: String,
    /// The share of the traces begun here that are recorded; a caller who sends `traceparent` decides himself.
    pub sample_ratio: Ratio,
}

/// Who reads outcomes besides the metrics, behind queues that never make a request wait.
#[derive(Debug, Clone, PartialEq)]
pub struct OutcomeReaders {
    /// Outcomes that may wait for each reader; what comes on top is dropped and counted.
    pub queue_len_max: usize,
    /// Where the access log goes, if anywhere.
    pub access_log: Option<AccessLog>,
    /// Where traces go, if anywhere.
    pub otlp: Option<Otlp>,
}

pub(super) fn readers(layered: &Layered) -> Result<OutcomeReaders, Error> {
    let sample_ratio = layered.text("otlp.sample_ratio").parse().ok().and_then(Ratio::new);
    let sample_ratio =
        sample_ratio.ok_or_else(|| layered.invalid("otlp.sample_ratio", "a number from 0 to 1"))?;
    let otlp = match layered.text("otlp.endpoint") {
        "" => None,
        endpoint if is_collector(endpoint) => {
            Some(Otlp { endpoint: endpoint.trim_end_matches('/').to_owned(), sample_ratio })
        }
        _ => {
            let wanted = "empty or http://HOST:PORT of a collector for OTLP over HTTP, such as http://127.0.0.1:4318 \
                          (https is not offered: let a collector on this machine pass the traces on)";
            return Err(layered.invalid("otlp.endpoint", wanted));
        }
    };
    Ok(OutcomeReaders {
        queue_len_max: layered.number("outcomes.queue_len_max", 1..=1 << 20)?,
        access_log: match layered.text("access_log.path") {
            "" => None,
            "-" => Some(AccessLog::StandardError),
            path => Some(AccessLog::File(PathBuf::from(path))),
        },
        otlp,
    })
}

fn is_collector(endpoint: &str) -> bool {
    let Some(rest) = endpoint.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    !authority.is_empty()
        && !rest.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#'))
}

#[cfg(test)]
mod tests {
    use crate::options::{AccessLog, Options, OutcomeReaders, Override, Sources};
    use std::path::PathBuf;

    fn load(overrides: &[(&'static str, &str)]) -> Result<OutcomeReaders, String> {
        let one = |(key, value): &(&'static str, &str)| Override {
            key,
            value: (*value).to_owned(),
            flag: "--flag",
        };
        let sources = Sources { overrides: overrides.iter().map(one).collect(), ..Sources::default() };
        let loaded = Options::load(&sources).map_err(|error| error.fault().message().to_owned());
        loaded.map(|loaded| loaded.options.readers)
    }

    #[test]
    fn nobody_else_reads_outcomes_unless_asked_for() {
        let readers = load(&[]).unwrap();
        assert_eq!((readers.access_log, readers.otlp, readers.queue_len_max), (None, None, 8192));
    }

    #[test]
    fn places_are_read_and_wrong_ones_named() {
        let log = |path: &str| load(&[("access_log.path", path)]).unwrap().access_log;
        assert_eq!(log("-"), Some(AccessLog::StandardError));
        assert_eq!(log("log/access.json"), Some(AccessLog::File(PathBuf::from("log/access.json"))));
        let otlp = load(&[("otlp.endpoint", "http://collector:4318/"), ("otlp.sample_ratio", "0.25")]);
        let otlp = otlp.unwrap().otlp.unwrap();
        assert_eq!((otlp.endpoint.as_str(), otlp.sample_ratio.get()), ("http://collector:4318", 0.25));
        for wrong in ["collector:4318", "https://collector", "http://", "http:///x", "http://a b"] {
            let message = load(&[("otlp.endpoint", wrong)]).unwrap_err();
            assert!(message.contains("otlp.endpoint") && message.contains("4318"), "{message}");
        }
        for wrong in ["1.5", "-0.1", "half", "NaN", ""] {
            let message = load(&[("otlp.sample_ratio", wrong)]).unwrap_err();
            assert!(message.contains("from 0 to 1"), "{message}");
        }
    }
}
