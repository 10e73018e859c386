//! To whom a report of the load is sent with an answer.

use super::error::Error;
use super::sources::Layered;

/// To whom a report of the load is sent with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadReporting {
    /// To nobody.
    Never,
    /// To callers who ask for it.
    #[default]
    OnRequest,
    /// To everybody.
    Always,
}

pub(super) fn load_reporting(layered: &Layered) -> Result<LoadReporting, Error> {
    match layered.text("gateway.load_reports") {
        "never" => Ok(LoadReporting::Never),
        "on_request" => Ok(LoadReporting::OnRequest),
        "always" => Ok(LoadReporting::Always),
        _ => Err(layered.invalid("gateway.load_reports", "never, on_request or always")),
    }
}

#[cfg(test)]
mod tests {
    use crate::options::{LoadReporting, Options, Override, Sources};

    #[test]
    fn reports_go_to_nobody_to_who_asks_or_to_everybody() {
        for (value, wanted) in [
            (None, Some(LoadReporting::OnRequest)),
            (Some("never"), Some(LoadReporting::Never)),
            (Some("on_request"), Some(LoadReporting::OnRequest)),
            (Some("always"), Some(LoadReporting::Always)),
            (Some("sometimes"), None),
            (Some(""), None),
        ] {
            let own = |value: &str| Override {
                key: "gateway.load_reports",
                value: value.to_owned(),
                flag: "--flag",
            };
            let overrides = value.map(own).into_iter().collect();
            let loaded = Options::load(&Sources { overrides, ..Sources::default() });
            assert_eq!(loaded.map(|loaded| loaded.options.load_reporting).ok(), wanted, "{value:?}");
        }
    }
}
