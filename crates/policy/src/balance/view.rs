//! What strategies see of the nodes that may be chosen: everything corrected, and something said where nothing is known.

use super::balancer::Options;
use super::load::PerRow;
use super::node::Node;
use super::regressor::Regressor;
use super::strategy::resource_aware;
use std::time::Instant;

/// A gateway that saw less than this part of the load counts as having seen so much: its own few requests say little.
const SHARE_MIN: f64 = 0.05;
/// How much of what this gateway did differently lately the others are thought to have done as well. With 0, ten gateways
/// that read of an idle node fill it ten times over; with 1, a gateway's own few requests drown what was reported.
const ALIKE: f64 = 0.5;

/// A node, as a strategy sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// Its weight, less for being new or failing.
    pub(super) weight: f64,
    /// What slowness leaves of that, in (0, 1].
    pub(super) pace: f64,
    /// Rows in flight there: of this gateway, and of the others as far as one can know.
    pub(super) load: f64,
    /// What is free of it, in [0, 1]; see `resource_aware`.
    pub(super) free: f64,
    /// Peak EWMA of its latency, in seconds; what is usual, where it was not measured.
    pub(super) peak: f64,
    /// What the request is predicted to take, in seconds.
    pub(super) predicted: Option<f64>,
    /// Rows of the request.
    pub(super) rows: f64,
    /// Rows that a request usually has.
    pub(super) usual_rows: f64,
}

/// What a balancer knows beside its nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) options: &'a Options,
    /// Learned from all nodes.
    pub(super) pool: &'a Regressor,
    pub(super) rows: f64,
    pub(super) usual_rows: f64,
    pub(super) now: Instant,
}

/// The nodes as a strategy sees them, in the same order.
pub(super) fn views(nodes: &[&Node], sight: Sight<'_>) -> Vec<View> {
    let Sight { options, now, .. } = sight;
    let decay = options.decay;
    let oldest = now.checked_sub(options.report_period * options.report_periods_max);
    let known =
        |value: &dyn Fn(&Node) -> Option<f64>| median(nodes.iter().filter_map(|node| value(node)).collect());
    let usual_others = known(&|node| Some(node.load.others(oldest)? / node.weight()));
    let usual_mean = known(&|node| node.earned.mean());
    let usual_peak = known(&|node| node.earned.peak(decay, now));
    let usual_row =
        |busy: fn(PerRow) -> f64| known(&|node| node.load.busy_per_row().map(busy)).unwrap_or(0.0);
    let usual_row = PerRow { gpu: usual_row(|row| row.gpu), cpu: usual_row(|row| row.cpu) };
    let usual_free = known(&|node| {
        let rows = node.load.shares(oldest)?.1;
        node.load.free(rows, usual_row, oldest).map(resource_aware::free)
    });
    let as_others = ALIKE * (1.0 / share(nodes, oldest) - 1.0);
    let view = |node: &&Node| {
        let others = node.load.others(oldest);
        let others = others.unwrap_or_else(|| usual_others.unwrap_or(0.0) * node.weight());
        let others = (others + as_others * node.load.own_since(oldest)).max(0.0);
        let load = node.load.own() + others;
        let free = node.load.free(load, usual_row, oldest).map(resource_aware::free);
        View {
            weight: node.weight() * node.earned.left(options.slow_start, decay, now),
            pace: node.earned.pace(usual_mean, decay, now),
            load,
            free: free.or(usual_free).unwrap_or(1.0),
            peak: node.earned.peak(decay, now).or(usual_peak).unwrap_or(1e-3).max(1e-6),
            predicted: predict(node, sight, load),
            rows: sight.rows,
            usual_rows: sight.usual_rows,
        }
    };
    nodes.iter().map(view).collect()
}

/// Rows in flight as a regressor learns from them: what was sent and what was reported, without guesses.
pub(super) fn plain_load(node: &Node, oldest: Option<Instant>) -> f64 {
    node.load.own() + node.load.others(oldest).unwrap_or(0.0)
}

/// Seconds that a request will take at a node, by its own regressor. Where that has seen too little, or errs too much, by
/// the regressor of all nodes, but not less than the node took on average lately.
pub(super) fn predict(node: &Node, sight: Sight<'_>, load: f64) -> Option<f64> {
    node.regressor.predict(sight.rows, load).or_else(|| {
        let pooled = sight.pool.predict(sight.rows, load)?;
        Some(pooled.max(node.earned.mean().unwrap_or(0.0)))
    })
}

/// This gateway's share of all load, by the newest reports.
fn share(nodes: &[&Node], oldest: Option<Instant>) -> f64 {
    let shares = nodes.iter().filter_map(|node| node.load.shares(oldest));
    let (own, all) = shares.fold((0.0, 0.0), |(own, all), (own_here, here)| (own + own_here, all + here));
    if all > 0.0 { (own / all).clamp(SHARE_MIN, 1.0) } else { 1.0 }
}

/// The lower median.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}
