//! The shared store on a real server.

use super::*;
use crate::testing::Server;
use crate::{Position, SequencePhase, SequenceRow, Swept};
use spinwell_core::{Code, ModelHash, ModelVersion, SequenceId, SequenceKey, TenantId, UnixMillis};

async fn store() -> Postgres {
    Postgres::open(&Server::shared().database().await).await.unwrap()
}

fn key(id: &str) -> SequenceKey {
    SequenceKey {
        tenant: TenantId("t".into()),
        model: "taxi".parse().unwrap(),
        id: SequenceId::of_text(id).unwrap(),
    }
}

fn entry(id: &str, text: &str) -> Entry {
    Entry { key: key_bytes(&key(id)), bytes: text.as_bytes().to_vec() }
}

fn append(shard: u16, expected: u64, texts: &[&str]) -> Append {
    Append { shard, expected, entries: texts.iter().map(|text| entry("a", text)).collect() }
}

fn row(id: &str, position: u64, used: u64, phase: SequencePhase) -> SequenceRow {
    SequenceRow {
        key: key(id),
        hash: ModelHash([7; 32]),
        step: u64::MAX,
        digest: 1 << 63,
        first_digest: (1 << 63) + 1,
        begun_at: UnixMillis(6),
        position: Position(position),
        used: UnixMillis(used),
        phase,
        state: Some(vec![1, 2, 3]),
    }
}

async fn texts(store: &Postgres, shard: u16, tail: u64) -> Vec<(u64, String)> {
    let read = store.read(&[(shard, Some(tail))], &[]).await.unwrap();
    let entries = read.shards.into_iter().flat_map(|log| log.entries);
    entries.map(|entry| (entry.position, String::from_utf8(entry.bytes).unwrap())).collect()
}

#[tokio::test]
async fn a_log_takes_entries_behind_its_end_alone() {
    use Appended::{Fenced, Written};
    let store = store().await;
    let first = [append(5, 0, &["x", "y"]), append(9, 0, &["z"])];
    assert_eq!(store.append(1, &first).await.unwrap(), [Written, Written]);
    // One shard has moved on, the other not: each is judged by itself.
    let second = [append(9, 1, &["own"]), append(5, 1, &["late"])];
    assert_eq!(store.append(2, &second).await.unwrap(), [Written, Fenced]);
    assert_eq!(store.append(2, &[append(5, 7, &["early"])]).await.unwrap(), [Fenced]);
    assert_eq!(texts(&store, 5, 0).await, [(1, "x".to_owned()), (2, "y".to_owned())]);
    assert_eq!(texts(&store, 9, 1).await, [(2, "own".to_owned())]);
    assert_eq!(texts(&store, 9, 2).await, []);
}

