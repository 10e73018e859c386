//! `spinwell pki`: what it makes, who else accepts it, and what it refuses.

use crate::support::{
    BOUND, Request, address_in, end_of, json, launch_with, models, run, said, send, spinwell, text,
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use spinwell_runtime::tls::{Acceptor, Connector, EdgeCertificate, EdgeFiles, Files, Mutual, Role};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A command that must fail, and all it says.
fn fails(arguments: &[&str], exit: i32, code: &str) -> String {
    let Output { status, stderr, stdout } = run(arguments);
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(exit), "{arguments:?}: {said}");
    assert!(said.contains(code), "{arguments:?}: {said}");
    assert_eq!(String::from_utf8_lossy(&stdout), "", "{arguments:?}");
    said
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// What `openssl` says, where it is installed.
fn openssl(arguments: &[&str]) -> Option<Output> {
    match Command::new("openssl").args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("openssl cannot be started: {error}"),
    }
}

/// An authority of region eu in `pki` below a folder.
fn authority(folder: &Path) -> String {
    let dir = folder.join("pki");
    said(&["pki", "init", "--dir", text(&dir), "--region", "eu"]);
    text(&dir).to_owned()
}

#[test]
fn an_authority_and_certificates_are_made_and_say_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let dir = text(&folder.path().join("pki")).to_owned();
    let made = said(&["pki", "init", "--dir", &dir, "--region", "eu"]);
    assert!(made.contains("authority of region eu") && made.contains("next: spinwell pki issue"), "{made}");
    let issued = json(&[
        "pki",
        "issue",
        "node",
        "n1",
        "--dir",
        &dir,
        "--san",
        "10.0.0.5",
        "--san",
        "n1.example.org",
        "--san",
        "::1",
        "--json",
    ]);
    assert_eq!(issued["identity"], "spinwell://eu/node/n1");
    assert_eq!(
        (&issued["role"], &issued["id"], &issued["region"]),
        (&"node".into(), &"n1".into(), &"eu".into())
    );
    assert_eq!(
        issued["addresses"],
        serde_json::json!(["127.0.0.1", "::1", "localhost", "10.0.0.5", "n1.example.org"])
    );
    assert_eq!(issued["replaced"], false);

    let own = folder.path().join("pki/node-n1");
    for key in [folder.path().join("pki/authority.key"), own.join("key.pem")] {
        assert_eq!(mode(&key), 0o600, "{}", key.display());
    }
    for open in ["certificate.pem", "authority.pem"] {
        assert_ne!(mode(&own.join(open)) & 0o044, 0, "{open}");
    }
    assert_eq!(fs::read_dir(&own).unwrap().count(), 3, "nothing else is left");
    let mutual = Mutual::load(Files::in_folder(&own)).unwrap();
    assert_eq!(mutual.identity().to_string(), "spinwell://eu/node/n1");

    let said =
        said(&["pki", "issue", "gateway", "g1", "--dir", &dir, "--out", text(&folder.path().join("g"))]);
    assert!(said.contains("spinwell://eu/gateway/g1") && said.contains("next: copy the folder"), "{said}");
    Mutual::load(Files::in_folder(&folder.path().join("g"))).unwrap();
}

#[test]
fn a_certificate_for_callers_names_no_process_and_serves_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = authority(folder.path());
    let issued =
        json(&["pki", "issue", "edge", "public", "--dir", &dir, "--san", "spinwell.example.org", "--json"]);
    assert_eq!((&issued["identity"], &issued["role"]), (&serde_json::Value::Null, &"edge".into()));
    let own = folder.path().join("pki/edge-public");
    assert_eq!(mode(&own.join("key.pem")), 0o600);
    let files = Files::in_folder(&own);
    EdgeCertificate::load(EdgeFiles {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        callers: None,
    })
    .unwrap();
    // No process of ours can pass itself off with it.
    let refused = Mutual::load(files).unwrap_err().fault();
    assert!(refused.message().contains("may not be used for this"), "{refused}");
    let said = said(&["pki", "issue", "edge", "public", "--dir", &dir, "--force"]);
    assert!(said.contains("for callers") && said.contains("next:"), "{said}");
    fails(&["pki", "issue", "server", "x", "--dir", &dir], 2, "use gateway, node, control, edge or caller");
}

