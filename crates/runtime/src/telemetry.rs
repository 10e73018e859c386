//! Logs, to standard error, so that standard output stays the program's answer.

use crate::options::{LogFormat, LogOptions};
use std::error::Error;
use std::fmt::Write;
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process. A second call changes nothing, so tests may call it too.
///
/// # Errors
/// Where `options.level` is no filter; says what one looks like.
pub fn start(options: &LogOptions) -> Result<(), String> {
    let filter = EnvFilter::try_new(&options.level).map_err(|error| {
        format!("{:?} is no log level such as info or warn,spinwell_node=debug: {error}", options.level)
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error here only says that logging was started before.
    let _ = match options.format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(())
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
    fn a_wrong_level_is_refused() {
        let options = LogOptions { format: LogFormat::Text, level: "spinwell=loud".into() };
        assert!(start(&options).unwrap_err().contains("loud"));
    }
}