#[tokio::test]
async fn who_has_lost_the_answer_asks_again_and_writes_once() {
    use Appended::{Fenced, Written};
    let store = store().await;
    let call = [append(5, 0, &["x", "y"])];
    store.append(1, &call).await.unwrap();
    assert_eq!(store.append(1, &call).await.unwrap(), [Written]);
    // Also after somebody has gone on behind it, and not for whoever asks for something else.
    store.append(2, &[append(5, 2, &["z"])]).await.unwrap();
    assert_eq!(store.append(1, &call).await.unwrap(), [Written]);
    assert_eq!(store.append(2, &call).await.unwrap(), [Fenced]);
    assert_eq!(store.append(1, &[append(5, 0, &["x", "other"])]).await.unwrap(), [Fenced]);
    assert_eq!(store.append(1, &[append(5, 0, &["x", "y", "z"])]).await.unwrap(), [Fenced]);
    assert_eq!(texts(&store, 5, 0).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_the_same_shards_never_block_each_other_for_good_and_leave_no_hole() {
    let store = store().await;
    let writer = |number: u64| {
        let store = store.clone();
        async move {
            let (mut tails, mut written) = ([0u64; 8], 0);
            for round in 0..60 {
                let mut shards: Vec<u16> =
                    (0..8).filter(|shard| (u64::from(*shard) + round) % 3 != number).collect();
                if number == 1 {
                    shards.reverse();
                }
                let calls: Vec<_> = shards
                    .iter()
                    .map(|shard| append(*shard, tails[usize::from(*shard)], &["a", "b"]))
                    .collect();
                let done = store.append(number, &calls).await.unwrap();
                for (shard, done) in shards.iter().zip(done) {
                    let tail = &mut tails[usize::from(*shard)];
                    if done == Appended::Written {
                        (*tail, written) = (*tail + 2, written + 2);
                    } else {
                        let read = store.read(&[(*shard, Some(*tail))], &[]).await.unwrap();
                        *tail = read.shards.first().map_or(*tail, |log| log.position);
                    }
                }
            }
            written
        }
    };
    let (one, two, three) = tokio::join!(writer(0), writer(1), writer(2));
    let read = store.read(&(0..8).map(|shard| (shard, Some(0))).collect::<Vec<_>>(), &[]).await.unwrap();
    assert!(read.shards.iter().all(|log| !log.has_gap), "positions follow each other");
    let all: usize = read.shards.iter().map(|log| log.entries.len()).sum();
    assert_eq!(all, one + two + three);
}

/// Entries that this transaction has touched so far.
async fn touched(transaction: &mut sqlx::PgConnection) -> i64 {
    let touched =
        "SELECT (seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_xact_user_tables WHERE relname = 'steps'";
    sqlx::query_as::<_, (i64,)>(touched).fetch_one(transaction).await.unwrap().0
}

#[tokio::test]
async fn a_look_and_an_append_touch_what_is_new_however_long_the_log_is() {
    for was_vacuumed in [false, true] {
        let store = store().await;
        if was_vacuumed {
            store.append(1, &[append(4000, 0, &["x"])]).await.unwrap();
            for statement in ["DELETE FROM steps", "VACUUM ANALYZE steps"] {
                sqlx::query(statement).execute(&store.pool).await.unwrap();
            }
        }
        let mut connection = store.pool.acquire().await.unwrap();
        let wanted = [Wanted { shard: 1, key: key("a") }];
        let tails: Vec<_> = (0..2048).map(|shard| (shard, Some(0))).collect();
        // The server plans a statement for good after some calls, here over empty tables.
        for position in 0..8 {
            log::look(&mut connection, &tails, &wanted).await.unwrap();
            log::append(&mut connection, 1, &[append(3000, position, &["x"])]).await.unwrap();
        }
        let texts = vec!["x"; 20];
        let calls: Vec<_> = (0..2048).map(|shard| append(shard, 0, &texts)).collect();
        log::append(&mut connection, 1, &calls).await.unwrap();
        let new: Vec<_> = (0..2048).map(|shard| (shard, Some(if shard < 100 { 19 } else { 20 }))).collect();
        let mut transaction = connection.begin().await.unwrap();
        let read = log::look(&mut transaction, &new, &wanted).await.unwrap();
        assert_eq!((read.shards.len(), read.stored[0].entries.len()), (100, 20));
        let by_look = touched(&mut transaction).await;
        assert!((120..1000).contains(&by_look), "{by_look} of 40,968 entries");
        // Whoever has lost the answer of an append asks again.
        let known = log::append(&mut transaction, 1, &calls[..10]).await.unwrap();
        assert_eq!(known, [Appended::Written; 10]);
        let by_append = touched(&mut transaction).await - by_look;
        assert!((200..4000).contains(&by_append), "{by_append} of 40,968 entries");
    }
}

#[tokio::test]
async fn a_sequence_is_its_copy_and_the_log_beyond_it() {
    let store = store().await;
    store.append(1, &[append(5, 0, &["1", "2", "3"])]).await.unwrap();
    let other = Append { shard: 5, expected: 3, entries: vec![entry("b", "other")] };
    store.append(1, &[other]).await.unwrap();
    store.keep_sequences(&[(5, row("a", 2, 7, SequencePhase::Live))]).await.unwrap();
    let wanted = ["a", "b", "nobody"].map(|id| Wanted { shard: 5, key: key(id) });
    let read = store.read(&[(5, None), (6, None), (7, Some(0))], &wanted).await.unwrap();
    let heads: Vec<_> = read.shards.iter().map(|log| (log.shard, log.position, log.entries.len())).collect();
    assert_eq!(heads, [(5, 4, 0), (6, 0, 0)], "where it is read first, where it ends is told");
    let [a, b, nobody] = &read.stored[..] else { panic!("three were wanted") };
    assert_eq!(a.row, Some(row("a", 2, 7, SequencePhase::Live)));
    assert_eq!(a.entries.iter().map(|entry| entry.position).collect::<Vec<_>>(), [3]);
    assert_eq!((b.row.is_none(), b.entries.len()), (true, 1));
    assert_eq!((nobody.row.is_none(), nobody.entries.len()), (true, 0));
    // A copy never goes back.
    let older = SequenceRow { step: 1, ..row("a", 1, 9, SequencePhase::Ended) };
    store.keep_sequences(&[(5, older)]).await.unwrap();
    let read = store.read(&[], &wanted[..1]).await.unwrap();
    assert_eq!(read.stored[0].row, Some(row("a", 2, 7, SequencePhase::Live)));
}

#[tokio::test]
async fn a_long_log_is_read_in_parts() {
    let store = store().await;
    let many: Vec<_> = (0..5000).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    store.append(1, &[append(3, 0, &many), append(4, 0, &["x"])]).await.unwrap();
    let (mut tails, mut seen) = ([0, 0], 0);
    loop {
        let read = store.read(&[(3, Some(tails[0])), (4, Some(tails[1]))], &[]).await.unwrap();
        for log in &read.shards {
            assert!(!log.has_gap);
            tails[usize::from(log.shard) - 3] = log.position;
            seen += log.entries.len();
        }
        if !read.has_more {
            break;
        }
    }
    assert_eq!((tails, seen), ([5000, 1], 5001));
}

#[tokio::test]
async fn what_copies_hold_is_pruned_and_what_they_do_not_is_found() {
    let store = store().await;
    store.append(1, &[append(5, 0, &["1", "2", "3"])]).await.unwrap();
    assert_eq!(store.prune(Millis(0), 100).await.unwrap(), 0, "no copy holds it");
    assert_eq!(store.uncopied(&[5], Millis(0), 10).await.unwrap(), [key("a")]);
    assert_eq!(store.uncopied(&[6], Millis(0), 10).await.unwrap(), []);
    assert_eq!(store.uncopied(&[5], Millis(60_000), 10).await.unwrap(), []);
    store.keep_sequences(&[(5, row("a", 2, 7, SequencePhase::Live))]).await.unwrap();
    assert_eq!(store.prune(Millis(60_000), 100).await.unwrap(), 0, "it is young");
    assert_eq!(store.prune(Millis(0), 1).await.unwrap(), 1);
    assert_eq!(store.prune(Millis(0), 100).await.unwrap(), 1);
    let read = store.read(&[(5, Some(0))], &[]).await.unwrap();
    assert!(read.shards[0].has_gap && read.shards[0].position == 3);
    assert!(!store.read(&[(5, Some(2))], &[]).await.unwrap().shards[0].has_gap);
    // What was pruned cannot be written again.
    assert_eq!(store.append(1, &[append(5, 0, &["1"])]).await.unwrap(), [Appended::Fenced]);
    assert_eq!(store.uncopied(&[5], Millis(0), 10).await.unwrap(), [key("a")]);
}

#[tokio::test]
async fn a_sweep_leaves_alone_what_the_log_goes_on_with() {
    use SequencePhase::{Ended, Expired, Live};
    let store = store().await;
    store.append(1, &[append(5, 0, &["1", "2"])]).await.unwrap();
    let rows =
        [("a", 1, Live), ("b", 50, Live), ("ended", 1, Ended), ("gone", 1, Expired), ("kept", 90, Ended)];
    let rows = rows.map(|(id, used, phase)| (5, row(id, 1, used, phase)));
    store.keep_sequences(&rows).await.unwrap();
    let sweep = || store.sweep_sequences(UnixMillis(60), UnixMillis(60), UnixMillis(60));
    assert_eq!(sweep().await.unwrap(), Swept { expired: 1, forgotten: 2 }, "a goes on");
    store.keep_sequences(&[(5, row("a", 2, 1, Live))]).await.unwrap();
    assert_eq!(
        sweep().await.unwrap(),
        Swept { expired: 1, forgotten: 1 },
        "b is forgotten by now, a expires"
    );
    assert_eq!(store.sequences_kept().await.unwrap(), 0);
    // Its entries alone would look like a sequence that was never copied.
    assert_eq!(sweep().await.unwrap(), Swept::default());
    assert_eq!(store.prune(Millis(0), 100).await.unwrap(), 2);
    assert_eq!(sweep().await.unwrap(), Swept { expired: 0, forgotten: 1 });
}

#[tokio::test]
async fn a_model_is_kept_once_under_its_hash() {
    let store = store().await;
    let hash = ModelHash([3; 32]);
    assert_eq!(store.model(&hash).await.unwrap(), None);
    store.keep_model("taxi", ModelVersion(4), &hash, b"file").await.unwrap();
    store.keep_model("other", ModelVersion(5), &hash, b"else").await.unwrap();
    let kept = StoredModel { name: "taxi".to_owned(), version: ModelVersion(4), bytes: b"file".to_vec() };
    assert_eq!(store.model(&hash).await.unwrap(), Some(kept));
}

#[tokio::test]
async fn several_processes_open_a_new_database_at_the_same_time() {
    let url = Server::shared().database().await;
    let opened = futures::future::join_all((0..6).map(|_| Postgres::open(&url))).await;
    for store in opened {
        store.unwrap().ping().await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_told_without_its_password() {
    let check = async |url: &str| {
        let fault = Postgres::open(url).await.unwrap_err().fault();
        assert_eq!(fault.code(), Code::DatabaseFailed);
        assert!(!fault.message().contains("secret"), "{fault}");
        assert!(fault.message().contains("refused"), "it says why: {fault}");
    };
    check("postgres://own:secret@127.0.0.1:1/spinwell").await;
    let newer = Server::shared().database().await;
    let store = Postgres::open(&newer).await.unwrap();
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'newer', true, '\\x00', 0)";
    sqlx::query(later).execute(&store.pool).await.unwrap();
    assert_eq!(Postgres::open(&newer).await.unwrap_err().fault().code(), Code::FileFromTheFuture);
}

#[tokio::test]
async fn a_server_that_was_killed_and_comes_back_has_all_that_was_written() {
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let store = Postgres::open(&server.database().await).await.unwrap();
    store.append(1, &[append(5, 0, &["x"])]).await.unwrap();
    server.kill();
    assert_eq!(
        store.append(1, &[append(5, 1, &["y"])]).await.unwrap_err().fault().code(),
        Code::DatabaseFailed
    );
    let server = tokio::task::spawn_blocking(move || {
        server.begin();
        server
    });
    let _server = server.await.unwrap();
    assert_eq!(store.append(1, &[append(5, 1, &["y"])]).await.unwrap(), [Appended::Written]);
    assert_eq!(texts(&store, 5, 0).await.len(), 2);
}
