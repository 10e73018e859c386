//! Keys change, data do not.

use super::*;

fn nonces() -> impl FnMut() -> Nonce {
    let mut next = 100;
    move || {
        next += 1;
        [next; 12]
    }
}

#[test]
fn another_root_key_re_wraps_tenant_keys_only() {
    let mut keys = keys();
    let bytes = sealed(&keys, PERSON, b"72 bpm");
    let before = keys.clone();
    assert_eq!(keys.change_root(&root(1), &root(2), nonces()).unwrap(), 1);
    assert_eq!(open_field(&keys, &root(2), &PLACE, &bytes).unwrap().expose(), b"72 bpm");
    assert!(matches!(open(&keys, &PLACE, &bytes), Err(Failed::Root(RootFailed::Another { .. }))));
    for (old, new) in before.records().zip(keys.records()) {
        assert_eq!(old.key, new.key);
        assert_eq!(old == new, old.level == Level::Data);
    }
    // Begun again it goes on where it was.
    assert_eq!(keys.change_root(&root(1), &root(2), nonces()).unwrap(), 0);
}

#[test]
fn a_change_of_root_that_fails_changes_nothing() {
    let mut keys = keys();
    keys.add_tenant(&root(1), KeyId([0xe; 16]), &fresh(5)).unwrap();
    let mut records: Vec<WrappedKey> = keys.records().cloned().collect();
    records.last_mut().unwrap().wrapped[20] ^= 1;
    let mut keys = Keys::of_records(records.clone(), [].into());
    assert!(keys.change_root(&root(1), &root(2), nonces()).is_err());
    assert!(keys.records().eq(&records));
}

#[test]
fn a_new_tenant_key_re_wraps_data_keys_and_the_old_one_is_gone() {
    let mut keys = keys();
    let bytes = sealed(&keys, PERSON, b"72 bpm");
    assert_eq!(keys.renew_tenant(&root(1), TENANT, &fresh(8), nonces()).unwrap(), 2);
    assert_eq!(open(&keys, &PLACE, &bytes).unwrap(), b"72 bpm");
    let tenants: Vec<u32> = keys
        .records()
        .filter(|record| record.level == Level::Tenant)
        .map(|record| record.key.version)
        .collect();
    assert_eq!(tenants, [2]);
    let newest = KeyRef { id: TENANT, version: 2 };
    assert!(keys.records().filter(|record| record.level == Level::Data).all(|record| record.by == newest));
    keys.add_data(&root(1), TENANT, KeyId([9; 16]), &fresh(9)).unwrap();
}

#[test]
fn a_new_data_key_is_for_new_data_and_both_go_when_erased() {
    let mut keys = keys();
    let old = sealed(&keys, PERSON, b"72 bpm");
    keys.renew_data(&root(1), PERSON, &fresh(9)).unwrap();
    let new = sealed(&keys, PERSON, b"73 bpm");
    assert_eq!(Header::parse(&new).unwrap().key.version, 2);
    assert_eq!(open(&keys, &PLACE, &old).unwrap(), b"72 bpm");
    assert_eq!(open(&keys, &PLACE, &new).unwrap(), b"73 bpm");
    keys.renew_tenant(&root(1), TENANT, &fresh(8), nonces()).unwrap();
    keys.change_root(&root(1), &root(2), nonces()).unwrap();
    assert_eq!(open_field(&keys, &root(2), &PLACE, &old).unwrap().expose(), b"72 bpm");
    assert_eq!(keys.erase(PERSON).records, 2);
    for bytes in [old, new] {
        assert!(matches!(open_field(&keys, &root(2), &PLACE, &bytes), Err(Failed::Erased(_))));
    }
}

#[test]
fn a_record_of_the_last_version_is_not_renewed() {
    let before = keys();
    let last = before.records().cloned().map(|mut record| {
        record.key.version = u32::MAX;
        record
    });
    let mut keys = Keys::of_records(last, [].into());
    assert!(keys.renew_data(&root(1), PERSON, &fresh(9)).is_err());
    assert!(keys.renew_tenant(&root(1), TENANT, &fresh(9), nonces()).is_err());
}
