//! What lines of a log are searched by: records by their members, events by what those stand for in them.

use serde_json::Value;

/// What an event is about that is about an API key.
pub const API_KEY: &str = "API key";

/// The members that are looked at where one is sought: an API key is found by its principal and by its name.
#[must_use]
pub fn looked_at(sought: &str) -> Vec<&str> {
    if sought == "principal" { vec![sought, "key_name"] } else { vec![sought] }
}

/// A member of a line as text; nothing where it has none.
///
/// Of an event the members are `principal` (who did it, or whom an API key is of), `key` (the one with which it was done, or that it is about), `key_name`, `tenant`, `model` and `result`: `begun`, `done`
/// or the code that it failed with.
#[must_use]
pub fn text(line: &Value, member: &str) -> Option<String> {
    if line["kind"] == "event" {
        return of_event(&line["event"], member).map(str::to_owned);
    }
    match line.get(member)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn of_event<'e>(event: &'e Value, member: &str) -> Option<&'e str> {
    let at = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    match member {
        "principal" => at("/actor/user/name").or_else(|| at("/entity/data/principal")),
        "key" => at("/actor/user/credential_uid")
            .or_else(|| at("/entity/type").filter(|kind| *kind == API_KEY).and_then(|_| at("/entity/uid"))),
        "key_name" => at("/entity/data/principal").and_then(|_| at("/entity/name")),
        "tenant" => at("/actor/user/org/name").or_else(|| at("/entity/data/tenant")),
        "model" => model(event["resources"].as_array()?),
        "result" => at("/status_code").or(match (at("/unmapped/phase"), event["status_id"].as_u64()) {
            (Some("begun"), _) => Some("begun"),
            (_, Some(1)) => Some("done"),
            _ => None,
        }),
        _ => None,
    }
}

/// The model that something was done to. A sequence is named TENANT/MODEL.
fn model(resources: &[Value]) -> Option<&str> {
    resources.iter().find_map(|resource| {
        let name = resource["name"].as_str()?;
        match resource["type"].as_str()? {
            "Model" => Some(name),
            "Sequence" => name.rsplit_once('/').map(|(_, model)| model),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ocsf::{Act, Phase, Source, activity};
    use serde_json::json;
    use spinwell_core::UnixMillis;

    fn texts(line: &Value) -> [Option<String>; 5] {
        ["principal", "key_name", "tenant", "model", "result"].map(|member| text(line, member))
    }

    #[test]
    fn events_are_found_by_what_records_are_found_by() {
        let act = Act {
            activity: (3, "Update"),
            principal: "acme/eve",
            key: "00ff",
            tenant: "acme",
            address: "",
            operation: "ModelUnload",
            place: "POST /v2",
            resource: ("Model", "taxi"),
            policy: "admins",
            phase: Phase::Begun,
            count: 1,
        };
        let line = |act| {
            let event = activity(Source { log: "g1", version: "1", at: UnixMillis(5) }, act).unwrap();
            json!({"kind": "event", "at": 5, "event": event.object()})
        };
        let some = |text: &str| Some(text.to_owned());
        let of =
            |model: &str, result: &str| [some("acme/eve"), None, some("acme"), some(model), some(result)];
        assert_eq!(texts(&line(act)), of("taxi", "begun"));
        assert_eq!(texts(&line(Act { phase: Phase::Done, ..act })), of("taxi", "done"));
        let failed = Act { phase: Phase::Failed("SPW-MODEL-NOT-FOUND"), ..act };
        assert_eq!(texts(&line(failed)), of("taxi", "SPW-MODEL-NOT-FOUND"));
        assert_eq!(texts(&line(Act { resource: ("Sequence", "acme/wave"), ..act })), of("wave", "begun"));
        assert_eq!(text(&line(Act { resource: ("Region", "region"), ..act }), "model"), None);
        assert_eq!(text(&line(act), "key"), some("00ff"));
    }

    #[test]
    fn keys_are_found_by_whom_they_are_of_and_other_lines_by_their_members() {
        let data = json!({"principal": "acme/meter", "tenant": "acme"});
        let entity = json!({"type": API_KEY, "uid": "00ff", "name": "meter-7", "data": data});
        let key = json!({"kind": "event", "event": {"status_id": 1, "entity": entity}});
        let policies = json!({"kind": "event", "event": {"entity": {"type": "Policies", "uid": "00ff"}}});
        assert_eq!((text(&key, "key"), text(&policies, "key")), (Some("00ff".to_owned()), None));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(texts(&key), [some("acme/meter"), some("meter-7"), some("acme"), None, some("done")]);
        let policies = json!({"kind": "event", "event": {"entity": {"name": "policies"}}});
        assert_eq!(texts(&policies), [None, None, None, None, None]);
        let record = json!({"n": 4, "principal": "a", "step": 7, "node": null});
        assert_eq!(
            ["principal", "step", "node", "model"].map(|member| text(&record, member)),
            [some("a"), some("7"), None, None]
        );
        assert_eq!(
            (looked_at("principal"), looked_at("model")),
            (vec!["principal", "key_name"], vec!["model"])
        );
    }
}
