//! Where Consul is, and how long things may take.

use super::watch::Timing;
use spinwell_core::Millis;
use std::fmt;
use std::time::Duration;

/// Shortest TTL. Beats come three times in it, and each is a request to the agent.
const TTL_MIN: Millis = Millis(1_000);
/// Consul counts nothing shorter (documentation of service checks).
const DEREGISTER_AFTER_MIN: Millis = Millis(60_000);
/// Consul waits no longer (documentation of blocking queries).
const WAIT_MAX: Millis = Millis(600_000);
/// For so many TTLs after an outage bad news waits: an agent that has lost everything hears of each member with its next beat, and
/// on a busy machine a beat that finds nobody, a registration and the first beat after it take longer than one.
const GRACE_TTLS: u32 = 3;
/// Longest prefix of names: with what follows, a service's name stays below the 63 characters of a DNS label.
const PREFIX_LEN_MAX: usize = 40;

/// An ACL token. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token of that text.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(not shown)")
    }
}

/// Where Consul is, and how long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The agent, such as `http://127.0.0.1:8500`. It runs on this machine, so there is no TLS between us.
    pub url: String,
    /// What the agent knows us by, where it asks.
    pub token: Option<Token>,
    /// What the names of our services begin with: regions that share a Consul have different ones.
    pub prefix: String,
    /// A member that is not heard of for so long is critical.
    pub ttl: Millis,
    /// A member that is critical for so long is forgotten. Consul looks every 30 s.
    pub deregister_after: Millis,
    /// How long a query waits for a change at most. It bounds how long an agent that hangs goes unnoticed.
    pub wait: Millis,
    /// How long the agent may take over anything else.
    pub timeout: Millis,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8500".to_owned(),
            token: None,
            prefix: "spinwell".to_owned(),
            ttl: Millis(6_000),
            deregister_after: DEREGISTER_AFTER_MIN,
            wait: Millis(10_000),
            timeout: Millis(2_000),
        }
    }
}

/// The options contradict Consul, or are not for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOptions {
    /// The agent's address is not one.
    #[error("{0:?} is not the address of a Consul agent: use http://HOST:PORT")]
    Url(String),
    /// TLS is not offered.
    #[error(
        "{0:?} asks for TLS, which is not offered: run a Consul agent on this machine and name its HTTP address"
    )]
    Tls(String),
    /// The token cannot be a header.
    #[error("the Consul token holds characters that no token has")]
    Token,
    /// The prefix cannot be part of a DNS name.
    #[error(
        "{0:?} cannot begin the names of services: use 1 to {PREFIX_LEN_MAX} lower-case letters, digits or '-', \
             beginning with a letter"
    )]
    Prefix(String),
    /// A time is out of range.
    #[error("{name} is {value}, it must be {least} to {most}")]
    Time {
        /// Which.
        name: &'static str,
        /// What it is.
        value: Millis,
        /// What it may be at least.
        least: Millis,
        /// What it may be at most.
        most: Millis,
    },
}

impl Options {
    /// Whether Consul takes them.
    ///
    /// # Errors
    /// What it does not take.
    pub fn check(&self) -> Result<(), InvalidOptions> {
        self.base()?;
        let secret = self.token.as_ref().map_or("", Token::secret);
        if self.token.is_some() && (secret.is_empty() || !secret.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(InvalidOptions::Token);
        }
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let begins = self.prefix.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins || self.prefix.len() > PREFIX_LEN_MAX || !self.prefix.bytes().all(is_plain) {
            return Err(InvalidOptions::Prefix(self.prefix.chars().take(2 * PREFIX_LEN_MAX).collect()));
        }
        let day = Millis(24 * 3_600_000);
        let times = [
            ("ttl", self.ttl, TTL_MIN, day),
            ("deregister_after", self.deregister_after, DEREGISTER_AFTER_MIN, day),
            ("wait", self.wait, TTL_MIN, WAIT_MAX),
            ("timeout", self.timeout, Millis(100), Millis(60_000)),
        ];
        let wrong = times.into_iter().find(|(_, value, least, most)| value < least || value > most);
        match wrong {
            Some((name, value, least, most)) => Err(InvalidOptions::Time { name, value, least, most }),
            None => Ok(()),
        }
    }

    /// The agent's address, to which paths are added.
    pub(super) fn base(&self) -> Result<reqwest::Url, InvalidOptions> {
        let shown = || self.url.chars().take(200).collect::<String>();
        let url: reqwest::Url = self.url.parse().map_err(|_| InvalidOptions::Url(shown()))?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.username().is_empty();
        match url.scheme() {
            "http" if url.has_host() && is_bare && url.password().is_none() => Ok(url),
            "https" => Err(InvalidOptions::Tls(shown())),
            _ => Err(InvalidOptions::Url(shown())),
        }
    }

    /// How long a query waits, and how long everybody has to beat after an outage.
    pub(crate) fn timing(&self) -> Timing {
        Timing { wait: self.wait.into(), grace: GRACE_TTLS * Duration::from(self.ttl) }
    }

    /// Longest time between two beats: two may be lost before the third is too late.
    pub(crate) fn beat_interval(&self) -> Duration {
        Duration::from(self.ttl) / 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_consul_does_not_take_is_refused() {
        let usual = Options::default;
        let table = [
            (usual(), true),
            (Options { url: "http://[::1]:8500/".to_owned(), ..usual() }, true),
            (Options { token: Some(Token::new("b1gs33cr3t")), ..usual() }, true),
            (Options { url: "https://127.0.0.1:8501".to_owned(), ..usual() }, false),
            (Options { url: "127.0.0.1:8500".to_owned(), ..usual() }, false),
            (Options { url: "http://a:b@127.0.0.1:8500".to_owned(), ..usual() }, false),
            (Options { url: "http://127.0.0.1:8500/v1".to_owned(), ..usual() }, false),
            (Options { url: "unix:///consul.sock".to_owned(), ..usual() }, false),
            (Options { token: Some(Token::new("a\nb")), ..usual() }, false),
            (Options { token: Some(Token::new("")), ..usual() }, false),
            (Options { prefix: "eu-1".to_owned(), ..usual() }, true),
            (Options { prefix: String::new(), ..usual() }, false),
            (Options { prefix: "a.b".to_owned(), ..usual() }, false),
            (Options { prefix: "a".repeat(41), ..usual() }, false),
            (Options { ttl: Millis(999), ..usual() }, false),
            (Options { deregister_after: Millis(59_999), ..usual() }, false),
            (Options { wait: Millis(600_001), ..usual() }, false),
            (Options { timeout: Millis(0), ..usual() }, false),
        ];
        for (options, is_right) in table {
            assert_eq!(options.check().is_ok(), is_right, "{options:?}: {:?}", options.check());
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let options = Options { token: Some(Token::new("b1gs33cr3t")), ..Options::default() };
        assert!(!format!("{options:?}").contains("b1g"));
    }
}
