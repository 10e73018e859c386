//! How many threads one candidate may use.
//!
//! Candidates are tried in parallel, which is the best use of threads while there are enough candidates. Where there are
//! fewer, each spreads its larger sums and its folds over all threads. It does so only then: a thread that waits for a
//! part of one candidate takes up what else there is to do, and with candidates waiting that would be a second one,
//! whose sums would lie in memory beside the first's.
//!
//! Work is cut into the same parts whoever does them, and each part is done by one thread in one order, so that **no bit
//! depends on the number of threads**.

use rayon::prelude::*;

/// Who works on a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hands {
    /// The thread that it was given to.
    One,
    /// Every thread that has nothing else to do.
    All,
}

impl Hands {
    /// For each of so many candidates that are tried at the same time.
    pub(crate) fn of_each(candidates: usize) -> Self {
        if candidates < rayon::current_num_threads() { Hands::All } else { Hands::One }
    }

    /// What comes of each item, in order.
    pub(crate) fn map<T: Send, U: Send>(
        self,
        items: impl IntoIterator<Item = T>,
        of: impl Fn(T) -> U + Sync + Send,
    ) -> Vec<U> {
        match self {
            Hands::One => items.into_iter().map(of).collect(),
            Hands::All => {
                let items: Vec<T> = items.into_iter().collect();
                items.into_par_iter().with_max_len(1).map(of).collect()
            }
        }
    }
}
