//! Logs, to standard error, so that standard output stays the program's answer.

use crate::options::{LogFormat, LogOptions};
use std::error::Error;
use std::fmt::Write;
use std::io;
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process. A second call changes nothing, so tests may call it too. Lines name the process, where
/// it has a `name`: as text they begin with it, as JSON it is their `process`.
///
/// # Errors
/// Where `options.level` is no filter; says what one looks like.
pub fn start(options: &LogOptions, name: Option<&str>) -> Result<(), String> {
    let filter = EnvFilter::try_new(&options.level).map_err(|error| {
        format!("{:?} is no log level such as info or warn,spinwell_node=debug: {error}", options.level)
    })?;
    let (format, name) = (options.format, name.map(str::to_owned));
    let to_stderr = move || Named { name: name.clone(), format, inner: io::stderr() };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(to_stderr);
    // An error here only says that logging was started before.
    let _ = match options.format {
        LogFormat::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(())
}

/// Writes lines with a process's name. Each is written by one call, so that lines of processes with the same standard error
/// stay apart.
struct Named<W> {
    name: Option<String>,
    format: LogFormat,
    inner: W,
}

impl<W: io::Write> io::Write for Named<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &self.name {
            None => self.inner.write_all(line)?,
            Some(name) => self.inner.write_all(&named(self.format, name, line))?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A line of the log with the name of the process, whose characters need no escape.
fn named(format: LogFormat, name: &str, line: &[u8]) -> Vec<u8> {
    match (format, line.strip_prefix(b"{")) {
        (LogFormat::Json, Some(rest)) => [format!("{{\"process\":{name:?},").as_bytes(), rest].concat(),
        _ => [name.as_bytes(), b"  ", line].concat(),
    }
}

/// An error and all that caused it, for one line of a log.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::num::ParseIntError);
        let error = Outer("x".parse::<u8>().unwrap_err());
        assert_eq!(chain(&error), "outer: invalid digit found in string");
    }

    #[test]
    fn every_line_names_its_process() {
        let check = |format: LogFormat, name: Option<&str>, line: &str, wanted: &str| {
            let mut inner = Vec::new();
            let mut writer = Named { name: name.map(str::to_owned), format, inner: &mut inner };
            io::Write::write_all(&mut writer, line.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(inner).unwrap(), wanted);
        };
        check(LogFormat::Text, Some("node n1"), "2026 INFO x\n", "node n1  2026 INFO x\n");
        check(LogFormat::Text, None, "2026 INFO x\n", "2026 INFO x\n");
        check(LogFormat::Json, Some("node n1"), "{\"a\":1}\n", "{\"process\":\"node n1\",\"a\":1}\n");
        check(LogFormat::Json, None, "{\"a\":1}\n", "{\"a\":1}\n");
    }

    #[test]
    fn a_wrong_level_is_refused() {
        let options = LogOptions { format: LogFormat::Text, level: "spinwell=loud".into() };
        assert!(start(&options, None).unwrap_err().contains("loud"));
    }
}
