//! Doors: who comes in, and what is told of who does not.

use super::*;
use crate::key::{About, create};

fn about(tenant: &str, expires: Option<UnixMicros>) -> About {
    About {
        name: "ci".into(),
        tenant: TenantId(tenant.into()),
        principal: "ci".into(),
        roles: ["predictor".to_owned()].into(),
        scopes: Scopes { models: vec!["taxi*".parse().unwrap()], actions: Vec::new() },
        created: UnixMicros(1),
        expires,
    }
}

fn guard(records: Vec<KeyRecord>, tenants: &str) -> Guard {
    let keys = KeyRing::new(records).unwrap().into();
    let tenants = Tenants::parse(tenants).unwrap().into();
    Guard::new(Rules { keys, tenants, ..Rules::default() }, &[3; 16])
}

/// A request with this header `authorization`.
fn with(header: &str) -> Shown<'_> {
    Shown { authorization: Some(header.as_bytes()), certificate: None }
}

fn header(text: &str) -> String {
    format!("Bearer {text}")
}

#[test]
fn a_key_comes_in_and_may_do_what_its_roles_allow() {
    let (text, record) = create(&[1; 8], &[2; 32], about("acme", Some(UnixMicros(100))));
    let tenants = "[acme]\nrequests_per_second = 5\nmodels = [\"taxi-a\"]\n[other]\nmodels = [\"taxi-b\"]";
    let guard = guard(vec![record], tenants);
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let header = format!("{scheme} {}", text.expose());
        let caller = guard.authenticate(with(&header), UnixMicros(5)).unwrap();
        assert_eq!((&**caller.principal(), &*caller.tenant().0), ("acme/ci", "acme"));
        let may = |action, model: &str| {
            let resource = guard.model(&model.parse().unwrap());
            guard.decide(&caller, action, &resource).unwrap().allowed()
        };
        assert!(may(Action::PredictionCreate, "taxi-a") && may(Action::PredictionCreate, "taxi-c"));
        assert!(!may(Action::PredictionCreate, "taxi-b"), "it is another tenant's");
        assert!(!may(Action::PredictionCreate, "flow"), "the key is limited");
        assert!(!may(Action::ModelUnload, "taxi-a"));
        assert_eq!(guard.quota(caller.tenant()).unwrap().per_second, 5);
    }
}

#[test]
fn who_does_not_come_in_learns_little_and_the_detectors_enough() {
    let (text, record) = create(&[1; 8], &[2; 32], about("acme", Some(UnixMicros(100))));
    let (wrong, _) = create(&[1; 8], &[9; 32], about("acme", None));
    let (unknown, _) = create(&[7; 8], &[9; 32], about("acme", None));
    let guard = guard(vec![record], "");
    let tried = |text: &str, at| guard.authenticate(with(&header(text)), UnixMicros(at)).unwrap_err();
    let expired = tried(text.expose(), 100);
    let (wrong, unknown) = (tried(wrong.expose(), 5), tried(unknown.expose(), 5));
    assert_eq!(wrong.fault(), unknown.fault());
    assert_eq!(expired.fault().message(), "this API key has expired");
    let of = |not_in: &NotIn| not_in.tried().unwrap();
    assert_eq!(of(&expired).key, of(&wrong).key, "both mean the same key");
    assert_ne!(of(&expired).credential, of(&wrong).credential);
    assert!(of(&wrong).is_known && !of(&unknown).is_known);
    assert_eq!(of(&tried(text.expose(), 200)), of(&expired), "an expired key is one credential");
    for header in ["Basic dXNlcjpwYXNz", "Bearer", "Bearer  ", "spw_1"] {
        let not_in = guard.authenticate(with(header), UnixMicros(5)).unwrap_err();
        assert_eq!(
            (not_in.reason(), not_in.fault().code()),
            (&Refused::Scheme, Code::CredentialsRefused),
            "{header}"
        );
    }
    let none = guard.authenticate(Shown::default(), UnixMicros(5)).unwrap_err();
    assert_eq!((none.fault().code(), none.tried()), (Code::CredentialsMissing, None));
    assert_eq!(tried("a.b.c", 5).fault().code(), Code::CredentialsRefused);
}

#[test]
fn a_bearer_where_no_issuer_is_known_is_told_so_and_not_that_it_is_too_long() {
    let guard = guard(Vec::new(), "");
    for text in ["x", "eyJhbGciOiJub25lIn0.e30.", "SPW_1f0c9a2b7d3e4f50_secret"] {
        let not_in = guard.authenticate(with(&header(text)), UnixMicros(5)).unwrap_err();
        let fault = not_in.fault();
        assert_eq!(fault.code(), Code::CredentialsRefused);
        assert!(fault.message().contains("no issuer of tokens is known here"), "{}", fault.message());
    }
}

#[test]
fn new_rules_hold_at_once() {
    let (text, record) = create(&[1; 8], &[2; 32], about("acme", None));
    let guard = guard(vec![record.clone()], "");
    let comes_in = || guard.authenticate(with(&header(text.expose())), UnixMicros(9)).is_ok();
    assert!(comes_in());
    let keys = KeyRing::new([record.revoked_at(UnixMicros(9))]).unwrap().into();
    guard.replace(Rules { keys, ..Rules::default() });
    assert!(!comes_in());
    let open = Guard::open();
    open.replace(Rules::default());
    assert!(open.is_open() && open.rules().is_none(), "an open guard stays open");
}

