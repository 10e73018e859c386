//! The node's readers of untrusted bytes, where its own tests have them too: its crate shows them to nobody, and with it the
//! targets would be built upon SQLite.

#![allow(dead_code, reason = "readers alone are used here, the rest by the node")]

#[path = "../crates/node/src/sequences/record.rs"]
pub(crate) mod record;
#[path = "../crates/node/src/settings.rs"]
pub(crate) mod settings;
#[path = "start_up.rs"]
pub(crate) mod start_up;

pub(crate) mod sequences {
    pub(crate) use super::record;
}
