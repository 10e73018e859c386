use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const PATIENCE: Patience = Patience { ttl: Millis(6000), deregister_after: Millis(60_000) };

fn names() -> Names {
    Names { prefix: "spinwell".to_owned() }
}

fn full() -> Member {
    Member {
        grpc: Some("10.0.0.1:8001".parse().unwrap()),
        ops: Some("[::1]:8002".parse().unwrap()),
        processing_cluster: "gpu-2".parse().unwrap(),
        weight: NonZeroU16::new(250).unwrap(),
        capacity_per_second: Some(2000.5),
        meta: [("gpu".to_owned(), "RTX 5070".to_owned())].into(),
        ..Member::new(Role::Gateway, "g1", "10.0.0.1:8000".parse().unwrap())
    }
}

/// What Consul lists of a registration, with these states of its checks.
fn entry(registration: &Registration, checks: &[&str]) -> Value {
    let service = json!({
        "ID": registration.id, "Service": registration.name, "Tags": registration.tags, "Address": registration.address,
        "Port": registration.port, "Meta": registration.meta, "Weights": registration.weights, "CreateIndex": 7,
    });
    let checks: Vec<Value> = checks.iter().map(|status| json!({"CheckID": "x", "Status": status})).collect();
    json!({"Node": {"Node": "vm", "Address": "10.0.0.9"}, "Service": service, "Checks": checks})
}

