//! What a control can be asked over HTTP: one table of routes, of which its router and the document at `/openapi.json` are made.
//!
//! The gateway's planes have a table of their own, in a form that describes much more than is needed for these few routes.

use crate::levels;
use axum::handler::Handler;
use axum::routing::{MethodRouter, get, post};
use serde_json::{Map, Value, json};
use spinwell_core::Code;
use spinwell_protocol::status;
use spinwell_security::access::Action;
use std::collections::BTreeMap;

/// One method of one path: who answers, and what callers may know of it.
pub(crate) struct Route<S> {
    pub(crate) path: &'static str,
    pub(crate) handler: MethodRouter<S>,
    method: &'static str,
    pub(crate) described: Described,
}

/// What callers may know.
pub(crate) struct Described {
    /// The name that generated clients call it by.
    pub(crate) id: &'static str,
    /// What it does, in a line.
    pub(crate) summary: &'static str,
    /// What its caller must be allowed to do to the region; nothing where anybody may ask.
    pub(crate) need: Option<Action>,
    /// What its query may say.
    pub(crate) query: Vec<Value>,
    /// The type of what it answers, and its schema.
    pub(crate) gives: (&'static str, Value),
    /// The codes that it can fail with.
    pub(crate) fails: &'static [Code],
}

impl<S: Clone + Send + Sync + 'static> Route<S> {
    pub(crate) fn get<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, S>,
        described: Described,
    ) -> Self {
        Self { path, handler: get(handler), method: "get", described }
    }

    pub(crate) fn post<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, S>,
        described: Described,
    ) -> Self {
        Self { path, handler: post(handler), method: "post", described }
    }
}

/// The document of these routes.
pub(crate) fn document<S>(routes: &[Route<S>]) -> Value {
    let mut paths = Map::new();
    for Route { path, method, described, .. } in routes {
        let item = paths.entry(*path).or_insert_with(|| json!({}));
        item[*method] = operation(described);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Spinwell control",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Who leads a region, which nodes are looked after, and what is to be done. Any answer but a 200 is an \
                Error: a message, a stable code, and whether to try again.",
            "license": {"name": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "Where this document came from."}],
        "paths": paths,
        "components": {
            "schemas": {
                "Error": error(), "Plan": plan(), "Size": size(), "Control": control(),
                "ServiceLevels": levels::schema(),
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "certificate": {"type": "mutualTLS"},
            },
        },
    })
}

fn operation(described: &Described) -> Value {
    let Described { id, summary, need, query, gives: (media_type, schema), fails } = described;
    let mut content = Map::new();
    content.insert((*media_type).to_owned(), json!({"schema": schema}));
    let mut responses =
        Map::from_iter([("200".to_owned(), json!({"description": "Done.", "content": content}))]);
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    let at_the_door: &[Code] = match need {
        Some(_) => &[Code::CredentialsMissing, Code::CredentialsRefused, Code::NotPermitted],
        None => &[],
    };
    for code in fails.iter().chain(at_the_door) {
        by_status.entry(status::http(*code)).or_default().push(*code);
    }
    responses.extend(by_status.into_iter().map(|(status, codes)| (status.to_string(), failure(&codes))));
    let mut operation = json!({"operationId": id, "summary": summary, "responses": responses});
    if let Some(action) = need {
        operation["security"] = json!([{"bearer": []}, {"certificate": []}, {}]);
        operation["x-actions"] = json!([action.name()]);
    }
    if !query.is_empty() {
        operation["parameters"] = query.clone().into();
    }
    operation
}

fn failure(codes: &[Code]) -> Value {
    let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    json!({
        "description": names.join(", "),
        "content": {"application/json": {"schema": named("Error")}},
        "x-codes": names,
    })
}

/// A schema that stands once in the document.
pub(crate) fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An object of these fields, all of which are there.
pub(crate) fn object(fields: &Value) -> Value {
    let required: Vec<&String> = fields.as_object().into_iter().flat_map(Map::keys).collect();
    json!({"type": "object", "required": required, "properties": fields})
}

