//! What a control shows as metrics.

use crate::control::Figures;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use spinwell_core::UnixMillis;
use spinwell_policy::slo::Dashboard;
use std::fmt;
use std::sync::atomic::AtomicU64;

/// The metrics as OpenMetrics text, of a control whose certificate is good until then. They are made when they are asked for: all of them are
/// known elsewhere.
///
/// # Errors
/// Never: writing to a string does not fail.
pub(crate) fn page(
    figures: Figures,
    until: Option<UnixMillis>,
    levels: &(Dashboard, Vec<([String; 3], bool)>),
) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    register_levels(&mut registry, levels);
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

/// A series by its labels.
type Shares = Family<Vec<(&'static str, String)>, Gauge<f64, AtomicU64>>;

/// What is known of service levels; of what is not known there is no series.
fn register_levels(registry: &mut Registry, (dashboard, rules): &(Dashboard, Vec<([String; 3], bool)>)) {
    let (compliance, left, firing) = (Shares::default(), Shares::default(), Shares::default());
    for panel in &dashboard.panels {
        let labels = vec![("objective", panel.name.to_string())];
        for (family, share) in [(&compliance, panel.compliance), (&left, panel.budget.left_share)] {
            if let Some(share) = share {
                family.get_or_create(&labels).set(share);
            }
        }
    }
    for ([objective, rule, severity], fires) in rules {
        let labels =
            vec![("objective", objective.clone()), ("rule", rule.clone()), ("severity", severity.clone())];
        firing.get_or_create(&labels).set(f64::from(u8::from(*fires)));
    }
    let help = "What share of the events of an objective's window was good";
    registry.register("spinwell_slo_compliance_ratio", help, compliance);
    let help = "What share of an objective's error budget is left; less than zero where too much was spent";
    registry.register("spinwell_slo_budget_left_ratio", help, left);
    let help = "Whether an alert of an objective fires";
    registry.register("spinwell_slo_alert_firing", help, firing);
    if let Some(score) = dashboard.health.score {
        let help = "How well all service levels are kept, from 0 to 100; at most 49 while anybody is paged";
        registry.register("spinwell_health_score", help, ConstGauge::new(score));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServiceLevels;
    use spinwell_policy::slo::defaults;

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
        let at = |seconds: u64| UnixMillis(1_700_000_000_000 + seconds * 1_000);
        let levels = ServiceLevels::new(defaults::objectives(), at(0)).unwrap();
        let counted = "process_start_time_seconds 1700000001\nspinwell_requests_total{code=\"ok\"} 4\n";
        levels.read_page("g1", counted, at(10)).unwrap();
        let _ = levels.advance(at(10));
        let text = page(figures, Some(UnixMillis(1_800_000_000_999)), &levels.figures(at(10))).unwrap();
        for line in [
            "process_start_time_seconds 1700000000.25",
            "spinwell_control_leads 1",
            "spinwell_control_generation 7",
            "spinwell_control_nodes 3",
            "spinwell_control_nodes_wanted 6",
            "spinwell_control_nodes_left_over 5",
            "spinwell_control_lease_failures_total 2",
            "spinwell_control_node_starts_total 4",
            "spinwell_slo_compliance_ratio{objective=\"availability\"} 1.0",
            "spinwell_slo_budget_left_ratio{objective=\"availability\"} 1.0",
            "spinwell_slo_alert_firing{objective=\"availability\",rule=\"outage\",severity=\"page\"} 0.0",
            "spinwell_health_score 100.0",
            "spinwell_certificate_expires_seconds{listener=\"ops\"} 1800000000",
            "# EOF",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is missing in\n{text}");
        }
    }
}
