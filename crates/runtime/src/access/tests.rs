//! Folders that change, and issuers that do not answer.

#![allow(clippy::disallowed_methods, reason = "tests write files as operators do")]

use super::*;
use spinwell_core::Code;
use spinwell_core::TenantId;
use spinwell_security::Scopes;
use spinwell_security::guard::keys_to_text;
use spinwell_security::key::{About, KeyRing, create};
use std::fs;

fn about() -> About {
    About {
        name: "ci".into(),
        tenant: TenantId("acme".into()),
        principal: "ci".into(),
        roles: ["viewer".to_owned()].into(),
        scopes: Scopes::all(),
        created: UnixMicros(1),
        expires: None,
    }
}

fn only(change: Change) -> Reloaded {
    Reloaded { changes: vec![change], wrong: None }
}

#[tokio::test]
async fn a_file_is_taken_as_a_whole_or_not_at_all_and_the_others_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let doors = Doors::guarded(dir.path(), &[1; 16]).unwrap();
    let (text, record) = create(&[1; 8], &[2; 32], about());
    let header = format!("Bearer {}", text.expose());
    let shown = Shown { authorization: Some(header.as_bytes()), certificate: None };
    let comes_in = || doors.look(shown).is_ok();
    assert!(!comes_in());
    assert_eq!(doors.reload().await, Reloaded::default());

    let keys = |record: &KeyRecord| keys_to_text(&KeyRing::new([record.clone()]).unwrap());
    fs::write(at(KEYS), keys(&record)).unwrap();
    assert_eq!(doors.reload().await, only(Change::KeyAdded(record.clone())));
    assert!(comes_in());

    // A key is revoked also where a policy beside it is wrong, of which nothing is taken.
    let revoked = record.clone().revoked_at(UnixMicros(2));
    fs::write(at(KEYS), keys(&revoked)).unwrap();
    fs::create_dir(at(POLICIES)).unwrap();
    fs::write(at("policies/mine.cedar"), "permit (principal, action, resource);").unwrap();
    let before = doors.standing();
    let Reloaded { changes, wrong } = doors.reload().await;
    let fault = wrong.unwrap();
    assert!(fault.code() == Code::ConfigInvalid && fault.message().contains("mine.cedar:1"), "{fault}");
    assert_eq!(changes, [Change::KeyRevoked(revoked.clone())]);
    assert!(!comes_in() && doors.is_wrong());
    assert_eq!(doors.reload().await.changes, [], "it is taken once");

    fs::write(at("policies/mine.cedar"), "@id(\"all\") permit (principal, action, resource);").unwrap();
    fs::write(at(TENANTS), "[acme]\nmodels = [\"acme-*\"]\n").unwrap();
    let Reloaded { changes, wrong } = doors.reload().await;
    assert!(matches!(&changes[..], [Change::Policies(_), Change::Tenants]) && wrong.is_none(), "{changes:?}");
    assert!(!doors.is_wrong());
    // Whoever looks now for the first time since then sees the same.
    let since = doors.changes_since(&Standing::of_text(&before.to_text()).unwrap());
    assert!(matches!(&since[..], [Change::KeyRevoked(_), Change::Policies(_), Change::Tenants]), "{since:?}");
    let all = doors.changes_since(&Standing::default());
    assert!(matches!(&all[..2], [Change::KeyAdded(_), Change::KeyRevoked(_)]), "{all:?}");
    assert_eq!(doors.changes_since(&doors.standing()), []);

    let forecaster = Certificate::new(["forecaster"], UnixMicros(u64::MAX));
    let is_known = || doors.look(super::shown(&HeaderMap::new(), Some(&forecaster))).is_ok();
    assert!(!is_known());
    fs::write(at(CERTIFICATES), "[[certificate]]\nname = \"fore*\"\ntenant = \"acme\"\nroles = []").unwrap();
    assert_eq!(doors.reload().await, only(Change::Certificates));
    assert!(is_known());
    fs::write(at(CERTIFICATES), "[[certificate]]\nname = \"fore*\"").unwrap();
    let fault = doors.reload().await.wrong.unwrap();
    assert!(fault.message().contains(CERTIFICATES) && is_known(), "{fault}");
    fs::remove_file(at(CERTIFICATES)).unwrap();
    assert_eq!(doors.reload().await, only(Change::Certificates));
    assert!(!is_known());

    let last = doors.standing();
    fs::remove_file(at(KEYS)).unwrap();
    assert_eq!(doors.reload().await, only(Change::KeyRemoved(revoked)));
    assert_eq!(doors.changes_since(&last), [Change::KeyGone(record.id.to_string())]);
}

