//! Whether a gateway has lost all its nodes for so long that it should be sent nothing.
//!
//! It refuses requests faster than others answer them, so whoever sends to the gateway with the fewest in flight would send it nearly all.
//! Not at once, though: where the last node is lost and found again within moments, others are no better off, and whoever is told twice a
//! second that a gateway went and came does more harm than the gap. Back it is at once: each request that another gateway need not carry
//! counts then.
//!
//! A stream stays where it is for as long as it lives, whatever others are told. So a gateway that is cut off ends its streams, when
//! those who hand out new ones have heard of it, and refuses what waits in them for a node.

use crate::cluster::Cluster;
use spinwell_core::{Code, Fault};
use spinwell_runtime::clock;
use spinwell_runtime::health::{Health, Phase, Readiness};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// For how long no node may be reachable: a node that was started anew is found again by then, and a caller has not waited longer than for
/// the loss of a silent one.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked. What lies between two looks is not seen.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// For how long a stream stays at a gateway that is cut off: HAProxy asks each second, and would open it here again before.
const STREAM_STAYS: Duration = Duration::from_millis(1500);

/// What has been seen of the nodes.
#[derive(Debug, Default)]
struct Reach {
    /// Since when none was reachable, at any look.
    without_since: Option<Instant>,
}

impl Reach {
    /// Whether the gateway is cut off, where so many nodes are reachable now.
    fn is_cut_off(&mut self, reachable: usize, now: Instant) -> bool {
        if reachable > 0 {
            self.without_since = None;
            return false;
        }
        let since = *self.without_since.get_or_insert(now);
        now.saturating_duration_since(since) >= PATIENCE
    }
}

/// Says of a gateway that has become ready whether it is cut off from its nodes, until it is told to stop.
pub async fn watch_nodes(cluster: Cluster, health: Health) {
    let (mut reach, mut was_cut_off) = (Reach::default(), false);
    // Looks that were missed are not made up for: nothing was seen meanwhile.
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while health.phase() == Phase::Ready {
        let is_cut_off = reach.is_cut_off(cluster.reachable_nodes(), clock::now());
        health.set_cut_off(is_cut_off);
        match (was_cut_off, is_cut_off) {
            (false, true) => tracing::warn!(
                "no node can be reached; others are told to send nothing here until one can be"
            ),
            (true, false) => tracing::info!("a node can be reached again; requests are welcome"),
            _ => {}
        }
        was_cut_off = is_cut_off;
        looks.tick().await;
    }
}

/// Comes when a stream that begins now is to end because another gateway may have nodes.
pub(crate) async fn lost_nodes(health: Health) {
    let mut now = health.readiness();
    loop {
        let next = health.readiness_after(Some(now));
        now = match now {
            Readiness::CutOff => match timeout(STREAM_STAYS, next).await {
                Ok(next) => next,
                Err(_) => return,
            },
            _ => next.await,
        };
    }
}

/// What is said then of whatever the stream has not answered, and of the stream.
pub(crate) fn without_nodes() -> Fault {
    let message = "this gateway has lost all its nodes and ends its streams: open another one and send again there what has no answer; \
                   a step with a sequence_step is taken once, and before you send one without, look at the sequence's state";
    Fault::new(Code::NodeUnreachable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_no_node_for_a_while_is_cut_off_and_one_node_is_enough_to_be_back() {
        let begin = clock::now();
        let check = |looks: &[(u64, usize, bool)]| {
            let mut reach = Reach::default();
            for &(at_ms, reachable, wanted) in looks {
                let now = begin + Duration::from_millis(at_ms);
                assert_eq!(reach.is_cut_off(reachable, now), wanted, "{at_ms} ms of {looks:?}");
            }
        };
        check(&[(0, 2, false), (5_000, 1, false)]);
        check(&[(0, 2, false), (100, 0, false), (1_000, 0, false), (1_100, 0, true), (9_000, 0, true)]);
        // As from the beginning, each time.
        check(&[
            (0, 0, false),
            (900, 0, false),
            (910, 1, false),
            (920, 0, false),
            (1_900, 0, false),
            (1_920, 0, true),
        ]);
        check(&[(0, 0, false), (1_000, 0, true), (1_001, 1, false), (1_002, 0, false), (2_002, 0, true)]);
        // A process that stood still has seen nothing meanwhile.
        check(&[(0, 3, false), (60_000, 0, false), (60_500, 0, false), (61_000, 0, true)]);
    }
}
