//! Files that are read, and why others are not.

use super::authority::{Authority, Wanted};
use super::mutual;
use crate::clock::{civil, unix};
use crate::tls::{Error, Files, Mutual};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use spinwell_core::{Code, UnixMillis};
use std::fs;

#[test]
fn sound_files_say_whose_they_are_and_how_long() {
    let folder = tempfile::tempdir().unwrap();
    let files = Authority::new("ours").issue("spinwell://eu/gateway/g1").write(folder.path());
    let mutual = mutual(&files);
    assert_eq!(mutual.identity().to_string(), "spinwell://eu/gateway/g1");
    let (now, validity) = (unix(), mutual.validity());
    assert!(validity.from < now && now < validity.until && validity.until < UnixMillis(now.0 + 86_400_000));
    let shown = format!("{mutual:?}");
    assert!(shown.contains("spinwell") && !shown.contains("PRIVATE"), "{shown}");
}

/// What loading says, as the operator reads it.
fn refused(files: &Files) -> (Code, String) {
    let fault = Mutual::load(files.clone()).unwrap_err().fault();
    (fault.code(), fault.message().to_owned())
}

/// Writes files, spoils them, and checks what loading says of which file.
fn check(
    spoil: impl FnOnce(&Files),
    file: impl FnOnce(&Files) -> &std::path::PathBuf,
    code: Code,
    words: &str,
) {
    let folder = tempfile::tempdir().unwrap();
    let files = Authority::new("ours").issue("spinwell://eu/node/n1").write(folder.path());
    mutual(&files);
    spoil(&files);
    let (found, said) = refused(&files);
    assert_eq!(found, code, "{said}");
    assert!(said.contains(words) && said.contains(file(&files).to_str().unwrap()), "{said}");
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_what_is_wrong() {
    let invalid = Code::CertificateInvalid;
    check(
        |files| fs::remove_file(&files.key).unwrap(),
        |files| &files.key,
        Code::Io,
        "cannot be read: No such file",
    );
    check(
        |files| {
            fs::remove_file(&files.authority).unwrap();
            fs::create_dir(&files.authority).unwrap();
        },
        |files| &files.authority,
        Code::Io,
        "it is not a file",
    );
    check(
        |files| fs::File::create(&files.certificate).unwrap().set_len(1 << 30).unwrap(),
        |files| &files.certificate,
        Code::Io,
        "1073741824 bytes, more than",
    );
    let put = |text: &'static str| {
        move |path: &std::path::Path| crate::files::write_atomically(path, text.as_bytes()).unwrap()
    };
    check(|files| put("")(&files.certificate), |files| &files.certificate, invalid, "holds no certificate");
    check(|files| put("hello")(&files.authority), |files| &files.authority, invalid, "holds no certificate");
    check(|files| put("hello")(&files.key), |files| &files.key, invalid, "holds no private key");
    let torn = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    check(|files| put(torn)(&files.certificate), |files| &files.certificate, invalid, "is not a PEM file");
    let hollow = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    check(|files| put(hollow)(&files.key), |files| &files.key, invalid, "cannot be used as a private key");
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check(
        |files| put(hollow)(&files.authority),
        |files| &files.authority,
        invalid,
        "cannot be used as an authority",
    );
    check(
        |files| put(hollow)(&files.certificate),
        |files| &files.certificate,
        invalid,
        "cannot be used as a certificate",
    );
    check(
        |files| {
            fs::copy(&files.certificate, &files.authority).unwrap();
        },
        |files| &files.certificate,
        invalid,
        "another authority",
    );
}

#[test]
fn a_certificate_that_every_peer_would_refuse_is_refused_first() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new("ours");
    let said = |wanted: Wanted<'_>| {
        let (code, said) = refused(&ours.make(&wanted).write(folder.path()));
        assert_eq!(code, Code::CertificateInvalid);
        said
    };
    let over = said(Wanted { hours: (-3, -1), ..Wanted::default() });
    // To the day: an hour ago may have been yesterday.
    let expected = civil(UnixMillis(unix().0 - 3_600_000))[..10].to_owned();
    assert!(over.contains(&format!("certificate expired at {expected}")), "{over}");
    let early = said(Wanted { hours: (1, 2), ..Wanted::default() });
    assert!(early.contains("certificate is not valid before"), "{early}");
    for usages in [&[ClientAuth], &[ServerAuth]] {
        let half = said(Wanted { usages, ..Wanted::default() });
        assert!(
            half.contains("it must allow clientAuth, and between our own processes serverAuth too"),
            "{half}"
        );
    }
    let two = ["spinwell://eu/node/n1", "spinwell://eu/control/c1"];
    for uris in [&[][..], &["spiffe://eu/node/n1"], &["spinwell://eu/admin/n1"], &two] {
        let nobody = said(Wanted { uris, ..Wanted::default() });
        assert!(nobody.contains("names no identity"), "{nobody}");
    }
}

#[test]
fn key_and_authority_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    // An authority of the same name, as a stranger would make it: only the key differs.
    let (ours, theirs) = (Authority::new("ours"), Authority::new("ours"));
    let mut issued = ours.issue("spinwell://eu/node/n1");
    issued.authority = theirs.pem().to_owned();
    let (_, said) = refused(&issued.write(folder.path()));
    assert!(said.contains("certificate is of another authority"), "{said}");
    let mut issued = ours.issue("spinwell://eu/node/n1");
    issued.key = ours.issue("spinwell://eu/node/n1").key;
    let files = issued.write(folder.path());
    assert!(matches!(Mutual::load(files.clone()), Err(Error::KeyMismatch { .. })));
    let (_, said) = refused(&files);
    assert!(said.contains("key.pem does not fit the certificate"), "{said}");
}
