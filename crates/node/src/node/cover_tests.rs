//! What rests of sequences, encrypted: in a folder, and in a real PostgreSQL.

use super::sequence_tests::{Bench, bench_with};
use super::tests::options;
use super::*;
use crate::sequences::Entering;
use spinwell_core::{SequenceId, TenantId};
use spinwell_runtime::at_rest::{AtRest, FolderKeys};
use spinwell_security::envelope::Roots;
use spinwell_store::testing::Server;
use std::fs;

/// A number that nothing else here has.
const PLANTED: f32 = 7_341.062_5;

fn roots(bytes: &[u8]) -> Arc<Roots> {
    let text: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}").repeat(32)).collect();
    Arc::new(Roots::parse(&text.join("\n")).unwrap().unwrap())
}

fn in_folder(folder: &Path, root: Option<&[u8]>) -> Options {
    Options { data: Some(folder.to_owned()), encryption: root.map(roots), ..options(1, 100) }
}

/// Whether any file below the folder has the planted number.
fn shows(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => shows(&path),
            false => fs::read(&path).unwrap().windows(4).any(|bytes| bytes == PLANTED.to_le_bytes()),
        }
    })
}

fn refusal(options: Options) -> Code {
    let (sender, refused) = std::sync::mpsc::channel();
    let runtime = Handle::current();
    thread::spawn(move || {
        sender.send(Home::open(&options, &runtime).err().map(|fault| fault.code())).unwrap();
    });
    refused.recv().unwrap().unwrap()
}

fn copied(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        match path.is_dir() {
            true => {
                fs::create_dir(to.join(&name)).unwrap();
                copied(&path, &to.join(&name));
            }
            false => drop(fs::copy(&path, to.join(&name)).unwrap()),
        }
    }
}

/// Why a node does not start.
async fn start_refused(options: Options) -> Code {
    let folder = tempfile::tempdir().unwrap();
    let started = tokio::task::spawn_blocking(move || Node::start(folder.path(), &options).err());
    started.await.unwrap().unwrap().fault().code()
}

async fn take(bench: &Bench, steps: std::ops::RangeInclusive<u64>) {
    for step in steps {
        bench.step(&[PLANTED, step as f32], step).await.unwrap();
    }
}

