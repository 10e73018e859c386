mod forged;
mod keys;
mod signer;

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use signer::Signer;
use spinwell_core::{Micros, Millis, UnixMicros};

const ISSUER: &str = "https://login.example.com";
/// Seconds since 1970.
const NOW_S: u64 = 1_800_000_000;
const NOW: UnixMicros = UnixMicros(NOW_S * 1_000_000);

fn options() -> IssuerOptions {
    IssuerOptions::new(ISSUER, "spinwell", Algorithm::ALL.to_vec())
}

fn issuers(options: IssuerOptions, signers: &[&Signer]) -> Issuers {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.public()).collect();
    let keys = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
    Issuers::new(vec![options]).unwrap().with_keys(ISSUER, keys).unwrap()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "aud": ["other", "spinwell"], "iat": NOW_S - 10, "exp": NOW_S + 300,
        "roles": ["viewer", "admin"],
    })
}

/// The usual claims with some of them replaced; `null` takes one away.
fn claims_but(change: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn refused(change: &Value) -> Refused {
    let signer = Signer::ed25519("k1");
    issuers(options(), &[&signer]).check(&signer.token(&claims_but(change)), NOW).unwrap_err()
}

fn accepted(change: &Value) -> Verified {
    let signer = Signer::ed25519("k1");
    issuers(options(), &[&signer]).check(&signer.token(&claims_but(change)), NOW).unwrap()
}

fn missing(claim: &str) -> Refused {
    Refused::Claim(claim.into())
}

#[test]
fn a_good_token_of_each_algorithm_gives_its_identity() {
    let signers = [Signer::ed25519("ed"), Signer::p256("ec"), Signer::rsa("r"), Signer::rsa_pss("p")];
    let issuers = issuers(options(), &signers.each_ref());
    for signer in &signers {
        let verified = issuers.check(&signer.token(&claims()), NOW).unwrap();
        assert_eq!(&*verified.identity.principal, "https://login.example.com#alice");
        let grants = &verified.identity.grants;
        assert_eq!(&*grants.tenant().0, "default");
        assert!(grants.roles().iter().eq(["viewer"]), "the issuer may not make administrators");
        assert_eq!(verified.until, NOW.after(Micros(360_000_000)));
    }
}

#[test]
fn times_are_kept_give_or_take_the_skew() {
    assert_eq!(refused(&json!({"exp": NOW_S - 60})), Refused::Expired(UnixMicros((NOW_S - 60) * 1_000_000)));
    accepted(&json!({"exp": NOW_S - 59}));
    accepted(&json!({"exp": NOW_S as f64 + 0.5}));
    accepted(&json!({"nbf": NOW_S + 60}));
    assert!(matches!(refused(&json!({"nbf": NOW_S + 61})), Refused::NotYet(_)));
    assert!(matches!(refused(&json!({"iat": NOW_S + 61})), Refused::NotYet(_)));
    assert_eq!(refused(&json!({"exp": NOW_S + 86_400})), Refused::Lifetime);
    assert_eq!(refused(&json!({"exp": 1e300})), Refused::Lifetime);
    accepted(&json!({"exp": NOW_S + 86_400, "iat": null}));
    assert_eq!(refused(&json!({"exp": NOW_S + 86_401, "iat": null})), Refused::Lifetime);
    for wrong in [json!("soon"), json!(-1), json!([1]), json!(true)] {
        assert_eq!(refused(&json!({"exp": wrong})), missing("exp"));
        assert_eq!(refused(&json!({"nbf": wrong})), missing("nbf"));
        assert_eq!(refused(&json!({"iat": wrong})), missing("iat"));
    }
    assert_eq!(refused(&json!({"exp": null})), missing("exp"));
}

#[test]
fn others_audiences_and_issuers_are_refused() {
    assert_eq!(refused(&json!({"aud": "other"})), Refused::Audience);
    assert_eq!(refused(&json!({"aud": ["spinwell2"]})), Refused::Audience);
    assert_eq!(refused(&json!({"aud": []})), Refused::Audience);
    assert_eq!(refused(&json!({"aud": null})), missing("aud"));
    assert_eq!(refused(&json!({"aud": {"spinwell": 1}})), missing("aud"));
    accepted(&json!({"aud": "spinwell"}));
    let other = "https://login.example.org";
    assert_eq!(refused(&json!({"iss": other})), Refused::Issuer(other.into()));
    assert_eq!(refused(&json!({"iss": format!("{ISSUER}/")})), Refused::Issuer(format!("{ISSUER}/")));
    assert_eq!(refused(&json!({"iss": null})), missing("iss"));
    assert_eq!(refused(&json!({"iss": [ISSUER]})), missing("iss"));
    assert_eq!(refused(&json!({"sub": ""})), missing("sub"));
    assert_eq!(refused(&json!({"sub": "a".repeat(256)})), missing("sub"));
}

#[test]
fn tenant_and_roles_come_from_where_the_options_say() {
    let signer = Signer::ed25519("k1");
    let mut options = options();
    options.claims.tenant = TenantFrom::Claim("https:~1~1example.com~1org/id".parse().unwrap());
    options.claims.roles = "realm_access/roles".parse().unwrap();
    let issuers = issuers(options, &[&signer]);
    let check = |change: &Value| issuers.check(&signer.token(&claims_but(change)), NOW);
    let org = json!({"id": "acme"});
    let good = json!({"https://example.com/org": org, "realm_access": {"roles": "predictor viewer root"}});
    let grants = check(&good).unwrap().identity.grants;
    assert_eq!(&*grants.tenant().0, "acme");
    assert!(grants.roles().iter().eq(["predictor", "viewer"]));
    let none = check(&json!({"https://example.com/org": org})).unwrap().identity.grants;
    assert!(none.roles().is_empty());
    for wrong in [json!({}), json!({"id": 7}), json!({"id": ""}), json!({"id": "a\nb"}), json!("acme")] {
        assert_eq!(check(&json!({"https://example.com/org": wrong})).unwrap_err(), missing("tenant"));
    }
    let odd = json!({"https://example.com/org": org, "realm_access": {"roles": ["viewer", 7]}});
    assert_eq!(check(&odd).unwrap_err(), missing("roles"));
}

#[test]
fn a_one_time_token_is_good_once_and_new_keys_do_not_forget_it() {
    let signer = Signer::ed25519("k1");
    let issuers = issuers(IssuerOptions { one_time: true, ..options() }, &[&signer]);
    let token = signer.token(&claims_but(&json!({"jti": "a"})));
    issuers.check(&token, NOW).unwrap();
    assert_eq!(issuers.check(&token, NOW).unwrap_err(), Refused::Replayed(Replayed::Used));
    let same = signer.token(&claims_but(&json!({"jti": "a", "exp": NOW_S + 200})));
    assert_eq!(issuers.check(&same, NOW).unwrap_err(), Refused::Replayed(Replayed::Used));
    let keys = KeySet::parse(json!({"keys": [signer.public()]}).to_string().as_bytes()).unwrap();
    let next = issuers.with_keys(ISSUER, keys).unwrap();
    assert_eq!(next.check(&token, NOW).unwrap_err(), Refused::Replayed(Replayed::Used));
    next.check(&signer.token(&claims_but(&json!({"jti": "b"}))), NOW).unwrap();
    assert_eq!(next.check(&signer.token(&claims()), NOW).unwrap_err(), missing("jti"));
}

#[test]
fn a_refused_token_is_not_spent() {
    let signer = Signer::ed25519("k1");
    let issuers = issuers(IssuerOptions { one_time: true, ..options() }, &[&signer]);
    let stranger = Signer::ed25519("k1");
    let claims = claims_but(&json!({"jti": "a"}));
    assert_eq!(issuers.check(&stranger.token(&claims), NOW).unwrap_err(), Refused::Signature);
    issuers.check(&signer.token(&claims), NOW).unwrap();
}

#[test]
fn options_that_cannot_be_right_are_refused() {
    let with = |change: fn(&mut IssuerOptions)| {
        let mut options = options();
        change(&mut options);
        Issuers::new(vec![options]).unwrap_err()
    };
    let name = || ISSUER.to_owned();
    assert_eq!(with(|o| o.issuer = "a#b".into()), InvalidOptions::Issuer("a#b".into()));
    assert_eq!(with(|o| o.audiences.clear()), InvalidOptions::NoAudience(name()));
    assert_eq!(with(|o| o.audiences = vec![String::new()]), InvalidOptions::NoAudience(name()));
    assert_eq!(with(|o| o.algorithms.clear()), InvalidOptions::NoAlgorithm(name()));
    assert_eq!(with(|o| o.skew = Millis(3_600_001)), InvalidOptions::Times(name()));
    assert_eq!(Issuers::new(vec![options(), options()]).unwrap_err(), InvalidOptions::Twice(name()));
    assert!("a//b".parse::<ClaimPath>().is_err());
    let path: ClaimPath = "a~1b/c".parse().unwrap();
    assert_eq!(path.to_string(), "a~1b/c");
}

#[test]
fn the_replay_cache_is_bounded_and_forgets_the_expired() {
    let mut cache = ReplayCache::new(2);
    let at = UnixMicros;
    cache.spend([1; 32], at(10), at(1)).unwrap();
    cache.spend([2; 32], at(20), at(1)).unwrap();
    assert_eq!(cache.spend([3; 32], at(30), at(9)), Err(Replayed::Full(2)));
    assert_eq!(cache.spend([1; 32], at(30), at(9)), Err(Replayed::Used));
    cache.spend([3; 32], at(30), at(10)).unwrap();
    assert_eq!((cache.len(), cache.is_empty()), (2, false));
    assert_eq!(cache.spend([2; 32], at(40), at(19)), Err(Replayed::Used));
}

#[test]
fn keys_are_fetched_again_with_pauses_and_kept_for_a_while() {
    let s = |seconds: u64| UnixMicros(seconds * 1_000_000);
    let mut keys = Refetch::new(RefetchOptions::default());
    assert_eq!(keys.decide(Why::Age, s(1_000)), Fetch::Now);
    assert!(!keys.usable(s(1_000)));
    keys.trying(Why::Age, s(1_000));
    assert_eq!(keys.decide(Why::Age, s(1_029)), Fetch::NotBefore(s(1_030)));
    keys.fetched(s(1_001));
    // Keys may change at once, and whoever invents names of keys makes one try in each pause.
    assert_eq!(keys.decide(Why::UnknownKey, s(1_001)), Fetch::Now);
    keys.trying(Why::UnknownKey, s(1_001));
    assert_eq!(keys.decide(Why::UnknownKey, s(1_030)), Fetch::NotBefore(s(1_031)));
    assert_eq!(keys.decide(Why::UnknownKey, s(1_031)), Fetch::Now);
    assert_eq!(keys.decide(Why::Age, s(1_600)), Fetch::NotBefore(s(1_601)));
    assert_eq!(keys.decide(Why::Age, s(1_601)), Fetch::Now);
    // The issuer does not answer: tries go on, the keys stay for a day.
    keys.trying(Why::Age, s(1_601));
    assert_eq!(keys.decide(Why::Age, s(1_602)), Fetch::NotBefore(s(1_631)));
    assert!(keys.usable(s(1_001 + 86_400)));
    assert!(!keys.usable(s(1_002 + 86_400)));
    assert!(keys.is_fetched_since(s(1_001)) && !keys.is_fetched_since(s(1_002)));
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(
        text in ".{0,200}",
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..5),
        header in "\\{\"alg\":(\"(none|HS256|EdDSA|ES256)\"|7|null)(,\"kid\":\"k1\")?(,\"typ\":(\"JWT\"|1))?\\}",
    ) {
        let signer = Signer::ed25519("k1");
        let issuers = issuers(options(), &[&signer]);
        let encoded: Vec<String> = parts.iter().map(|part| signer::encode(part)).collect();
        prop_assert!(issuers.check(&text, NOW).is_err());
        prop_assert!(issuers.check(&encoded.join("."), NOW).is_err());
        let named = format!("{}.{}.{}", signer::encode(header.as_bytes()), signer::encode(claims().to_string().as_bytes()), text);
        prop_assert!(issuers.check(&named, NOW).is_err());
        let _ = KeySet::parse(text.as_bytes());
        let _ = text.parse::<ClaimPath>();
    }
}
