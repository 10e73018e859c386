//! What a fuzz target does with what strangers show to be let in, and with what lies encrypted on a disk that is not ours: API keys,
//! tokens, sets of public keys, encrypted files. Shared by `cargo fuzz` and by the tests of `security`, which run it on inputs that a seed makes.
//!
//! Checksums, signatures and key ids keep most bytes away from what lies behind them, so each body makes them right as well.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use spinwell_core::{TenantId, UnixMicros};
use spinwell_security::envelope::{
    Context, Failed, Fresh, HEADER_BYTES, Header, KeyId, Keys, LocalRoot, WrappedKey, open_field,
    open_stream, seal_field, seal_stream,
};
use spinwell_security::key::{self, About, KeyRing, Presented, Refused, Unreadable};
use spinwell_security::token::{Algorithm, IssuerOptions, Issuers, KeySet, Verified};
use spinwell_security::{Scopes, Secret};
use std::sync::OnceLock;

const NOW: UnixMicros = UnixMicros(1_795_000_000_000_000);
const ISSUER: &str = "https://login.example.com";
/// A header and claims that the issuer signs, a line each.
const CLAIMS: [&str; 3] = [
    "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"k\"}\n{\"iss\":\"https://login.example.com\",\"sub\":\"eve\",\"aud\":\"spinwell\",\"exp\":1795000600}",
    "{\"alg\":\"EdDSA\"}\n{\"iss\":\"https://login.example.com\",\"sub\":\"gr\\u00f6\\u00dfe\",\"aud\":[\"a\",\"spinwell\"],\"exp\":1795000600.5,\"iat\":1794999990,\"nbf\":0,\"roles\":[\"viewer\",\"admin\"],\"jti\":\"1\"}",
    "{\"alg\":\"none\",\"crit\":[\"x\"],\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}}\n{\"iss\":\"\",\"aud\":{},\"exp\":1e400}",
];

fn about() -> About {
    About {
        name: "ci".into(),
        tenant: TenantId("acme".into()),
        principal: "ci".into(),
        roles: ["predictor".to_owned()].into(),
        scopes: Scopes::all(),
        created: UnixMicros(1),
        expires: None,
    }
}

/// Reads bytes as the text of an API key, and as what one is made of. Says whether they are one.
pub(crate) fn api_key(bytes: &[u8]) -> bool {
    let (good, record) = key::create(&[1; 8], &[2; 32], about());
    let ring = KeyRing::new([record]).expect("one key");
    if let Some((id, rest)) = bytes.split_first_chunk::<8>()
        && let Some((secret, _)) = rest.split_first_chunk::<32>()
    {
        let (text, record) = key::create(id, secret, about());
        assert_eq!(Presented::parse(text.expose()).expect("a key just made").id, record.id);
        let checked = ring.check(text.expose(), NOW);
        assert!(
            matches!(checked, Err(Refused::Unknown(_) | Refused::WrongSecret(_)))
                || text.expose() == good.expose()
        );
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let checked = ring.check(text, NOW);
    assert_eq!(checked.is_ok(), text == good.expose(), "only the key itself is one");
    match Presented::parse(text) {
        Ok(presented) => {
            let shown = format!("{presented:?}");
            assert!(
                text.contains(&presented.id.to_string()) && !shown.contains(&text[text.len() - 72..]),
                "{shown}"
            );
            true
        }
        Err(Unreadable::Form | Unreadable::Checksum) => {
            assert!(matches!(checked, Err(Refused::Malformed(_))));
            false
        }
    }
}

fn signer() -> &'static Ed25519KeyPair {
    static PAIR: OnceLock<Ed25519KeyPair> = OnceLock::new();
    PAIR.get_or_init(|| Ed25519KeyPair::from_seed_unchecked(&[5; 32]).expect("a seed has 32 bytes"))
}

fn key_set() -> String {
    let public = BASE64_URL_SAFE_NO_PAD.encode(signer().public_key());
    format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{public}"}}]}}"#)
}

fn issuers() -> &'static Issuers {
    static ISSUERS: OnceLock<Issuers> = OnceLock::new();
    ISSUERS.get_or_init(|| {
        let options = IssuerOptions::new(ISSUER, "spinwell", vec![Algorithm::EdDsa]);
        let keys = KeySet::parse(key_set().as_bytes()).expect("a key set of ours");
        let all = Issuers::new(vec![options]).expect("options");
        all.with_keys(ISSUER, keys).expect("the issuer")
    })
}

/// A token of this header and these claims, whatever they are, with the issuer's signature.
fn token_of(header: &[u8], claims: &[u8]) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", encode(header), encode(claims));
    format!("{message}.{}", encode(signer().sign(message.as_bytes()).as_ref()))
}

