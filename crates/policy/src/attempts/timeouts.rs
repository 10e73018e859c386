//! How long an attempt may take before another node is asked.

use super::quantiles::Quantiles;
use spinwell_core::{ModelName, NodeId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Answers below which a quantile of them says nothing.
const ANSWERS_MIN: f64 = 50.0;
/// The quantile that is usual at most.
const USUAL_MOST: f64 = 0.99;
/// An attempt may take so many times what is expected of it.
const TIMES_EXPECTED: u32 = 4;

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
            // Shorter ones would be repeated for the noise of a busy machine.
            least: Duration::from_millis(250),
            pairs_max: 4_096,
        }
    }
}

/// An attempt that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Outlook<'a> {
    /// The model that is asked for predictions.
    pub model: &'a ModelName,
    /// The node that is asked.
    pub node: &'a NodeId,
    /// Time until the deadline of the request.
    pub left: Duration,
    /// How long the node will take, by what it has to do; zero where nobody can say.
    pub expected: Duration,
    /// Whether it is the first one of its request.
    pub is_first: bool,
    /// Whether nobody else could be asked after it.
    pub is_last: bool,
}

/// How long an attempt is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// After so long it is given up.
    pub limit: Duration,
    /// After so long another node is asked beside it, and the first answer of the two is taken. `None`: nobody is asked beside it.
    pub hedge: Option<Duration>,
    /// Whether silence until the limit is the node's fault. It is not where a deadline ended what was not late yet: a caller with
    /// little time is no reason to take nodes out of service.
    pub blames: bool,
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

    /// How long to wait for an attempt.
    ///
    /// It is given up after three times the P99 of answers, or four times what the node is expected to take if that is longer: slow
    /// for a reason is not lost. Nothing is gained by giving up where nobody else can be asked.
    ///
    /// Where it may take most of the time that its request has left (of a new model nobody knows how long its answers take), giving
    /// up in time for another node would fail whatever takes long for a good reason, and waiting would fail what waits for a node
    /// that stands still. So neither is done: after half of the time another node is asked as well, once in a request (a hedged
    /// request: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013).
    #[must_use]
    pub fn patience(&self, outlook: Outlook<'_>) -> Patience {
        let Outlook { model, node, left, expected, is_first, is_last } = outlook;
        let usual = self.attempt(model, node, left);
        let limit = if is_last { left } else { usual.max(expected.saturating_mul(TIMES_EXPECTED)).min(left) };
        let half = left / 2;
        let hedge = (is_first && !is_last && limit > half).then_some(half);
        Patience { limit, hedge, blames: usual <= limit }
    }

    /// How long an attempt usually takes at most: by the answers of this model from this node, or else from all nodes, or else as long
    /// as it may take at most, a quarter of the failover timeout. Of the time that its request has `left` it takes no more than half,
    /// so that another node can still answer, unless answers usually take longer than a quarter of that.
    fn attempt(&self, model: &ModelName, node: &NodeId, left: Duration) -> Duration {
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
