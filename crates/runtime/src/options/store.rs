//! Where a region keeps what its processes share.

use super::error::Error;
use super::sources::Layered;
use std::fmt;

/// What stands in place of a password that is not shown.
const HIDDEN: &str = "***";

/// The address of a PostgreSQL database. It may hold a password, so it is shown without.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// The URL in this text; `None` where it is not one of a PostgreSQL database.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
        is_url.then(|| Self(url.to_owned()))
    }

    /// All of it, for whoever connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hidden(&self.0))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A URL without the password in it.
pub(super) fn hidden(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // A password that was not escaped may hold anything: the last @ before the parameters ends it.
    let end = rest[..rest.find('?').unwrap_or(rest.len())].rfind('@');
    let shown = match end.and_then(|end| Some((rest[..end].split_once(':')?.0, &rest[end..]))) {
        Some((user, behind)) => format!("{scheme}://{user}:{HIDDEN}{behind}"),
        None => url.to_owned(),
    };
    match shown.split_once("password=") {
        Some((before, value)) => {
            let behind = value.find('&').map_or("", |end| &value[end..]);
            format!("{before}password={HIDDEN}{behind}")
        }
        None => shown,
    }
}

pub(super) fn store(layered: &Layered) -> Result<Option<StoreUrl>, Error> {
    let url = layered.text("store.url");
    if url.is_empty() {
        return Ok(None);
    }
    let wanted = "postgres://USER:PASSWORD@HOST:PORT/DATABASE, or nothing for the files in data.dir";
    StoreUrl::of(url).map(Some).ok_or_else(|| layered.invalid("store.url", wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let check = |url: &str, wanted: &str| assert_eq!(StoreUrl(url.to_owned()).to_string(), wanted);
        check("postgres://own:secret@host:5432/spinwell", "postgres://own:***@host:5432/spinwell");
        check("postgres://own:se@c/r:et@host/spinwell", "postgres://own:***@host/spinwell");
        check("postgres://own@host/spinwell", "postgres://own@host/spinwell");
        check("postgres://host:5432/x", "postgres://host:5432/x");
        check(
            "postgres:///x?host=/tmp&password=secret&user=a",
            "postgres:///x?host=/tmp&password=***&user=a",
        );
        assert_eq!(format!("{:?}", StoreUrl("postgres://a:b@c".to_owned())), "postgres://a:***@c");
    }
}
