//! What control does beside leading.

use super::error::Error;
use super::id;
use super::sources::Layered;
use spinwell_core::NodeId;
use std::path::PathBuf;

/// What control does beside leading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlOptions {
    /// Its name, of its own in the region.
    pub id: NodeId,
    /// Node processes on this machine that it starts and looks after.
    pub nodes: usize,
    /// Whether they stop when it is told to stop. Otherwise they go on, and it finds them again at its next start.
    pub stops_nodes: bool,
    /// The folder with a folder of certificates for each of them, `node-NAME`; none where they speak in the clear.
    pub nodes_certificates: Option<PathBuf>,
    /// The operations planes of gateways whose logs it records, beside those that the registry lists.
    pub gateways: Vec<String>,
}

pub(super) fn control(layered: &Layered) -> Result<ControlOptions, Error> {
    let nodes = layered.number("control.nodes", 0..=64)?;
    let certificates = layered.text("control.nodes_tls_dir");
    if nodes > 0 && certificates.is_empty() && !layered.text("tls.dir").is_empty() {
        let wanted = "the folder with the certificates of its nodes, in folders node-NAME, as tls.dir is set and control.nodes above 0";
        return Err(layered.invalid("control.nodes_tls_dir", wanted));
    }
    Ok(ControlOptions {
        id: id(layered, "control.id")?,
        nodes,
        stops_nodes: layered.flag("control.stop_nodes")?,
        nodes_certificates: (!certificates.is_empty()).then(|| PathBuf::from(certificates)),
        gateways: gateways(layered)?,
    })
}

/// Hosts with ports.
fn gateways(layered: &Layered) -> Result<Vec<String>, Error> {
    let all = layered.text("control.gateways").split(',').map(str::trim).filter(|one| !one.is_empty());
    let one = |text: &str| {
        let (host, port) = text.rsplit_once(':')?;
        let is_host = !host.is_empty() && !host.contains(['/', ' ']);
        (is_host && port.parse::<u16>().is_ok()).then(|| text.to_owned())
    };
    let wanted = "a list of gateways, each as the HOST:PORT of its operations plane";
    all.map(one).collect::<Option<_>>().ok_or_else(|| layered.invalid("control.gateways", wanted))
}

#[cfg(test)]
mod tests {
    use crate::options::{Options, Override, Sources};

    #[test]
    fn nodes_of_a_region_with_certificates_have_certificates() {
        let load = |overrides: &[(&'static str, &str)]| {
            let one = |(key, value): &(&'static str, &str)| Override {
                key,
                value: (*value).to_owned(),
                flag: "--flag",
            };
            let sources = Sources { overrides: overrides.iter().map(one).collect(), ..Sources::default() };
            Options::load(&sources).map_err(|error| error.fault().message().to_owned())
        };
        let usual = load(&[]).unwrap().options.control;
        assert_eq!((&*usual.id.0, usual.nodes, usual.stops_nodes), ("control", 0, false));
        assert!(load(&[("tls.dir", "/c1")]).is_ok());
        let message = load(&[("tls.dir", "/c1"), ("control.nodes", "2")]).unwrap_err();
        assert!(message.contains("control.nodes_tls_dir"), "{message}");
        let all = [("tls.dir", "/c1"), ("control.nodes", "2"), ("control.nodes_tls_dir", "/pki")];
        assert_eq!(load(&all).unwrap().options.control.nodes, 2);
        let gateways =
            load(&[("control.gateways", "10.0.0.1:8002, g2:8002")]).unwrap().options.control.gateways;
        assert_eq!(gateways, ["10.0.0.1:8002", "g2:8002"]);
        assert!(load(&[("control.gateways", "http://10.0.0.1:8002")]).is_err());
        assert!(load(&[("control.nodes", "65")]).unwrap_err().contains("from 0 to 64"));
    }
}
