mod files;
mod matrix;

use super::*;
use crate::identity::{Grants, Identity, Scopes};
use spinwell_core::TenantId;
use std::sync::Arc;

fn who(tenant: &str, roles: &[&str]) -> Identity {
    with_scopes(tenant, roles, Scopes::all())
}

fn with_scopes(tenant: &str, roles: &[&str], scopes: Scopes) -> Identity {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    let grants = Grants::new(TenantId(tenant.into()), roles, scopes);
    Identity { principal: "somebody".into(), grants: Arc::new(grants) }
}

fn model(name: &str, tenant: Option<&str>) -> Resource {
    Resource::Model { name: name.parse().unwrap(), tenant: tenant.map(|tenant| TenantId(tenant.into())) }
}

fn parse(text: &str) -> Result<PolicySet, InvalidPolicies> {
    PolicySet::parse(&[PolicyFile { name: "ours.cedar", text }])
}

fn ids(decision: &Decision) -> Vec<&str> {
    decision.policies().collect()
}

#[test]
fn what_no_policy_permits_is_denied() {
    let policies = PolicySet::parse(&[]).unwrap();
    let decision = policies.decide(&who("default", &["admin"]), Action::ServerRead, &Resource::Region);
    assert_eq!((decision.effect(), decision.why(), ids(&decision)), (Effect::Deny, Why::NoPolicy, vec![]));
    let policies = PolicySet::of_defaults();
    for roles in [&[][..], &["Viewer"], &["root"], &["Spinwell::Role::\"admin\""], &["\" || true"]] {
        for action in Action::ALL {
            let resource = matrix::thing_of(action.kinds()[0], "default");
            assert!(
                !policies.decide(&who("default", roles), *action, &resource).allowed(),
                "{roles:?} {action}"
            );
        }
    }
}

#[test]
fn tenants_do_not_reach_each_others_things() {
    let policies = PolicySet::of_defaults();
    for role in ["viewer", "predictor", "trainer", "operator", "auditor", "admin"] {
        for action in Action::ALL {
            for kind in action.kinds().iter().filter(|kind| **kind != Kind::Region) {
                let decision =
                    policies.decide(&who("acme", &[role]), *action, &matrix::thing_of(*kind, "other"));
                assert!(!decision.allowed(), "{role} {action} {kind:?}");
            }
        }
    }
    let decision = policies.decide(&who("acme", &["admin"]), Action::ModelRead, &model("m", Some("other")));
    assert_eq!(ids(&decision), ["spinwell.tenants-keep-to-their-models"]);
    let all = policies.decide(&who("acme", &["auditor"]), Action::LedgerRead, &Resource::Ledger(None));
    assert_eq!(ids(&all), ["spinwell.tenants-keep-to-their-ledger"]);
}

#[test]
fn the_house_administers_tenants_and_does_not_reach_their_models() {
    let policies = PolicySet::of_defaults();
    let admin = who("default", &["admin"]);
    let acme = || TenantId("acme".into());
    let may = |action, resource: &Resource| policies.decide(&admin, action, resource).allowed();
    assert!(may(Action::TokenWrite, &Resource::Tenant(acme())));
    assert!(may(Action::LedgerRead, &Resource::Ledger(Some(acme()))));
    assert!(may(Action::LedgerRead, &Resource::Ledger(None)));
    assert!(!may(Action::ModelDelete, &model("m", Some("acme"))));
    assert!(!may(Action::SequenceRead, &Resource::Sequence { model: "m".parse().unwrap(), tenant: acme() }));
}

#[test]
fn shared_models_are_asked_by_everybody_and_changed_by_the_house() {
    let policies = PolicySet::of_defaults();
    let shared = model("taxi", None);
    let may = |tenant, role, action| policies.decide(&who(tenant, &[role]), action, &shared).allowed();
    assert!(may("acme", "predictor", Action::PredictionCreate));
    assert!(!may("acme", "trainer", Action::ModelDelete));
    assert!(!may("acme", "admin", Action::ModelLoad));
    assert!(may("default", "trainer", Action::ModelDelete));
    assert!(may("default", "operator", Action::ModelLoad));
}

#[test]
fn a_tenants_operator_is_not_the_regions() {
    let policies = PolicySet::of_defaults();
    let decide = |tenant, action| policies.decide(&who(tenant, &["operator"]), action, &Resource::Region);
    assert!(decide("default", Action::ClusterWrite).allowed());
    assert_eq!(ids(&decide("acme", Action::ClusterWrite)), ["the-house-runs-the-region"]);
    assert!(decide("acme", Action::ServerRead).allowed());
}

