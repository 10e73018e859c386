//! What several nodes serve, seen as one.

use spinwell_core::{Code, ModelHash, ModelName, ModelVersion, NodeId};
use spinwell_protocol::{Catalogue, Entry, IndexEntry, ModelDescription, Part, Traffic};
use std::collections::BTreeMap;
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
    let mut splits: BTreeMap<&str, Vec<&Arc<Traffic>>> = BTreeMap::new();
    for (name, traffic) in catalogues.iter().flat_map(|catalogue| catalogue.splits()) {
        splits.entry(name).or_default().push(traffic);
    }
    for (name, told) in splits {
        let Ok(name) = name.parse::<ModelName>() else { continue };
        if let Some(traffic) = common(&told).and_then(|traffic| here(traffic, &all)) {
            all.split(&name, traffic);
        }
    }
    all
}

/// What nodes say of one version.
#[derive(Default)]
struct Found<'a> {
    ready: Vec<(&'a Arc<ModelDescription>, usize)>,
    broken: Option<Code>,
}

impl<'a> Found<'a> {
    fn take(&mut self, entry: &'a Entry) {
        match entry {
            Entry::Broken(code) => self.broken = Some(*code),
            Entry::Ready(model) => match self.ready.iter_mut().find(|(known, _)| known.hash == model.hash) {
                Some((_, count)) => *count += 1,
                None => self.ready.push((model, 1)),
            },
        }
    }

    fn entry(&self) -> Option<Entry> {
        let by_count = |(model, count): &&(&Arc<ModelDescription>, usize)| {
            let ModelHash(hash) = model.hash;
            (*count, hash)
        };
        let most = self.ready.iter().max_by_key(by_count).map(|(model, _)| Entry::Ready((*model).clone()));
        most.or(self.broken.map(Entry::Broken))
    }
}

/// The split that most nodes follow, the first of those that equally many do.
fn common<'a>(told: &[&'a Arc<Traffic>]) -> Option<&'a Arc<Traffic>> {
    let count = |one: &Arc<Traffic>| told.iter().filter(|other| ***other == *one).count();
    told.iter().copied().rev().max_by_key(|one| count(one))
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

/// Every version on any node: ready where one has it, and what is wrong with it on the others.
pub(super) fn merged_index(indices: Vec<(NodeId, Vec<IndexEntry>)>) -> Vec<IndexEntry> {
    let nodes = indices.len();
    let mut all: BTreeMap<(ModelName, ModelVersion), (bool, BTreeMap<String, Vec<NodeId>>)> = BTreeMap::new();
    for (id, index) in indices {
        for IndexEntry { name, version, is_ready, reason } in index {
            let (ready, reasons) = all.entry((name, version)).or_default();
            *ready |= is_ready;
            if !reason.is_empty() {
                reasons.entry(reason).or_default().push(id.clone());
            }
        }
    }
    let said = |(reason, ids): (String, Vec<NodeId>)| {
        // What is true of all needs no names.
        if ids.len() == nodes {
            return reason;
        }
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        format!("{reason} (on {})", ids.join(", "))
    };
    let entry =
        |((name, version), (is_ready, reasons)): ((ModelName, ModelVersion), (bool, BTreeMap<_, _>))| {
            let reasons: Vec<_> = reasons.into_iter().map(said).collect();
            IndexEntry { name, version, is_ready, reason: reasons.join("; ") }
        };
    all.into_iter().map(entry).collect()
}