#[test]
fn openssl_accepts_the_chain_and_reads_the_names() {
    let folder = tempfile::tempdir().unwrap();
    let dir = authority(folder.path());
    said(&["pki", "issue", "control", "c1", "--dir", &dir, "--san", "10.0.0.5"]);
    let (authority, certificate) =
        (format!("{dir}/authority.pem"), format!("{dir}/control-c1/certificate.pem"));
    for purpose in ["sslserver", "sslclient"] {
        let arguments = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", &authority, &certificate];
        let Some(verified) = openssl(&arguments) else {
            // Where there is none, the handshake test still reads the same files.
            return eprintln!("openssl is not installed");
        };
        let said = String::from_utf8_lossy(&[verified.stdout, verified.stderr].concat()).into_owned();
        assert!(verified.status.success() && said.contains(": OK"), "{purpose}: {said}");
    }
    let shown = openssl(&["x509", "-in", &certificate, "-noout", "-text"]).unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for part in [
        "URI:spinwell://eu/control/c1",
        "IP Address:127.0.0.1",
        "IP Address:0:0:0:0:0:0:0:1",
        "DNS:localhost",
        "IP Address:10.0.0.5",
        "TLS Web Client Authentication",
        "TLS Web Server Authentication",
        "CN = control c1",
    ] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
    // Another authority of the same name and region is another authority.
    let other = folder.path().join("other");
    said(&["pki", "init", "--dir", text(&other), "--region", "eu"]);
    let verified = openssl(&["verify", "-CAfile", &format!("{}/authority.pem", text(&other)), &certificate]);
    assert!(!verified.unwrap().status.success());
}

#[tokio::test]
async fn processes_with_issued_certificates_call_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let dir = authority(folder.path());
    for (role, id) in [("node", "n1"), ("gateway", "g1")] {
        said(&["pki", "issue", role, id, "--dir", &dir]);
    }
    let load = |name: &str| Mutual::load(Files::in_folder(&Path::new(&dir).join(name))).unwrap();
    let limit = Duration::from_secs(60);
    let acceptor = Acceptor::new(&load("node-n1"), &[Role::Gateway], limit);
    let connector = Connector::new(&load("gateway-g1"), &[Role::Node], limit);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for name in ["127.0.0.1", "localhost"] {
        let serve = async {
            let (stream, from) = listener.accept().await.unwrap();
            acceptor.accept(stream, from).await.unwrap().1
        };
        let call = async {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            connector.connect(stream, name.try_into().unwrap()).await.unwrap().1
        };
        let (caller, called) = tokio::join!(serve, call);
        assert_eq!((caller.to_string().as_str(), called.to_string().as_str()), ("gateway g1", "node n1"));
    }
}

#[test]
fn nothing_is_replaced_without_saying_so() {
    let folder = tempfile::tempdir().unwrap();
    let dir = authority(folder.path());
    let issue = ["pki", "issue", "node", "n1", "--dir", &dir];
    said(&issue);
    let (key, own) = (folder.path().join("pki/authority.key"), folder.path().join("pki/node-n1"));
    let before = (fs::read(&key).unwrap(), fs::read(own.join("key.pem")).unwrap());
    let refused = fails(&["pki", "init", "--dir", &dir], 1, "error[SPW-FILE-EXISTS]");
    assert!(refused.contains("nothing was written") && refused.contains("--force"), "{refused}");
    fails(&issue, 1, "error[SPW-FILE-EXISTS]");
    // One of the files is enough.
    fs::remove_file(own.join("certificate.pem")).unwrap();
    fails(&issue, 1, "error[SPW-FILE-EXISTS]");
    assert_eq!((fs::read(&key).unwrap(), fs::read(own.join("key.pem")).unwrap()), before);

    let force = |arguments: &[&str]| json(&[arguments, &["--force", "--json"]].concat());
    assert_eq!(force(&issue)["replaced"], true);
    assert_ne!(fs::read(own.join("key.pem")).unwrap(), before.1);
    Mutual::load(Files::in_folder(&own)).unwrap();
    let made = force(&["pki", "init", "--dir", &dir, "--region", "eu"]);
    assert_eq!((&made["replaced"], &made["region"]), (&true.into(), &"eu".into()));
    assert_ne!(fs::read(&key).unwrap(), before.0);
    assert_eq!(mode(&key), 0o600);
}

