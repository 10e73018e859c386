//! Shells that leave the record of a node, started, found again and stopped.

use super::*;
use spinwell_runtime::files::write_atomically;
use std::path::Path;
use tokio::time::timeout;

const BOUND: Duration = Duration::from_secs(60);

/// A command that says what it is, as a node does, and stays.
fn says_and_stays(_: &NodeId, home: &Home) -> Command {
    let script = r#"mkdir -p "$1"; set -- "$1" $(cut -d' ' -f22 /proc/$$/stat) $(cat /proc/sys/kernel/random/boot_id)
        echo "{\"pid\":$$,\"started\":$2,\"boot\":\"$3\",\"address\":\"127.0.0.1:5\",\"ops\":\"127.0.0.1:6\",\"life\":\"7\"}" > "$1/new"
        mv "$1/new" "$1/process.json"; exec sleep 600"#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(home.process());
    command
}

fn guardian(folder: &Path) -> Guardian {
    let home = |name: &str| (NodeId(name.into()), Home { data: folder.join(name) });
    let guardian = Guardian::new(says_and_stays);
    guardian.look_after(vec![home("a"), home("b")]);
    guardian
}

async fn until(nodes: &mut watch::Receiver<Nodes>, is_so: impl FnMut(&Nodes) -> bool) -> Nodes {
    timeout(BOUND, nodes.wait_for(is_so)).await.unwrap().unwrap().clone()
}

fn pids(nodes: &Nodes) -> Vec<u32> {
    nodes.iter().map(|node| node.pid).collect()
}

#[tokio::test]
async fn nodes_go_on_without_their_guardian_and_the_next_one_finds_them() {
    let folder = tempfile::tempdir().unwrap();
    let first = guardian(folder.path());
    let both = until(&mut first.nodes(), |nodes| nodes.len() == 2).await;
    assert!(both.iter().all(|node| !node.is_adopted && node.address == "127.0.0.1:5".parse().unwrap()));
    assert_eq!(first.starts().load(Ordering::Relaxed), 2);
    first.leave().await;
    let second = guardian(folder.path());
    let mut nodes = second.nodes();
    let found = until(&mut nodes, |nodes| nodes.len() == 2).await;
    assert_eq!(pids(&found), pids(&both));
    assert!(found.iter().all(|node| node.is_adopted));
    assert_eq!(second.starts().load(Ordering::Relaxed), 0);
    // One that was found is looked after like one's own.
    let killed = found[0].pid;
    assert!(Command::new("kill").args(["-KILL", &killed.to_string()]).status().await.unwrap().success());
    let again = until(&mut nodes, |nodes| nodes.len() == 2 && nodes[0].pid != killed).await;
    assert_eq!((again[0].is_adopted, again[1].pid), (false, found[1].pid));
    timeout(BOUND, second.stop()).await.unwrap();
    assert!(nodes.borrow().is_empty());
    for name in ["a", "b"] {
        assert_eq!(Record::of_living(&folder.path().join(name).join("process")), None, "{name} has ended");
    }
}

#[tokio::test]
async fn others_are_looked_after_and_who_is_no_more_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let home = |name: &str| (NodeId(name.into()), Home { data: folder.path().join(name) });
    let guardian = guardian(folder.path());
    let mut nodes = guardian.nodes();
    let both = until(&mut nodes, |nodes| nodes.len() == 2).await;
    for _ in 0..2 {
        guardian.look_after(vec![home("a"), home("c")]);
    }
    let names = |nodes: &Nodes| nodes.iter().map(|node| node.id.to_string()).collect::<Vec<_>>();
    let others = until(&mut nodes, |nodes| names(nodes) == ["a", "c"]).await;
    assert_eq!((others[0].pid, guardian.starts().load(Ordering::Relaxed)), (both[0].pid, 3));
    let left = Record::of_living(&folder.path().join("b/process")).unwrap();
    assert_eq!(left.process.pid, both[1].pid, "it goes on");
    guardian.look_after(vec![home("a"), home("b")]);
    let back = until(&mut nodes, |nodes| names(nodes) == ["a", "b"]).await;
    assert!(
        back[1].is_adopted && back[1].pid == both[1].pid && guardian.starts().load(Ordering::Relaxed) == 3
    );
    guardian.look_after(vec![home("a"), home("b"), home("c")]);
    until(&mut nodes, |nodes| nodes.len() == 3).await;
    timeout(BOUND, guardian.stop()).await.unwrap();
}

#[tokio::test]
async fn what_does_not_start_is_tried_again_until_it_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home { data: folder.path().join("a") };
    let guardian = Guardian::new(|_, _| {
        let mut command = Command::new("sh");
        command.args(["-c", "echo why; exit 3"]);
        command
    });
    guardian.look_after(vec![(NodeId("a".into()), home)]);
    let starts = guardian.starts();
    timeout(BOUND, async {
        while starts.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    timeout(BOUND, guardian.stop()).await.unwrap();
    assert!(std::fs::read_to_string(folder.path().join("a/log")).unwrap().starts_with("why\n"));
}

#[test]
fn what_a_process_ended_with_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home { data: folder.path().to_owned() };
    let check = |log: &str, wanted: &str| {
        write_atomically(&folder.path().join("log"), log.as_bytes()).unwrap();
        let said = home.last_words();
        assert!(said.starts_with(wanted), "{said}");
    };
    check("serving\nerror[SPW-IO]: the disk\nhint: look\n", ": error[SPW-IO]: the disk; its log is ");
    check(&format!("error: old\n{}error: new\n", "line\n".repeat(10_000)), ": error: new; its log is ");
    check("error: of a life before\nserving\nserving\nready\n", "; its log is ");
    check("", "; its log is ");
}
