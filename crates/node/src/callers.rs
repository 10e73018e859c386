//! The gateways that are connected.
//!
//! A node says with its beats who they are. So whoever restarts nodes one after the other sees when all gateways have found a new one:
//! before, the next must not stop. Two gateways of one name are two, by the lives of their processes.

use spinwell_protocol::Caller;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The gateways that are connected, each with the number of its connections.
#[derive(Debug, Default)]
pub struct Callers(Mutex<BTreeMap<Caller, usize>>);

impl Callers {
    /// A gateway has connected.
    pub(crate) fn came(&self, caller: Caller) {
        *self.lock().entry(caller).or_default() += 1;
    }

    /// One of its connections has ended.
    pub(crate) fn gone(&self, caller: &Caller) {
        let mut all = self.lock();
        if let Some(connections) = all.get_mut(caller) {
            *connections -= 1;
            if *connections == 0 {
                all.remove(caller);
            }
        }
    }

    /// All of them, each once.
    pub(crate) fn all(&self) -> Vec<Caller> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Caller, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_there_as_long_as_any_of_its_connections() {
        let callers = Callers::default();
        let caller = |name: &str, life| Caller { name: name.to_owned(), life: Some(life) };
        let (one, two, same_name) = (caller("g1", 1), caller("g2", 2), caller("g1", 3));
        for came in [&two, &one, &two, &same_name] {
            callers.came(came.clone());
        }
        callers.gone(&two);
        assert_eq!(callers.all(), [one.clone(), same_name.clone(), two.clone()]);
        callers.gone(&two);
        callers.gone(&caller("nobody", 1));
        callers.gone(&one);
        assert_eq!(callers.all(), [same_name]);
    }
}