/// A node without any of it that took the same steps.
async fn wanted(steps: u64) -> (u64, Vec<u8>) {
    let alone = bench_with(options(1, 100)).await;
    take(&alone, 1..=steps).await;
    let state = alone.state().await.unwrap();
    alone.stop().await;
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_sequence_is_readable_on_the_disk_and_all_of_it_comes_back() {
    let (open, sealed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let in_the_open = bench_with(in_folder(open.path(), None)).await;
    take(&in_the_open, 1..=3).await;
    assert!(shows(open.path()), "what is looked for would be found");
    in_the_open.stop().await;

    let own = bench_with(in_folder(sealed.path(), Some(&[1]))).await;
    take(&own, 1..=3).await;
    assert!(!shows(sealed.path()), "in the log");
    own.stop().await;
    assert!(!shows(sealed.path()), "in the database");
    // From the database, and then from log and database.
    let own = bench_with(in_folder(sealed.path(), Some(&[1]))).await;
    take(&own, 4..=5).await;
    assert_eq!(own.state().await.unwrap(), wanted(5).await);
    let key = SequenceKey {
        tenant: TenantId("t".into()),
        model: own.model.name.clone(),
        id: SequenceId::of_text("s").unwrap(),
    };
    let Entering::Now(mut turn) = own.node.inner.sequences.table.enter(&key) else { panic!("nobody has it") };
    let _ = turn.take();
    drop(turn);
    assert_eq!(own.state().await.unwrap(), wanted(5).await);
    own.stop().await;
    assert!(!shows(sealed.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_root_key_or_none_is_refused_and_a_rotation_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let own = bench_with(in_folder(folder.path(), Some(&[1]))).await;
    take(&own, 1..=2).await;
    own.stop().await;
    assert_eq!(refusal(in_folder(folder.path(), Some(&[2]))), Code::RootKeyRefused);
    assert_eq!(refusal(in_folder(folder.path(), None)), Code::RootKeyRefused);
    let keys = || Box::new(FolderKeys::of(folder.path().join("keys")));
    // While a node runs that knows both root keys.
    let own = bench_with(in_folder(folder.path(), Some(&[2, 1]))).await;
    take(&own, 3..=3).await;
    AtRest::open(roots(&[2, 1]), keys()).unwrap().rotate().unwrap();
    take(&own, 4..=4).await;
    own.stop().await;
    let own = bench_with(in_folder(folder.path(), Some(&[2]))).await;
    take(&own, 5..=5).await;
    assert_eq!(own.state().await.unwrap(), wanted(5).await);
    own.stop().await;
    assert_eq!(refusal(in_folder(folder.path(), Some(&[1]))), Code::RootKeyRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rested_in_the_open_goes_on_and_is_covered_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let own = bench_with(in_folder(folder.path(), None)).await;
    take(&own, 1..=2).await;
    own.stop().await;
    let own = bench_with(in_folder(folder.path(), Some(&[1]))).await;
    take(&own, 3..=4).await;
    assert_eq!(own.state().await.unwrap(), wanted(4).await);
    own.stop().await;
    let own = bench_with(in_folder(folder.path(), Some(&[1]))).await;
    assert_eq!(own.state().await.unwrap(), wanted(4).await);
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_erased_tenant_nothing_comes_back_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let own = bench_with(in_folder(folder.path(), Some(&[1]))).await;
    take(&own, 1..=2).await;
    let mut other = own.request("s", &[PLANTED], 1, false);
    other.tenant = TenantId("other".into());
    own.node.infer(other).await.unwrap();
    own.stop().await;
    AtRest::open(roots(&[1]), Box::new(FolderKeys::of(folder.path().join("keys"))))
        .unwrap()
        .erase("t")
        .unwrap();
    let own = bench_with(in_folder(folder.path(), Some(&[1]))).await;
    assert_eq!(own.state().await, Err(Code::DataErased));
    assert_eq!(own.step(&[1.0], 3).await.unwrap_err().code(), Code::DataErased);
    let mut other = own.request("s", &[PLANTED], 2, false);
    other.tenant = TenantId("other".into());
    assert_eq!(own.node.infer(other).await.unwrap().sequence.unwrap().step, 2);
    // Begun anew it lives, under another key.
    take(&own, 1..=2).await;
    assert_eq!(own.state().await.unwrap(), wanted(2).await);
    own.stop().await;
    let own = bench_with(in_folder(folder.path(), Some(&[1]))).await;
    assert_eq!(own.state().await.unwrap(), wanted(2).await);
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_lost_the_wrapped_keys_is_told_at_the_start() {
    for stops in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let own = bench_with(in_folder(folder.path(), Some(&[1]))).await;
        take(&own, 1..=2).await;
        let copy = tempfile::tempdir().unwrap();
        copied(folder.path(), copy.path());
        own.stop().await;
        // All of it is in the database; in what was copied before, all of it in the log.
        let folder = if stops { folder } else { copy };
        let keys = folder.path().join("keys");
        fs::rename(&keys, folder.path().join("away")).unwrap();
        let code = |root| start_refused(in_folder(folder.path(), root));
        assert_eq!(code(Some(&[1])).await, Code::KeysLost);
        assert_eq!(code(None).await, Code::RootKeyRefused);
        fs::rename(folder.path().join("away"), &keys).unwrap();
        let own = bench_with(in_folder(folder.path(), Some(&[1]))).await;
        assert_eq!(own.state().await.unwrap(), wanted(2).await);
        own.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_that_make_the_same_keys_one_finds_them_made() {
    let url = Server::shared().database().await;
    let runtime = Handle::current();
    let done = thread::spawn(move || {
        let store = || runtime.block_on(spinwell_store::postgres::Postgres::open(&url)).unwrap();
        let home = || Box::new(crate::RegionKeys::of(store(), runtime.clone()));
        let (one, two) =
            (AtRest::open(roots(&[1]), home()).unwrap(), AtRest::open(roots(&[1]), home()).unwrap());
        one.add_missing("t").unwrap();
        // The second one does not know yet, and changes nothing; a third one may not.
        two.add_missing("t").unwrap();
        let place = spinwell_security::envelope::Context { tenant: "t", path: "", field: "" };
        let sealed = one.seal(&place, b"72 bpm").unwrap();
        assert_eq!(two.open_sealed(&place, &sealed).unwrap().expose(), b"72 bpm");
        let refused = AtRest::open(roots(&[2]), home()).err().map(|fault| fault.code());
        assert_eq!(refused, Some(Code::RootKeyRefused));
        // What is not changed is given back: there are few connections, and all of them are asked for.
        (0..10).for_each(|_| two.erase("nobody").map(drop).unwrap());
    });
    done.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_memory_of_an_erased_tenant_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let own = bench_with(in_folder(folder.path(), Some(&[1]))).await;
    take(&own, 1..=2).await;
    AtRest::open(roots(&[1]), Box::new(FolderKeys::of(folder.path().join("keys"))))
        .unwrap()
        .erase("t")
        .unwrap();
    // It is copied when it stops, or would be.
    own.stop().await;
    assert!(!shows(folder.path()));
    let own = bench_with(in_folder(folder.path(), Some(&[1]))).await;
    assert_eq!(own.state().await, Err(Code::DataErased));
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_a_region_share_their_keys_and_read_each_others_steps() {
    let url = Server::shared().database().await;
    let folder = tempfile::tempdir().unwrap();
    let region = |id: &str, root: Option<&[u8]>| Options {
        store: Some(StoreUrl::of(&url).unwrap()),
        id: NodeId(id.into()),
        ..in_folder(&folder.path().join(id), root)
    };
    let one = bench_with(region("n1", Some(&[1]))).await;
    let two = bench_with(region("n2", Some(&[1]))).await;
    for step in 1..=6u64 {
        let own = if step % 2 == 0 { &two } else { &one };
        own.step(&[PLANTED, step as f32], step).await.unwrap();
    }
    assert_eq!(one.state().await.unwrap(), wanted(6).await);
    assert_eq!(two.state().await.unwrap(), wanted(6).await);
    one.stop().await;
    two.stop().await;
    let dump = Server::shared().dump(&url);
    let planted: String = PLANTED.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(dump.contains("wrapped_keys") && !dump.contains(&planted));
    assert_eq!(refusal(region("n3", Some(&[2]))), Code::RootKeyRefused);
    assert_eq!(refusal(region("n3", None)), Code::RootKeyRefused);
    let three = bench_with(region("n3", Some(&[1]))).await;
    assert_eq!(three.state().await.unwrap(), wanted(6).await);
    three.stop().await;
}