#[tokio::test]
async fn keys_of_an_issuer_are_fetched_and_go_on_to_hold_while_it_does_not_answer() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let issuer = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let read = stream.read(&mut head).await.unwrap();
            let is_discovery = String::from_utf8_lossy(&head[..read]).contains("well-known");
            let body = match is_discovery {
                true => format!("{{\"jwks_uri\": \"http://127.0.0.1:{port}/keys\"}}"),
                false => {
                    count.fetch_add(1, Ordering::SeqCst);
                    "{\"keys\": []}".to_owned()
                }
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let name = format!("http://127.0.0.1:{port}");
    let text = format!("[[issuer]]\nissuer = \"{name}\"\naudience = [\"s\"]\nalgorithms = [\"ES256\"]\n");
    fs::write(dir.path().join(ISSUERS), text).unwrap();
    let doors = Doors::guarded(dir.path(), &[1; 16]).unwrap();
    doors.refresh().await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "by way of the discovery document");
    doors.refresh().await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "they are young");
    assert!(doors.unknown_key(&name).await, "they may have changed since");
    assert!(!doors.unknown_key(&name).await, "and not again at once");
    assert!(!doors.unknown_key("https://elsewhere.example").await);
    assert_eq!(asked.load(Ordering::SeqCst), 2);

    issuer.abort();
    let _ = issuer.await;
    let later = UnixMicros(unix_micros().0 + 700 * 1_000_000);
    assert!(!doors.fetch(&name, Why::Age, later).await);
    assert!(doors.sources.lock().await[&name].refetch.usable(later), "for a day");
}

#[test]
fn a_request_shows_one_header_and_the_certificate_of_its_connection() {
    let certificate = Certificate::new(["a"], UnixMicros(1));
    let mut headers = HeaderMap::new();
    assert!(shown(&headers, Some(&certificate)).certificate.is_some());
    assert_eq!(shown(&headers, None).authorization, None);
    headers.append(AUTHORIZATION, HeaderValue::from_static("one"));
    assert_eq!(shown(&headers, None).authorization, Some(&b"one"[..]));
    headers.append(AUTHORIZATION, HeaderValue::from_static("two"));
    assert_eq!(shown(&headers, None).authorization, Some(&b""[..]), "which counts is not known");
}

#[test]
fn a_page_of_another_site_is_known_by_its_origin() {
    let rows = [
        (None, Some("a.example"), false),
        (Some("https://a.example"), Some("a.example"), false),
        (Some("https://A.example"), Some("a.example"), false),
        (Some("https://b.example"), Some("a.example"), true),
        (Some("null"), Some("a.example"), true),
        (Some("https://a.example"), None, true),
    ];
    for (origin, host, is_other) in rows {
        let given = [(ORIGIN, origin), (HOST, host)].into_iter();
        let given = given.filter_map(|(name, value)| Some((name, HeaderValue::from_static(value?))));
        assert_eq!(of_another_site(&given.collect()).is_some(), is_other, "{origin:?} {host:?}");
    }
}

#[tokio::test]
async fn open_doors_stay_open() {
    let doors = Doors::open();
    assert_eq!(doors.reload().await, Reloaded::default());
    assert!(doors.look(Shown::default()).is_ok());
}
