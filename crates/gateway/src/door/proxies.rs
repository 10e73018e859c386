//! Callers behind a proxy: who they are, it says.

use axum::http::HeaderMap;
use std::net::IpAddr;

/// The header in which proxies say for whom they ask; each adds an address behind those that it was given.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies whose word counts.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<IpAddr>);

impl Proxies {
    /// Those at these addresses.
    #[must_use]
    pub fn at(addresses: Vec<IpAddr>) -> Self {
        Self(addresses.into_iter().map(|address| address.to_canonical()).collect())
    }

    /// Where they are.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.0
    }

    /// Whom a request is from that came from `peer`: the last address that no proxy of ours has, which a proxy of ours has written. What stands
    /// before it, anybody may have written.
    pub(super) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut caller = peer.to_canonical();
        if !self.0.contains(&caller) {
            return caller;
        }
        let lines: Vec<&str> =
            headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
        for text in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            let Ok(address) = text.trim().parse::<IpAddr>() else { return caller };
            caller = address.to_canonical();
            if !self.0.contains(&caller) {
                return caller;
            }
        }
        caller
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_of_ours_is_believed_and_only_as_far_as_it_can_know() {
        let proxies = Proxies::at(vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()]);
        let rows = [
            ("192.0.2.7", &["203.0.113.9"][..], "192.0.2.7"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", &["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["nonsense"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ];
        for (peer, lines, wanted) in rows {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, line.parse().unwrap());
            }
            let caller = proxies.caller(peer.parse().unwrap(), &headers);
            assert_eq!(caller, wanted.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
        }
    }
}
