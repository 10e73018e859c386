//! The gateways that are connected.
//!
//! A node says with its beats who they are. So whoever restarts nodes one after the other sees when all gateways have found a new one:
//! before, the next must not stop.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The gateways that are connected, each with the number of its connections.
#[derive(Debug, Default)]
pub struct Callers(Mutex<BTreeMap<Box<str>, usize>>);

impl Callers {
    /// A gateway has connected.
    pub(crate) fn came(&self, name: &str) {
        *self.all().entry(name.into()).or_default() += 1;
    }

    /// One of its connections has ended.
    pub(crate) fn gone(&self, name: &str) {
        let mut all = self.all();
        if let Some(connections) = all.get_mut(name) {
            *connections -= 1;
            if *connections == 0 {
                all.remove(name);
            }
        }
    }

    /// Their names, each once.
    pub(crate) fn names(&self) -> Vec<String> {
        self.all().keys().map(ToString::to_string).collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Box<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_there_as_long_as_any_of_its_connections() {
        let callers = Callers::default();
        for name in ["g2", "g1", "g2"] {
            callers.came(name);
        }
        callers.gone("g2");
        assert_eq!(callers.names(), ["g1", "g2"]);
        callers.gone("g2");
        callers.gone("nobody");
        assert_eq!(callers.names(), ["g1"]);
    }
}