/// A gateway's certificate of that authority whose days are over, as a folder.
fn expired(dir: &Path, out: &Path) {
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let issuer = KeyPair::from_pem(&read("authority.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("authority.pem"), issuer).unwrap();
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2020, 1, 2));
    params.subject_alt_names = vec![SanType::URI("spinwell://eu/gateway/g1".try_into().unwrap())];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    fs::create_dir(out).unwrap();
    fs::write(out.join("certificate.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    fs::write(out.join("key.pem"), key.serialize_pem()).unwrap();
    fs::set_permissions(out.join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::copy(dir.join("authority.pem"), out.join("authority.pem")).unwrap();
}

#[test]
fn an_expired_certificate_is_refused_by_a_node_and_no_process_of_ours_begins_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let dir = authority(folder.path());
    said(&["pki", "issue", "node", "n1", "--dir", &dir]);
    let (old, log) = (folder.path().join("old"), folder.path().join("node.log"));
    expired(Path::new(&dir), &old);
    let refused = spinwell()
        .args(["gateway", "--id", "g1", "--node", "n1=127.0.0.1:9"])
        .arg("--data")
        .arg(folder.path().join("g1"))
        .env("SPINWELL_TLS_DIR", &old)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("SPW-CERTIFICATE-INVALID") && told.contains("expired at 2020-01-02"), "{told}");

    let mut node = spinwell();
    node.args([
        "node",
        "--id",
        "n1",
        "--address",
        "127.0.0.1:0",
        "--ops",
        "127.0.0.1:0",
        "--models",
        text(models()),
    ]);
    node.arg("--data").arg(folder.path().join("n1")).env("SPINWELL_TLS_DIR", Path::new(&dir).join("node-n1"));
    // It ends with this test, however that does.
    node.arg("--until-stdin-ends").stdin(Stdio::piped()).stderr(fs::File::create(&log).unwrap());
    let (mut node, lines) = launch_with(node);
    // A caller that does not look at its own: `openssl`, which the edge's tests need too.
    let address = address_in(&lines, "gateways").to_string();
    let file = |name: &str| text(&old.join(name)).to_owned();
    let (certificate, key, authority) = (file("certificate.pem"), file("key.pem"), file("authority.pem"));
    let mut caller = Command::new("openssl");
    caller.args([
        "s_client",
        "-connect",
        &address,
        "-cert",
        &certificate,
        "-key",
        &key,
        "-CAfile",
        &authority,
    ]);
    caller.stdin(Stdio::null()).output().unwrap();
    let since = Instant::now();
    let is_told =
        || fs::read_to_string(&log).unwrap().contains("certificate expired at 2020-01-02T00:00:00Z");
    while !is_told() {
        assert!(since.elapsed() < BOUND, "{}", fs::read_to_string(&log).unwrap());
        std::thread::sleep(Duration::from_millis(5));
    }
    let page = send(address_in(&lines, "metrics and health"), &Request::new("GET", "/metrics")).text();
    let counted = r#"spinwell_tls_handshakes_total{listener="node",result="expired"} 1"#;
    assert!(page.lines().any(|line| line == counted), "{page}");
    drop(node.stdin.take());
    end_of(&mut node);
}

#[test]
fn a_certificate_does_not_outlive_its_authority() {
    let folder = tempfile::tempdir().unwrap();
    let dir = text(&folder.path().join("pki")).to_owned();
    let made = json(&["pki", "init", "--dir", &dir, "--days", "2", "--json"]);
    let Output { status, stdout, stderr } = run(&["pki", "issue", "node", "n1", "--dir", &dir, "--json"]);
    assert!(status.success());
    let issued: serde_json::Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(issued["valid_until"], made["valid_until"]);
    assert!(String::from_utf8_lossy(&stderr).contains("ends with its authority"));
    let short = json(&["pki", "issue", "node", "n2", "--dir", &dir, "--days", "1", "--json"]);
    assert_ne!(short["valid_until"], made["valid_until"]);
}

#[test]
fn wrong_words_and_wrong_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let said = fails(&["pki", "issue", "node", "n1", "--dir", text(&nowhere)], 1, "error[SPW-IO]");
    assert!(said.contains("`spinwell pki init` makes an authority"), "{said}");
    assert!(!nowhere.exists());

    let dir = authority(folder.path());
    for wrong in [
        &["admin", "n1"][..],
        &["node", "../n1"],
        &["node", ""],
        &["node", "n1", "--san", "no host"],
        &["node", "n1", "--san", "*.example.org"],
        &["node", "n1", "--days", "0"],
    ] {
        fails(&[&["pki", "issue", "--dir", &dir], wrong].concat(), 2, "error");
    }
    fails(&["pki", "init", "--dir", text(&nowhere), "--region", "e/u"], 2, "is not a name");

    // A key of another authority, a key that is none, a certificate that is no authority of ours.
    let other = folder.path().join("other");
    crate::support::said(&["pki", "init", "--dir", text(&other), "--region", "eu"]);
    let key = Path::new(&dir).join("authority.key");
    let own = fs::read(&key).unwrap();
    fs::copy(other.join("authority.key"), &key).unwrap();
    let said = fails(&["pki", "issue", "node", "n1", "--dir", &dir], 1, "error[SPW-CERTIFICATE-INVALID]");
    assert!(said.contains("are they of each other?"), "{said}");
    fs::write(&key, "no key").unwrap();
    fails(&["pki", "issue", "node", "n1", "--dir", &dir], 1, "error[SPW-CERTIFICATE-INVALID]");
    fs::write(&key, own).unwrap();
    assert!(!Path::new(&dir).join("node-n1").exists(), "nothing was written");
    crate::support::said(&["pki", "issue", "node", "n1", "--dir", &dir]);
    fs::copy(Path::new(&dir).join("node-n1/certificate.pem"), Path::new(&dir).join("authority.pem")).unwrap();
    let said = fails(&["pki", "issue", "node", "n2", "--dir", &dir], 1, "error[SPW-CERTIFICATE-INVALID]");
    assert!(said.contains("holds no authority made by `spinwell pki init`"), "{said}");
}

#[test]
fn help_has_examples() {
    for command in [&["pki"][..], &["pki", "init"], &["pki", "issue"]] {
        let help = said(&[command, &["--help"]].concat());
        assert!(help.contains("Examples:\n  spinwell pki"), "{help}");
    }
}
