//! The certificate that callers are shown.

use super::error::Error;
use super::sources::Layered;
use crate::tls::EdgeFiles;
use std::path::PathBuf;

pub(super) fn edge(layered: &Layered) -> Result<Option<EdgeFiles>, Error> {
    let (certificate, key) = (layered.text("edge.certificate"), layered.text("edge.key"));
    let callers = layered.text("edge.callers_ca");
    match (certificate.is_empty(), key.is_empty()) {
        (true, true) if callers.is_empty() => Ok(None),
        (true, true) => Err(layered.invalid(
            "edge.callers_ca",
            "the PEM file with the authorities of callers, beside edge.certificate and edge.key",
        )),
        (false, false) => Ok(Some(EdgeFiles {
            certificate: PathBuf::from(certificate),
            key: PathBuf::from(key),
            callers: (!callers.is_empty()).then(|| PathBuf::from(callers)),
        })),
        (false, true) => {
            Err(layered.invalid("edge.key", "the PEM file with the key of edge.certificate, as that is set"))
        }
        (true, false) => Err(layered
            .invalid("edge.certificate", "the PEM file with the certificate of edge.key, as that is set")),
    }
}

#[cfg(test)]
mod tests {
    use crate::options::{Exposure, Options, Override, Sources};

    fn load(overrides: &[(&'static str, &str)]) -> Result<Options, String> {
        let one = |(key, value): &(&'static str, &str)| Override {
            key,
            value: (*value).to_owned(),
            flag: "--flag",
        };
        let sources = Sources { overrides: overrides.iter().map(one).collect(), ..Sources::default() };
        let loaded = Options::load(&sources).map_err(|error| error.fault().message().to_owned());
        loaded.map(|loaded| loaded.options)
    }

    const CERTIFICATE: (&str, &str) = ("edge.certificate", "/etc/spinwell/edge.pem");
    const KEY: (&str, &str) = ("edge.key", "/etc/spinwell/edge.key");

    #[test]
    fn a_certificate_has_a_key_and_a_key_a_certificate() {
        assert_eq!(load(&[]).unwrap().edge, None);
        let files = load(&[CERTIFICATE, KEY]).unwrap().edge.unwrap();
        assert_eq!((files.certificate.to_str(), files.key.to_str()), (Some(CERTIFICATE.1), Some(KEY.1)));
        for half in [CERTIFICATE, KEY] {
            let message = load(&[half]).unwrap_err();
            assert!(message.contains("edge.certificate") && message.contains("edge.key"), "{message}");
        }
    }

    #[test]
    fn callers_are_asked_for_certificates_where_the_server_has_one() {
        let callers = ("edge.callers_ca", "/etc/spinwell/callers.pem");
        assert_eq!(load(&[CERTIFICATE, KEY]).unwrap().edge.unwrap().callers, None);
        let files = load(&[CERTIFICATE, KEY, callers]).unwrap().edge.unwrap();
        assert_eq!(files.callers.unwrap().to_str(), Some(callers.1));
        let message = load(&[callers]).unwrap_err();
        assert!(message.contains("beside edge.certificate and edge.key"), "{message}");
    }

    #[test]
    fn others_are_let_in_where_they_are_encrypted_and_say_who_they_are_or_where_somebody_said_so() {
        let (required, insecure) = (("access.required", "true"), ("insecure", "true"));
        for (overrides, wanted) in [
            (&[][..], Exposure::LoopbackOnly),
            (&[CERTIFICATE, KEY], Exposure::EncryptedOnly),
            (&[required], Exposure::IdentifiedOnly),
            (&[CERTIFICATE, KEY, required], Exposure::Protected),
            (&[CERTIFICATE, KEY, required, insecure], Exposure::Insecure),
        ] {
            assert_eq!(load(overrides).unwrap().exposure, wanted, "{overrides:?}");
        }
        assert_eq!(Exposure::Protected.between_processes(), Exposure::LoopbackOnly);
        assert_eq!(Exposure::Insecure.between_processes(), Exposure::Insecure);
    }
}
