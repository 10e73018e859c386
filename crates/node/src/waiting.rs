//! Which requests run next, together.
//!
//! One lane for each model, because a batch is of one model. The lane whose oldest request is the oldest of
//! all goes next, so no model waits behind another's crowd; from it, requests leave in order of arrival until
//! the batch is full, in windows or in rows. A request is never split: one that is larger than a batch rides alone. A request whose
//! deadline has passed leaves without running, and one that nobody waits for any more just disappears.
//!
//! This is a data structure and knows neither clock nor threads; [`queue`](crate::queue) gives it both.

use std::collections::VecDeque;
use std::time::Instant;

/// What a request, or a batch, asks of an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cost {
    /// Windows it holds.
    pub(crate) windows: usize,
    /// Rows in all of them: what an executor's time grows with.
    pub(crate) rows: usize,
}

impl Cost {
    fn plus(self, other: Self) -> Self {
        Self {
            windows: self.windows.saturating_add(other.windows),
            rows: self.rows.saturating_add(other.rows),
        }
    }

    fn is_within(self, most: Self) -> bool {
        self.windows <= most.windows && self.rows <= most.rows
    }
}

/// A request that waits.
#[derive(Debug)]
struct Item<T> {
    /// Its place among all requests that ever arrived.
    arrival: u64,
    /// What it asks of an executor.
    cost: Cost,
    /// When its answer is worth nothing any more.
    deadline: Instant,
    work: T,
}

/// What an executor should do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch<T> {
    /// The model, by its lane.
    pub(crate) lane: usize,
    /// To be run together, in order of arrival. May be empty.
    pub(crate) ready: Vec<T>,
    /// To be refused: their deadlines have passed.
    pub(crate) expired: Vec<T>,
}

/// Requests that wait, by model.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    lanes: Vec<VecDeque<Item<T>>>,
    arrivals: u64,
    len: usize,
}

