//! Which orders of control a node follows, as all its connections know it.

use spinwell_core::{Code, Fault};
use spinwell_policy::fence::{self, Late};
use spinwell_protocol::Order;
use std::sync::{Mutex, PoisonError};

/// What the node has heard of leaders, on whatever connection.
#[derive(Debug, Default)]
pub struct Fence(Mutex<fence::Fence>);

impl Fence {
    /// Whether a node in that life follows an order.
    ///
    /// # Errors
    /// [`Code::OrderOld`] where it comes too late.
    pub(crate) fn admit(&self, order: Order, life: u64) -> Result<(), Fault> {
        let mut fence = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fence.admit(order, life).map_err(|late| {
            let message = match late {
                Late::Leader { since } => format!(
                    "the order is of generation {}, and a leader of generation {since} has given orders since",
                    order.generation
                ),
                Late::Life => {
                    "the order is for a life of this node that is over; it has started anew since".to_owned()
                }
            };
            Fault::new(Code::OrderOld, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_an_order_says_why() {
        let fence = Fence::default();
        let check = |generation: u64, life: u64, wanted: Result<(), &str>| {
            let admitted = fence.admit(Order { generation, life }, 7);
            let said = admitted.as_ref().map_err(Fault::message).copied();
            assert_eq!(said.is_err(), wanted.is_err(), "{generation} {life}");
            assert!(said.err().unwrap_or_default().contains(wanted.err().unwrap_or_default()), "{said:?}");
        };
        check(3, 7, Ok(()));
        check(2, 7, Err("of generation 2, and a leader of generation 3"));
        check(3, 6, Err("it has started anew since"));
    }
}