fn parse(value: Value) -> Vec<Entry> {
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_member_is_read_as_it_was_written() {
    let members = [full(), Member::new(Role::Gateway, "g2", "host.example:1".parse().unwrap())];
    for member in members {
        let registration = registration(&names(), &member, Health::Passing, PATIENCE);
        let listing = read(Role::Gateway, parse(json!([entry(&registration, &["passing"])])));
        assert_eq!(
            listing,
            Listing { members: vec![Listed { member, health: Health::Passing }], unreadable: vec![] }
        );
    }
}

#[test]
fn a_registration_says_what_consul_reads() {
    let written = serde_json::to_value(registration(&names(), &full(), Health::Warning, PATIENCE)).unwrap();
    let wanted = json!({
        "ID": "spinwell-gateway:g1", "Name": "spinwell-gateway", "Tags": ["http"], "Address": "10.0.0.1", "Port": 8000,
        "Meta": {
            "gpu": "RTX 5070", "spinwell-id": "g1", "spinwell-ops": "[::1]:8002", "spinwell-grpc": "10.0.0.1:8001",
            "spinwell-processing-cluster": "gpu-2", "spinwell-capacity-per-second": "2000.5",
        },
        "Weights": {"Passing": 250, "Warning": 25},
        "Checks": [{
            "CheckID": "spinwell-gateway:g1:beat", "Name": "heard of in time", "TTL": "6000ms", "Status": "warning",
            "DeregisterCriticalServiceAfter": "60000ms",
        }],
    });
    assert_eq!(written, wanted);
    let grpc = serde_json::to_value(grpc_registration(&names(), &full()).unwrap()).unwrap();
    assert_eq!((&grpc["ID"], &grpc["Port"]), (&json!("spinwell-gateway-grpc:g1"), &json!(8001)));
    assert_eq!(grpc["Checks"][0]["AliasService"], json!("spinwell-gateway:g1"));
    assert!(grpc["Checks"][0].get("TTL").is_none());
    assert_eq!(grpc_registration(&names(), &Member { grpc: None, ..full() }), None);
}

#[test]
fn health_is_that_of_the_worst_check() {
    for (checks, wanted) in [
        (&[][..], Health::Passing),
        (&["passing", "passing"], Health::Passing),
        (&["passing", "warning"], Health::Warning),
        (&["critical", "passing", "warning"], Health::Critical),
        (&["passing", "something new"], Health::Critical),
    ] {
        let registration = registration(&names(), &full(), Health::Passing, PATIENCE);
        let listing = read(Role::Gateway, parse(json!([entry(&registration, checks)])));
        assert_eq!(listing.members[0].health, wanted, "{checks:?}");
    }
}

#[test]
fn what_cannot_be_read_is_left_out_and_named() {
    let right = entry(&registration(&names(), &full(), Health::Passing, PATIENCE), &["passing"]);
    let with = |pointer: &str, value: Value| {
        let mut entry = right.clone();
        *entry.pointer_mut(pointer).unwrap() = value;
        entry
    };
    for (name, wrong) in [
        ("no meta", with("/Service/Meta", Value::Null)),
        ("no id", with("/Service/Meta/spinwell-id", json!(""))),
        ("an id that is a path", with("/Service/Meta/spinwell-id", json!("../x"))),
        ("no port", with("/Service/Port", json!(0))),
        ("a port too large", with("/Service/Port", json!(65_536))),
        ("a host that is none", with("/Service/Address", json!("a b"))),
        ("an ops address that is none", with("/Service/Meta/spinwell-ops", json!("nowhere"))),
        ("a capacity that is none", with("/Service/Meta/spinwell-capacity-per-second", json!("NaN"))),
        ("a cluster that is none", with("/Service/Meta/spinwell-processing-cluster", json!("a b"))),
    ] {
        let listing = read(Role::Gateway, parse(json!([wrong, right])));
        assert_eq!((listing.members.len(), listing.unreadable.len()), (1, 1), "{name}");
        assert_eq!(listing.unreadable, ["spinwell-gateway:g1"], "{name}");
    }
}

#[test]
fn a_service_without_an_address_is_where_its_machine_is() {
    let mut entry = entry(&registration(&names(), &full(), Health::Passing, PATIENCE), &[]);
    entry["Service"]["Address"] = json!("");
    let listing = read(Role::Gateway, parse(json!([entry])));
    assert_eq!(listing.members[0].member.address.host(), "10.0.0.9");
}

#[test]
fn of_two_with_an_id_the_healthiest_and_then_the_latest_is_it() {
    // Create index, state and port of two entries, and the port of the one that counts.
    for (first, second, wanted) in [
        ((5, "critical", 1), (4, "passing", 2), 2),
        ((5, "passing", 1), (4, "passing", 2), 1),
        ((4, "passing", 1), (5, "passing", 2), 2),
        ((9, "warning", 1), (5, "passing", 2), 2),
    ] {
        let make = |(index, status, port): (u64, &str, u16)| {
            let member = Member { address: Address::new("h", port).unwrap(), ..full() };
            let mut entry = entry(&registration(&names(), &member, Health::Passing, PATIENCE), &[status]);
            entry["Service"]["CreateIndex"] = json!(index);
            entry
        };
        for entries in [json!([make(first), make(second)]), json!([make(second), make(first)])] {
            let listing = read(Role::Gateway, parse(entries));
            let ports: Vec<u16> = listing.members.iter().map(|listed| listed.member.address.port()).collect();
            assert_eq!(ports, [wanted]);
        }
    }
}

proptest! {
    #[test]
    fn any_member_comes_back(
        id in "[A-Za-z0-9_-]{1,128}", host in "[a-z0-9-]{1,20}", port in 1..=u16::MAX, weight in 1..=u16::MAX,
        capacity in prop::option::of(f64::MIN_POSITIVE..1e12), meta in prop::collection::btree_map("[a-z]{1,9}", "\\PC{0,40}", 0..5)
    ) {
        let member = Member {
            weight: NonZeroU16::new(weight).unwrap(),
            capacity_per_second: capacity,
            meta,
            ..Member::new(Role::Node, &id, Address::new(&host, port).unwrap())
        };
        prop_assert_eq!(member.check(), Ok(()));
        let registration = registration(&names(), &member, Health::Passing, PATIENCE);
        let listing = read(Role::Node, parse(json!([entry(&registration, &["passing"])])));
        prop_assert_eq!(&listing.members[0].member, &member);
    }

    #[test]
    fn no_entry_breaks_the_reader(address in ".*", port: u64, key in "spinwell-[a-z-]{2,9}", value in ".*", weight: i64) {
        let entry = json!([{"Node": {}, "Service": {"Address": address, "Port": port, "Meta": {"spinwell-id": "a", key: value},
            "Weights": {"Passing": weight}}}]);
        let listing = read(Role::Node, parse(entry));
        prop_assert_eq!(listing.members.len() + listing.unreadable.len(), 1);
    }
}
