//! Which orders of control a node follows.
//!
//! A leader may believe that it leads when another does already: it stood still between its look at the clock and its order. So an order
//! carries its leader's generation, and a node that has heard of a later one refuses it. A node that has started anew has heard of
//! nobody; therefore an order names the life that it is for as well, and one that was for the life before stops nobody. Such an order is
//! refused and its generation still counts: whoever gave it led after the leaders before it, and those must stop nobody any more.
//!
//! ```
//! use spinwell_core::Order;
//! use spinwell_policy::fence::{Fence, Late};
//! let mut fence = Fence::default();
//! assert_eq!(fence.admit(Order { generation: 5, life: 7 }, 7), Ok(()));
//! assert_eq!(fence.admit(Order { generation: 4, life: 7 }, 7), Err(Late::Leader { since: 5 }));
//! ```

use spinwell_core::Order;

/// The highest generation that was heard of.
#[derive(Debug, Clone, Default)]
pub struct Fence {
    highest: u64,
}

/// Why an order comes too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// A leader of a later generation has given orders.
    Leader {
        /// The generation of that.
        since: u64,
    },
    /// It is for a life that is over.
    Life,
}

impl Fence {
    /// Whether a node in that life follows an order.
    ///
    /// # Errors
    /// Where it comes too late.
    pub fn admit(&mut self, order: Order, life: u64) -> Result<(), Late> {
        if order.generation < self.highest {
            return Err(Late::Leader { since: self.highest });
        }
        self.highest = order.generation;
        if order.life == life { Ok(()) } else { Err(Late::Life) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_of_older_leaders_and_of_other_lives_are_refused() {
        let mut fence = Fence::default();
        let mut check = |generation: u64, life: u64, wanted: Result<(), Late>| {
            assert_eq!(fence.admit(Order { generation, life }, 7), wanted, "{generation} {life}");
        };
        check(3, 7, Ok(()));
        check(3, 7, Ok(()));
        check(2, 7, Err(Late::Leader { since: 3 }));
        // A later leader is heard of, also by what it wants of a life that is over.
        check(5, 6, Err(Late::Life));
        check(4, 7, Err(Late::Leader { since: 5 }));
        check(5, 7, Ok(()));
    }
}
