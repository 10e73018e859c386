//! The OpenAPI document, made from the tables of routes.
//!
//! Both planes serve all of it. Paths of the plane that a document came from are relative to where it came from; those of the
//! other plane name its address, as a server with variables.

use super::{Addresses, Content, Header, Operation, Parameter, Plane, Route, Schema, shapes};
use crate::VERSION;
use serde_json::{Map, Value, json};
use spinwell_core::{Code, Fault, Millis};
use spinwell_protocol::status;
use spinwell_security::access::Action;
use std::collections::BTreeMap;

const ABOUT: &str = "Predictions of time series from reservoir models, over the Open Inference Protocol V2 with Triton's \
    extensions binary_tensor_data, sequence, schedule_policy, model_repository, model_configuration and statistics. gRPC \
    (port 8001) offers the same. Any answer but a 200 is an Error: a message, a stable code, and whether to try again.";

/// What every path may be answered with: a head that is no HTTP, or too large, or a path that this listener does not have.
const OF_EVERY_PATH: [(u16, Code); 3] =
    [(400, Code::FramingInvalid), (404, Code::PathNotFound), (431, Code::RequestInvalid)];

/// The document as one of the planes serves it.
pub(crate) fn document(home: Plane, addresses: &Addresses) -> Value {
    let mut paths = Map::new();
    // A path that both planes have is described once, as the document's own plane has it.
    let tables = match home {
        Plane::Inference => [(home, inference(addresses)), (Plane::Operations, operations(addresses))],
        Plane::Operations => [(Plane::Inference, inference(addresses)), (home, operations(addresses))],
    };
    for (plane, table) in tables {
        for (path, method, described) in table {
            let is_shared = is_on_both(&path);
            let item = paths.entry(path.clone()).or_insert_with(|| item(&path, plane, home, addresses));
            if item.get(method).is_none() || (is_shared && plane == home) {
                item[method] = described;
            }
        }
    }
    let schemas: Map<String, Value> =
        shapes::all().into_iter().map(|(name, schema)| (name.to_owned(), schema.into_json())).collect();
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Spinwell", "version": VERSION, "description": ABOUT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/", "description": "Where this document came from."}],
        "tags": [
            {"name": tag(Plane::Inference), "description": "Port 8000 where nothing else is configured."},
            {"name": tag(Plane::Operations), "description": "Port 8002 where nothing else is configured."},
        ],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {
            "bearer": {
                "type": "http", "scheme": "bearer", "description": "An API key, or a token of an issuer that is known here.",
            },
            "certificate": {
                "type": "mutualTLS", "description": "A certificate whose name is known here. A header `Authorization` counts before it.",
            },
        }},
    })
}

fn inference(addresses: &Addresses) -> Vec<(String, &'static str, Value)> {
    described(Plane::Inference, crate::http::routes(*addresses))
}

fn operations(addresses: &Addresses) -> Vec<(String, &'static str, Value)> {
    described(Plane::Operations, crate::ops::routes(*addresses))
}

/// Whether both planes have that path.
fn is_on_both(path: &str) -> bool {
    path == super::DOCUMENT_PATH
}

fn described<S>(plane: Plane, routes: Vec<Route<S>>) -> Vec<(String, &'static str, Value)> {
    let one = |Route { path, method, operation, .. }: Route<S>| {
        let described = operation_json(&path, plane, operation);
        (path, method, described)
    };
    routes.into_iter().map(one).collect()
}

const fn tag(plane: Plane) -> &'static str {
    match plane {
        Plane::Inference => "Inference plane",
        Plane::Operations => "Operations plane",
    }
}

/// What all methods of a path have in common.
fn item(path: &str, plane: Plane, home: Plane, addresses: &Addresses) -> Value {
    let parameters: Vec<Value> = path.split('/').filter_map(path_parameter).collect();
    let mut item = json!({});
    if !parameters.is_empty() {
        item["parameters"] = parameters.into();
    }
    if plane != home && !is_on_both(path) {
        let (host, port) = addresses.of(plane);
        let url = format!("{}://{{host}}:{{port}}", addresses.scheme());
        let variables = json!({"host": {"default": host}, "port": {"default": port}});
        item["servers"] = json!([{"url": url, "description": tag(plane), "variables": variables}]);
    }
    item
}

fn path_parameter(segment: &str) -> Option<Value> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let (about, example) = match name {
        "model" => ("The model's name.", "taxi"),
        "version" => ("The number of one of its versions.", "1"),
        "node" => ("The node's name.", "n1"),
        "receipt" => ("The parameter `receipt` of an answer.", "gateway-0-4711"),
        "strategy" => ("The strategy's name.", "predictive"),
        _ => ("What the caller calls the sequence: 1 to 128 bytes of printable text.", "stream-7"),
    };
    let schema = match name {
        "sequence" => shapes::printable("", 1),
        _ => Schema::text("").with("minLength", 1),
    };
    let schema = schema.into_json();
    Some(
        json!({"name": name, "in": "path", "required": true, "description": about, "schema": schema, "example": example}),
    )
}

