//! The document and the router are held against each other, and every answer of this crate's HTTP tests against the document.

use super::{Addresses, DOCUMENT_PATH, Plane, Route, SECURITY_POLICY};
use crate::example::{self, Mood};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use spinwell_core::Code;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use tower::ServiceExt;

/// The document of a server at the usual addresses.
fn document(plane: Plane) -> &'static Value {
    static INFERENCE: LazyLock<Value> =
        LazyLock::new(|| super::document(Plane::Inference, &Addresses::default()));
    static OPERATIONS: LazyLock<Value> =
        LazyLock::new(|| super::document(Plane::Operations, &Addresses::default()));
    match plane {
        Plane::Inference => &INFERENCE,
        Plane::Operations => &OPERATIONS,
    }
}

/// The description of what stands at that path, with its template's other facts.
fn found(path: &str, method: &str) -> Option<&'static Value> {
    let paths = document(Plane::Inference)["paths"].as_object().unwrap();
    let path = path.split('?').next().unwrap_or_default();
    let fits = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(t, p)| t == p || (t.starts_with('{') && !p.is_empty()))
    };
    // A path without variables goes before one with them, as in the router.
    let template = paths
        .keys()
        .filter(|template| fits(template))
        .min_by_key(|template| template.matches('{').count())?;
    paths[template].get(method.to_ascii_lowercase())
}

/// Fails where an answer's status, code, type or shape is not what the document says of that path.
pub(crate) fn assert_documented(path: &str, method: &str, status: u16, headers: &HeaderMap, body: &[u8]) {
    let Some(operation) = found(path, method) else {
        assert!([404, 405].contains(&status), "{method} {path} is not described and answered with {status}");
        return;
    };
    let response = &operation["responses"][status.to_string()];
    assert!(response.is_object(), "{method} {path}: {status} is not described");
    let Some(contents) = response.get("content") else {
        assert!(body.is_empty(), "{method} {path}: a body where none is described");
        return;
    };
    let media_type = headers["content-type"].to_str().unwrap();
    let content =
        contents.get(media_type).unwrap_or_else(|| panic!("{method} {path}: {media_type} is not described"));
    if media_type != "application/json" || headers.contains_key("content-encoding") {
        return;
    }
    let value: Value = serde_json::from_slice(body).unwrap();
    conforms(&value, &content["schema"], &format!("{method} {path} {status}"));
    if status != 200 {
        let codes = response["x-codes"].as_array().unwrap();
        assert!(
            codes.contains(&value["code"]),
            "{method} {path}: {status} is not described with {}",
            value["code"]
        );
    }
}

/// Fails where a value does not fit its schema, or has a field that the schema does not know.
fn conforms(value: &Value, schema: &Value, place: &str) {
    if let Err(why) = check(value, schema) {
        panic!("{place}: {why} in {value}");
    }
}

fn check(value: &Value, schema: &Value) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let named = &document(Plane::Inference)["components"]["schemas"][name];
        assert!(named.is_object(), "there is no schema {name}");
        return check(value, named);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().any(|schema| check(value, schema).is_ok());
        return fits.then_some(()).ok_or_else(|| format!("{value} fits none of {any:?}"));
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        return Err(format!("{value} is none of {values:?}"));
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        _ => true,
    };
    if !fits {
        return Err(format!("{value} is no {}", schema["type"]));
    }
    if let Some(least) = schema["minimum"].as_f64()
        && value.as_f64().unwrap() < least
    {
        return Err(format!("{value} is below {least}"));
    }
    for entry in value.as_array().into_iter().flatten() {
        check(entry, &schema["items"])?;
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        match (schema["properties"].get(name), schema.get("additionalProperties")) {
            (None, Some(Value::Bool(false))) => return Err(format!("{name} is not taken")),
            (Some(schema), _) | (None, Some(schema)) => {
                check(inner, schema).map_err(|why| format!("{name}: {why}"))?;
            }
            (None, None) if schema["type"] == "object" => return Err(format!("{name} is not described")),
            (None, None) => {}
        }
    }
    Ok(())
}

