//! Files with mistakes in them, and tests of policies.

use super::*;
use proptest::prelude::*;

fn messages(text: &str) -> Vec<String> {
    parse(text).unwrap_err().0.iter().map(ToString::to_string).collect()
}

/// Parts that the one message for `text` must have.
fn check(text: &str, parts: &[&str]) {
    let messages = messages(text);
    assert_eq!(messages.len(), 1, "{messages:#?}");
    for part in parts {
        assert!(messages[0].contains(part), "{part:?} is not in {:?}", messages[0]);
    }
}

#[test]
fn mistakes_are_shown_with_their_place_and_what_would_be_right() {
    let permit = |action: &str| {
        format!(
            "@id(\"one\")\npermit (\n  principal,\n  action == Spinwell::Action::\"{action}\",\n  resource\n);\n"
        )
    };
    check(&permit("ModelRaed"), &["ours.cedar:4:13", "ModelRaed", "did you mean", "ModelRead"]);
    check("@id(\"one\")\npermit (principal, action);\n", &["ours.cedar:2", "resource"]);
    check("@id(\"one\")\npermit (principal, action, resource)\n", &["ours.cedar:2", "expected"]);
    check(
        "\npermit (principal, action, resource);",
        &["ours.cedar:2:1", "without a name", "@id(\"some-name\")"],
    );
    check(
        "@id(\"one\") permit (principal, action, resource is Spinwell::Model)\nwhen { resource.nmae == \"x\" };",
        &["ours.cedar:2", "nmae", "name"],
    );
    check(
        "@id(\"one\") permit (principal, action, resource is Spinwell::Model)\nwhen { resource.tenant == principal.tenant };",
        &["ours.cedar:2", "tenant", "has"],
    );
    check("@id(\"one\") permit (principal is Spinwell::Usr, action, resource);", &["ours.cedar:1", "User"]);
    check(
        "@id(\"spinwell.tenants-keep-to-their-models\") permit (principal, action, resource);",
        &["ours.cedar:1:1", "reserved"],
    );
    check("@id(\"one\") permit (principal == ?principal, action, resource);", &["templates are not read"]);
}

#[test]
fn what_can_never_apply_is_a_mistake() {
    let never = "@id(\"one\") permit (principal, action == Spinwell::Action::\"ModelRead\", resource is Spinwell::Region);";
    let found = messages(never);
    assert!(found.iter().all(|message| message.starts_with("ours.cedar:1:")), "{found:?}");
}

#[test]
fn two_of_one_name_are_shown_with_both_places_and_all_mistakes_at_once() {
    let text = "@id(\"a\") permit (principal, action, resource);\n\n@id(\"a\") forbid (principal, action, resource);\n\
        forbid (principal, action, resource);\n";
    let messages = messages(text);
    assert_eq!(messages.len(), 2);
    assert!(
        messages[0]
            .starts_with("ours.cedar:3:1: two policies are called \"a\" (the other is at ours.cedar:1)"),
        "{messages:?}"
    );
    assert!(messages[1].starts_with("ours.cedar:4:1"), "{messages:?}");
}

#[test]
fn policies_are_listed_with_their_places() {
    let policies = parse("// one\n@id(\"b\")\npermit (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);").unwrap();
    let listed: Vec<(&str, &str, usize, Effect)> = policies
        .policies()
        .iter()
        .map(|policy| (&*policy.id, policy.file.as_str(), policy.line, policy.effect))
        .filter(|(id, ..)| !id.starts_with("spinwell."))
        .collect();
    assert_eq!(listed, [("b", "ours.cedar", 2, Effect::Allow), ("a", "ours.cedar", 4, Effect::Deny)]);
    assert_ne!(policies.hash(), PolicySet::of_defaults().hash());
    assert_eq!(PolicySet::of_defaults().hash(), PolicySet::of_defaults().hash());
}

#[test]
fn a_file_that_is_too_long_is_not_read() {
    check(&" ".repeat(1 << 21), &["at most"]);
}

const TESTS: &str = include_str!("../../../policies/default.test.toml");

#[test]
fn the_default_policies_pass_their_tests() {
    let report = run_tests(&PolicySet::of_defaults(), "default.test.toml", TESTS).unwrap();
    let failed: Vec<String> = report.failed().map(ToString::to_string).collect();
    assert!(report.passed() && report.cases.len() >= 10, "{failed:#?}");
}

#[test]
fn a_case_that_fails_says_what_came_instead() {
    let text = "[[case]]\nroles = [\"viewer\"]\naction = \"ModelRead\"\nresource = { kind = \"model\", name = \"taxi\" }\n\
        expect = \"deny\"\n\n[[case]]\nname = \"by another\"\nroles = [\"viewer\"]\naction = \"ModelRead\"\n\
        resource = { kind = \"model\", name = \"taxi\" }\nexpect = \"allow\"\npolicy = \"predictors-predict\"\n";
    let report = run_tests(&PolicySet::of_defaults(), "t.toml", text).unwrap();
    let lines: Vec<String> = report.failed().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "FAILED line 1: viewer of default: ModelRead on model taxi: expected deny, but it is allow by viewers-view",
            "FAILED line 7: by another: expected allow by predictors-predict, but it is allow by viewers-view",
        ]
    );
    assert!(!report.passed());
}

#[test]
fn test_files_with_mistakes_say_where() {
    let good = "[[case]]\naction = \"ServerRead\"\nresource = { kind = \"region\" }\nexpect = \"deny\"\n";
    assert!(run_tests(&PolicySet::of_defaults(), "t.toml", good).unwrap().passed());
    let rows = [
        ("", "t.toml:1:1: no [[case]]"),
        ("cases = 1", "t.toml:1:1: unknown key \"cases\""),
        ("[[case]\n", "t.toml:1"),
        (&good.replace("ServerRead", "ServerRaed"), "t.toml:2:10: \"ServerRaed\" is not an action"),
        (&good.replace("region", "planet"), "t.toml:3:21: kind is model, sequence"),
        (&good.replace("\"region\"", "\"model\""), "t.toml:3:12: it has no \"name\""),
        (
            &good.replace("\"region\"", "\"ledger\""),
            "t.toml:3:12: ServerRead is not for this: its kind is region",
        ),
        (&good.replace("\"deny\"", "\"no\""), "t.toml:4:10: expect is"),
        (&good.replace("\"deny\"", "false"), "t.toml:4:10: this must be a text"),
        (&good.replace("expect", "expects"), "t.toml:4:1: unknown key \"expects\""),
        (&good.replace("expect = \"deny\"", ""), "t.toml:1:1: this case has no \"expect\""),
        (&format!("{good}scopes = {{ models = [\"a b\"] }}"), "t.toml:5:22: \"a b\" is not a pattern"),
    ];
    for (text, message) in rows {
        let invalid = run_tests(&PolicySet::of_defaults(), "t.toml", text).unwrap_err().to_string();
        assert!(invalid.starts_with(message), "{invalid:?} for {message:?}");
    }
}

thread_local! {
    static NO_POLICIES: PolicySet = PolicySet::parse(&[]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,200}", inside in "[a-z@\"(){}:;.=,| ]{0,60}") {
        let _ = parse(&text);
        let _ = parse(&format!("@id(\"a\") permit (principal, action, resource) when {{ {inside} }};"));
        NO_POLICIES.with(|policies| drop(run_tests(policies, "t.toml", &text)));
    }
}