fn operation_json(path: &str, plane: Plane, operation: Operation) -> Value {
    let responses = responses(&operation);
    let Operation { id, summary, need, about, headers, query, takes, needs_body, compresses, .. } = operation;
    // Two paths of one operation need names of their own.
    let suffix = if path.contains("{version}") { "OfVersion" } else { "" };
    let mut described = json!({
        "operationId": format!("{id}{suffix}"),
        "tags": [tag(plane)],
        "summary": summary,
        "responses": responses,
    });
    let actions: Vec<&str> = need.actions().into_iter().map(Action::name).collect();
    if !actions.is_empty() {
        // Where `access.required` is off, nobody is asked.
        described["security"] = json!([{"bearer": []}, {"certificate": []}, {}]);
        described["x-actions"] = actions.into();
    }
    if !about.is_empty() {
        described["description"] = about.into();
    }
    let of_body = (!takes.is_empty()).then(of_body_coding);
    let codings = of_body.into_iter().chain(compresses.then(of_answer_coding));
    let headers = headers.into_iter().chain(codings).map(parameter_json);
    let parameters: Vec<Value> = query.into_iter().map(query_json).chain(headers).collect();
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if !takes.is_empty() {
        described["requestBody"] = json!({"required": needs_body, "content": contents_json(takes)});
    }
    described
}

fn of_body_coding() -> Header {
    Header {
        name: "Content-Encoding",
        about: "How the body is compressed. Its size counts uncompressed.",
        schema: Schema::one_of_texts(["identity", "gzip", "deflate"], ""),
    }
}

fn of_answer_coding() -> Header {
    Header {
        name: "Accept-Encoding",
        about: "How the answer may be compressed: gzip or deflate.",
        schema: Schema::text(""),
    }
}

fn parameter_json(Header { name, about, schema }: Header) -> Value {
    json!({"name": name, "in": "header", "required": false, "description": about, "schema": schema.into_json()})
}

fn query_json(Parameter { name, about, is_required, example }: Parameter) -> Value {
    let schema = Schema::text("").with("minLength", 1).into_json();
    json!({"name": name, "in": "query", "required": is_required, "description": about, "schema": schema, "example": example})
}

fn header_json(Header { name, about, schema }: Header) -> (String, Value) {
    (name.to_owned(), json!({"description": about, "schema": schema.into_json()}))
}

fn contents_json(contents: Vec<Content>) -> Map<String, Value> {
    let one = |Content { media_type, schema, example }: Content| {
        let mut content = json!({"schema": schema.into_json()});
        if let Some(example) = example {
            content["example"] = example;
        }
        (media_type.to_owned(), content)
    };
    contents.into_iter().map(one).collect()
}

/// The answers by status: the 200, and an error for each status that one of the codes has.
fn responses(operation: &Operation) -> Map<String, Value> {
    let mut good = json!({"description": "Done."});
    let codings = || {
        let about = "How the body is compressed, where it is.";
        Header { name: "Content-Encoding", about, schema: Schema::one_of_texts(["gzip", "deflate"], "") }
    };
    let headers =
        operation.answer_headers.iter().map(|header| Header { schema: header.schema.clone(), ..*header });
    let headers: Map<String, Value> =
        headers.chain(operation.compresses.then(codings)).map(header_json).collect();
    if !headers.is_empty() {
        good["headers"] = headers.into();
    }
    let contents = operation.gives.iter().map(|content| Content {
        media_type: content.media_type,
        schema: content.schema.clone(),
        example: content.example.clone(),
    });
    let contents = contents_json(contents.collect());
    if !contents.is_empty() {
        good["content"] = contents.into();
    }
    let failed = by_status(operation).into_iter();
    let failed = failed.map(|(status, codes)| (status.to_string(), failure(status, &codes)));
    std::iter::once(("200".to_owned(), good)).chain(failed).collect()
}

/// The statuses of an operation's failures, each with the codes that have it.
fn by_status(operation: &Operation) -> BTreeMap<u16, Vec<Code>> {
    let mut all: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    let own = operation.fails.iter().map(|code| (status::http(*code), *code));
    let of_codings = (!operation.takes.is_empty()).then_some((415, Code::NotOffered));
    for (status, code) in own.chain(OF_EVERY_PATH).chain(of_codings) {
        let codes = all.entry(status).or_default();
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    all
}

fn failure(status: u16, codes: &[Code]) -> Value {
    let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let fault = Fault::new(codes[0], "what was wrong and what would be right");
    let fault = if status == 503 { fault.retry_after(Millis(250)) } else { fault };
    let example: Value = serde_json::from_slice(&status::error_json(&fault)).unwrap_or_default();
    let mut failure = json!({
        "description": names.join(", "),
        "content": {"application/json": {"schema": Schema::named("Error").into_json(), "example": example}},
        "x-codes": names,
    });
    if status == 503 {
        let about = "Seconds after which to try again, where that is worth it.";
        let header = Header { name: "Retry-After", about, schema: Schema::whole(1, "") };
        failure["headers"] = Value::Object(Map::from_iter([header_json(header)]));
    }
    failure
}