#[test]
fn a_batch_call_takes_the_fields_that_are_described_and_no_others() {
    let call = |request: Value| {
        let schema = &document(Plane::Inference)["components"]["schemas"]["PredictionsRequest"];
        check(&json!({"requests": [request]}), schema)
    };
    assert_eq!(call(json!({"model": "m", "series": [1], "sequence_id": 7})), Ok(()));
    let refused = call(json!({"model": "m", "series": [1], "priority": "high"}));
    assert_eq!(refused, Err("requests: priority is not taken".to_owned()));
}

type Named = BTreeSet<(String, String)>;

/// Every path and method of a document.
fn described(plane: Plane) -> Named {
    let methods = |(path, item): (&String, &Value)| {
        let methods =
            item.as_object().unwrap().keys().filter(|key| !["parameters", "servers"].contains(&key.as_str()));
        methods.map(|method| (path.clone(), method.clone())).collect::<Vec<_>>()
    };
    document(plane)["paths"].as_object().unwrap().iter().flat_map(methods).collect()
}

fn of_table<S>(routes: &[Route<S>]) -> Named {
    routes.iter().map(|route| (route.path.clone(), route.method.to_owned())).collect()
}

const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];

/// Fails where the router does not answer what its table lists, or answers what it does not list.
async fn assert_served(router: Router, table: &Named) {
    for path in table.iter().map(|(path, _)| path).collect::<BTreeSet<_>>() {
        let asked = path
            .replace("{model}", "taxi")
            .replace("{version}", "1")
            .replace("{sequence}", "s")
            .replace("{node}", "n")
            .replace("{strategy}", "s");
        for method in METHODS {
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(&asked);
            let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let is_listed = table.contains(&(path.clone(), method.to_owned()));
            assert_eq!(response.status() != 405, is_listed, "{method} {asked}: {}", response.status());
        }
    }
}

#[tokio::test]
async fn what_is_served_is_described_and_what_is_described_is_served() {
    let (gateway, _) = example::gateway(Mood::Answers);
    let (inference, operations) = (
        of_table(&crate::http::routes(Addresses::default())),
        of_table(&crate::ops::routes(Addresses::default())),
    );
    assert!(inference.len() > 20 && operations.len() == 10);
    let all: Named = inference.union(&operations).cloned().collect();
    for plane in [Plane::Inference, Plane::Operations] {
        assert_eq!(described(plane), all, "{plane:?}");
    }
    assert_served(crate::http_router(gateway.clone()), &inference).await;
    let metrics = std::sync::Arc::new(crate::Metrics::new(&example::catalogue()));
    assert_served(crate::ops_router(gateway, metrics), &operations).await;
}

#[test]
fn examples_fit_their_schemas_and_names_are_given_once() {
    let mut names = BTreeSet::new();
    for (path, method) in described(Plane::Inference) {
        let operation = &document(Plane::Inference)["paths"][&path][&method];
        assert!(
            names.insert(operation["operationId"].to_string()),
            "{} stands twice",
            operation["operationId"]
        );
        let bodies = operation["responses"].as_object().unwrap().values().chain([&operation["requestBody"]]);
        for (media_type, content) in bodies.filter_map(|body| body["content"].as_object()).flatten() {
            match content.get("example") {
                Some(example) if path != DOCUMENT_PATH => conforms(example, &content["schema"], &path),
                Some(_) => {}
                None => assert_ne!(media_type, "application/json", "{path} has no example"),
            }
        }
    }
}

#[test]
fn every_named_schema_is_used_and_every_use_has_one() {
    let text = document(Plane::Inference).to_string();
    let uses = text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap());
    let uses: BTreeSet<&str> = uses.collect();
    let schemas = document(Plane::Inference)["components"]["schemas"].as_object().unwrap();
    assert_eq!(uses, schemas.keys().map(String::as_str).collect());
}

#[test]
fn paths_of_the_other_plane_name_its_address() {
    let server = |plane: Plane, path: &str| {
        document(plane)["paths"][path]["servers"][0]["variables"]["port"]["default"].clone()
    };
    assert_eq!(server(Plane::Inference, "/metrics"), "8002");
    assert_eq!(server(Plane::Operations, "/v2"), "8000");
    for (plane, path) in
        [(Plane::Inference, "/v2"), (Plane::Operations, "/metrics"), (Plane::Operations, DOCUMENT_PATH)]
    {
        assert_eq!(server(plane, path), Value::Null, "{path}");
    }
}