#[test]
fn keys_are_kept_without_their_secrets() {
    let (text, record) = create(&[1; 8], &[2; 32], about("acme", Some(UnixMicros(100))));
    let revoked = create(&[9; 8], &[2; 32], about("default", None)).1.revoked_at(UnixMicros(50));
    let ring = KeyRing::new([record.clone(), revoked.clone()]).unwrap();
    let kept = keys_to_text(&ring);
    let secret = &text.expose()[21..];
    assert!(!kept.contains(&secret[..16]), "{kept}");
    let read = keys_of_text(&kept).unwrap();
    assert_eq!((read.get(record.id), read.get(revoked.id)), (Some(&record), Some(&revoked)));
    assert_eq!(keys_to_text(&read), kept);
    let wrong = [
        ("{}", "missing field"),
        (&kept.replace("\"acme\"", "\"a/b\""), "no name of a tenant"),
        (&kept.replace("taxi*", "taxi ?"), "not a pattern"),
        (&kept.replace(&record.id.to_string(), "12"), "16 hexadecimal"),
        (&kept.replace(&record.id.to_string(), &revoked.id.to_string()), "two API keys"),
    ];
    for (text, wanted) in wrong {
        let error = keys_of_text(text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{text}: {error}");
    }
}

#[test]
fn verified_tokens_are_kept_until_they_expire_and_not_without_end() {
    let identity = Caller::anonymous().identity;
    let verified =
        |until| Verified { identity: identity.clone(), until: UnixMicros(until), is_one_time: false };
    let mut tokens = VerifiedTokens::default();
    tokens.put([1; 32], verified(10), UnixMicros(1));
    assert!(tokens.get(&[1; 32], UnixMicros(9)).is_some());
    assert!(tokens.get(&[1; 32], UnixMicros(10)).is_none());
    for number in 0..VERIFIED_MAX as u64 + 5 {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        tokens.put(hash, verified(100), UnixMicros(20));
    }
    assert!(tokens.0.len() <= VERIFIED_MAX);
}

#[test]
fn a_certificate_comes_in_unless_something_else_is_shown() {
    let (text, record) = create(&[1; 8], &[2; 32], about("acme", None));
    let entry = "[[certificate]]\nname = \"forecaster\"\ntenant = \"acme\"\nroles = [\"viewer\"]";
    let rules = Rules {
        keys: KeyRing::new([record]).unwrap().into(),
        certificates: Certificates::parse(entry).unwrap().into(),
        ..Rules::default()
    };
    let guard = Guard::new(rules, &[3; 16]);
    let certificate = |name| Certificate::new([name], UnixMicros(100));
    let (known, stranger) = (certificate("forecaster"), certificate("stranger"));
    let shown = |certificate, header: Option<&'static str>| Shown {
        authorization: header.map(str::as_bytes),
        certificate: Some(certificate),
    };
    let caller = guard.authenticate(shown(&known, None), UnixMicros(100)).unwrap();
    assert_eq!((&**caller.principal(), &*caller.tenant().0), ("cert:forecaster", "acme"));
    let resource = guard.model(&"taxi".parse().unwrap());
    assert!(guard.permit(&caller, Action::ModelRead, &resource).is_ok());
    let refusal = guard.permit(&caller, Action::PredictionCreate, &resource).unwrap_err();
    assert_eq!(refusal.fault.code(), Code::NotPermitted);

    let header = header(text.expose());
    let both = Shown { certificate: Some(&known), ..with(&header) };
    assert_eq!(&**guard.authenticate(both, UnixMicros(5)).unwrap().principal(), "acme/ci", "the header wins");
    let wrong = guard.authenticate(shown(&known, Some("Bearer spw_1")), UnixMicros(5)).unwrap_err();
    assert_eq!(wrong.fault().code(), Code::CredentialsRefused, "also where it is refused");

    let unknown = guard.authenticate(shown(&stranger, None), UnixMicros(5)).unwrap_err();
    assert_eq!((unknown.fault().code(), unknown.tried()), (Code::CredentialsMissing, None));
    assert!(unknown.fault().message().contains("\"stranger\""), "{}", unknown.fault());
    let nameless = Certificate::new([], UnixMicros(100));
    let nameless = guard.authenticate(shown(&nameless, None), UnixMicros(5)).unwrap_err();
    assert!(nameless.fault().message().contains("has no name"));
    let expired = guard.authenticate(shown(&known, None), UnixMicros(101)).unwrap_err();
    assert_eq!(expired.fault().code(), Code::CredentialsRefused);
    let tried = expired.tried().unwrap();
    assert!(tried.is_known && tried.key == tried.credential, "his owner is not guessing");

    guard.replace(Rules::default());
    let gone = guard.authenticate(shown(&known, None), UnixMicros(5)).unwrap_err();
    assert_eq!(gone.fault().code(), Code::CredentialsMissing);
    assert!(Guard::open().authenticate(shown(&known, None), UnixMicros(500)).unwrap().is_anonymous());
}
