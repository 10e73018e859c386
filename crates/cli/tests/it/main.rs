//! The one integration-test binary: the real `spinwell`, as a user or a stranger meets it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]
#![allow(clippy::disallowed_methods, reason = "tests write files for the binary and bound their waits")]

mod access;
mod activity;
mod anomaly;
mod at_rest;
mod audit;
mod bad_input;
mod batch_calls;
mod bench;
mod capacity;
mod certificates;
mod classify;
mod cluster;
mod control;
mod devices;
mod edge_tls;
mod evaluate;
mod forged_states;
mod gateways;
mod house;
mod issuer;
mod ledger_copy;
mod live_accuracy;
mod load_reports;
mod model;
mod openapi;
mod owasp;
mod perf_analyzer;
mod pki;
mod reload;
mod secrets;
mod sequences;
mod serving;
mod slo;
mod spread;
mod starting;
mod store_lost;
mod support;
mod telemetry;
mod tokens;
mod traffic;
mod training;
mod witness;