#[test]
fn addresses_are_those_that_a_caller_can_use() {
    let check = |address: &str, wanted: (&str, &str)| {
        let addresses = Addresses { http: address.parse().unwrap(), ..Addresses::default() };
        assert_eq!(addresses.of(Plane::Inference), (wanted.0.to_owned(), wanted.1.to_owned()));
    };
    check("10.0.0.7:9000", ("10.0.0.7", "9000"));
    check("0.0.0.0:8000", ("127.0.0.1", "8000"));
    check("[::1]:8000", ("[::1]", "8000"));
}

#[test]
fn addresses_that_are_asked_over_tls_say_so() {
    let addresses = Addresses { is_https: true, ..Addresses::default() };
    let described = super::document::document(Plane::Operations, &addresses);
    let server = &described["paths"]["/v2"]["servers"][0]["url"];
    assert_eq!(server, "https://{host}:{port}");
    let page = super::page(&addresses);
    assert!(page.contains("https://127.0.0.1:800") && !page.contains("http://"));
}

#[test]
fn the_page_shows_everything_and_asks_nobody_for_anything() {
    let page = super::page(&Addresses::default());
    for (path, method) in described(Plane::Operations) {
        let operation = &document(Plane::Operations)["paths"][&path][&method];
        let heading = format!("<h3 id={}>", operation["operationId"]);
        assert_eq!(page.matches(&heading).count(), 1, "{method} {path}");
    }
    for code in Code::ALL {
        assert!(page.contains(code.as_str()), "{code}");
    }
    for forbidden in
        ["<script", "<link", "<img", "<iframe", "src=", "@import", "url(", "style=\"", "https://"]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    // The only addresses are those of the examples.
    assert!(page.split("http://").skip(1).all(|rest| rest.starts_with("127.0.0.1:800")));
    // Examples are the document's own, whatever their lines look like.
    let infer = &document(Plane::Operations)["paths"]["/v2/models/{model}/infer"]["post"];
    let shown = page
        .split("id=\"infer\"")
        .nth(1)
        .unwrap()
        .split("<pre>")
        .nth(1)
        .unwrap()
        .split("</pre>")
        .next()
        .unwrap();
    let shown: Value = serde_json::from_str(&shown.replace("&quot;", "\"")).unwrap();
    assert_eq!(shown, infer["requestBody"]["content"]["application/json"]["example"]);
    let ids: Vec<&str> = page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    for target in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(ids.contains(&target), "#{target} leads nowhere");
    }
}

#[test]
fn the_style_sheet_is_the_one_that_the_policy_allows() {
    use sha2::Digest;
    let page = super::page(&Addresses::default());
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let hash = base64(&sha2::Sha256::digest(style));
    assert!(SECURITY_POLICY.contains(&format!("'sha256-{hash}'")), "the hash in the policy must be {hash}");
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let of_three = |three: &[u8]| {
        let bits = three
            .iter()
            .chain([0; 2].iter())
            .take(3)
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        (0..4)
            .map(
                move |digit| {
                    if digit > three.len() { '=' } else { DIGITS[bits >> (18 - 6 * digit) & 63] as char }
                },
            )
            .collect::<String>()
    };
    bytes.chunks(3).map(of_three).collect()
}

#[tokio::test]
async fn the_operations_plane_serves_document_and_page() {
    let (gateway, _) = example::gateway(Mood::Answers);
    let metrics = std::sync::Arc::new(crate::Metrics::new(&example::catalogue()));
    let router = crate::ops_router(gateway, metrics);
    for (path, media_type) in [
        (DOCUMENT_PATH, "application/json"),
        ("/docs", "text/html; charset=utf-8"),
        ("/livez", "application/json"),
        ("/readyz", "application/json"),
        ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ] {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        assert_eq!((head.status.as_u16(), head.headers["content-type"].to_str().unwrap()), (200, media_type));
        assert_documented(path, "GET", 200, &head.headers, &body);
        assert_eq!(head.headers.contains_key("content-security-policy"), path == "/docs");
        if path == DOCUMENT_PATH {
            assert_eq!(&serde_json::from_slice::<Value>(&body).unwrap(), document(Plane::Operations));
            assert_eq!(document(Plane::Operations)["openapi"], json!("3.1.0"));
        }
    }
}
