//! Issuers of tokens: they sign, and publish their keys over HTTP.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A key that signs.
pub(crate) struct Signer {
    kid: &'static str,
    pair: Ed25519KeyPair,
}

impl Signer {
    pub(crate) fn new(kid: &'static str) -> Self {
        Self { kid, pair: Ed25519KeyPair::generate().unwrap() }
    }

    fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid})
    }

    /// A token that says so.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header(), claims)
    }

    /// A token of this header, signed all the same.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        format!("{message}.{}", encode(self.pair.sign(message.as_bytes()).as_ref()))
    }

    /// A token that anybody can make who takes the public key for a shared secret.
    pub(crate) fn confused(&self, claims: &Value) -> String {
        let message = message(&json!({"alg": "HS256", "typ": "JWT", "kid": self.kid}), claims);
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.public());
        format!("{message}.{}", encode(hmac::sign(&key, message.as_bytes()).as_ref()))
    }
}

/// What is signed of a token.
pub(crate) fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

/// What an issuer answers.
#[derive(Default)]
struct Said {
    /// Status line and headers; nothing where it closes without a word.
    head: String,
    body: Vec<u8>,
    asked: usize,
}

/// A server that publishes keys.
pub(crate) struct Issuer {
    address: SocketAddr,
    said: Arc<Mutex<Said>>,
}

impl Issuer {
    pub(crate) fn start(keys: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = Self { address: listener.local_addr().unwrap(), said: Arc::default() };
        issuer.publish(keys);
        let said = issuer.said.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let said = said.clone();
                thread::spawn(move || answer(stream, &said));
            }
        });
        issuer
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.said.lock().unwrap().asked
    }

    /// Publishes these keys and no others.
    pub(crate) fn publish(&self, keys: &[&Signer]) {
        let key = |signer: &&Signer| json!({"kty": "OKP", "crv": "Ed25519", "kid": signer.kid, "x": encode(signer.public())});
        let body = json!({"keys": keys.iter().map(key).collect::<Vec<_>>()}).to_string();
        self.answer("200 OK", body.as_bytes());
    }

    /// Answers with this.
    pub(crate) fn answer(&self, status: &str, body: &[u8]) {
        let mut said = self.said.lock().unwrap();
        said.head =
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        said.body = body.to_vec();
    }

    /// Closes each connection without a word.
    pub(crate) fn go_down(&self) {
        let mut said = self.said.lock().unwrap();
        (said.head, said.body) = (String::new(), Vec::new());
    }

    /// How an operator writes it down, with more lines.
    pub(crate) fn written(&self, more: &str) -> String {
        let url = self.url();
        format!(
            "[[issuer]]\nissuer = \"{url}\"\naudience = [\"spinwell\"]\nalgorithms = [\"EdDSA\"]\ntenant = \"acme\"\n\
             jwks_url = \"{url}/keys\"\n{more}\n"
        )
    }

    /// What its tokens claim.
    pub(crate) fn claims(&self) -> Value {
        let (issued, expires) = (now(), now() + 600);
        json!({"iss": self.url(), "aud": "spinwell", "sub": "robot", "roles": ["predictor"], "iat": issued, "exp": expires})
    }
}

fn answer(mut stream: TcpStream, said: &Mutex<Said>) {
    // One read is enough for a request without a body.
    let _ = stream.read(&mut [0; 4096]);
    let mut said = said.lock().unwrap();
    said.asked += 1;
    let whole = [said.head.as_bytes(), &said.body].concat();
    drop(said);
    // Whoever asks may have enough before the end.
    let _ = stream.write_all(&whole);
}
