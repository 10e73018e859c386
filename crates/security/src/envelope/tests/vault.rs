//! Keys in use.

use super::*;

const ACME: Context<'static> = Context { tenant: "acme", path: "taxi/5", field: "step" };

fn roots(bytes: &[u8]) -> std::sync::Arc<Roots> {
    let text: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}").repeat(32)).collect();
    std::sync::Arc::new(Roots::parse(&text.join("\n")).unwrap().unwrap())
}

fn next() -> impl FnMut() -> Result<Fresh, Failed> {
    let mut byte = 40;
    move || {
        byte += 1;
        Ok(fresh(byte))
    }
}

/// Keys of two tenants.
fn two() -> Keys {
    let mut keys = Keys::default();
    for tenant in ["acme", "other"] {
        assert!(keys.add_missing(&root(1), tenant, next()).unwrap());
        assert!(!keys.add_missing(&root(1), tenant, next()).unwrap());
    }
    keys
}

fn opened(vault: &Vault, sealed: &[u8]) -> Result<Vec<u8>, Failed> {
    vault.open(&ACME, sealed).map(|text| text.expose().to_vec())
}

#[test]
fn tenants_have_keys_of_their_own() {
    let vault = Vault::new(roots(&[1]), two()).unwrap();
    let sealed = vault.seal(&ACME, &[5; 12], b"72 bpm").unwrap();
    assert_eq!(opened(&vault, &sealed).unwrap(), b"72 bpm");
    let other = vault.seal(&Context { tenant: "other", ..ACME }, &[5; 12], b"72 bpm").unwrap();
    assert_ne!(Header::parse(&sealed).unwrap().key, Header::parse(&other).unwrap().key);
    assert!(opened(&vault, &other).is_err());
    assert!(vault.has("acme") && !vault.has("nobody"));
    assert!(vault.seal(&Context { tenant: "nobody", ..ACME }, &[5; 12], b"x").is_err());
}

#[test]
fn a_foreign_root_key_is_refused_and_one_that_is_added_is_not() {
    assert!(matches!(
        Vault::new(roots(&[2]), two()),
        Err(Failed::Root(RootFailed::Another { wanted, .. })) if wanted == root(1).key_ref()
    ));
    let vault = Vault::new(roots(&[2, 1]), two()).unwrap();
    let sealed = vault.seal(&ACME, &[5; 12], b"72 bpm").unwrap();
    let mut keys = two();
    let done = vault.rotate(&mut keys, next()).unwrap();
    assert_eq!(done, Rotated { under_new_root: 2, tenants: 2, re_wrapped: 2, data: 2 });
    // The old root key is not needed any more, and what it was for is still read.
    let after = Vault::new(roots(&[2]), keys).unwrap();
    assert_eq!(opened(&after, &sealed).unwrap(), b"72 bpm");
    let newer = after.seal(&ACME, &[5; 12], b"73 bpm").unwrap();
    let version = |sealed: &[u8]| Header::parse(sealed).unwrap().key.version;
    assert_eq!(version(&newer), version(&sealed) + 1);
    assert!(matches!(opened(&vault, &newer), Err(Failed::UnknownKey(_))), "it has not heard of that");
}

#[test]
fn what_others_have_changed_is_taken_and_what_they_erased_is_gone() {
    let vault = Vault::new(roots(&[1]), two()).unwrap();
    let sealed = vault.seal(&ACME, &[5; 12], b"72 bpm").unwrap();
    let mut keys = two();
    let (tenant, data) = keys.ids_of("acme");
    assert_eq!(keys.erase(tenant).keys, [tenant, data].into());
    vault.replace(keys.clone()).unwrap();
    assert!(matches!(opened(&vault, &sealed), Err(Failed::Erased(_))));
    assert!(!vault.has("acme"));
    // Whoever has seen that never goes back.
    vault.replace(two()).unwrap();
    assert!(matches!(opened(&vault, &sealed), Err(Failed::Erased(_))) && vault.was_erased("acme"));
    // The tenant may come back, with other keys.
    assert!(vault.add_missing(&mut keys, "acme", next()).unwrap());
    vault.replace(keys).unwrap();
    assert!(vault.seal(&ACME, &[5; 12], b"72 bpm").is_ok());
    assert!(matches!(opened(&vault, &sealed), Err(Failed::Erased(_))));
    let foreign = Keys::of_records(
        two().records().cloned().map(|mut record| {
            record.by.id = KeyId([0; 16]);
            record
        }),
        [].into(),
    );
    assert!(vault.replace(foreign).is_err());
    assert!(vault.has("acme"), "it goes on with what it has");
}

#[test]
fn keys_that_are_gone_are_not_made_anew() {
    let vault = Vault::new(roots(&[1]), two()).unwrap();
    assert!(matches!(vault.replace(Keys::default()), Err(Failed::Gone(_))));
    let mut none = Keys::default();
    assert!(matches!(vault.add_missing(&mut none, "acme", next()), Err(Failed::Gone(_))));
    assert!(vault.has("acme"), "it goes on with what it has");
    // Made anew by one who never had them, they are called otherwise, so that the lost ones may come back beside them.
    let mut anew = Keys::default();
    let mut late = 90;
    let later = || -> Result<Fresh, Failed> {
        late += 1;
        Ok(fresh(late))
    };
    Vault::new(roots(&[1]), Keys::default()).unwrap().add_missing(&mut anew, "acme", later).unwrap();
    let lost: std::collections::BTreeSet<KeyRef> = two().records().map(|record| record.key).collect();
    assert!(anew.records().all(|record| !lost.contains(&record.key)));
}

#[test]
fn new_tenants_stay_under_the_root_key_of_the_others_until_all_are_moved() {
    let vault = Vault::new(roots(&[2, 1]), two()).unwrap();
    let mut keys = two();
    vault.add_missing(&mut keys, "new", next()).unwrap();
    assert!(Vault::new(roots(&[1]), keys.clone()).is_ok(), "who does not know the new one yet opens all");
    vault.replace(keys.clone()).unwrap();
    vault.rotate(&mut keys, next()).unwrap();
    vault.add_missing(&mut keys, "newer", next()).unwrap();
    assert!(Vault::new(roots(&[2]), keys).is_ok());
    // Whoever has another root key adds nothing.
    let other = Vault::new(roots(&[3]), Keys::default()).unwrap();
    assert!(matches!(other.add_missing(&mut two(), "new", next()), Err(Failed::Root(_))));
}

#[test]
fn root_keys_are_read_from_lines_and_the_line_that_is_none_is_named() {
    assert!(Roots::parse("").unwrap().is_none() && Roots::parse("# none\n\n").unwrap().is_none());
    let two = format!("# newest\n{} , {}  # older\n", "0A".repeat(32), "0b".repeat(32));
    assert_eq!(Roots::parse(&two).unwrap().unwrap().key_ref(), root(10).key_ref());
    for wrong in ["0a", &"0g".repeat(32), &"0a".repeat(33)] {
        let error = Roots::parse(&format!("\n{wrong}")).unwrap_err();
        assert_eq!(error, InvalidRoots { line: 2 });
        assert!(!error.to_string().contains(wrong), "it may be a secret");
    }
}
