//! Which orders of control a node follows.
//!
//! A leader may believe that it leads when another does already: it stood still between its look at the clock and its order. So an order
//! carries its leader's generation, and a node that has heard of a later one refuses it. A node that has started anew has heard of
//! nobody; therefore an order names the life that it is for as well, and one that was for the life before stops nobody. Such an order is
//! refused and its generation still counts: whoever gave it led after the leaders before it, and those must stop nobody any more.

use spinwell_core::{Code, Fault};
use spinwell_protocol::Order;
use std::sync::{Mutex, PoisonError};

/// The highest generation that was heard of.
#[derive(Debug, Default)]
pub struct Fence(Mutex<u64>);

impl Fence {
    /// Whether a node in that life follows an order.
    ///
    /// # Errors
    /// [`Code::OrderOld`] where it comes too late.
    pub(crate) fn admit(&self, order: Order, life: u64) -> Result<(), Fault> {
        let mut highest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if order.generation < *highest {
            let message = format!(
                "the order is of generation {}, and a leader of generation {} has given orders since",
                order.generation, *highest
            );
            return Err(Fault::new(Code::OrderOld, message));
        }
        *highest = order.generation;
        if order.life != life {
            let message = "the order is for a life of this node that is over; it has started anew since";
            return Err(Fault::new(Code::OrderOld, message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_of_older_leaders_and_of_other_lives_are_refused() {
        let fence = Fence::default();
        let check = |generation: u64, life: u64, wanted: Result<(), Code>| {
            let admitted = fence.admit(Order { generation, life }, 7);
            assert_eq!(admitted.map_err(|fault| fault.code()), wanted, "{generation} {life}");
        };
        check(3, 7, Ok(()));
        check(3, 7, Ok(()));
        check(2, 7, Err(Code::OrderOld));
        // A later leader is heard of, also by what it wants of a life that is over.
        check(5, 6, Err(Code::OrderOld));
        check(4, 7, Err(Code::OrderOld));
        check(5, 7, Ok(()));
    }
}
