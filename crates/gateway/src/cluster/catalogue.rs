//! What several nodes serve, seen as one.

use spinwell_core::{Code, ModelName, ModelVersion, NodeId};
use spinwell_policy::spread;
use spinwell_protocol::{Catalogue, Entry, IndexEntry, InferRequest, ModelDescription, Part, Traffic};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A model's versions, each as most nodes have it that serve it. Where nodes disagree on a version's bytes, which they do while
/// they load it one after the other, the others serve theirs only to whom they have promised it.
pub(super) fn merged(catalogues: &[Arc<Catalogue>]) -> Catalogue {
    let mut found: BTreeMap<(&str, ModelVersion), Found> = BTreeMap::new();
    for (name, version, entry) in catalogues.iter().flat_map(|catalogue| catalogue.entries()) {
        found.entry((name, version)).or_default().take(entry);
    }
    let mut all = Catalogue::default();
    for ((name, version), found) in found {
        let Ok(name) = name.parse::<ModelName>() else { continue };
        if let Some(entry) = found.entry() {
            all.insert(&name, version, entry);
        }
    }
    let split: BTreeSet<&str> =
        catalogues.iter().flat_map(|catalogue| catalogue.splits()).map(|(name, _)| name).collect();
    for text in split {
        // Who serves the model and does not split its requests says that they are not to be split.
        let told: Vec<Option<&Arc<Traffic>>> = catalogues
            .iter()
            .filter(|catalogue| !catalogue.versions(text).is_empty())
            .map(|catalogue| catalogue.traffic(text))
            .collect();
        let Ok(name) = text.parse::<ModelName>() else { continue };
        if let Some(traffic) = common(&told).and_then(|traffic| here(traffic, &all)) {
            all.split(&name, traffic);
        }
    }
    all
}

/// What nodes say of one version.
#[derive(Default)]
struct Found<'a> {
    ready: Vec<&'a Arc<ModelDescription>>,
    broken: Option<Code>,
}

impl<'a> Found<'a> {
    fn take(&mut self, entry: &'a Entry) {
        match entry {
            Entry::Broken(code) => self.broken = Some(*code),
            Entry::Ready(model) => self.ready.push(model),
        }
    }

    /// What is served is what is spread among the nodes.
    fn entry(&self) -> Option<Entry> {
        let most = spread::most(self.ready.iter().map(|model| model.hash));
        let found = most.and_then(|most| self.ready.iter().find(|model| model.hash == most));
        found.map(|model| Entry::Ready((*model).clone())).or(self.broken.map(Entry::Broken))
    }
}

/// What most nodes do with the requests for a model, the first of those that equally many do; `None` where that is not to split
/// them.
fn common<'a>(told: &[Option<&'a Arc<Traffic>>]) -> Option<&'a Arc<Traffic>> {
    let count = |one: &Option<&Arc<Traffic>>| told.iter().filter(|other| *other == one).count();
    told.iter().rev().max_by_key(|one| count(one)).copied().flatten()
}

/// A split whose versions are those that are served.
fn here(traffic: &Traffic, all: &Catalogue) -> Option<Traffic> {
    let part = |part: &Option<Part>| -> Option<Option<Part>> {
        let Some(part) = part else { return Some(None) };
        let served = all.find(part.model.name.as_str(), Some(part.model.version_text())).ok()?;
        Some(Some(Part { model: served.clone(), share: part.share }))
    };
    Some(Traffic { default: traffic.default, canary: part(&traffic.canary)?, shadow: part(&traffic.shadow)? })
}

/// Whether these are a model's very bytes.
pub(super) fn holds(catalogue: &Catalogue, model: &ModelDescription) -> bool {
    let held = catalogue.find(model.name.as_str(), Some(model.version_text()));
    held.is_ok_and(|held| held.hash == model.hash)
}

