//! Bodies that come and go compressed.

use super::{INFER, request, send, server};
use crate::example::Mood;
use axum::http::HeaderValue;
use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder, ZlibDecoder, ZlibEncoder};
use serde_json::{Value, json};
use std::io::Read;

#[tokio::test]
async fn compressed_bodies_are_undone_and_answers_compressed_where_asked() {
    let (router, outcomes) = server(Mood::Answers);
    let plain = send(&router, request("POST", INFER, many().to_string())).await;
    for (name, body) in [("gzip", gzip(&many().to_string())), ("deflate", zlib(&many().to_string()))] {
        let mut compressed = request("POST", INFER, body);
        compressed.headers_mut().insert("content-encoding", name.parse().unwrap());
        assert_eq!(send(&router, compressed).await.bytes, plain.bytes, "{name}");
        let mut asking = request("POST", INFER, many().to_string());
        asking.headers_mut().insert("accept-encoding", name.parse().unwrap());
        let answer = send(&router, asking).await;
        assert_eq!(
            (answer.status, &answer.headers["content-encoding"]),
            (200, &HeaderValue::from_static(name))
        );
        let mut undone = Vec::new();
        match name {
            "gzip" => GzDecoder::new(&answer.bytes[..]).read_to_end(&mut undone).unwrap(),
            _ => ZlibDecoder::new(&answer.bytes[..]).read_to_end(&mut undone).unwrap(),
        };
        assert_eq!(undone, plain.bytes, "{name}");
    }
    // A bomb is refused at the limit of any body, and leaves its outcome.
    let mut bomb = request("POST", INFER, gzip(&" ".repeat(1 << 20)));
    bomb.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
    let refused = send(&router, bomb).await;
    assert_eq!((refused.status, refused.code()), (413, "SPW-BODY-TOO-LARGE".to_owned()));
    assert_eq!(outcomes.take().len(), 6);
}

#[tokio::test]
async fn documents_that_are_large_are_compressed_where_asked() {
    let (router, _) = server(Mood::Answers);
    for path in ["/openapi.json", "/v2/models/stats"] {
        let plain = send(&router, request("GET", path, "")).await;
        assert!(plain.bytes.len() > 1024, "{path}");
        assert!(!plain.headers.contains_key("content-encoding"), "{path}");
        assert_eq!(plain.headers["vary"], "accept-encoding", "{path}");
        for name in ["gzip", "deflate"] {
            let mut asking = request("GET", path, "");
            asking.headers_mut().insert("accept-encoding", name.parse().unwrap());
            let answer = send(&router, asking).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.headers["content-encoding"], name, "{path}");
            assert!(answer.bytes.len() < plain.bytes.len() / 2, "{path}");
            let mut undone = Vec::new();
            match name {
                "gzip" => GzDecoder::new(&answer.bytes[..]).read_to_end(&mut undone).unwrap(),
                _ => ZlibDecoder::new(&answer.bytes[..]).read_to_end(&mut undone).unwrap(),
            };
            assert_eq!(undone, plain.bytes, "{path} {name}");
        }
    }
}

#[tokio::test]
async fn every_body_may_be_compressed_in_a_known_way() {
    let (router, _) = server(Mood::Answers);
    let state = "/v1/models/taxi/sequences/s/state";
    let all = [
        ("POST", "/v2/repository/index", r#"{"ready":false}"#),
        ("POST", "/v2/repository/models/taxi/load", "{}"),
        ("POST", "/v2/repository/models/taxi/unload", "{}"),
        ("POST", "/v1/models/taxi/sequences/s/fork", r#"{"to":"t"}"#),
        ("PUT", state, "a state"),
    ];
    for (method, path, body) in all {
        let plain = send(&router, request(method, path, body)).await;
        for (coding, body) in [("gzip", gzip(body)), ("deflate", zlib(body))] {
            let mut compressed = request(method, path, body);
            compressed.headers_mut().insert("content-encoding", HeaderValue::from_static(coding));
            let answer = send(&router, compressed).await;
            assert_eq!((answer.status, answer.bytes), (plain.status, plain.bytes.clone()), "{path} {coding}");
        }
        let mut unknown = request(method, path, body);
        unknown.headers_mut().insert("content-encoding", HeaderValue::from_static("br"));
        let refused = send(&router, unknown).await;
        assert_eq!((refused.status, refused.code()), (415, "SPW-NOT-OFFERED".to_owned()), "{path}");
    }
}

/// A request whose answer is worth compressing.
fn many() -> Value {
    json!({"inputs": [{"name": "series", "shape": [8, 16, 1], "datatype": "FP32", "data": vec![1; 8 * 16]}],
        "id": "i".repeat(1000)})
}

fn gzip(text: &str) -> Vec<u8> {
    let mut made = Vec::new();
    GzEncoder::new(text.as_bytes(), Compression::fast()).read_to_end(&mut made).unwrap();
    made
}

fn zlib(text: &str) -> Vec<u8> {
    let mut made = Vec::new();
    ZlibEncoder::new(text.as_bytes(), Compression::fast()).read_to_end(&mut made).unwrap();
    made
}
