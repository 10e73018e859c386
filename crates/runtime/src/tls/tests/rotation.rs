//! New files while a process runs.

use super::authority::{Authority, Issued};
use super::{Log, Node, mutual};
use crate::shutdown;
use crate::tls::{Files, Mutual, Refusal, watch};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NODE: &str = "spinwell://eu/node/n1";
const GATEWAY: &str = "spinwell://eu/gateway/g1";
/// How often the watcher looks, in paused time.
const INTERVAL: Duration = Duration::from_secs(10);

/// The certificate a caller sees at the node now.
async fn shown(node: &Node, caller: &Mutual) -> CertificateDer<'static> {
    let (_served, called) = node.called_by(caller).await;
    called.unwrap().0.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn first(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

#[tokio::test]
async fn open_connections_go_on_and_new_ones_see_the_new_certificate() {
    let (ours, here) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let (old, new) = (ours.issue(NODE), ours.issue(NODE));
    let own = mutual(&old.write(&here.path().join("node")));
    let caller = mutual(&ours.issue(GATEWAY).write(&here.path().join("gateway")));
    let node = Node::new(&own).await;
    let (served, called) = node.called_by(&caller).await;
    let ((mut at_node, _), (mut at_caller, _)) = (served.unwrap(), called.unwrap());
    assert_eq!(at_caller.get_ref().1.peer_certificates().unwrap()[0], first(&old));

    new.write(&here.path().join("node"));
    assert_eq!(shown(&node, &caller).await, first(&old), "nobody has looked yet");
    assert!(own.reload().unwrap());
    assert!(!own.reload().unwrap(), "nothing is new the second time");
    assert_eq!(shown(&node, &caller).await, first(&new));

    at_caller.write_all(b"still here").await.unwrap();
    let mut heard = [0; 10];
    at_node.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still here");
}

#[tokio::test]
async fn an_authority_takes_over_from_another_without_a_gap() {
    let here = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new("ours"), Authority::new("ours"));
    let both = format!("{}{}", old.pem(), new.pem());
    let folders = [here.path().join("node"), here.path().join("gateway")];
    let write = |of: usize, authority: &Authority, identity: &str, trusted: &str| -> Files {
        Issued { authority: trusted.to_owned(), ..authority.issue(identity) }.write(&folders[of])
    };
    let own = mutual(&write(0, &old, NODE, old.pem()));
    let caller = mutual(&write(1, &old, GATEWAY, old.pem()));
    let node = Node::new(&own).await;
    // One file of one process at a time, and after each a call.
    let steps: [(usize, &Authority, &str, &str); 6] = [
        (0, &old, NODE, &both),
        (1, &old, GATEWAY, &both),
        (0, &new, NODE, &both),
        (1, &new, GATEWAY, &both),
        (0, &new, NODE, new.pem()),
        (1, &new, GATEWAY, new.pem()),
    ];
    for (of, authority, identity, trusted) in steps {
        write(of, authority, identity, trusted);
        assert!([&own, &caller][of].reload().unwrap());
        let (served, called) = node.called_by(&caller).await;
        assert!(served.is_ok() && called.is_ok(), "{:?} {:?}", served.map(|s| s.1), called.map(|c| c.1));
    }
    // The old authority is over: its certificates open nothing.
    let late = mutual(&old.issue(GATEWAY).write(&here.path().join("late")));
    let (served, called) = node.called_by(&late).await;
    assert_eq!(called.map(drop), Err(Refusal::ForeignAuthority));
    assert!(matches!(served, Err(Refusal::ByPeer { .. })));
}

/// Waits until the node shows this certificate, or the bound of the test runner is over.
async fn until(own: &Mutual, wanted: impl Fn(&Mutual) -> bool) {
    tokio::time::timeout(super::BOUND * 100, async {
        while !wanted(own) {
            tokio::time::sleep(INTERVAL).await;
        }
    })
    .await
    .expect("the watcher takes what is new");
}

// Time is paused: a wait is over as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
async fn the_watcher_takes_what_is_sound_and_keeps_the_old_where_the_new_is_broken() {
    let (ours, here) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let files = ours.issue(NODE).write(here.path());
    let own = mutual(&files);
    let (log, before) = (Log::new(), own.validity());
    let (trigger, stop) = shutdown::channel();
    let watcher = tokio::spawn(watch(own.clone(), INTERVAL, stop));

    let longer = |hours| {
        let wanted = super::authority::Wanted { hours: (-1, hours), ..Default::default() };
        let wanted = super::authority::Wanted { uris: &[NODE], ..wanted };
        ours.make(&wanted)
    };
    let lines = |words: &str| log.text().lines().filter(|line| line.contains(words)).count();
    // A new certificate beside the old key, as it is for a moment whenever files are exchanged one by one.
    let next = longer(48);
    crate::files::write_atomically(&files.certificate, next.certificate.as_bytes()).unwrap();
    until(&own, |_| lines("does not fit") > 0).await;
    for _ in 0..20 {
        tokio::time::sleep(INTERVAL).await;
    }
    assert_eq!(own.validity(), before);
    assert_eq!(lines("new certificate files cannot be used"), 1, "{}", log.text());
    // Its key follows.
    crate::files::write_atomically(&files.key, next.key.as_bytes()).unwrap();
    until(&own, |own| own.validity() != before).await;
    until(&own, |_| lines("a new certificate is in use") > 0).await;
    // Another process's files are none of ours.
    let taken = own.validity();
    ours.issue("spinwell://eu/node/n2").write(here.path());
    until(&own, |_| lines("spinwell://eu/node/n2") > 0).await;
    assert_eq!((own.validity(), own.identity().to_string().as_str()), (taken, NODE));
    // Nor is a file that has gone.
    std::fs::remove_file(&files.certificate).unwrap();
    until(&own, |_| lines("cannot be read") > 0).await;
    assert_eq!(own.validity(), taken);
    longer(72).write(here.path());
    until(&own, |own| own.validity() != taken).await;

    trigger.pull();
    watcher.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_watcher_says_once_a_day_that_a_certificate_ends() {
    let (ours, here) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let wanted = super::authority::Wanted { hours: (-100, 1), ..Default::default() };
    let own = mutual(&ours.make(&wanted).write(here.path()));
    let log = Log::new();
    let (trigger, stop) = shutdown::channel();
    let watcher = tokio::spawn(watch(own.clone(), INTERVAL, stop));
    until(&own, |_| log.text().contains("the certificate ends soon")).await;
    for _ in 0..20 {
        tokio::time::sleep(INTERVAL).await;
    }
    assert_eq!(log.text().lines().count(), 1, "{}", log.text());
    trigger.pull();
    watcher.await.unwrap();
}
