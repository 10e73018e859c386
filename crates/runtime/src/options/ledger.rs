//! How the ledger is kept.

use super::error::Error;
use super::sources::Layered;
use spinwell_core::Millis;
use std::path::PathBuf;

/// How the ledger is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerOptions {
    /// Whether there is one.
    pub is_enabled: bool,
    /// Where: each process that writes has a folder of its own in it.
    pub dir: PathBuf,
    /// What its logs' names begin with: the name of a process follows, behind a `/`.
    pub origin: String,
    /// The longest time of which records are missing behind a power cut.
    pub span: Millis,
    /// The longest time from an entry to a signature over it.
    pub checkpoint: Millis,
    /// Who is asked to cosign checkpoints.
    pub witnesses: Vec<WitnessAddress>,
    /// Where it is copied to, by its address; nothing: nowhere.
    pub copy_to: Option<String>,
}

/// Where a witness is asked, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessAddress {
    /// The beginning of its addresses, such as `http://witness:8005`.
    pub url: String,
    /// The text of its public key.
    pub key: String,
}

pub(super) fn ledger(layered: &Layered) -> Result<LedgerOptions, Error> {
    let origin = layered.text("ledger.origin");
    // It stands before each signature and in front of the `+` of a key's text.
    let is_name = !origin.is_empty()
        && origin.len() <= 128
        && origin.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+');
    if !is_name {
        return Err(layered
            .invalid("ledger.origin", "a name such as example.com/ledger, without spaces and without +"));
    }
    Ok(LedgerOptions {
        is_enabled: layered.flag("ledger.enabled")?,
        dir: PathBuf::from(layered.text("ledger.dir")),
        origin: origin.to_owned(),
        span: Millis(layered.number("ledger.span_ms", 20..=10_000)? as u64),
        checkpoint: Millis(layered.number("ledger.checkpoint_ms", 100..=60_000)? as u64),
        witnesses: witnesses(layered)?,
        copy_to: Some(layered.text("ledger.copy_to")).filter(|to| !to.is_empty()).map(str::to_owned),
    })
}

fn witnesses(layered: &Layered) -> Result<Vec<WitnessAddress>, Error> {
    let all = layered.text("ledger.witnesses").split(',').map(str::trim).filter(|one| !one.is_empty());
    let one = |text: &str| {
        let (url, key) = text.split_once(' ').filter(|(url, _)| url.starts_with("http://"))?;
        Some(WitnessAddress { url: url.trim_end_matches('/').to_owned(), key: key.trim().to_owned() })
    };
    all.map(one).collect::<Option<_>>().ok_or_else(|| {
        let wanted =
            "a list of witnesses, each as http://HOST:PORT and its key, such as NAME+12ab34cd+BASE64";
        layered.invalid("ledger.witnesses", wanted)
    })
}

#[cfg(test)]
mod tests {
    use crate::options::{Options, Sources};

    #[test]
    fn witnesses_are_named_in_a_list_or_with_commas() {
        let load = |text: &str| {
            let file = Some(("spinwell.toml".into(), format!("[ledger]\nwitnesses = {text}\n")));
            let loaded = Options::load(&Sources { file, ..Sources::default() });
            let witnesses = loaded.map(|loaded| loaded.options.ledger.witnesses);
            witnesses.map(|all| all.into_iter().map(|one| (one.url, one.key)).collect::<Vec<_>>())
        };
        let named = |url: &str, key: &str| (url.to_owned(), key.to_owned());
        let two = [named("http://a:1", "w+1+A"), named("http://b:2", "v+2+B")];
        assert_eq!(load(r#"["http://a:1 w+1+A", "http://b:2/ v+2+B"]"#).unwrap(), two);
        assert_eq!(load(r#""http://a:1 w+1+A, http://b:2 v+2+B""#).unwrap(), two);
        assert_eq!(load("[]").unwrap(), []);
        for wrong in [r#""http://a:1""#, r#""a:1 w+1+A""#, r#"["http://a:1 w+1+A,http://b:2 v"]"#, "[[1]]"] {
            assert!(load(wrong).is_err(), "{wrong}");
        }
    }
}
