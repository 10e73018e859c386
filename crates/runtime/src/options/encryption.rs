//! The root keys of what rests encrypted.

use super::error::Error;
use super::sources::{Layered, Sources};
use spinwell_security::envelope::Roots;
use std::fmt;
use std::fs;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The variable of the environment that may hold root keys. It is no option: options are shown.
pub(super) const ROOT_KEY_VARIABLE: &str = "SPINWELL_ROOT_KEY";

/// Text of root keys, which is never shown and wiped when it is dropped.
#[derive(Clone)]
pub struct RootKeyText(Zeroizing<String>);

impl RootKeyText {
    /// This text.
    #[must_use]
    pub fn of(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for RootKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKeyText(..)")
    }
}

const FILE: &str = "encryption.root_key_file";

pub(super) fn roots(layered: &Layered, sources: &Sources) -> Result<Option<Arc<Roots>>, Error> {
    let path = layered.text(FILE);
    let (text, origin) = match (path, &sources.root_key) {
        ("", None) => return Ok(None),
        ("", Some(RootKeyText(text))) => (text.clone(), ROOT_KEY_VARIABLE),
        (_, Some(_)) => {
            return Err(layered.invalid(FILE, &format!("nothing, as {ROOT_KEY_VARIABLE} is set as well")));
        }
        (path, None) => {
            let unreadable = |error| layered.invalid(FILE, &format!("a file that can be read: {error}"));
            (Zeroizing::new(fs::read_to_string(path).map_err(unreadable)?), path)
        }
    };
    let wrong = |why: String| Error::Secret { origin: origin.to_owned(), why };
    let roots = Roots::parse(&text).map_err(|invalid| wrong(invalid.to_string()))?;
    let roots = roots.ok_or_else(|| wrong("it holds no root key".to_owned()))?;
    Ok(Some(Arc::new(roots)))
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Override, Sources};
    use std::path::Path;

    fn load(file: Option<&Path>, variable: Option<&str>) -> Result<bool, String> {
        let overrides =
            file.map(|path| Override { key: super::FILE, value: path.display().to_string(), flag: "--flag" });
        let root_key = variable.map(|text| super::RootKeyText::of(text.to_owned()));
        let sources = Sources { overrides: overrides.into_iter().collect(), root_key, ..Sources::default() };
        let loaded = Options::load(&sources).map_err(|error| error.fault().message().to_owned())?;
        let shown = format!("{}{:?}{sources:?}", loaded.print(), loaded.options);
        assert!(!variable.is_some_and(|text| !text.is_empty() && shown.contains(text)), "{shown}");
        assert!(loaded.unknown_variables().is_empty());
        Ok(loaded.options.encryption.is_some())
    }

    #[test]
    fn root_keys_come_from_a_file_or_the_environment_and_are_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let key = "0b".repeat(32);
        crate::files::write_atomically(&path, format!("# own\n{key}\n").as_bytes()).unwrap();
        assert_eq!(load(None, None), Ok(false));
        assert_eq!(load(Some(&path), None), Ok(true));
        assert_eq!(load(None, Some(&key)), Ok(true));
        let both = load(Some(&path), Some(&key)).unwrap_err();
        assert!(both.contains("SPINWELL_ROOT_KEY is set as well") && !both.contains(&key), "{both}");
        for wrong in ["", "secret", &key[1..]] {
            let message = load(None, Some(wrong)).unwrap_err();
            assert!(message.contains("SPINWELL_ROOT_KEY") && !message.contains("secret"), "{message}");
        }
        assert!(load(Some(&folder.path().join("none")), None).unwrap_err().contains("none"));
    }
}
