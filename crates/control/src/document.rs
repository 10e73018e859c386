//! A plan as JSON: in the store, and for operators.

use serde_json::{Value, json};
use spinwell_core::{Millis, NodeId, UnixMillis};
use spinwell_policy::rolling::{Entry, Rolling, Step, Then};

/// The document is no plan that this release knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the plan in the store is none that this release can carry out: {0} is missing or unknown")]
pub(crate) struct InvalidPlan(&'static str);

/// A plan as JSON.
pub(crate) fn to_json(plan: &Rolling) -> Value {
    let nodes: Vec<Value> = plan.nodes.iter().map(entry).collect();
    let then = match plan.then {
        Then::Anew => "anew",
        Then::Gone => "gone",
    };
    json!({
        "then": then,
        "begun_ms": plan.begun.0,
        "since_ms": plan.since.0,
        "looked_since_ms": plan.looked_since.0,
        "patience_ms": plan.patience.0,
        "nodes": nodes,
        "stuck": plan.stuck,
    })
}

fn entry(Entry { id, step }: &Entry) -> Value {
    let id = id.to_string();
    match step {
        Step::Waiting => json!({"id": id, "step": "waiting"}),
        // As text: a number of 64 bits is more than many readers of JSON keep.
        Step::Draining { life } => json!({"id": id, "step": "draining", "life": format!("{life:016x}")}),
        Step::Back { took } => json!({"id": id, "step": "back", "took_ms": took.0}),
        Step::Gone { took } => json!({"id": id, "step": "gone", "took_ms": took.0}),
        Step::Left => json!({"id": id, "step": "left"}),
    }
}

/// A plan from JSON.
///
/// # Errors
/// Where it is none.
pub(crate) fn from_json(document: &Value) -> Result<Rolling, InvalidPlan> {
    let number = |key: &'static str| document[key].as_u64().ok_or(InvalidPlan(key));
    // One of no nodes would be under way for ever.
    let nodes = document["nodes"].as_array().filter(|nodes| !nodes.is_empty()).ok_or(InvalidPlan("nodes"))?;
    let since = number("since_ms")?;
    let then = match document["then"].as_str() {
        Some("anew") => Then::Anew,
        Some("gone") => Then::Gone,
        // A release before this one knew nothing else.
        None if document["then"].is_null() => Then::Anew,
        _ => return Err(InvalidPlan("then")),
    };
    Ok(Rolling {
        then,
        begun: UnixMillis(number("begun_ms")?),
        since: UnixMillis(since),
        // A release before this one did not tell them apart.
        looked_since: UnixMillis(document["looked_since_ms"].as_u64().unwrap_or(since)),
        patience: Millis(number("patience_ms")?),
        nodes: nodes.iter().map(entry_of).collect::<Result<_, _>>()?,
        stuck: document["stuck"].as_str().map(str::to_owned),
    })
}

fn entry_of(entry: &Value) -> Result<Entry, InvalidPlan> {
    let id = entry["id"].as_str().ok_or(InvalidPlan("id"))?;
    let took = || entry["took_ms"].as_u64().map(Millis).ok_or(InvalidPlan("took_ms"));
    let step = match entry["step"].as_str() {
        Some("waiting") => Step::Waiting,
        Some("draining") => {
            let life = entry["life"].as_str().and_then(|text| u64::from_str_radix(text, 16).ok());
            Step::Draining { life: life.ok_or(InvalidPlan("life"))? }
        }
        Some("back") => Step::Back { took: took()? },
        Some("gone") => Step::Gone { took: took()? },
        Some("left") => Step::Left,
        _ => return Err(InvalidPlan("step")),
    };
    Ok(Entry { id: NodeId(id.into()), step })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_back_and_what_is_none_is_refused() {
        let steps =
            [Step::Back { took: Millis(7) }, Step::Left, Step::Draining { life: u64::MAX }, Step::Waiting];
        let entry = |(number, step)| Entry { id: NodeId(format!("n{number}").into()), step };
        let plan = Rolling {
            then: Then::Anew,
            begun: UnixMillis(1),
            since: UnixMillis(2),
            looked_since: UnixMillis(4),
            patience: Millis(3),
            nodes: steps.into_iter().enumerate().map(entry).collect(),
            stuck: Some("why".to_owned()),
        };
        assert_eq!(from_json(&to_json(&plan)).unwrap(), plan);
        let gone = entry((0, Step::Gone { took: Millis(8) }));
        let going = Rolling { stuck: None, then: Then::Gone, nodes: vec![gone], ..plan };
        assert_eq!(from_json(&to_json(&going)).unwrap(), going);
        let later =
            json!({"begun_ms": 1, "since_ms": 1, "patience_ms": 1, "nodes": [{"id": "n", "step": "later"}]});
        let nobody = json!({"begun_ms": 1, "since_ms": 1, "patience_ms": 1, "nodes": []});
        let mut then = later.clone();
        then["then"] = "later".into();
        let empty = [(json!({}), "nodes"), (json!([]), "nodes"), (nobody, "nodes")];
        for (wrong, what) in empty.into_iter().chain([(later, "step"), (then, "then")]) {
            assert_eq!(from_json(&wrong), Err(InvalidPlan(what)), "{wrong}");
        }
    }
}
