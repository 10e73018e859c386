use super::*;
use proptest::prelude::*;

const NOW: UnixMicros = UnixMicros(1_000);

fn about(expires: Option<u64>) -> About {
    About {
        name: "ci".into(),
        tenant: TenantId("acme".into()),
        principal: "ci".into(),
        roles: ["predictor".to_owned()].into(),
        scopes: Scopes::all(),
        created: UnixMicros(10),
        expires: expires.map(UnixMicros),
    }
}

fn key(id: u8, secret: u8) -> (SecretText, KeyRecord) {
    create(&[id; 8], &[secret; 32], about(None))
}

fn ring(record: KeyRecord) -> KeyRing {
    KeyRing::new([record, key(9, 9).1]).unwrap()
}

#[test]
fn the_text_has_its_form_and_no_secret_is_printed() {
    let (text, record) = key(0xab, 0xcd);
    let shown = text.expose();
    assert!(shown.starts_with("spw_abababababababab_cdcdcd"), "{shown}");
    assert_eq!(shown.len(), "spw_".len() + 16 + 1 + 72);
    assert_eq!(record.hint(), "abab");
    let printed = format!("{text:?} {record:?} {:?}", Presented::parse(shown).unwrap());
    assert!(!printed.contains("cdcd") && !printed.contains("205"), "{printed}");
}

#[test]
fn a_good_key_gives_its_identity() {
    let (text, record) = key(1, 2);
    let ring = ring(record.clone());
    let found = ring.check(text.expose(), NOW).unwrap();
    assert_eq!(found, &record);
    assert_eq!((found.principal.as_str(), &*found.identity().principal), ("ci", "acme/ci"));
    assert_eq!(found.identity().grants.roles().first().unwrap(), "predictor");
    assert_eq!((ring.len(), ring.is_empty()), (2, false));
    assert_eq!(ring.get(KeyId([9; 8])).unwrap().id, KeyId::parse("0909090909090909").unwrap());
}

#[test]
fn refusals_are_told_apart_inside_and_not_outside() {
    let (text, record) = key(1, 2);
    let id = record.id;
    let unknown = ring(key(3, 2).1).check(text.expose(), NOW).unwrap_err();
    let wrong = ring(key(1, 3).1).check(text.expose(), NOW).unwrap_err();
    assert_eq!((unknown, wrong), (Refused::Unknown(id), Refused::WrongSecret(id)));
    assert_eq!(unknown.for_caller(), wrong.for_caller());
    assert_eq!(wrong.id(), Some(id));

    let revoked = ring(record.revoked_at(UnixMicros(500))).check(text.expose(), NOW).unwrap_err();
    assert_eq!(revoked, Refused::Revoked { id, at: UnixMicros(500) });
    let (text, record) = create(&[1; 8], &[2; 32], about(Some(1_000)));
    let old = ring(record.clone());
    assert!(old.check(text.expose(), UnixMicros(999)).is_ok());
    assert_eq!(old.check(text.expose(), NOW).unwrap_err(), Refused::Expired { id, at: NOW });
    let messages = [unknown, revoked, old.check(text.expose(), NOW).unwrap_err()].map(|why| why.for_caller());
    assert!(messages.iter().all(|message| !message.contains(&id.to_string())));
}

#[test]
fn whoever_lacks_the_secret_does_not_learn_that_a_key_was_revoked() {
    let (text, _) = key(1, 2);
    let (_, other) = key(1, 3);
    let refused = ring(other.revoked_at(UnixMicros(1))).check(text.expose(), NOW).unwrap_err();
    assert!(matches!(refused, Refused::WrongSecret(_)));
}

#[test]
fn revoking_later_does_not_revive() {
    let (text, record) = key(1, 2);
    let record = record.revoked_at(UnixMicros(500)).revoked_at(UnixMicros(2_000));
    assert!(matches!(ring(record).check(text.expose(), NOW), Err(Refused::Revoked { .. })));
}

#[test]
fn two_of_one_id_are_no_ring() {
    assert_eq!(KeyRing::new([key(1, 2).1, key(1, 3).1]).unwrap_err(), TwoOfOneId(KeyId([1; 8])));
}

#[test]
fn other_texts_are_malformed() {
    let (text, record) = key(1, 2);
    let text = text.expose();
    let ring = ring(record);
    let cut = &text[..text.len() - 1];
    let texts = [
        "",
        "spw_",
        cut,
        &text.to_uppercase(),
        &text[1..],
        &text.replace('_', "-"),
        &format!("{text} "),
        &format!(" {text}"),
    ];
    for other in texts {
        let refused = ring.check(other, NOW).unwrap_err();
        assert_eq!(refused, Refused::Malformed(Unreadable::Form), "{other:?}");
        assert_eq!(refused.id(), None);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,120}", bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = Presented::parse(&text);
        let _ = Presented::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn one_character_mistyped_is_seen(id: [u8; 8], secret: [u8; 32], at in 4_usize..93, digit in "[0-9a-f]") {
        let (text, record) = create(&id, &secret, about(None));
        let mut typed = text.expose().to_owned();
        typed.replace_range(at..=at, &digit);
        let ring = KeyRing::new([record]).unwrap();
        let known = ring.check(&typed, NOW);
        prop_assert_eq!(typed == text.expose(), known.is_ok());
        prop_assert!(known.is_ok() || matches!(known, Err(Refused::Malformed(_))));
    }
}
