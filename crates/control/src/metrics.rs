//! What a control shows as metrics.

use crate::control::Figures;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use spinwell_core::UnixMillis;
use std::fmt;

/// The metrics as OpenMetrics text, of a control whose certificate is good until then. They are made when they are asked for: all of them are
/// known elsewhere.
///
/// # Errors
/// Never: writing to a string does not fail.
pub(crate) fn page(figures: Figures, until: Option<UnixMillis>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    if let Some(until) = until {
        let expires = Family::<[(&str, &str); 1], Gauge>::default();
        expires.get_or_create(&[("listener", "ops")]).set(i64::try_from(until.0 / 1_000).unwrap_or(i64::MAX));
        let help = "Until when the certificate that a listener shows is good, in seconds since 1970";
        registry.register("spinwell_certificate_expires_seconds", help, expires);
    }
    let started = ConstGauge::new(figures.started.0 as f64 / 1e3);
    let help = "When the process started, in seconds since 1970: its counters have begun then";
    registry.register("process_start_time_seconds", help, started);
    let mut gauge = |name, help, value: u64| registry.register(name, help, ConstGauge::new(value));
    gauge("spinwell_control_leads", "Whether this control leads", figures.leads.into());
    gauge("spinwell_control_generation", "The generation of the lease, as last seen", figures.generation);
    gauge("spinwell_control_nodes", "Node processes that run and are looked after", figures.nodes as u64);
    gauge(
        "spinwell_control_nodes_wanted",
        "Node processes that this control is to look after",
        figures.nodes_wanted as u64,
    );
    gauge(
        "spinwell_control_nodes_left_over",
        "Node processes of an earlier control that run and are not looked after",
        figures.left_over as u64,
    );
    let mut counter = |name, help, value: u64| registry.register(name, help, ConstCounter::new(value));
    counter(
        "spinwell_control_lease_failures",
        "Times that the store did not answer when it was asked for the lease",
        figures.lease_failures,
    );
    counter("spinwell_control_node_starts", "Node processes that were started", figures.node_starts);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_units_and_kinds() {
        let figures = Figures {
            leads: true,
            generation: 7,
            lease_failures: 2,
            nodes: 3,
            nodes_wanted: 6,
            node_starts: 4,
            left_over: 5,
            started: UnixMillis(1_700_000_000_250),
        };
        let text = page(figures, Some(UnixMillis(1_800_000_000_999))).unwrap();
        for line in [
            "process_start_time_seconds 1700000000.25",
            "spinwell_control_leads 1",
            "spinwell_control_generation 7",
            "spinwell_control_nodes 3",
            "spinwell_control_nodes_wanted 6",
            "spinwell_control_nodes_left_over 5",
            "spinwell_control_lease_failures_total 2",
            "spinwell_control_node_starts_total 4",
            "spinwell_certificate_expires_seconds{listener=\"ops\"} 1800000000",
            "# EOF",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is missing in\n{text}");
        }
    }
}
