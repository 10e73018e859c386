use super::*;

fn set(keys: &Value) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn with(key: &Value, name: &str, value: Value) -> Value {
    let mut key = key.clone();
    key[name] = value;
    key
}

#[test]
fn keys_that_cannot_be_used_are_passed_over_and_others_stay() {
    let good = Signer::ed25519("good");
    let ec = Signer::p256("ec").public();
    let keys = json!([
        good.public(),
        with(&ec, "use", json!("enc")),
        with(&ec, "key_ops", json!(["sign"])),
        with(&ec, "alg", json!("ES384")),
        with(&ec, "crv", json!("P-384")),
        with(&ec, "d", json!("AAAA")),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"},
        {"kty": "AKP", "alg": "ML-DSA-44", "kid": "later", "pub": "AA"},
        {"kty": "RSA", "n": "not base64!", "e": "AQAB", "kid": "broken"},
        7,
        with(&ec, "use", json!("sig")),
    ]);
    let keys = set(&keys);
    assert_eq!((keys.len(), keys.passed_over(), keys.is_empty()), (2, 9, false));
    let issuers = Issuers::new(vec![options()]).unwrap().with_keys(ISSUER, keys).unwrap();
    issuers.check(&good.token(&claims()), NOW).unwrap();
}

#[test]
fn a_named_algorithm_pins_the_key() {
    let signer = Signer::rsa("k");
    let keys = set(&json!([with(&signer.public(), "alg", json!("PS256"))]));
    let issuers = Issuers::new(vec![options()]).unwrap().with_keys(ISSUER, keys).unwrap();
    let refused = issuers.check(&signer.token(&claims()), NOW).unwrap_err();
    assert_eq!(refused, Refused::KeyType { kid: "k".into(), algorithm: Algorithm::Rs256 });
}

#[test]
fn without_a_name_only_an_only_key_is_found() {
    let (one, other) = (Signer::ed25519("one"), Signer::ed25519("other"));
    let unnamed = json!({"alg": "EdDSA"});
    let token = one.token_with(&unnamed, &claims());
    issuers(options(), &[&one]).check(&token, NOW).unwrap();
    assert_eq!(issuers(options(), &[&one, &other]).check(&token, NOW).unwrap_err(), Refused::NoKeyNamed);
    let refused = issuers(options(), &[&Signer::p256("ec")]).check(&token, NOW).unwrap_err();
    assert!(matches!(refused, Refused::KeyType { .. }));
}

#[test]
fn without_keys_every_key_is_unknown_and_may_be_fetched() {
    let signer = Signer::ed25519("k");
    let issuers = issuers(options(), &[&signer]).without_keys(ISSUER).unwrap();
    let refused = issuers.check(&signer.token(&claims()), NOW).unwrap_err();
    assert_eq!(refused.refetch(), Some(ISSUER));
    assert_eq!(issuers.names().collect::<Vec<_>>(), [ISSUER]);
    assert_eq!(issuers.without_keys("x").unwrap_err(), UnknownIssuer("x".into()));
}

#[test]
fn short_rsa_keys_verify_nothing() {
    let n = signer::encode(&[0xff; 128]);
    let keys = set(&json!([{"kty": "RSA", "n": n, "e": "AQAB", "kid": "k"}]));
    let issuers = Issuers::new(vec![options()]).unwrap().with_keys(ISSUER, keys).unwrap();
    let token = Signer::rsa("k").token(&claims());
    assert_eq!(issuers.check(&token, NOW).unwrap_err(), Refused::Signature);
}

#[test]
fn other_bytes_are_no_key_set() {
    for bytes in [&b""[..], b"{}", b"[]", b"{\"keys\":{}}", b"\xff"] {
        assert!(KeySet::parse(bytes).is_err());
    }
    let many = json!({"keys": vec![json!({}); 65]}).to_string();
    assert!(matches!(KeySet::parse(many.as_bytes()), Err(InvalidKeySet::TooMany(65))));
    assert!(matches!(KeySet::parse(&vec![b' '; 600 * 1024]), Err(InvalidKeySet::TooLong(_))));
    let keys = set(&json!([Signer::ed25519("k").public()]));
    assert_eq!(format!("{keys:?}"), "[(Some(\"k\"), [EdDsa])]");
}
