use super::*;
use std::path::Path;

const PLACE: Context<'static> = Context { tenant: "acme", path: "taxi/5", field: "step" };

fn roots(bytes: &[u8]) -> Arc<Roots> {
    let text: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}").repeat(32)).collect();
    Arc::new(Roots::parse(&text.join("\n")).unwrap().unwrap())
}

fn open(folder: &Path, root: &[u8]) -> Result<Arc<AtRest>, Fault> {
    AtRest::open(roots(root), Box::new(FolderKeys::of(folder.join("keys"))))
}

#[test]
fn what_is_sealed_is_read_after_a_restart_and_by_another_process_that_did_not_know_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(folder.path(), &[1]).unwrap(), open(folder.path(), &[1]).unwrap());
    assert!(one.seal(&PLACE, b"72 bpm").is_err(), "there is no key yet");
    one.add_missing("acme").unwrap();
    other.add_missing("acme").unwrap();
    let sealed = one.seal(&PLACE, b"72 bpm").unwrap();
    assert!(is_sealed(&sealed) && !is_sealed(b"72 bpm"));
    for at_rest in [one, other, open(folder.path(), &[1]).unwrap()] {
        assert_eq!(at_rest.open_sealed(&PLACE, &sealed).unwrap().expose(), b"72 bpm");
    }
}

#[test]
fn another_root_key_is_refused_and_a_rotation_leaves_all_readable() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), &[1]).unwrap();
    first.add_missing("acme").unwrap();
    let sealed = first.seal(&PLACE, b"72 bpm").unwrap();
    let refused = open(folder.path(), &[2]).unwrap_err();
    assert_eq!(refused.code(), Code::RootKeyRefused);
    assert!(refused.message().contains("is needed, and this is"), "{refused}");
    let done = open(folder.path(), &[2, 1]).unwrap().rotate().unwrap();
    assert_eq!((done.under_new_root, done.tenants, done.re_wrapped, done.data), (1, 1, 1, 1));
    let after = open(folder.path(), &[2]).unwrap();
    assert_eq!(after.open_sealed(&PLACE, &sealed).unwrap().expose(), b"72 bpm");
    assert_eq!(open(folder.path(), &[1]).unwrap_err().code(), Code::RootKeyRefused);
    // Who has the old root key alone goes on with what it knows, and says so.
    assert_eq!(first.look().unwrap_err().code(), Code::RootKeyRefused);
    assert_eq!(first.open_sealed(&PLACE, &sealed).unwrap().expose(), b"72 bpm");
}

#[test]
fn what_was_erased_elsewhere_is_gone_here() {
    let folder = tempfile::tempdir().unwrap();
    let at_rest = open(folder.path(), &[1]).unwrap();
    at_rest.add_missing("acme").unwrap();
    let sealed = at_rest.seal(&PLACE, b"72 bpm").unwrap();
    let elsewhere = open(folder.path(), &[1]).unwrap();
    assert_eq!((elsewhere.erase("nobody").unwrap(), elsewhere.erase("acme").unwrap()), (0, 2));
    at_rest.look().unwrap();
    assert_eq!(at_rest.open_sealed(&PLACE, &sealed).unwrap_err().code(), Code::DataErased);
    assert!(at_rest.was_erased("acme"));
    assert_eq!(at_rest.seal(&PLACE, b"73 bpm").unwrap_err().code(), Code::KeysLost);
    at_rest.add_missing("acme").unwrap();
    assert!(at_rest.seal(&PLACE, b"73 bpm").is_ok());
}

#[test]
fn keys_that_are_moved_away_while_it_runs_are_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let at_rest = open(folder.path(), &[1]).unwrap();
    at_rest.add_missing("acme").unwrap();
    let sealed = at_rest.seal(&PLACE, b"72 bpm").unwrap();
    let (path, away) = (folder.path().join("keys/wrapped"), folder.path().join("away"));
    std::fs::rename(&path, &away).unwrap();
    assert_eq!(at_rest.look().unwrap_err().code(), Code::KeysLost);
    assert_eq!(at_rest.add_missing("other").unwrap_err().code(), Code::KeysLost);
    assert!(!path.exists());
    assert_eq!(at_rest.open_sealed(&PLACE, &sealed).unwrap().expose(), b"72 bpm");
    // Who starts meanwhile cannot know, and its keys are called otherwise: the lines of both make a whole.
    let anew = open(folder.path(), &[1]).unwrap();
    assert_eq!(anew.open_sealed(&PLACE, &sealed).unwrap_err().code(), Code::KeysLost);
    anew.add_missing("acme").unwrap();
    let newer = anew.seal(&PLACE, b"73 bpm").unwrap();
    let own = std::fs::read_to_string(&path).unwrap();
    let both = std::fs::read_to_string(&away).unwrap() + own.split_once('\n').unwrap().1;
    crate::files::write_atomically(&path, both.as_bytes()).unwrap();
    let whole = open(folder.path(), &[1]).unwrap();
    for (sealed, text) in [(sealed, b"72 bpm"), (newer, b"73 bpm")] {
        assert_eq!(whole.open_sealed(&PLACE, &sealed).unwrap().expose(), text);
    }
}

#[test]
fn whoever_has_another_root_key_adds_nothing_to_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    // Both open an empty home.
    let (one, other) = (open(folder.path(), &[1]).unwrap(), open(folder.path(), &[2]).unwrap());
    one.add_missing("acme").unwrap();
    assert_eq!(other.add_missing("other").unwrap_err().code(), Code::RootKeyRefused);
    assert!(open(folder.path(), &[1]).is_ok());
}
