//! Whether there are enough nodes to start with.
//!
//! A region that is meant to survive the loss of a node must not come up with less than two: nobody would notice until
//! the one is lost. Fewer than wanted, but two or more, is a start with a warning, because waiting for the last node
//! would keep the others from serving.

use spinwell_core::{Code, Fault};

/// Fewer nodes than this survive no loss.
const SURVIVES_A_LOSS: usize = 2;

/// There are too few nodes to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{usable} of the {min_nodes} nodes that min_nodes asks for can be used, and a region with a min_nodes of \
     {SURVIVES_A_LOSS} or more does not start below {SURVIVES_A_LOSS}"
)]
pub struct InsufficientNodes {
    /// Nodes that may be sent work.
    pub usable: usize,
    /// Nodes that the configuration wants at least.
    pub min_nodes: usize,
}

impl InsufficientNodes {
    /// The error as it is shown to the operator.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::new(Code::InsufficientNodes, self.to_string())
    }
}

/// How the nodes that there are compare to those that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sufficiency {
    /// There are at least `min_nodes`.
    Enough,
    /// The region may start, somebody has to be told, and nodes have to be added.
    BelowMinimum {
        /// How many are missing.
        missing: usize,
    },
}

impl Sufficiency {
    /// Whether a region may start with so many usable nodes.
    ///
    /// # Errors
    /// Where `min_nodes` is two or more and fewer than two can be used.
    pub fn at_start(usable: usize, min_nodes: usize) -> Result<Self, InsufficientNodes> {
        if usable >= min_nodes {
            Ok(Sufficiency::Enough)
        } else if min_nodes >= SURVIVES_A_LOSS && usable < SURVIVES_A_LOSS {
            Err(InsufficientNodes { usable, min_nodes })
        } else {
            Ok(Sufficiency::BelowMinimum { missing: min_nodes - usable })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case() {
        let too_few = |usable, min_nodes| Err(InsufficientNodes { usable, min_nodes });
        let missing = |missing| Ok(Sufficiency::BelowMinimum { missing });
        for (usable, min_nodes, wanted) in [
            (0, 0, Ok(Sufficiency::Enough)),
            (0, 1, missing(1)),
            (1, 1, Ok(Sufficiency::Enough)),
            (0, 2, too_few(0, 2)),
            (1, 2, too_few(1, 2)),
            (2, 2, Ok(Sufficiency::Enough)),
            (0, 3, too_few(0, 3)),
            (1, 3, too_few(1, 3)),
            (2, 3, missing(1)),
            (3, 3, Ok(Sufficiency::Enough)),
            (20, 3, Ok(Sufficiency::Enough)),
            (2, 20, missing(18)),
        ] {
            assert_eq!(Sufficiency::at_start(usable, min_nodes), wanted, "{usable} of {min_nodes}");
        }
    }

    #[test]
    fn the_error_names_both_numbers_and_has_a_code() {
        let fault = InsufficientNodes { usable: 1, min_nodes: 3 }.fault();
        assert_eq!(fault.code(), Code::InsufficientNodes);
        assert!(fault.message().starts_with("1 of the 3 nodes"), "{}", fault.message());
    }
}