impl<T> Waiting<T> {
    /// Nobody waits yet for any of `lanes` models.
    pub(crate) fn new(lanes: usize) -> Self {
        Self { lanes: (0..lanes).map(|_| VecDeque::new()).collect(), arrivals: 0, len: 0 }
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a request at the end of its lane.
    pub(crate) fn push(&mut self, lane: usize, cost: Cost, deadline: Instant, work: T) {
        self.lanes[lane].push_back(Item { arrival: self.arrivals, cost, deadline, work });
        self.arrivals += 1;
        self.len += 1;
    }

    /// Takes the next batch, that costs at most `cost_max` unless its first request alone costs more.
    /// Requests that are not `wanted` any more are dropped. `None` where nobody waits.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        cost_max: Cost,
        wanted: impl Fn(&T) -> bool,
    ) -> Option<Batch<T>> {
        let first = |lane: &VecDeque<Item<T>>| lane.front().map(|item| item.arrival);
        let heads = self.lanes.iter().enumerate().filter_map(|(lane, items)| Some((first(items)?, lane)));
        let (_, lane) = heads.min()?;
        let mut batch = Batch { lane, ready: Vec::new(), expired: Vec::new() };
        let mut cost = Cost::default();
        while let Some(item) = self.lanes[lane].pop_front_if(|item| {
            let costs_nothing = item.deadline <= now || !wanted(&item.work);
            costs_nothing || cost.windows == 0 || cost.plus(item.cost).is_within(cost_max)
        }) {
            self.len -= 1;
            if !wanted(&item.work) {
                continue;
            }
            if item.deadline <= now {
                batch.expired.push(item.work);
            } else {
                cost = cost.plus(item.cost);
                batch.ready.push(item.work);
            }
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[allow(clippy::disallowed_methods, reason = "any instant will do as the tests' zero")]
    fn zero() -> Instant {
        Instant::now()
    }

    /// At most 8 windows and 80 rows go together.
    const COST_MAX: Cost = Cost { windows: 8, rows: 80 };

    fn cost(windows: usize) -> Cost {
        Cost { windows, rows: windows }
    }

    /// The batch is taken at 10 ms; names in upper case are not wanted any more.
    fn take(waiting: &mut Waiting<char>, zero: Instant) -> Option<(usize, String, String)> {
        let now = zero + Duration::from_millis(10);
        let batch = waiting.take(now, COST_MAX, char::is_ascii_lowercase)?;
        Some((batch.lane, batch.ready.iter().collect(), batch.expired.iter().collect()))
    }

    #[test]
    fn batches_form_by_model_and_age() {
        // Requests are (name, lane, windows, deadline in ms).
        let check = |requests: &[(char, usize, usize, u64)], wanted: &[(usize, &str, &str)]| {
            let zero = zero();
            let mut waiting = Waiting::new(3);
            for &(name, lane, windows, deadline) in requests {
                waiting.push(lane, cost(windows), zero + Duration::from_millis(deadline), name);
            }
            let mut batches = Vec::new();
            while let Some(batch) = take(&mut waiting, zero) {
                batches.push(batch);
            }
            let batches: Vec<_> = batches.iter().map(|(l, r, e)| (*l, r.as_str(), e.as_str())).collect();
            assert_eq!(batches, wanted, "{requests:?}");
            assert_eq!(waiting.len(), 0);
        };
        check(&[], &[]);
        check(&[('a', 1, 1, 99)], &[(1, "a", "")]);
        check(&[('a', 1, 1, 99), ('b', 0, 1, 99), ('c', 1, 1, 99)], &[(1, "ac", ""), (0, "b", "")]);
        check(&[('a', 0, 5, 99), ('b', 0, 3, 99), ('c', 0, 1, 99)], &[(0, "ab", ""), (0, "c", "")]);
        check(&[('a', 0, 5, 99), ('b', 0, 4, 99), ('c', 0, 1, 99)], &[(0, "a", ""), (0, "bc", "")]);
        check(&[('a', 0, 100, 99), ('b', 0, 1, 99)], &[(0, "a", ""), (0, "b", "")]);
        check(&[('a', 0, 8, 10), ('b', 0, 8, 11), ('c', 0, 8, 9)], &[(0, "b", "ac")]);
        check(&[('a', 0, 1, 5)], &[(0, "", "a")]);
        check(&[('A', 0, 8, 99), ('b', 0, 8, 99), ('C', 0, 1, 5)], &[(0, "b", "")]);
    }

    #[test]
    fn rows_fill_a_batch_too() {
        let check = |rows: &[usize], wanted: &[usize]| {
            let zero = zero();
            let mut waiting = Waiting::new(1);
            for &rows in rows {
                waiting.push(0, Cost { windows: 1, rows }, zero + Duration::from_secs(1), ());
            }
            let batches = std::iter::from_fn(|| waiting.take(zero, COST_MAX, |()| true));
            assert_eq!(batches.map(|batch| batch.ready.len()).collect::<Vec<_>>(), wanted, "{rows:?}");
        };
        check(&[40, 40, 40], &[2, 1]);
        check(&[81, 1, 79, 1], &[1, 2, 1]);
        check(&[usize::MAX, usize::MAX], &[1, 1]);
    }

    proptest! {
        #[test]
        fn nobody_is_lost_doubled_or_overtaken(
            requests in proptest::collection::vec((0usize..3, 1usize..12, 0u64..20), 0..60)
        ) {
            let zero = zero();
            let mut waiting = Waiting::new(3);
            for (number, &(lane, windows, deadline)) in requests.iter().enumerate() {
                waiting.push(lane, cost(windows), zero + Duration::from_millis(deadline), number);
            }
            let mut seen = Vec::new();
            let mut last_of_lane = [None; 3];
            while let Some(batch) = waiting.take(zero + Duration::from_millis(10), COST_MAX, |_| true) {
                let windows: usize = batch.ready.iter().map(|&number| requests[number].1).sum();
                prop_assert!(windows <= 8 || batch.ready.len() == 1);
                for &number in &batch.ready {
                    prop_assert!(requests[number].2 > 10 && requests[number].0 == batch.lane);
                    prop_assert!(last_of_lane[batch.lane] < Some(number));
                    last_of_lane[batch.lane] = Some(number);
                }
                prop_assert!(batch.expired.iter().all(|&number| requests[number].2 <= 10));
                seen.extend(batch.ready.into_iter().chain(batch.expired));
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..requests.len()).collect::<Vec<_>>());
        }
    }
}