pub(crate) fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

pub(crate) fn text_or_null(about: &str) -> Value {
    json!({"type": ["string", "null"], "description": about})
}

pub(crate) fn whole(about: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": about})
}

pub(crate) fn truth(about: &str) -> Value {
    json!({"type": "boolean", "description": about})
}

fn error() -> Value {
    let mut error = object(&json!({
        "error": text("What was wrong, and what would be right."),
        "code": text("Stable, with a page in the documentation."),
        "retryable": truth("Whether the same may work later."),
    }));
    error["properties"]["retry_after_ms"] = whole("When to try again, where that is known.");
    error
}

fn plan() -> Value {
    let mut node = object(&json!({
        "id": text("The node's name."),
        "step": {"enum": ["waiting", "draining", "back", "gone", "left"]},
    }));
    node["properties"]["life"] =
        text("Of a node that is told to stop: the life of its process that is to end.");
    node["properties"]["took_ms"] = whole("Of a node that is back or gone: how long that took.");
    let mut plan = object(&json!({
        "id": whole("Its number; later plans have greater ones."),
        "kind": {"enum": ["restart", "retirement"]},
        "generation": whole("Of the leader that wrote last; 0 where none has taken it up."),
        "is_over": truth("Whether nothing more is done for it."),
        "nodes": {"type": "array", "items": node, "description": "In the order in which they stop."},
        "stuck": text_or_null("Why it has ended before all nodes were done."),
        "waits_for": text_or_null("What is waited for."),
    }));
    let times = [
        (
            "then",
            json!({"enum": ["anew", "gone"], "description": "What becomes of a node that has stopped."}),
        ),
        ("begun_ms", whole("When it was asked for, since 1970.")),
        ("since_ms", whole("Since when what is waited for is waited for.")),
        ("looked_since_ms", whole("Since when whoever carries it out looks.")),
        ("patience_ms", whole("How long anything may take before it ends.")),
    ];
    // Not of one that this release cannot read.
    for (key, schema) in times {
        plan["properties"][key] = schema;
    }
    plan
}

fn size() -> Value {
    let names = |about: &str| json!({"type": "array", "items": text("A node's name."), "description": about});
    let mut failure =
        object(&json!({"what": {"enum": ["NodeAdditionFailed", "NodeRemovalFailed", "Superseded"]}}));
    failure["properties"]["node"] = text("The node that does not serve, or is there still.");
    object(&json!({
        "id": whole("Its number; later ones have greater ones."),
        "is_over": truth("Whether nothing more is waited for."),
        "configured": whole("How many nodes the configuration asked for when this was wanted."),
        "before": names("Those that were looked after before."),
        "wanted": names("Those that are looked after since."),
        "by": {"enum": ["operator"]},
        "begun_ms": whole("When it was asked for, since 1970."),
        "patience_ms": whole("How long each node may take to come or to go."),
        "ended_ms": {"type": ["integer", "null"], "description": "When nothing more was waited for."},
        "failed": {"type": "array", "items": failure, "description": "What had not come about by then."},
    }))
}

fn control() -> Value {
    let node = object(&json!({
        "id": text("Its name."),
        "pid": whole("The number of its process."),
        "address": text("Where gateways reach it."),
        "ops": text("Where its metrics are."),
        "adopted": truth("Whether an earlier control has started it."),
    }));
    let plan = json!({"anyOf": [named("Plan"), {"type": "null"}]});
    object(&json!({
        "id": text("The control's name."),
        "leads": truth("Whether it leads."),
        "generation": whole("Of the lease; rises with every leader."),
        "holder": text_or_null("Who leads."),
        "nodes": {"type": "array", "items": node, "description": "Nodes on this machine that are looked after."},
        "left_over": {"type": "array", "items": text(""), "description": "Nodes on this machine that are looked after no more."},
        "plan": plan,
        "retirement": plan,
        "size": json!({"anyOf": [named("Size"), {"type": "null"}]}),
    }))
}
