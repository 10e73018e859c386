//! What the capacity of a region is worked out with.

use super::error::Error;
use super::sources::Layered;
use spinwell_core::Ratio;

/// More predictions a second than any machine makes: what is larger is a mistake.
const PER_SECOND_MAX: f64 = 1e9;
/// Below a hundredth a share is a percentage with its sign forgotten, or nothing at all.
const UTILIZATION_MIN: f64 = 0.01;

/// What the capacity of a region is worked out with.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionCapacity {
    /// Predictions a second of a node that does not say its own.
    pub predictions_per_node: f64,
    /// The share of the total that should be used at most.
    pub target_utilization: Ratio,
    /// Names of processing clusters that are shown also while they have no node.
    pub processing_clusters: Vec<String>,
}

pub(super) fn capacity(layered: &Layered) -> Result<RegionCapacity, Error> {
    let key = "cluster.target_utilization";
    let target = layered.text(key).parse().ok().and_then(Ratio::new);
    let target = target.filter(|target| target.get() >= UTILIZATION_MIN);
    Ok(RegionCapacity {
        predictions_per_node: per_second(layered, "cluster.predictions_per_node")?,
        target_utilization: target.ok_or_else(|| layered.invalid(key, "a number from 0.01 to 1"))?,
        processing_clusters: processing_clusters(layered)?,
    })
}

/// What the node says of itself; nothing where it leaves that to the region.
pub(super) fn of_node(layered: &Layered) -> Result<Option<f64>, Error> {
    let key = "node.capacity_per_second";
    if layered.text(key).is_empty() { Ok(None) } else { per_second(layered, key).map(Some) }
}

/// The name of one processing cluster.
pub(super) fn is_processing_cluster(name: &str) -> bool {
    super::is_id(name) && name.len() <= 64
}

fn per_second(layered: &Layered, key: &str) -> Result<f64, Error> {
    let number = layered.text(key).parse().ok().filter(|number| *number > 0.0 && *number <= PER_SECOND_MAX);
    number.ok_or_else(|| layered.invalid(key, "predictions a second: a number above 0, at most 1e9"))
}

fn processing_clusters(layered: &Layered) -> Result<Vec<String>, Error> {
    let key = "cluster.processing_clusters";
    let names: Vec<String> = layered
        .text(key)
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if names.iter().all(|name| is_processing_cluster(name)) {
        return Ok(names);
    }
    Err(layered.invalid(key, "names of 1 to 64 letters, digits, '.', '_' or '-', separated by commas"))
}

#[cfg(test)]
mod tests {
    use crate::options::{Options, Override, Region, Sources};

    fn load(overrides: &[(&'static str, &str)]) -> Result<Region, String> {
        let one = |(key, value): &(&'static str, &str)| Override {
            key,
            value: (*value).to_owned(),
            flag: "--flag",
        };
        let sources = Sources { overrides: overrides.iter().map(one).collect(), ..Sources::default() };
        let loaded = Options::load(&sources).map_err(|error| error.fault().message().to_owned());
        loaded.map(|loaded| loaded.options.region)
    }

    #[test]
    fn the_defaults_are_those_of_the_brief() {
        let region = load(&[]).unwrap();
        assert_eq!(region.capacity.predictions_per_node, 500.0);
        assert_eq!(region.capacity.target_utilization.get(), 0.66);
        assert!(region.capacity.processing_clusters.is_empty());
        assert_eq!(region.node_capacity_per_second, None);
    }

    #[test]
    fn capacities_are_positive_numbers_and_clusters_have_names() {
        let region = load(&[
            ("cluster.predictions_per_node", "1250.5"),
            ("cluster.target_utilization", "1"),
            ("cluster.processing_clusters", "gpu-1, gpu-2,"),
            ("node.capacity_per_second", "2e3"),
        ])
        .unwrap();
        assert_eq!(region.capacity.predictions_per_node, 1250.5);
        assert_eq!(region.capacity.processing_clusters, ["gpu-1", "gpu-2"]);
        assert_eq!(region.node_capacity_per_second, Some(2000.0));
        for (key, wrong) in [
            ("cluster.predictions_per_node", "0"),
            ("cluster.predictions_per_node", "NaN"),
            ("cluster.predictions_per_node", "inf"),
            ("cluster.predictions_per_node", ""),
            ("cluster.target_utilization", "66"),
            ("cluster.target_utilization", "0"),
            ("cluster.processing_clusters", "a b"),
            ("node.capacity_per_second", "-1"),
        ] {
            let refused = load(&[(key, wrong)]).unwrap_err();
            assert!(refused.contains(key), "{key} {wrong}: {refused}");
        }
    }
}
