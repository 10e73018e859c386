//! Who is served, and who is held back.

use super::error::Error;
use super::sources::Layered;
use std::net::IpAddr;
use std::path::PathBuf;

/// Who is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessOptions {
    /// Whether only callers are served who show who they are.
    pub is_required: bool,
    /// Where keys, issuers, tenants and policies are.
    pub dir: PathBuf,
    /// Proxies that say for whom they ask, and are believed.
    pub proxies: Vec<IpAddr>,
    /// Whether what is asked is watched for attacks, and whether something follows from what is found.
    pub threats: Threats,
}

/// What is done about attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threats {
    /// Nobody looks.
    Off,
    /// What is found is written down.
    Log,
    /// Who attacks is held back as well.
    Respond,
}

pub(super) fn access(layered: &Layered) -> Result<AccessOptions, Error> {
    let proxies = layered.text("access.proxies");
    let proxies = proxies.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::parse);
    let proxies = proxies.collect::<Result<Vec<IpAddr>, _>>().map_err(|_| {
        layered.invalid("access.proxies", "addresses such as 10.0.0.7, with commas between them")
    })?;
    Ok(AccessOptions {
        is_required: layered.flag("access.required")?,
        dir: PathBuf::from(layered.text("access.dir")),
        proxies,
        threats: match (layered.flag("threats.enabled")?, layered.flag("threats.respond")?) {
            (false, _) => Threats::Off,
            (true, false) => Threats::Log,
            (true, true) => Threats::Respond,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Sources};
    use super::*;

    #[test]
    fn nobody_is_asked_unless_somebody_says_so() {
        let usual = Options::load(&Sources::default()).unwrap().options.access;
        assert!(!usual.is_required && usual.proxies.is_empty() && usual.threats == Threats::Respond);
        assert!(usual.dir.ends_with("spinwell-data/access"));
    }
}
