//! How long an attempt may take before another node is asked.

use super::quantiles::Quantiles;
use spinwell_core::{ModelName, NodeId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Answers below which a quantile of them says nothing.
const ANSWERS_MIN: f64 = 50.0;
/// The quantile that is usual at most.
const USUAL_MOST: f64 = 0.99;

/// What timeouts go by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeoutOptions {
    /// `failover_timeout_ms`: by then a request must be somewhere else.
    pub failover: Duration,
    /// An attempt may take so many times the P99 of answers.
    pub times_p99: f64,
    /// It may take so long at least: garbage to collect, a connection to open.
    pub least: Duration,
    /// Pairs of node and model whose answers are remembered; of more, those that were not used for longest are forgotten.
    pub pairs_max: usize,
}

impl Default for TimeoutOptions {
    fn default() -> Self {
        Self {
            failover: Duration::from_secs(10),
            times_p99: 3.0,
            least: Duration::from_millis(50),
            pairs_max: 4_096,
        }
    }
}

/// What answers took, by node and model.
#[derive(Debug)]
pub struct Timeouts {
    options: TimeoutOptions,
    pairs: BTreeMap<(ModelName, NodeId), Quantiles>,
    models: BTreeMap<ModelName, Quantiles>,
}

impl Timeouts {
    /// Timeouts of a gateway that has seen no answer yet.
    #[must_use]
    pub fn new(options: TimeoutOptions) -> Self {
        Self { options, pairs: BTreeMap::new(), models: BTreeMap::new() }
    }

    /// An attempt was answered after so long, or given up: then it would have taken longer, which is what it is counted as.
    /// Otherwise a node that became slower for good would time out for ever.
    pub fn observe(
        &mut self,
        model: &ModelName,
        node: &NodeId,
        took: Duration,
        is_answered: bool,
        now: Instant,
    ) {
        let took = if is_answered { took } else { 2 * took };
        let pair = (model.clone(), node.clone());
        if !self.pairs.contains_key(&pair) {
            make_room(&mut self.pairs, self.options.pairs_max);
        }
        if !self.models.contains_key(model) {
            make_room(&mut self.models, self.options.pairs_max);
        }
        self.pairs.entry(pair).or_insert_with(|| Quantiles::new(now)).add(took, now);
        self.models.entry(model.clone()).or_insert_with(|| Quantiles::new(now)).add(took, now);
    }

    /// How long an attempt may take: by the answers of this model from this node, or else from all nodes, or else as long as it
    /// may take at most, a quarter of the failover timeout. Of the time that its request has `left` it takes no more than half, so
    /// that another node can still answer, unless answers usually take longer than a quarter of that.
    #[must_use]
    pub fn attempt(&self, model: &ModelName, node: &NodeId, left: Duration) -> Duration {
        let most = self.options.failover / 4;
        let Some(known) = self.known(model, Some(node)) else { return most };
        let half = (left / 2).max(2 * known.quantile(0.5));
        let usual = known.quantile(USUAL_MOST).mul_f64(self.options.times_p99);
        usual.min(half).max(self.options.least).min(most)
    }

    /// What an answer of this model usually takes: the median over all nodes; nothing while nobody knows.
    #[must_use]
    pub fn usual(&self, model: &ModelName) -> Duration {
        self.known(model, None).map_or(Duration::ZERO, |known| known.quantile(0.5))
    }

    /// How many pairs are remembered.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    fn known(&self, model: &ModelName, node: Option<&NodeId>) -> Option<&Quantiles> {
        let pair = node.and_then(|node| self.pairs.get(&(model.clone(), node.clone())));
        let is_enough = |known: &&Quantiles| known.total() >= ANSWERS_MIN;
        pair.filter(is_enough).or_else(|| self.models.get(model).filter(is_enough))
    }
}

/// Forgets what was not used for longest, where there is no room for one more.
fn make_room<K: Ord + Clone>(known: &mut BTreeMap<K, Quantiles>, most: usize) {
    while known.len() >= most.max(1) {
        let oldest = known.iter().min_by_key(|(_, quantiles)| quantiles.used()).map(|(key, _)| key.clone());
        let Some(oldest) = oldest else { return };
        known.remove(&oldest);
    }
}
