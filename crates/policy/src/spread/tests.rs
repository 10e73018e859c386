//! What is brought to whom, as rows of tables.

use super::*;
use proptest::prelude::*;

fn hash(first: u8) -> ModelHash {
    ModelHash([first; 32])
}

/// A file of these bytes and of that time; bytes 0 are no model, and bytes 255 none yet.
fn file(bytes: u8, modified: u64) -> Held {
    match bytes {
        0 => Held::Unreadable,
        255 => Held::Unsettled,
        bytes => Held::Whole(Copy { hash: hash(bytes), modified: UnixMillis(modified) }),
    }
}

fn node(id: &str, files: &[(u32, u8, u64)]) -> Holdings {
    let files = files.iter().map(|&(version, bytes, at)| (ModelVersion(version), file(bytes, at))).collect();
    Holdings { node: NodeId(id.into()), files }
}

/// Deliveries as node, version, bytes and sources; kept files as node, version and own bytes.
type Rows = (Vec<(String, u32, u8, String)>, Vec<(String, u32, u8)>);

fn rows(plan: &Plan) -> Rows {
    let delivery = |one: &Delivery| {
        let from: Vec<_> = one.from.iter().map(ToString::to_string).collect();
        (one.node.to_string(), one.version.0, one.hash.0[0], from.join(","))
    };
    let kept = |one: &Kept| (one.node.to_string(), one.version.0, one.own.0[0]);
    (plan.deliveries.iter().map(delivery).collect(), plan.kept.iter().map(kept).collect())
}

#[test]
fn while_a_node_is_out_of_sight_no_file_gives_way_and_only_what_is_served_is_brought() {
    let nodes = [node("a", &[(1, 5, 10), (2, 7, 10)]), node("b", &[(1, 9, 20)]), node("c", &[])];
    let served = |hash_of_1: Option<u8>| {
        move |version: ModelVersion| if version.0 == 1 { hash_of_1.map(hash) } else { None }
    };
    let brought = |served: Option<u8>, of: &dyn Fn(Option<u8>) -> Plan| rows(&of(served)).0;
    let in_part = |hash_of_1| plan(&nodes).in_part(served(hash_of_1));
    let to = |node: &str, version, bytes, from: &str| (node.to_owned(), version, bytes, from.to_owned());
    // With all in sight, the higher hash of the two wins, and a's older file would give way.
    assert_eq!(rows(&plan(&nodes)).0.len(), 4);
    let of_2 = [to("b", 2, 7, "a"), to("c", 2, 7, "a")];
    assert_eq!(brought(Some(5), &in_part), of_2, "what is served under 1 are other bytes");
    assert_eq!(brought(Some(9), &in_part), [&[to("c", 1, 9, "b")][..], &of_2].concat());
    assert_eq!(brought(None, &in_part), [&[to("c", 1, 9, "b")][..], &of_2].concat());
}

#[test]
fn who_lacks_a_version_is_brought_it_and_nobody_else() {
    let check = |nodes: &[Holdings], deliveries: &[(&str, u32, u8, &str)], kept: &[(&str, u32, u8)]| {
        let deliveries = deliveries
            .iter()
            .map(|&(node, version, bytes, from)| (node.to_owned(), version, bytes, from.to_owned()));
        let kept = kept.iter().map(|&(node, version, own)| (node.to_owned(), version, own));
        assert_eq!(rows(&plan(nodes)), (deliveries.collect(), kept.collect()), "{nodes:?}");
    };
    check(&[], &[], &[]);
    check(&[node("a", &[(1, 1, 5)])], &[], &[]);
    // Nodes that share a folder have the same.
    check(&[node("a", &[(1, 1, 5), (2, 2, 6)]), node("b", &[(1, 1, 5), (2, 2, 6)])], &[], &[]);
    check(
        &[node("a", &[(1, 1, 5)]), node("b", &[(2, 2, 5)]), node("c", &[(1, 1, 5)])],
        &[("b", 1, 1, "a,c"), ("a", 2, 2, "b"), ("c", 2, 2, "b")],
        &[],
    );
    // A file that is no model is none, and nobody is brought it.
    check(&[node("a", &[(1, 0, 9)]), node("b", &[(1, 1, 5)])], &[("a", 1, 1, "b")], &[]);
    check(&[node("a", &[(1, 0, 9)]), node("b", &[])], &[], &[]);
    // An older file gives way, a newer one stays and is told of.
    check(
        &[node("a", &[(1, 1, 5)]), node("b", &[(1, 1, 5)]), node("c", &[(1, 2, 4)])],
        &[("c", 1, 1, "a,b")],
        &[],
    );
    check(&[node("a", &[(1, 1, 5)]), node("b", &[(1, 1, 5)]), node("c", &[(1, 2, 6)])], &[], &[("c", 1, 2)]);
    // Of as many of each the higher hash is what is served; the other one gives way only where it is not newer.
    check(&[node("a", &[(1, 1, 5)]), node("b", &[(1, 2, 5)])], &[("a", 1, 2, "b")], &[]);
    check(&[node("a", &[(1, 1, 6)]), node("b", &[(1, 2, 5)])], &[], &[("a", 1, 1)]);
}

#[test]
fn a_delivery_says_why() {
    let nodes = [
        node("a", &[(1, 1, 5)]),
        node("b", &[]),
        node("c", &[(1, 0, 1)]),
        node("d", &[(1, 2, 1)]),
        node("e", &[(1, 1, 5)]),
    ];
    let why: Vec<_> = plan(&nodes).deliveries.iter().map(|one| one.why).collect();
    assert_eq!(why, [Why::Missing, Why::Unreadable, Why::Older(hash(2))]);
}