/// Reads bytes as a token, as header and claims that the issuer has signed, and as a set of keys. Says whether a token of them is good.
pub(crate) fn token(bytes: &[u8]) -> bool {
    if let Ok(keys) = KeySet::parse(bytes) {
        assert!(keys.len() + keys.passed_over() <= 64);
    }
    let good = |verified: &Verified| {
        assert!(
            verified.until > NOW && verified.identity.principal.starts_with("https://login.example.com#"),
            "{verified:?}"
        );
    };
    if let Ok(text) = std::str::from_utf8(bytes) {
        let checked = issuers().check(text, NOW);
        checked.iter().for_each(good);
        let shown = checked.as_ref().err().map(|refused| (refused.for_caller(), refused.refetch()));
        assert!(checked.is_ok() || shown.is_some_and(|(told, _)| !told.is_empty() && told.len() < 64));
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (header, claims) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let checked = issuers().check(&token_of(header, claims), NOW);
    checked.iter().for_each(good);
    checked.is_ok()
}

const PLACE: Context<'static> = Context { tenant: "acme", path: "predictions/17", field: "input" };

fn vault() -> &'static (Keys, LocalRoot, KeyId) {
    static VAULT: OnceLock<(Keys, LocalRoot, KeyId)> = OnceLock::new();
    VAULT.get_or_init(|| {
        let root = LocalRoot::new(Secret::of(&[1; 32]));
        let fresh = |byte| Fresh { secret: Secret::of(&[byte; 32]), nonce: [byte; 12], now: UnixMicros(1) };
        let (acme, person) = (KeyId([2; 16]), KeyId([3; 16]));
        let mut keys = Keys::default();
        keys.add_tenant(&root, acme, &fresh(2)).expect("a new key");
        keys.add_data(&root, acme, person, &fresh(3)).expect("a new key");
        (keys, root, person)
    })
}

/// What opens at the place, in either shape.
fn opened(bytes: &[u8]) -> [Result<Vec<u8>, Failed>; 2] {
    let (keys, root, _) = vault();
    let field = open_field(keys, root, &PLACE, bytes).map(|text| text.expose().to_vec());
    let mut text = Vec::new();
    let stream = open_stream(keys, root, &PLACE, bytes, &mut text).map(|_| text);
    [field, stream]
}

/// Reads bytes as something encrypted, also with ids of keys that are there, and as the record of a key. Says whether it opens.
pub(crate) fn envelope(bytes: &[u8]) -> bool {
    if let Ok(record) = WrappedKey::of_bytes(bytes) {
        assert_eq!(record.to_bytes(), bytes, "reading and writing change nothing");
        let keys = Keys::of_records([record.clone()], Default::default());
        let (_, root, _) = vault();
        assert!(keys.data(root, record.key).is_err(), "nothing wraps it");
    }
    let header = Header::parse(bytes);
    let results = opened(bytes);
    let opens = results.iter().any(Result::is_ok);
    assert!(header.is_ok() || !opens);
    assert!(!opens || sealed().iter().any(|one| one == bytes), "only what was sealed opens");
    // The same with key ids that are known: what is behind them was sealed by nobody.
    if bytes.len() >= HEADER_BYTES && header.is_ok() {
        let mut forged = bytes.to_vec();
        forged[8..44].copy_from_slice(&sealed()[0][8..44]);
        assert!(forged == bytes || opened(&forged).iter().all(Result::is_err) || sealed().contains(&forged));
    }
    opens
}

fn sealed() -> &'static [Vec<u8>] {
    static SEALED: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SEALED.get_or_init(|| {
        let (keys, root, person) = vault();
        let key = keys.newest(root, *person).expect("a key");
        let mut stream = Vec::new();
        let text = [7; 70_000];
        seal_stream(&key, &PLACE, &[9; 12], &text[..], &mut stream).expect("memory takes it");
        let mut short = Vec::new();
        seal_stream(&key, &PLACE, &[9; 12], &b""[..], &mut short).expect("memory takes it");
        vec![seal_field(&key, &PLACE, &[9; 12], b"72 bpm"), short, stream]
    })
}

/// Texts of keys, and bytes of others.
pub(crate) fn api_keys() -> Vec<Vec<u8>> {
    let text = |id: u8| key::create(&[id; 8], &[2; 32], about()).0.expose().as_bytes().to_vec();
    vec![text(1), text(3), (0..40).collect()]
}

/// Headers with claims, whole tokens, and a set of keys.
pub(crate) fn tokens() -> Vec<Vec<u8>> {
    let whole = CLAIMS.iter().filter_map(|text| text.split_once('\n'));
    let whole = whole.map(|(header, claims)| token_of(header.as_bytes(), claims.as_bytes()).into_bytes());
    CLAIMS.iter().map(|text| text.as_bytes().to_vec()).chain(whole).chain([key_set().into_bytes()]).collect()
}

/// What opens, and the record of a key.
pub(crate) fn envelopes() -> Vec<Vec<u8>> {
    let records = vault().0.records().map(WrappedKey::to_bytes);
    sealed()[..2].iter().cloned().chain(records).collect()
}
