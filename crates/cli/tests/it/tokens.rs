//! Tokens of other parties, before the real server: which come in, and which of the known forgeries do not.

use crate::house::{House, ask, ask_until, prediction};
use crate::issuer::{Issuer, Signer, encode, message, now};
use crate::serving::{grpc_client, grpc_request, little_endian};
use crate::support::{Server, wait_until, window};
use serde_json::{Value, json};
use spinwell_protocol::grpc::wire::ModelInferRequest;
use spinwell_protocol::status::GRPC_CODE_KEY;

/// Nobody is held back: these tests are about why each token is refused.
const CALM: &str = "[threats]\nrespond = false\n";

/// A server that trusts an issuer, and has its keys.
fn trusting(house: &House, issuer: &Issuer, more: &str) -> Server {
    house.write("issuers.toml", &issuer.written(more));
    let server = house.serve(CALM);
    wait_until("the issuer is asked", || issuer.asked() > 0);
    server
}

/// The same claims but for one.
fn but(claims: &Value, name: &str, value: Value) -> Value {
    let mut changed = claims.clone();
    changed[name] = value;
    changed
}

/// What a token is told over gRPC; nothing where it is answered.
async fn over_grpc(server: &Server, token: &str) -> Option<(tonic::Code, String)> {
    let raw = little_endian(&window(64, 0.5)).into();
    let mut request =
        tonic::Request::new(ModelInferRequest { raw_input_contents: vec![raw], ..grpc_request([1, 64, 1]) });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let status = grpc_client(server).await.model_infer(request).await.err()?;
    let code = status.metadata().get(GRPC_CODE_KEY).unwrap().to_str().unwrap();
    Some((status.code(), code.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_issuer_comes_in_and_the_known_forgeries_do_not() {
    let (house, signer, stranger) = (House::new(), Signer::new("k1"), Signer::new("k1"));
    let issuer = Issuer::start(&[&signer]);
    let server = trusting(&house, &issuer, "");
    let claims = issuer.claims();
    let good = signer.token(&claims);
    assert_eq!(ask(&server, prediction("robot"), &good).0, 200);
    assert_eq!(over_grpc(&server, &good).await, None);
    let of_robot = |event: &Value| event["api"]["request"]["uid"] == "robot";
    let event = &house.events("the prediction", 1, of_robot)[0];
    let principal = format!("{}#robot", issuer.url());
    assert_eq!(event["actor"]["user"], json!({"name": principal, "org": {"name": "acme"}}));

    let (head, signature) = good.rsplit_once('.').unwrap();
    let promoted = but(&claims, "roles", json!(["admin"]));
    let unsigned = message(&json!({"alg": "none", "typ": "JWT"}), &claims);
    let rows = [
        ("signed by somebody else", stranger.token(&claims)),
        ("another token's signature", format!("{}.{signature}", message(&signer.header(), &promoted))),
        ("cut off", good[..good.len() - 4].to_owned()),
        ("without a signature", format!("{head}.")),
        ("alg none", format!("{unsigned}.")),
        ("alg none and some signature", format!("{unsigned}.{}", encode(b"signed"))),
        ("the public key as a shared secret", signer.confused(&claims)),
        ("expired", signer.token(&but(&claims, "exp", json!(now() - 3_600)))),
        ("not yet", signer.token(&but(&claims, "nbf", json!(now() + 3_600)))),
        ("another audience", signer.token(&but(&claims, "aud", json!("elsewhere")))),
        ("another issuer", signer.token(&but(&claims, "iss", json!("https://elsewhere.example")))),
        ("an unknown key", signer.token_with(&json!({"alg": "EdDSA", "kid": "k9"}), &claims)),
        ("another algorithm's name", signer.token_with(&json!({"alg": "ES256", "kid": "k1"}), &claims)),
        (
            "for another use",
            signer.token_with(&json!({"alg": "EdDSA", "kid": "k1", "typ": "logout+jwt"}), &claims),
        ),
    ];
    for (what, token) in rows {
        assert_eq!(
            ask(&server, prediction("bad"), &token),
            (401, "SPW-CREDENTIALS-REFUSED".into()),
            "{what}"
        );
        let wanted = (tonic::Code::Unauthenticated, "SPW-CREDENTIALS-REFUSED".to_owned());
        assert_eq!(over_grpc(&server, &token).await, Some(wanted), "{what}");
    }
    // What an issuer may not give, its tokens do not have.
    assert_eq!(ask(&server, prediction("admin"), &signer.token(&promoted)).0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_use_is_good_once() {
    let (house, signer) = (House::new(), Signer::new("k1"));
    let issuer = Issuer::start(&[&signer]);
    let server = trusting(&house, &issuer, "one_time = true");
    let token = |jti: &str| signer.token(&but(&issuer.claims(), "jti", json!(jti)));
    let refused = (401, "SPW-CREDENTIALS-REFUSED".to_owned());
    assert_eq!(ask(&server, prediction("once"), &token("a")).0, 200);
    assert_eq!(ask(&server, prediction("twice"), &token("a")), refused);
    assert_eq!(over_grpc(&server, &token("b")).await, None);
    assert_eq!(over_grpc(&server, &token("b")).await.unwrap().0, tonic::Code::Unauthenticated);
    assert_eq!(ask(&server, prediction("elsewhere"), &token("b")), refused, "nor over another protocol");
    assert_eq!(ask(&server, prediction("nameless"), &signer.token(&issuer.claims())), refused);
    // Other files make the server begin anew with tokens that it has verified, and not with those that were spent.
    let key = house.key("acme/late", "predictor");
    ask_until("a new key", &server, &key.text, 200, "");
    assert_eq!(ask(&server, prediction("again"), &token("a")), refused);
}

#[test]
fn a_new_key_of_the_issuer_is_found_at_once_and_the_old_ones_hold_while_it_is_down() {
    let (house, first, second, third) =
        (House::new(), Signer::new("k1"), Signer::new("k2"), Signer::new("k3"));
    let issuer = Issuer::start(&[&first]);
    let server = trusting(&house, &issuer, "");
    let of = |signer: &Signer, subject: &str| {
        let token = signer.token(&but(&issuer.claims(), "sub", json!(subject)));
        ask(&server, prediction(subject), &token)
    };
    let refused = (401, "SPW-CREDENTIALS-REFUSED".to_owned());
    assert_eq!(of(&first, "a").0, 200);
    assert_eq!(issuer.asked(), 1);
    issuer.publish(&[&second]);
    assert_eq!(of(&second, "b").0, 200, "the first token of a new key asks for it");
    assert_eq!(issuer.asked(), 2);
    assert_eq!(of(&first, "c"), refused, "the issuer has withdrawn it");
    assert_eq!(issuer.asked(), 2, "strangers do not make us ask again and again");
    issuer.go_down();
    assert_eq!(of(&second, "d").0, 200);
    assert_eq!(of(&third, "e"), refused);
    assert_eq!(of(&second, "f").0, 200);
}