#[test]
fn what_somebody_may_be_writing_is_left_alone_and_looked_at_again() {
    let nodes = [node("a", &[(1, 1, 5)]), node("b", &[(1, 255, 9)]), node("c", &[])];
    let first = plan(&nodes);
    assert_eq!(rows(&first), (vec![("c".to_owned(), 1, 1, "a".to_owned())], vec![]));
    assert_eq!(first.unsettled, [Unsettled { node: NodeId("b".into()), version: ModelVersion(1) }]);
    // Where nobody has a whole one there is nothing that it keeps anybody from.
    assert_eq!(plan(&[node("a", &[(1, 255, 9)]), node("b", &[])]), Plan::default());
}

#[test]
fn the_last_delivery_to_a_node_completes_it_unless_it_lacks_something_still() {
    let completing = |plan: &Plan| {
        let all = plan.deliveries.iter().filter(|one| one.completes);
        all.map(|one| (one.node.to_string(), one.version.0)).collect::<Vec<_>>()
    };
    let nodes = [node("a", &[(1, 1, 5), (2, 2, 5), (3, 3, 5)]), node("b", &[(3, 3, 5)]), node("c", &[])];
    let all = plan(&nodes);
    assert_eq!(all.deliveries.len(), 5);
    assert_eq!(completing(&all), [("b".to_owned(), 2), ("c".to_owned(), 3)]);
    // Version 1 is served with other bytes, which are out of sight: b and c lack it after this plan.
    let in_part = all.clone().in_part(|version| (version.0 == 1).then_some(hash(9)));
    assert_eq!((in_part.deliveries.len(), completing(&in_part)), (3, vec![]));
    // What does not give way is there, whatever it is.
    let older =
        [node("a", &[(1, 1, 5), (2, 2, 5)]), node("b", &[(1, 1, 5), (2, 1, 5)]), node("c", &[(2, 1, 4)])];
    let in_part = plan(&older).in_part(|_| None);
    assert_eq!(completing(&in_part), [("c".to_owned(), 1)]);
}

#[test]
fn what_most_have() {
    assert_eq!(most([]), None);
    assert_eq!(most([hash(1), hash(9), hash(1)]), Some(hash(1)));
    assert_eq!(most([hash(1), hash(9)]), Some(hash(9)));
}

fn any_region() -> impl Strategy<Value = Vec<Holdings>> {
    let files = prop::collection::btree_map(1..4u32, (0..4u8, 0..4u64), 0..4);
    prop::collection::vec(files, 0..5).prop_map(|all| {
        let one = |(number, files): (usize, BTreeMap<u32, (u8, u64)>)| {
            let files: Vec<_> =
                files.into_iter().map(|(version, (bytes, at))| (version, bytes, at)).collect();
            node(&format!("n{number}"), &files)
        };
        all.into_iter().enumerate().map(one).collect()
    })
}

/// The region after a plan was carried out.
fn after(nodes: &[Holdings], plan: &Plan) -> Vec<Holdings> {
    let mut nodes = nodes.to_vec();
    for delivery in &plan.deliveries {
        let source = nodes.iter().find(|node| node.node == delivery.from[0]).unwrap();
        let brought = source.files[&delivery.version];
        let target = nodes.iter_mut().find(|node| node.node == delivery.node).unwrap();
        target.files.insert(delivery.version, brought);
    }
    nodes
}

proptest! {
    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do_and_what_was_kept(nodes in any_region()) {
        let first = plan(&nodes);
        let nodes = after(&nodes, &first);
        let second = plan(&nodes);
        prop_assert!(second.deliveries.is_empty());
        prop_assert_eq!(&second.kept, &first.kept);
        // Every node has what any has in one piece, or a newer file of its own that is told of.
        let versions: BTreeSet<_> = nodes.iter().flat_map(|node| node.files.keys().copied()).collect();
        for version in versions {
            let hashes: Vec<_> = nodes.iter().filter_map(|node| whole(node, version)).map(|copy| copy.hash).collect();
            prop_assert!(hashes.is_empty() || hashes.len() == nodes.len());
            let kept = second.kept.iter().filter(|kept| kept.version == version).count();
            let same = most(hashes.iter().copied()).map_or(0, |most| hashes.iter().filter(|own| **own == most).count());
            prop_assert!(hashes.is_empty() || same + kept == nodes.len());
        }
    }

    #[test]
    fn sources_have_the_bytes_and_the_order_of_nodes_does_not_matter(
        (nodes, shuffled) in any_region().prop_flat_map(|nodes| (Just(nodes.clone()), Just(nodes).prop_shuffle()))
    ) {
        let first = plan(&nodes);
        for delivery in &first.deliveries {
            prop_assert!(!delivery.from.is_empty() && !delivery.from.contains(&delivery.node));
            for source in &delivery.from {
                let held = nodes.iter().find(|node| node.node == *source).unwrap();
                prop_assert_eq!(whole(held, delivery.version).map(|copy| copy.hash), Some(delivery.hash));
            }
        }
        let mut second = plan(&shuffled);
        let mut first = first;
        for plan in [&mut first, &mut second] {
            plan.deliveries.sort_by(|a, b| (a.version, &a.node).cmp(&(b.version, &b.node)));
            plan.kept.sort_by(|a, b| (a.version, &a.node).cmp(&(b.version, &b.node)));
        }
        prop_assert_eq!(first, second);
    }
}