#[test]
fn no_policy_file_opens_tenants_to_each_other() {
    let policies = parse("@id(\"all\") permit (principal, action, resource);").unwrap();
    let alice = who("acme", &[]);
    assert!(policies.decide(&alice, Action::ModelDelete, &model("m", Some("acme"))).allowed());
    assert!(policies.decide(&alice, Action::ClusterWrite, &Resource::Region).allowed());
    for resource in [
        model("m", Some("other")),
        Resource::Sequence { model: "m".parse().unwrap(), tenant: TenantId("other".into()) },
    ] {
        let action = if resource.kind() == Kind::Model { Action::ModelRead } else { Action::SequenceRead };
        assert!(!policies.decide(&alice, action, &resource).allowed());
    }
}

#[test]
fn scopes_take_away_whatever_the_roles() {
    let policies = PolicySet::of_defaults();
    let scopes =
        Scopes { models: vec!["taxi*".parse().unwrap()], actions: vec!["Prediction*".parse().unwrap()] };
    let key = with_scopes("default", &["admin"], scopes);
    assert!(policies.decide(&key, Action::PredictionCreate, &model("taxi-2", None)).allowed());
    let other = policies.decide(&key, Action::PredictionCreate, &model("flow", None));
    assert_eq!((other.effect(), other.why()), (Effect::Deny, Why::Scope));
    assert_eq!(policies.decide(&key, Action::ClusterWrite, &Resource::Region).why(), Why::Scope);
}

#[test]
fn an_action_on_another_kind_of_thing_is_denied() {
    let policies = parse("@id(\"all\") permit (principal, action, resource);").unwrap();
    let decision = policies.decide(&who("default", &["admin"]), Action::ClusterWrite, &model("m", None));
    assert_eq!((decision.effect(), decision.why()), (Effect::Deny, Why::Failed));
}

#[test]
fn a_policy_that_fails_denies() {
    let text = "@id(\"all\") permit (principal, action, resource);\n\
        @id(\"odd\") forbid (principal, action, resource is Spinwell::Model) \
        when { resource.name like \"x*\" && 9223372036854775807 + 1 == 2 };";
    let policies = parse(text).unwrap();
    let decision = policies.decide(&who("default", &[]), Action::ModelRead, &model("x1", None));
    assert_eq!((decision.effect(), decision.why(), ids(&decision)), (Effect::Deny, Why::Failed, vec!["odd"]));
    assert!(policies.decide(&who("default", &[]), Action::ModelRead, &model("y1", None)).allowed());
}

#[test]
fn decisions_are_kept_by_grants_unless_a_policy_names_a_caller() {
    let resource = model("m", None);
    let named = |name: &str| Identity { principal: name.into(), ..who("default", &["viewer"]) };
    let policies = PolicySet::of_defaults();
    for name in ["alice", "bob"] {
        assert!(policies.decide(&named(name), Action::ModelRead, &resource).allowed());
    }
    assert_eq!(policies.kept(), 1);
    let policies =
        parse("@id(\"alice\") permit (principal == Spinwell::User::\"alice\", action, resource);").unwrap();
    assert!(policies.decide(&named("alice"), Action::ModelRead, &resource).allowed());
    assert!(!policies.decide(&named("bob"), Action::ModelRead, &resource).allowed());
    assert_eq!(policies.kept(), 2);
    let condition =
        "@id(\"a\") permit (principal, action, resource) when { principal == Spinwell::User::\"alice\" };";
    let policies = parse(condition).unwrap();
    assert!(policies.decide(&named("alice"), Action::ModelRead, &resource).allowed());
    assert!(!policies.decide(&named("bob"), Action::ModelRead, &resource).allowed());
}

#[test]
fn what_is_kept_equals_what_is_decided_anew() {
    let policies = PolicySet::of_defaults();
    for who in [who("acme", &["viewer"]), who("default", &["trainer", "auditor"])] {
        for action in Action::ALL {
            for resource in action.kinds().iter().map(|kind| matrix::thing_of(*kind, "acme")) {
                let anew = policies.decide_anew(&who, *action, &resource);
                assert_eq!(policies.decide(&who, *action, &resource), anew);
                assert_eq!(policies.decide(&who, *action, &resource), anew);
            }
        }
    }
}
