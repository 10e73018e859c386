mod rotation;
mod streams;
mod vault;

use super::*;
use crate::secret::Secret;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use spinwell_core::UnixMicros;

const TENANT: KeyId = KeyId([0xa; 16]);
const PERSON: KeyId = KeyId([0xb; 16]);
const OTHER: KeyId = KeyId([0xc; 16]);
const PLACE: Context<'static> = Context { tenant: "acme", path: "predictions/17", field: "input" };

fn fresh(byte: u8) -> Fresh {
    Fresh { secret: Secret::of(&[byte; 32]), nonce: [byte; 12], now: UnixMicros(u64::from(byte)) }
}

fn root(byte: u8) -> LocalRoot {
    LocalRoot::new(Secret::of(&[byte; 32]))
}

/// A tenant with two persons under root key 1.
fn keys() -> Keys {
    let mut keys = Keys::default();
    keys.add_tenant(&root(1), TENANT, &fresh(2)).unwrap();
    keys.add_data(&root(1), TENANT, PERSON, &fresh(3)).unwrap();
    keys.add_data(&root(1), TENANT, OTHER, &fresh(4)).unwrap();
    keys
}

fn sealed(keys: &Keys, person: KeyId, text: &[u8]) -> Vec<u8> {
    seal_field(&keys.newest(&root(1), person).unwrap(), &PLACE, &[7; 12], text)
}

fn open(keys: &Keys, context: &Context<'_>, sealed: &[u8]) -> Result<Vec<u8>, Failed> {
    open_field(keys, &root(1), context, sealed).map(|text| text.expose().to_vec())
}

#[test]
fn a_field_comes_back_and_its_header_is_readable_without_a_key() {
    let keys = keys();
    let bytes = sealed(&keys, PERSON, b"72 bpm");
    assert_eq!(open(&keys, &PLACE, &bytes).unwrap(), b"72 bpm");
    assert_eq!(bytes.len(), HEADER_BYTES + 6 + 16);
    let header = Header::parse(&bytes).unwrap();
    assert_eq!((header.key, header.tenant_key), (KeyRef { id: PERSON, version: 1 }, TENANT));
    assert_eq!(
        (header.shape, header.algorithm, header.nonce),
        (Shape::Field, Algorithm::Aes256GcmSiv, [7; 12])
    );
    assert_eq!(header.key.to_string(), format!("{}:1", "0b".repeat(16)));
    assert_eq!(KeyId::parse(&"0b".repeat(16)), Some(PERSON));
    assert_eq!(KeyId::parse("0B"), None);
}

#[test]
fn it_opens_nowhere_but_where_it_was_written_for() {
    let keys = keys();
    let bytes = sealed(&keys, PERSON, b"72 bpm");
    let moved = [
        Context { tenant: "other", ..PLACE },
        Context { path: "predictions/18", ..PLACE },
        Context { field: "output", ..PLACE },
        Context { tenant: "acmep", path: "redictions/17", ..PLACE },
        Context { path: "predictions/17input", field: "", ..PLACE },
    ];
    for context in moved {
        assert!(matches!(open(&keys, &context, &bytes), Err(Failed::Changed)), "{context:?}");
    }
}

#[test]
fn every_bit_that_is_changed_is_seen() {
    let keys = keys();
    let bytes = sealed(&keys, PERSON, b"72 bpm");
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&keys, &PLACE, &changed).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(open(&keys, &PLACE, &bytes[..len]).is_err(), "{len} bytes");
    }
    let other = sealed(&keys, OTHER, b"72 bpm");
    let swapped = [&bytes[..HEADER_BYTES], &other[HEADER_BYTES..]].concat();
    assert!(matches!(open(&keys, &PLACE, &swapped), Err(Failed::Changed)));
}

#[test]
fn another_tenants_key_in_the_header_is_seen() {
    let keys = keys();
    let mut bytes = sealed(&keys, PERSON, b"72 bpm");
    bytes[28..44].fill(0xff);
    assert!(matches!(open(&keys, &PLACE, &bytes), Err(Failed::Changed)));
}

#[test]
fn other_beginnings_are_told_apart() {
    let keys = keys();
    let bytes = sealed(&keys, PERSON, b"");
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        open(&keys, &PLACE, &bytes).unwrap_err()
    };
    assert!(matches!(with(0, b'X'), Failed::NotOurs));
    assert!(matches!(with(4, 2), Failed::Later { format: 2, algorithm: 1 }));
    assert!(matches!(with(5, 9), Failed::Later { format: 1, algorithm: 9 }));
    assert!(matches!(with(6, 2), Failed::NotOurs));
    assert!(matches!(with(7, 1), Failed::NotOurs));
    assert!(matches!(with(8, 1), Failed::UnknownKey(_)));
    assert!(matches!(with(27, 2), Failed::UnknownKey(KeyRef { version: 2, .. })));
}

#[test]
fn an_erased_person_cannot_be_read_and_hashes_stay() {
    let mut keys = keys();
    let (person, other) = (sealed(&keys, PERSON, b"72 bpm"), sealed(&keys, OTHER, b"60 bpm"));
    let backup: Vec<WrappedKey> = keys.records().cloned().collect();
    let hash = Sha256::digest(&person);
    let erased = keys.erase(PERSON);
    assert_eq!((erased.keys, erased.records), ([PERSON].into(), 1));
    assert!(matches!(open(&keys, &PLACE, &person), Err(Failed::Erased(id)) if id == PERSON));
    assert_eq!(Sha256::digest(&person), hash, "the ledger's proofs hold");
    assert_eq!(open(&keys, &PLACE, &other).unwrap(), b"60 bpm");
    assert!(keys.records().all(|record| record.key.id != PERSON));

    // A restored backup does not bring the key back, and nobody gets its id again.
    let mut restored = Keys::of_records(backup, keys.erased().clone());
    assert!(matches!(open(&restored, &PLACE, &person), Err(Failed::Erased(_))));
    let again = restored.add_data(&root(1), TENANT, PERSON, &fresh(9));
    assert!(matches!(again, Err(Failed::Erased(_))));
}

