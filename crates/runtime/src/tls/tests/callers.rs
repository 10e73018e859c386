//! Callers who show a certificate: real handshakes, with right ones and wrong ones.

use super::BOUND;
use super::authority::{Authority, Issued, Wanted};
use super::edge::{Edge, files, trusted};
use crate::files::write_atomically;
use crate::tls::{EdgeCertificate, EdgeFiles, Error, Greeted, Own, Refusal, Spoken};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use spinwell_core::UnixMicros;
use spinwell_security::certificate::{Certificate, Certificates};
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncReadExt;

const NAME: &str = "spiffe://example.com/forecaster";

/// A server of one authority that asks for certificates of another.
struct House {
    servers: Authority,
    callers: Authority,
    folder: tempfile::TempDir,
    certificate: EdgeCertificate,
    edge: Edge,
}

impl House {
    async fn new() -> Self {
        let (servers, callers) = (Authority::new("servers"), Authority::new("callers"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("callers.pem");
        write_atomically(&path, callers.pem().as_bytes()).unwrap();
        let issued = servers.make(&Wanted { uris: &[], usages: &[ServerAuth], ..Wanted::default() });
        let files = EdgeFiles { callers: Some(path), ..files(&issued, folder.path()) };
        let certificate = EdgeCertificate::load(files).unwrap();
        let edge = Edge::new(&certificate, Spoken::Http1, BOUND).await;
        Self { servers, callers, folder, certificate, edge }
    }

    fn own(&self, issued: &Issued) -> Own {
        let files = issued.write(&self.folder.path().join("own"));
        Own::load(&files.certificate, &files.key).unwrap()
    }

    /// What the server knows of a caller with this certificate, and what the caller reads where it is none.
    async fn knows(&self, own: Option<&Own>) -> Result<Option<Arc<Certificate>>, (Refusal, Refusal)> {
        let trusted = trusted(&self.servers, self.folder.path());
        let (served, called) = self.edge.called_with(&trusted, own, "127.0.0.1").await;
        // In TLS 1.3 a caller's handshake is over before his certificate is looked at.
        let mut called = called.unwrap();
        match served {
            Ok(Greeted::Secured(_, certificate)) => Ok(certificate),
            Ok(Greeted::InTheClear(_)) => panic!("nobody spoke in the clear"),
            Err(refusal) => {
                let told = called.read_u8().await.unwrap_err();
                Err((refusal, Refusal::of(&told)))
            }
        }
    }

    async fn names(&self, wanted: &Wanted<'_>) -> Vec<String> {
        let own = self.own(&self.callers.make(wanted));
        let known = self.knows(Some(&own)).await.unwrap().unwrap();
        known.names().map(str::to_owned).collect()
    }
}

/// A certificate for a caller.
fn of_caller<'a>() -> Wanted<'a> {
    Wanted { uris: &[NAME], names: &[], usages: &[ClientAuth], ..Wanted::default() }
}

#[tokio::test]
async fn what_a_caller_shows_is_known_by_its_names_and_nobody_has_to_show_anything() {
    let house = House::new().await;
    assert_eq!(house.knows(None).await, Ok(None));
    assert_eq!(house.names(&of_caller()).await, [NAME]);
    let named = Wanted { names: &["10.0.0.7", "Host.Example"], ..of_caller() };
    assert_eq!(house.names(&named).await, [NAME, "host.example"]);
    assert_eq!(house.names(&Wanted { uris: &[], ..named }).await, ["host.example"]);
    // What the library that makes the tests' certificates calls all of them.
    assert_eq!(house.names(&Wanted { uris: &[], ..of_caller() }).await, ["CN=rcgen self signed cert"]);
    // Other names that give none: the subject's does not take their place.
    for other in [&["10.0.0.7"][..], &[]] {
        let nameless = Wanted { uris: &["host.example"][other.len()..], names: other, ..of_caller() };
        assert_eq!(house.names(&nameless).await, [""; 0]);
    }
    assert_eq!(house.edge.acceptor.handshakes().accepted(), 7);
}

#[tokio::test]
async fn a_certificate_is_good_as_long_as_those_between_it_and_its_authority() {
    let house = House::new().await;
    let known = "[[certificate]]\nname = \"*\"\ntenant = \"t\"\nroles = []";
    let known = Certificates::parse(known).unwrap();
    let wanted = Wanted { hours: (-1, 20), ..of_caller() };
    for (authority, hours) in
        [(house.callers.below("shorter", 10), 10), (house.callers.below("longer", 30), 20)]
    {
        let own = house.own(&authority.make(&wanted));
        let shown = house.knows(Some(&own)).await.unwrap().unwrap();
        let now = crate::clock::unix_micros().0;
        let is_good = |minutes: u64| known.check(&shown, UnixMicros(now + minutes * 60_000_000)).is_ok();
        assert!(is_good(hours * 60 - 1) && !is_good(hours * 60 + 1), "{hours}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_none_at_all() {
    let house = House::new().await;
    let foreign = Authority::new("callers");
    let rows = [
        ("foreign_authority", foreign.make(&of_caller())),
        ("foreign_authority", house.servers.make(&of_caller())),
        ("expired", house.callers.make(&Wanted { hours: (-48, -1), ..of_caller() })),
        ("not_yet_valid", house.callers.make(&Wanted { hours: (1, 48), ..of_caller() })),
        ("wrong_purpose", house.callers.make(&Wanted { usages: &[ServerAuth], ..of_caller() })),
    ];
    for (kind, issued) in rows {
        let before = house.edge.refused(kind);
        let own = house.own(&issued);
        let (_, told) = house.knows(Some(&own)).await.unwrap_err();
        assert_eq!(house.edge.refused(kind), before + 1, "{kind}");
        assert!(matches!(told, Refusal::ByPeer { .. }), "{kind}: {told}");
    }
}

#[tokio::test]
async fn other_authorities_hold_with_the_next_handshake() {
    let house = House::new().await;
    let next = Authority::new("next");
    let (old, new) = (house.own(&house.callers.make(&of_caller())), house.own(&next.make(&of_caller())));
    let write = |text: &str| {
        let path = house.certificate.files().callers.clone().unwrap();
        write_atomically(&path, text.as_bytes()).unwrap();
        house.certificate.reload()
    };
    assert!(house.knows(Some(&old)).await.is_ok() && house.knows(Some(&new)).await.is_err());
    assert!(matches!(write("nothing"), Err(Error::Missing { .. })));
    assert!(house.knows(Some(&old)).await.is_ok(), "what held before goes on to hold");
    assert!(write(&[house.callers.pem(), next.pem()].concat()).unwrap());
    assert!(house.knows(Some(&old)).await.is_ok() && house.knows(Some(&new)).await.is_ok());
    assert!(write(next.pem()).unwrap());
    assert!(house.knows(Some(&old)).await.is_err() && house.knows(Some(&new)).await.is_ok());
}

#[test]
fn a_key_of_another_certificate_is_told_before_anybody_is_called() {
    let (ours, folder) = (Authority::new("callers"), tempfile::tempdir().unwrap());
    let [first, second] = ["a", "b"].map(|name| ours.make(&of_caller()).write(&folder.path().join(name)));
    let load = |certificate: &Path, key: &Path| Own::load(certificate, key).map(drop);
    assert!(matches!(load(&first.certificate, &second.key), Err(Error::KeyMismatch { .. })));
    assert!(load(&first.certificate, &first.key).is_ok());
}
