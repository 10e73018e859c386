//! The places that a listener has for connections, and who may have how many of them.
//!
//! A connection costs a file descriptor and some memory before it has said anything, so their number has a limit. Without a limit
//! for each address too, one caller who opens connections and is silent has them all, and nobody else is let in. An address that
//! has its share is refused by closing: there is no request yet that could be answered. When all places are taken, connections
//! wait, the first one here and those behind it in the operating system, since a burst is over soon; whoever looks at the metrics
//! or the log sees it.

use crate::metrics::ConnectionCounts;
use prometheus_client::metrics::gauge::Gauge;
use spinwell_runtime::clock;
use spinwell_runtime::options::Limits;
use spinwell_runtime::seldom::Seldom;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often the log says at most that a limit was met: whoever meets it does so thousands of times.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The places of a listener.
pub(super) struct Places {
    limits: Limits,
    free: Arc<Semaphore>,
    /// How many each address has, those that wait included.
    shares: Arc<Mutex<HashMap<IpAddr, usize>>>,
    counts: ConnectionCounts,
    /// When the log last said that an address has all that it may have.
    told_of_address: Seldom,
    /// When it last said that all places are taken.
    told_of_all: Seldom,
}

/// A connection's place, free again when it is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _share: Share,
    _open: Raised,
}

impl Places {
    pub(super) fn new(limits: &Limits, counts: ConnectionCounts) -> Self {
        counts.open_max.set(i64::try_from(limits.connections_max).unwrap_or(i64::MAX));
        Self {
            limits: limits.clone(),
            free: Arc::new(Semaphore::new(limits.connections_max)),
            shares: Arc::default(),
            counts,
            told_of_address: Seldom::new(LOG_INTERVAL),
            told_of_all: Seldom::new(LOG_INTERVAL),
        }
    }

    /// A place for a connection from `address`, as soon as there is one; none where the address has as many as it may have.
    pub(super) async fn take(&mut self, address: IpAddr) -> Option<Place> {
        let share = self.share(address)?;
        let permit = match self.free.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait().await?,
        };
        Some(Place { _permit: permit, _share: share, _open: Raised::new(&self.counts.open) })
    }

    async fn wait(&mut self) -> Option<OwnedSemaphorePermit> {
        self.counts.waited.inc();
        if self.told_of_all.is_due(clock::now()) {
            let shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
            let most =
                shares.iter().max_by_key(|(_, share)| **share).map(|(address, share)| (*address, *share));
            drop(shares);
            if let Some((address, its)) = most {
                let (listener, max) = (self.counts.listener, self.limits.connections_max);
                tracing::warn!(
                    listener,
                    connections_max = max,
                    %address,
                    connections_of_address = its,
                    "all connections that may be open are taken, others wait; the address is the one that has most of them"
                );
            }
        }
        let _waiting = Raised::new(&self.counts.waiting);
        self.free.clone().acquire_owned().await.ok()
    }

    fn share(&mut self, address: IpAddr) -> Option<Share> {
        let max = self.limits.connections_of(address);
        let address = network(address);
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares.entry(address).or_default();
        if *share < max {
            *share += 1;
            drop(shares);
            return Some(Share { shares: self.shares.clone(), address });
        }
        drop(shares);
        self.counts.refused.inc();
        if self.told_of_address.is_due(clock::now()) {
            tracing::warn!(
                listener = self.counts.listener,
                %address,
                connections_per_address_max = max,
                "an address has as many connections as one may have, further ones are closed"
            );
        }
        None
    }
}

/// Whom an address stands for: over IPv6 a caller has a whole network of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// One of the connections that an address may have.
struct Share {
    shares: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let left = shares.get_mut(&self.address).map(|share| {
            *share -= 1;
            *share
        });
        // Who has none takes no memory.
        if left == Some(0) {
            shares.remove(&self.address);
        }
    }
}

/// A gauge, higher by one until this is dropped.
struct Raised(Gauge);

impl Raised {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use spinwell_runtime::options::{Options, Sources};

    fn places(connections_max: usize, connections_per_address_max: Option<usize>) -> Places {
        let limits = Options::load(&Sources::default()).unwrap().options.limits;
        let limits = Limits { connections_max, connections_per_address_max, ..limits };
        Places::new(&limits, ConnectionCounts::default())
    }

    /// How many of `count` connections from there get a place, which they keep.
    fn taken(places: &mut Places, address: &str, count: usize) -> Vec<Place> {
        let address = address.parse().unwrap();
        (0..count).filter_map(|_| places.take(address).now_or_never().flatten()).collect()
    }

    #[test]
    fn one_address_has_its_share_and_others_theirs() {
        let mut places = places(16, None);
        let first = taken(&mut places, "10.0.0.1", 100);
        assert_eq!(first.len(), 4, "a quarter");
        assert_eq!(places.counts.refused.get(), 96);
        let second = taken(&mut places, "10.0.0.2", 100);
        assert_eq!(second.len(), 4);
        assert_eq!(places.counts.open.get(), 8);
        drop(first);
        assert_eq!(places.counts.open.get(), 4);
        assert_eq!(taken(&mut places, "10.0.0.1", 5).len(), 4, "what is given back can be taken again");
        assert_eq!(places.counts.waited.get(), 0);
        drop(second);
        assert!(places.shares.lock().unwrap().is_empty(), "nobody has any, nothing is kept");
    }

    #[test]
    fn this_machine_is_one_address_to_all_its_programs_unless_somebody_says_so() {
        for (max, address, wanted) in [
            (None, "127.0.0.1", 16),
            (None, "::1", 16),
            (None, "::ffff:127.0.0.1", 16),
            (None, "10.0.0.1", 4),
            (Some(3), "127.0.0.1", 3),
            (Some(3), "10.0.0.1", 3),
            (Some(100), "10.0.0.1", 16),
        ] {
            assert_eq!(taken(&mut places(16, max), address, 17).len(), wanted, "{max:?} {address}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_caller() {
        let mut places = places(16, None);
        let held: Vec<_> =
            (0..9).flat_map(|host| taken(&mut places, &format!("2001:db8::{host}"), 1)).collect();
        assert_eq!(held.len(), 4);
        assert_eq!(taken(&mut places, "2001:db8:0:1::1", 1).len(), 1);
    }

    #[tokio::test]
    async fn who_finds_no_place_waits_for_one() {
        let mut places = places(2, None);
        let mut held = taken(&mut places, "127.0.0.1", 2);
        let counts = places.counts.clone();
        let mut waits = Box::pin(places.take("10.0.0.1".parse().unwrap()));
        assert!((&mut waits).now_or_never().is_none());
        assert_eq!((counts.waiting.get(), counts.waited.get(), counts.open.get()), (1, 1, 2));
        held.pop();
        assert!(waits.await.is_some());
        assert_eq!((counts.waiting.get(), counts.waited.get(), counts.refused.get()), (0, 1, 0));
    }
}