/// The version that stands in for a step's at a node that does not have that one yet, or any more. It must be one that the caller could
/// have been given: he names none, and this one takes the same channels and has the outputs that he wants. A sequence that goes
/// on is taken with the version that it was begun with in any case, and one that begins does so with what its node serves, as if the
/// step had come before the newer version.
pub(super) fn stand_in(own: &Catalogue, step: &InferRequest) -> Option<Arc<ModelDescription>> {
    let wanted = &step.model;
    if holds(own, wanted) {
        return None;
    }
    let other = own.find(wanted.name.as_str(), None).ok()?;
    let has = |name| other.outputs().iter().any(|output| output.name == name);
    let fits = other.channels == wanted.channels && step.outputs.iter().all(|output| has(output.name));
    fits.then(|| other.clone())
}

/// What nodes say of one version: whether one has it ready, and what is wrong with it elsewhere.
#[derive(Default)]
struct Said {
    is_ready: bool,
    reasons: BTreeMap<String, Vec<NodeId>>,
}

/// Every version on any node: ready where one has it, and what is wrong with it on the others.
pub(super) fn merged_index(indices: Vec<(NodeId, Vec<IndexEntry>)>) -> Vec<IndexEntry> {
    let nodes = indices.len();
    let mut all: BTreeMap<(ModelName, ModelVersion), Said> = BTreeMap::new();
    for (id, index) in indices {
        for IndexEntry { name, version, is_ready, reason } in index {
            let said = all.entry((name, version)).or_default();
            said.is_ready |= is_ready;
            if !reason.is_empty() {
                said.reasons.entry(reason).or_default().push(id.clone());
            }
        }
    }
    let words = |(reason, ids): (String, Vec<NodeId>)| {
        // What is true of all needs no names.
        if ids.len() == nodes {
            return reason;
        }
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        format!("{reason} (on {})", ids.join(", "))
    };
    let entry = |((name, version), said): ((ModelName, ModelVersion), Said)| {
        let reasons: Vec<_> = said.reasons.into_iter().map(words).collect();
        IndexEntry { name, version, is_ready: said.is_ready, reason: reasons.join("; ") }
    };
    all.into_iter().map(entry).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use spinwell_core::{ModelHash, NumericProfile, Priority, Ratio, Samples, Series, TenantId};
    use spinwell_protocol::{ForecastFacts, ModelFacts, Outputs, Packing, Task};
    use spinwell_runtime::clock;

    fn model(version: u32, hash: u8) -> Arc<ModelDescription> {
        Arc::new(ModelDescription::new(facts(version, hash)))
    }

    fn facts(version: u32, hash: u8) -> ModelFacts {
        let facts = ForecastFacts {
            horizon: 1,
            season: 1,
            targets: vec!["c".into()],
            coverage: 0.95,
            is_spiking: false,
        };
        ModelFacts {
            name: "m".parse().unwrap(),
            version: ModelVersion(version),
            hash: ModelHash([hash; 32]),
            family: "linear".into(),
            task: Task::Forecast(facts),
            channels: vec!["c".into()],
            window_min: 1,
            window_recommended: 1,
            window_max: 10,
            time_column: None,
            profile: NumericProfile::CpuF32,
            device: "cpu".to_owned(),
            max_batch_size: 8,
            request_rows_max: 80,
        }
    }

    /// A node's catalogue: versions with the first byte of their hashes, 0 for one that is broken.
    pub(crate) fn node(versions: &[(u32, u8)], canary: Option<u32>) -> Arc<Catalogue> {
        let (name, mut catalogue) = ("m".parse().unwrap(), Catalogue::default());
        for &(version, hash) in versions {
            let entry = match hash {
                0 => Entry::Broken(Code::FileCorrupt),
                hash => Entry::Ready(model(version, hash)),
            };
            catalogue.insert(&name, ModelVersion(version), entry);
        }
        if let Some(version) = canary {
            let part = Part { model: model(version, 1), share: Ratio::new(0.5).unwrap() };
            catalogue.split(&name, Traffic { default: None, canary: Some(part), shadow: None });
        }
        Arc::new(catalogue)
    }

    #[test]
    fn a_version_is_what_most_nodes_have() {
        let check = |nodes: &[Arc<Catalogue>], wanted: &[(u32, u8)]| {
            let all = merged(nodes);
            let got: Vec<_> = all
                .entries()
                .into_iter()
                .map(|(_, version, entry)| match entry {
                    Entry::Ready(model) => (version.0, model.hash.0[0]),
                    Entry::Broken(_) => (version.0, 0),
                })
                .collect();
            assert_eq!(got, wanted);
        };
        check(&[], &[]);
        check(&[node(&[(1, 1)], None), node(&[(1, 1), (2, 1)], None)], &[(1, 1), (2, 1)]);
        check(&[node(&[(1, 2)], None), node(&[(1, 1)], None), node(&[(1, 1)], None)], &[(1, 1)]);
        check(&[node(&[(1, 0)], None), node(&[(1, 1)], None)], &[(1, 1)]);
        check(&[node(&[(1, 0)], None)], &[(1, 0)]);
    }

    #[test]
    fn requests_are_split_as_most_nodes_do_among_what_is_served() {
        let both = [(1, 1), (2, 1)];
        let split = |nodes: &[Arc<Catalogue>]| {
            let all = merged(nodes);
            all.traffic("m").map(|traffic| traffic.canary.as_ref().map(|part| part.model.version.0))
        };
        assert_eq!(split(&[node(&both, None)]), None);
        assert_eq!(split(&[node(&both, Some(2)), node(&both, Some(2)), node(&both, None)]), Some(Some(2)));
        assert_eq!(split(&[node(&both, Some(2)), node(&both, None), node(&both, None)]), None);
        assert_eq!(split(&[node(&both, Some(2)), node(&[], None)]), Some(Some(2)), "it does not serve it");
        let nodes = [node(&both, Some(1)), node(&both, Some(2)), node(&both, Some(2))];
        assert_eq!(split(&nodes), Some(Some(2)));
        assert_eq!(split(&[node(&[(1, 1)], Some(2))]), None, "the canary is not served");
    }

    #[test]
    fn an_index_names_the_nodes_that_differ() {
        let entry = |version, is_ready, reason: &str| IndexEntry {
            name: "m".parse().unwrap(),
            version: ModelVersion(version),
            is_ready,
            reason: reason.to_owned(),
        };
        let indices = vec![
            (
                NodeId("a".into()),
                vec![entry(1, true, ""), entry(2, false, "corrupt"), entry(3, false, "old")],
            ),
            (NodeId("b".into()), vec![entry(1, true, ""), entry(2, true, ""), entry(3, false, "old")]),
        ];
        let merged = merged_index(indices);
        assert_eq!(merged, [entry(1, true, ""), entry(2, true, "corrupt (on a)"), entry(3, false, "old")]);
    }

    #[test]
    fn a_version_stands_in_where_the_caller_could_have_been_given_it() {
        let [one, two] = [model(1, 1), model(2, 1)];
        let step = |model: &Arc<ModelDescription>| InferRequest {
            series: Series::new(1, 1, 1, Samples::F32(vec![0.0])).unwrap(),
            outputs: Outputs::usual(model, Packing::Json),
            model: model.clone(),
            deadline: clock::now(),
            priority: Priority::Normal,
            is_spare: false,
            tenant: TenantId("t".into()),
            sequence: None,
        };
        let check = |own: &Catalogue, wanted: &Arc<ModelDescription>, other: Option<u32>| {
            let found = stand_in(own, &step(wanted)).map(|model| model.version.0);
            assert_eq!(found, other, "{wanted:?}");
        };
        check(&node(&[(1, 1)], None), &two, Some(1));
        check(&node(&[(2, 1)], None), &one, Some(2));
        check(&node(&[(2, 7)], None), &two, Some(2));
        check(&node(&[(1, 1), (2, 1)], None), &two, None);
        check(&node(&[], None), &two, None);
        check(&node(&[(1, 0)], None), &two, None);
        let mut other = Catalogue::default();
        let wide = ModelFacts { channels: vec!["c".into(), "d".into()], ..facts(1, 1) };
        let name = "m".parse().unwrap();
        other.insert(&name, ModelVersion(1), Entry::Ready(Arc::new(ModelDescription::new(wide))));
        check(&other, &two, None);
    }
}
