//! Who may do what by default, written out: a change of the default policies changes this table too.

use super::*;
use std::collections::BTreeSet;

const ROLES: [&str; 6] = ["viewer", "predictor", "trainer", "operator", "auditor", "admin"];

/// An `x` where the role may, in the house's own tenant; columns as in [`ROLES`].
const MATRIX: &[(Action, &str)] = &[
    (Action::ServerRead, "xxxxxx"),
    (Action::ModelList, "xxxxxx"),
    (Action::ModelRead, "xxxxxx"),
    (Action::StatisticsRead, "xxxxxx"),
    (Action::SloRead, "xxxxxx"),
    (Action::ReceiptRead, "xxxxxx"),
    (Action::PredictionCreate, ".xx..x"),
    (Action::ObservationWrite, ".xx..x"),
    (Action::SequenceStep, ".xx..x"),
    (Action::SequenceRead, ".xx..x"),
    (Action::SequenceWrite, ".xx..x"),
    (Action::ModelTrain, "..x..x"),
    (Action::TrainingRead, "..x..x"),
    (Action::ModelWrite, "..x..x"),
    (Action::ModelDelete, "..x..x"),
    (Action::ModelLoad, "..xx.x"),
    (Action::ModelUnload, "..xx.x"),
    (Action::MetricsRead, "...x.x"),
    (Action::ClusterRead, "...x.x"),
    (Action::ClusterWrite, "...x.x"),
    (Action::StrategyWrite, "...x.x"),
    (Action::CapacityRead, "...x.x"),
    (Action::CostRead, "...x.x"),
    (Action::SloWrite, "...x.x"),
    (Action::MaintenanceWrite, "...x.x"),
    (Action::BackupCreate, "...x.x"),
    (Action::BackupRestore, "...x.x"),
    (Action::RegionFailover, "...x.x"),
    (Action::DrillRun, "...x.x"),
    (Action::LedgerRead, "....xx"),
    (Action::LedgerExport, "....xx"),
    (Action::LedgerReplay, "....xx"),
    (Action::ComplianceRead, "....xx"),
    (Action::ThreatRead, "....xx"),
    (Action::PolicyRead, "....xx"),
    (Action::TokenRead, "....xx"),
    (Action::ConsentRead, "....xx"),
    (Action::TokenWrite, ".....x"),
    (Action::ConsentWrite, ".....x"),
    (Action::SubjectExport, ".....x"),
    (Action::SubjectErase, ".....x"),
    (Action::KeyRotate, ".....x"),
    (Action::PolicyWrite, ".....x"),
    (Action::ThreatWrite, ".....x"),
    (Action::RetentionWrite, ".....x"),
    (Action::BreachWrite, ".....x"),
];

/// A thing of this kind that belongs to `tenant`, where things of its kind belong to somebody.
pub(super) fn thing_of(kind: Kind, tenant: &str) -> Resource {
    let tenant = || TenantId(tenant.into());
    match kind {
        Kind::Model => Resource::Model { name: "m".parse().unwrap(), tenant: Some(tenant()) },
        Kind::Sequence => Resource::Sequence { model: "m".parse().unwrap(), tenant: tenant() },
        Kind::Region => Resource::Region,
        Kind::Tenant => Resource::Tenant(tenant()),
        Kind::Ledger => Resource::Ledger(Some(tenant())),
    }
}

#[test]
fn roles_may_do_what_the_table_says_and_nothing_else() {
    let policies = PolicySet::of_defaults();
    assert!(MATRIX.iter().map(|(action, _)| action).eq(Action::ALL), "every action once, in order");
    for (action, row) in MATRIX {
        for (role, may) in ROLES.iter().zip(row.chars()) {
            for kind in action.kinds() {
                let decision =
                    policies.decide(&who("default", &[role]), *action, &thing_of(*kind, "default"));
                assert_eq!(decision.allowed(), may == 'x', "{role} {action} {kind:?}: {decision:?}");
                assert_eq!(decision.policies().count() > 0, may == 'x', "each permit has its policy");
            }
        }
    }
}

#[test]
fn in_another_tenant_roles_do_the_same_to_its_own_things_but_not_to_the_region() {
    let policies = PolicySet::of_defaults();
    for (action, row) in MATRIX {
        for (role, may) in ROLES.iter().zip(row.chars()) {
            for kind in action.kinds() {
                let decision = policies.decide(&who("acme", &[role]), *action, &thing_of(*kind, "acme"));
                let viewing = MATRIX.iter().position(|(other, _)| other == action).unwrap() < 6;
                let may = may == 'x' && (*kind != Kind::Region || viewing);
                assert_eq!(decision.allowed(), may, "{role} {action} {kind:?}");
            }
        }
    }
}

#[test]
fn actions_and_schema_agree() {
    let schema: cedar_policy::Schema = SCHEMA.parse().unwrap();
    let groups: BTreeSet<String> =
        schema.action_groups().map(|uid| uid.id().unescaped().to_owned()).collect();
    let names: BTreeSet<String> = schema.actions().map(|uid| uid.id().unescaped().to_owned()).collect();
    let ours: BTreeSet<String> = Action::ALL.iter().map(|action| action.name().to_owned()).collect();
    assert_eq!(names.difference(&groups).cloned().collect::<BTreeSet<_>>(), ours);
    for action in Action::ALL {
        let uid = format!("Spinwell::Action::\"{action}\"").parse().unwrap();
        let kinds: BTreeSet<String> =
            schema.resources_for_action(&uid).unwrap().map(|name| name.basename().to_owned()).collect();
        let ours: BTreeSet<String> = action.kinds().iter().map(|kind| kind.name().to_owned()).collect();
        assert_eq!(kinds, ours, "{action}");
        assert_eq!(action.name().parse::<Action>(), Ok(*action));
    }
    assert_eq!("Fly".parse::<Action>(), Err(UnknownAction("Fly".into())));
}
