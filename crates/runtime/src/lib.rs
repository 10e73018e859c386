//! What every Spinwell process needs around its work: options, logs, listeners, health, the wish to stop, the
//! clock, other processes of this machine, files written whole or grown line by line, what rests encrypted, what is said seldom, and TLS: mutual between
//! our own processes, and for callers.
//!
//! **Only this crate reads the environment and opens listeners.** The services get values and sockets, so
//! they can be run in a test without either.

pub mod access;
pub mod appended;
pub mod at_rest;
pub mod clock;
pub mod entropy;
pub mod files;
pub mod hangup;
pub mod health;
pub mod listen;
pub mod machine;
pub mod options;
pub mod pages;
pub mod process;
pub mod seldom;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod transport;
