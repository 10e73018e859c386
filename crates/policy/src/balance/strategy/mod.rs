//! The five formulas. Each gives a node a score, higher being better, whose unit is its own.

pub(super) mod latency_optimized;
pub(super) mod least_connections;
pub(super) mod predictive;
pub(super) mod resource_aware;
pub(super) mod round_robin;