#[test]
fn an_erased_tenant_takes_its_data_keys_along() {
    let mut keys = keys();
    keys.add_tenant(&root(1), KeyId([0xd; 16]), &fresh(5)).unwrap();
    let bytes = sealed(&keys, PERSON, b"72 bpm");
    let erased = keys.erase(TENANT);
    assert_eq!((erased.keys, erased.records), ([TENANT, PERSON, OTHER].into(), 3));
    assert!(matches!(open(&keys, &PLACE, &bytes), Err(Failed::Erased(_))));
    assert_eq!(keys.records().count(), 1);
}

#[test]
fn a_wrapped_key_cannot_pass_for_another() {
    let keys = keys();
    let record = |id: KeyId| keys.records().find(|record| record.key.id == id).unwrap().clone();
    let bytes = sealed(&keys, PERSON, b"72 bpm");
    let changes: [fn(&mut WrappedKey, WrappedKey); 4] = [
        |record, other| record.wrapped = other.wrapped,
        |record, _| record.created = UnixMicros(99),
        |record, _| record.wrapped[20] ^= 1,
        |record, _| record.wrapped.truncate(40),
    ];
    for change in changes {
        let mut changed = record(PERSON);
        change(&mut changed, record(OTHER));
        let keys = Keys::of_records([record(TENANT), changed], [].into());
        assert!(matches!(open(&keys, &PLACE, &bytes), Err(Failed::Changed)));
    }
}

#[test]
fn keys_keep_to_their_level_and_ids_are_used_once() {
    let mut keys = keys();
    assert!(matches!(keys.newest(&root(1), TENANT), Err(Failed::Level { level: Level::Tenant, .. })));
    let below = keys.add_data(&root(1), PERSON, KeyId([9; 16]), &fresh(9));
    assert!(matches!(below, Err(Failed::Level { level: Level::Data, .. })));
    assert!(matches!(keys.add_tenant(&root(1), PERSON, &fresh(9)), Err(Failed::Exists(_))));
    let below = keys.add_data(&root(1), KeyId([8; 16]), KeyId([9; 16]), &fresh(9));
    assert!(matches!(below, Err(Failed::UnknownKey(_))));
    assert!(matches!(keys.newest(&root(1), KeyId([9; 16])), Err(Failed::UnknownKey(_))));
}

#[test]
fn another_root_key_is_named() {
    let keys = keys();
    let failed = keys.newest(&root(2), PERSON).unwrap_err();
    let Failed::Root(RootFailed::Another { wanted, this }) = failed else { panic!("{failed:?}") };
    assert_eq!((wanted, this), (root(1).key_ref(), root(2).key_ref()));
}

#[test]
fn nothing_secret_is_printed() {
    let keys = keys();
    let key = keys.newest(&root(1), PERSON).unwrap();
    let opened = open_field(&keys, &root(1), &PLACE, &sealed(&keys, PERSON, b"72 bpm")).unwrap();
    let printed = format!("{:?} {key:?} {opened:?} {:?}", root(1), fresh(3).secret);
    assert!(!printed.contains("[3, 3") && !printed.contains("55, 50"), "{printed}");
    assert_eq!(key.key_ref().version, 1);
}

#[test]
fn records_come_back_from_their_bytes_and_others_are_refused() {
    for record in keys().records() {
        let bytes = record.to_bytes();
        assert_eq!(&WrappedKey::of_bytes(&bytes).unwrap(), record);
        for len in 0..bytes.len() {
            assert_eq!(WrappedKey::of_bytes(&bytes[..len]), Err(InvalidRecord));
        }
        for (at, byte) in [(0, b'X'), (4, 2), (5, 3)] {
            let mut other = bytes.clone();
            other[at] = byte;
            assert_eq!(WrappedKey::of_bytes(&other), Err(InvalidRecord));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), from in 0_usize..60) {
        let keys = keys();
        let mut begun = sealed(&keys, PERSON, b"72 bpm");
        begun.truncate(from);
        begun.extend(&bytes);
        for bytes in [&bytes, &begun] {
            prop_assert!(open(&keys, &PLACE, bytes).is_err());
            prop_assert!(open_stream(&keys, &root(1), &PLACE, &bytes[..], Vec::new()).is_err());
            let _ = Header::parse(bytes);
            let _ = WrappedKey::of_bytes(bytes);
        }
    }

    #[test]
    fn any_text_comes_back(text in prop::collection::vec(any::<u8>(), 0..300), nonce: [u8; 12], path in ".{0,20}") {
        let keys = keys();
        let context = Context { path: &path, ..PLACE };
        let bytes = seal_field(&keys.newest(&root(1), PERSON).unwrap(), &context, &nonce, &text);
        prop_assert_eq!(open(&keys, &context, &bytes).unwrap(), text);
        prop_assert_eq!(&Header::parse(&bytes).unwrap().to_bytes()[..], &bytes[..HEADER_BYTES]);
    }
}
