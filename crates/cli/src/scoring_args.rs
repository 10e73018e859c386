//! How forecasts are fed and scored, as `backtest` and `evaluate` take it.

use spinwell_engine::backtest::Mode;
use spinwell_engine::train::Score;

/// What `--score` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ScoreArg {
    Last,
    Path,
}

impl ScoreArg {
    /// The engine's word for it.
    pub(crate) const fn score(self) -> Score {
        match self {
            ScoreArg::Last => Score::Last,
            ScoreArg::Path => Score::Path,
        }
    }
}

/// Reads what `--mode` takes.
pub(crate) fn parse_mode(text: &str) -> Result<Mode, String> {
    let rows = text.strip_prefix("window=").and_then(|rows| rows.parse().ok()).filter(|&rows| rows > 0);
    match (text, rows) {
        ("stream", _) => Ok(Mode::Stream),
        (_, Some(rows)) => Ok(Mode::Window(rows)),
        _ => Err("use stream, or window=W with a number of rows".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_or_explained() {
        assert_eq!(parse_mode("stream"), Ok(Mode::Stream));
        assert_eq!(parse_mode("window=96"), Ok(Mode::Window(96)));
        for wrong in ["window=0", "window", "window=x", "streams", ""] {
            assert!(parse_mode(wrong).is_err(), "{wrong}");
        }
    }
}
