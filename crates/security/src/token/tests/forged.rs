//! What has been tried against others.

use super::*;
use aws_lc_rs::hmac;

fn forged(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let parts = [header.to_string().into_bytes(), claims.to_string().into_bytes(), signature.to_vec()];
    parts.map(|part| signer::encode(&part)).join(".")
}

#[test]
fn a_strangers_signature_is_refused() {
    for (signer, stranger) in [
        (Signer::ed25519("k"), Signer::ed25519("k")),
        (Signer::p256("k"), Signer::p256("k")),
        (Signer::rsa("k"), Signer::rsa("k")),
        (Signer::rsa_pss("k"), Signer::rsa_pss("k")),
    ] {
        let issuers = issuers(options(), &[&signer]);
        assert_eq!(issuers.check(&stranger.token(&claims()), NOW).unwrap_err(), Refused::Signature);
    }
}

#[test]
fn other_claims_under_a_good_signature_are_refused() {
    let signer = Signer::p256("k");
    let issuers = issuers(options(), &[&signer]);
    let token = signer.token(&claims());
    let (_, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = token.split_once('.').unwrap();
    let other = signer::encode(claims_but(&json!({"sub": "root"})).to_string().as_bytes());
    let moved = format!("{header}.{other}.{signature}");
    assert_eq!(issuers.check(&moved, NOW).unwrap_err(), Refused::Signature);
    let cut = &token[..token.len() - 2];
    assert_eq!(issuers.check(cut, NOW).unwrap_err(), Refused::Signature);
    let all_zeros = format!("{header}.{}.{}", token.split('.').nth(1).unwrap(), signer::encode(&[0; 64]));
    assert_eq!(issuers.check(&all_zeros, NOW).unwrap_err(), Refused::Signature);
}

#[test]
fn no_algorithm_is_none_in_any_spelling() {
    let signer = Signer::ed25519("k");
    let issuers = issuers(options(), &[&signer]);
    for name in ["none", "None", "NONE", "nOnE", "", "eddsa", "ES512", "RS1"] {
        let header = json!({"alg": name, "kid": "k"});
        for signature in [&b""[..], b"x"] {
            let refused = issuers.check(&forged(&header, &claims(), signature), NOW).unwrap_err();
            assert_eq!(refused, Refused::Algorithm(name.into()));
        }
        let signed = signer.token_with(&header, &claims());
        assert_eq!(issuers.check(&signed, NOW).unwrap_err(), Refused::Algorithm(name.into()));
    }
    for header in [json!({"kid": "k"}), json!({"alg": null}), json!({"alg": ["EdDSA"]}), json!([])] {
        assert_eq!(issuers.check(&forged(&header, &claims(), b""), NOW).unwrap_err(), Refused::Form);
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    for signer in [Signer::rsa("k"), Signer::p256("k"), Signer::ed25519("k")] {
        let issuers = issuers(options(), &[&signer]);
        for bytes in [signer.public_bytes(), signer.public().to_string().into_bytes()] {
            let header = json!({"alg": "HS256", "typ": "JWT", "kid": "k"});
            let message = forged(&header, &claims(), b"");
            let message = message.trim_end_matches('.');
            let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
            let tag = hmac::sign(&key, message.as_bytes());
            let token = format!("{message}.{}", signer::encode(tag.as_ref()));
            assert_eq!(issuers.check(&token, NOW).unwrap_err(), Refused::Algorithm("HS256".into()));
        }
    }
}

#[test]
fn a_key_is_only_for_algorithms_of_its_type() {
    let (rsa, ec) = (Signer::rsa("rsa"), Signer::p256("ec"));
    let issuers = issuers(options(), &[&rsa, &ec]);
    let header = json!({"alg": "ES256", "kid": "rsa"});
    let refused = issuers.check(&ec.token_with(&header, &claims()), NOW).unwrap_err();
    assert_eq!(refused, Refused::KeyType { kid: "rsa".into(), algorithm: Algorithm::Es256 });
}

#[test]
fn an_algorithm_that_the_issuer_does_not_use_is_refused() {
    let signer = Signer::rsa("k");
    let issuers = issuers(IssuerOptions { algorithms: vec![Algorithm::Ps256], ..options() }, &[&signer]);
    assert_eq!(issuers.check(&signer.token(&claims()), NOW).unwrap_err(), Refused::Algorithm("RS256".into()));
}

#[test]
fn keys_inside_a_token_are_not_looked_at() {
    let (signer, stranger) = (Signer::ed25519("k"), Signer::ed25519("k"));
    let issuers = issuers(options(), &[&signer]);
    let mut header = stranger.header();
    header["jwk"] = stranger.public();
    header["jku"] = json!("https://evil.example/keys");
    header["x5u"] = json!("https://evil.example/certificate");
    header["x5c"] = json!(["AAAA"]);
    assert_eq!(issuers.check(&stranger.token_with(&header, &claims()), NOW).unwrap_err(), Refused::Signature);
    issuers.check(&signer.token_with(&header, &claims()), NOW).unwrap();
}

#[test]
fn a_key_name_is_only_a_name() {
    let signer = Signer::ed25519("k");
    let issuers = issuers(options(), &[&signer]);
    for kid in ["../../dev/null", "k' OR '1'='1", "K", "", "k\u{0}"] {
        let refused = issuers.check(&signer.token_with(&json!({"alg": "EdDSA", "kid": kid}), &claims()), NOW);
        let refused = refused.unwrap_err();
        assert_eq!(refused.refetch(), Some(ISSUER));
        assert_eq!(refused, Refused::UnknownKey { issuer: ISSUER.into(), kid: kid.into() });
    }
}

#[test]
fn what_must_be_understood_or_is_for_another_use_is_refused() {
    let signer = Signer::ed25519("k");
    let issuers = issuers(options(), &[&signer]);
    let with = |name: &str, value: Value| {
        let mut header = signer.header();
        header[name] = value;
        issuers.check(&signer.token_with(&header, &claims()), NOW)
    };
    for crit in [json!(["exp"]), json!([]), json!("b64"), Value::Null] {
        assert_eq!(with("crit", crit).unwrap_err(), Refused::Critical);
    }
    for typ in ["logout+jwt", "dpop+jwt", "secevent+jwt"] {
        assert_eq!(with("typ", json!(typ)).unwrap_err(), Refused::Type(typ.into()));
    }
    with("typ", json!("at+JWT")).unwrap();
}

#[test]
fn what_is_too_long_is_not_read() {
    let signer = Signer::ed25519("k");
    let issuers = issuers(options(), &[&signer]);
    let long = signer.token(&claims_but(&json!({"padding": "a".repeat(8_192)})));
    assert!(matches!(issuers.check(&long, NOW), Err(Refused::TooLong { bytes_max: 8_192, .. })));
    assert!(matches!(issuers.check(&"[".repeat(1 << 20), NOW), Err(Refused::TooLong { .. })));
    let deep = format!("{}.{}.x", signer::encode("[".repeat(4_000).as_bytes()), signer::encode(b"{}"));
    assert_eq!(issuers.check(&deep, NOW).unwrap_err(), Refused::Form);
}

#[test]
fn other_forms_are_refused() {
    let signer = Signer::ed25519("k");
    let issuers = issuers(options(), &[&signer]);
    let token = signer.token(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    let [header, body, signature] = &*parts else { unreachable!("a token has three parts") };
    let texts = [
        format!("{header}.{body}"),
        format!("{token}.{signature}"),
        format!(".{body}.{signature}"),
        format!("{header}..{signature}"),
        format!("{header}=.{body}.{signature}"),
        format!("{header}.{body}\n.{signature}"),
        format!("Bearer {token}"),
    ];
    for text in texts {
        assert_eq!(issuers.check(&text, NOW).unwrap_err(), Refused::Form, "{text}");
    }
    for text in [format!("{token}="), format!("{token} "), format!("{header}.{body}.")] {
        assert_eq!(issuers.check(&text, NOW).unwrap_err(), Refused::Signature, "{text}");
    }
}

#[test]
fn callers_are_not_told_which_keys_and_issuers_there_are() {
    let said = [
        refused(&json!({"iss": "x"})),
        Refused::Signature,
        Refused::Algorithm("HS256".into()),
        Refused::UnknownKey { issuer: ISSUER.into(), kid: "k".into() },
    ];
    assert!(said.iter().all(|refused| refused.for_caller() == "this token is not valid here"));
}
