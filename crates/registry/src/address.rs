//! Where a service listens: host and port.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest host name that DNS can carry.
const HOST_LEN_MAX: usize = 253;

/// The text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an address: use HOST:PORT, with an IPv6 address in brackets and a port from 1 to 65535"
)]
pub struct InvalidAddress(String);

/// A host, by name or number, and a port. A name is resolved by whoever connects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    host: Arc<str>,
    port: u16,
}

impl Address {
    /// The address of a host, without brackets, and a port.
    ///
    /// # Errors
    /// Where the port is 0 or the host is neither a DNS name nor an IP address.
    pub fn new(host: &str, port: u16) -> Result<Self, InvalidAddress> {
        let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
        if port > 0 && (is_address || is_name(host)) {
            Ok(Self { host: host.into(), port })
        } else {
            Err(InvalidAddress(format!("{}:{port}", host.chars().take(HOST_LEN_MAX).collect::<String>())))
        }
    }

    /// The host, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Whether the text can be a DNS name or an IPv4 address.
fn is_name(host: &str) -> bool {
    host.len() <= HOST_LEN_MAX
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.chars().take(2 * HOST_LEN_MAX).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) if inner.contains(':') => inner,
            Some(_) => return Err(invalid()),
            None if host.contains(':') => return Err(invalid()),
            None => host,
        };
        let is_number = port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_number).ok_or_else(invalid)?;
        Self::new(host, port).map_err(|_| invalid())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_back_as_they_were_written() {
        for (text, host, port) in [
            ("127.0.0.1:8000", "127.0.0.1", 8000),
            ("node-1.eu.example:1", "node-1.eu.example", 1),
            ("[::1]:65535", "::1", 65535),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}:1", "a.".repeat(200));
        for text in [
            "",
            ":",
            ":80",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "::1:80",
            "[host]:80",
            "[::1]",
            "[::1:80",
            "a b:80",
            "a/b:80",
            "http://a:80",
            "a..b:80",
            ".a:80",
            "é:80",
            &long,
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
