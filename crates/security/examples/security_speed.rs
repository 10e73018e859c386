//! What identity and access cost a request: `cargo run --release -p spinwell-security --example security_speed`.
#![allow(clippy::print_stdout, reason = "an example that shows figures")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]
#![allow(clippy::unwrap_used, reason = "an example on its own data")]

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use spinwell_core::{TenantId, UnixMicros};
use spinwell_security::access::{Action, PolicySet, Resource};
use spinwell_security::envelope::{
    Context, Fresh, KeyId, Keys, LocalRoot, open_field, seal_field, seal_stream,
};
use spinwell_security::token::{Algorithm, IssuerOptions, Issuers, KeySet};
use spinwell_security::{Scopes, Secret, key};
use std::hint::black_box;
use std::time::Instant;

/// The best of five rounds, in microseconds.
fn time<T>(what: &str, times: u32, mut run: impl FnMut(u32) -> T) {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let from = Instant::now();
        for index in 0..times {
            black_box(run(index));
        }
        best = best.min(from.elapsed().as_secs_f64() * 1e6 / f64::from(times));
    }
    println!("{what:42} {best:9.3} us");
}

fn main() {
    let about = key::About {
        name: "speed".into(),
        tenant: TenantId("acme".into()),
        principal: "speed".into(),
        roles: ["predictor".to_owned(), "viewer".to_owned()].into(),
        scopes: Scopes { models: vec!["taxi*".parse().unwrap()], actions: Vec::new() },
        created: UnixMicros(0),
        expires: None,
    };
    let (text, record) = key::create(&[1; 8], &[2; 32], about);
    let who = record.identity().clone();
    let ring = key::KeyRing::new([record]).unwrap();
    time("API key, checked", 100_000, |_| {
        ring.check(text.expose(), UnixMicros(1)).unwrap().identity().clone()
    });

    let policies = PolicySet::of_defaults();
    let model = Resource::Model { name: "taxi".parse().unwrap(), tenant: Some(TenantId("acme".into())) };
    time("decision, kept", 1_000_000, |_| policies.decide(&who, Action::PredictionCreate, &model));
    time("decision, anew", 10_000, |_| policies.decide_anew(&who, Action::PredictionCreate, &model));
    time("policies, read and checked", 20, |_| PolicySet::of_defaults());

    let pair = Ed25519KeyPair::generate().unwrap();
    let x = BASE64_URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let keys = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#);
    let issuer = "https://login.example.com";
    let issuers = Issuers::new(vec![IssuerOptions::new(issuer, "spinwell", vec![Algorithm::EdDsa])]).unwrap();
    let issuers = issuers.with_keys(issuer, KeySet::parse(keys.as_bytes()).unwrap()).unwrap();
    let claims = format!(r#"{{"iss":"{issuer}","sub":"a","aud":"spinwell","exp":300,"roles":["viewer"]}}"#);
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encode(r#"{"alg":"EdDSA","kid":"k"}"#), encode(&claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()));
    let token = format!("{message}.{signature}");
    time("token (Ed25519), checked", 5_000, |_| issuers.check(&token, UnixMicros(1_000_000)).unwrap());

    let root = LocalRoot::new(Secret::of(&[1; 32]));
    let fresh = |byte| Fresh { secret: Secret::of(&[byte; 32]), nonce: [byte; 12], now: UnixMicros(1) };
    let (tenant, person) = (KeyId([2; 16]), KeyId([3; 16]));
    let mut all = Keys::default();
    all.add_tenant(&root, tenant, &fresh(2)).unwrap();
    all.add_data(&root, tenant, person, &fresh(3)).unwrap();
    let place = Context { tenant: "acme", path: "predictions/17", field: "input" };
    let data = all.newest(&root, person).unwrap();
    time("data key, unwrapped twice", 50_000, |_| all.newest(&root, person).unwrap());
    time("field of 1 KiB, sealed", 50_000, |_| seal_field(&data, &place, &[7; 12], &[0; 1024]));
    let sealed = seal_field(&data, &place, &[7; 12], &[0; 1024]);
    time("field of 1 KiB, opened with its keys", 50_000, |_| {
        open_field(&all, &root, &place, &sealed).unwrap()
    });
    let large = vec![0; 64 << 20];
    time("64 MiB, sealed as a stream", 1, |_| {
        seal_stream(&data, &place, &[7; 12], &large[..], std::io::sink()).unwrap()
    });
}
