//! A copy holds at each moment, wherever it was cut off.

use super::pass::Pass;
use super::progress::Progress;
use super::*;
use crate::ledger::{Settings, Writer};
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use proptest::prelude::*;
use spinwell_core::UnixMicros;
use spinwell_ledger::{
    Batch, Checkpoint, Entry, File, LogKey, Tree, WitnessKey, batch_path, verify, witnessed_path,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

fn key() -> LogKey {
    LogKey::of_seed("example.com/log", &[8; 32]).unwrap()
}

/// Storage that is away after so many writes, and counts what it is asked.
#[derive(Debug, Default)]
struct Storage {
    inner: InMemory,
    writes_left: AtomicI64,
    lists: AtomicU64,
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("storage")
    }
}

#[async_trait]
impl ObjectStore for Storage {
    async fn put_opts(
        &self,
        path: &ObjectPath,
        payload: PutPayload,
        options: PutOptions,
    ) -> StoreResult<PutResult> {
        if self.writes_left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(Error::Generic { store: "storage", source: "it is away".into() });
        }
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &ObjectPath,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &ObjectPath, options: GetOptions) -> StoreResult<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, StoreResult<ObjectPath>>,
    ) -> BoxStream<'static, StoreResult<ObjectPath>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A log that grows in storage, every third entry a batch.
struct Source {
    place: Place,
    tree: Tree,
    records: u64,
}

impl Source {
    fn new() -> Self {
        let store = Arc::new(InMemory::new());
        Self { place: CopyTo::of_store(store).place("log"), tree: Tree::default(), records: 0 }
    }

    async fn grow(&mut self, count: u64) {
        for _ in 0..count {
            let at = UnixMicros(1_000_000 + self.tree.size());
            let mut entry = Entry::Closed { at };
            if self.tree.size().is_multiple_of(3) {
                let mut batch = Batch::default();
                batch.push(format!("{{\"at\":{},\"n\":{}}}", at.0, self.records).as_bytes());
                let (seal, file) = batch.seal();
                self.place.write(&batch_path(self.tree.size()), file).await.unwrap();
                entry = Entry::Batch { at, first: self.records, seal };
                self.records += 1;
            }
            self.tree.append(&entry.to_bytes()).unwrap();
        }
        for file in self.tree.take_files() {
            self.place.write(&file.path, file.bytes).await.unwrap();
        }
        let checkpoint =
            Checkpoint { origin: "example.com/log".into(), size: self.tree.size(), root: self.tree.root() };
        self.place.write("checkpoint", checkpoint.sign(&[&key()]).unwrap()).await.unwrap();
    }

    async fn pass(&self, storage: &Arc<Storage>, progress: Option<Progress>) -> Result<u64, CopyError> {
        let to = CopyTo::of_store(storage.clone()).place("gateway");
        let mut pass = Pass::begin(self.place.clone(), to, vec![key().public()], progress).await?;
        Ok(pass.run().await?.entries)
    }
}

/// A checkpoint under which a witness has signed.
fn cosigned(witness: &WitnessKey, note: &[u8]) -> Vec<u8> {
    let text = Checkpoint::claimed(note).unwrap().text();
    [note, &witness.cosign(text.as_bytes(), UnixMicros(7_000_000))].concat()
}

/// All that a reader of the copy finds.
async fn found(storage: &Storage) -> BTreeMap<String, Vec<u8>> {
    use futures::TryStreamExt as _;
    use object_store::ObjectStoreExt as _;
    let objects: Vec<ObjectMeta> = storage.inner.list(None).try_collect().await.unwrap();
    let mut files = BTreeMap::new();
    for object in objects {
        let bytes = storage.inner.get(&object.location).await.unwrap().bytes().await.unwrap();
        let path = object.location.to_string();
        files.insert(path.strip_prefix("gateway/").unwrap().to_owned(), bytes.to_vec());
    }
    files
}

fn away_after(writes: i64) -> Arc<Storage> {
    Arc::new(Storage { writes_left: AtomicI64::new(writes), ..Storage::default() })
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn a_copy_that_is_cut_off_anywhere_holds_and_goes_on(
        steps in prop::collection::vec((1u64..400, 0i64..600), 1..4),
        more in 0u64..300,
    ) {
        run(async {
            let (mut source, storage) = (Source::new(), away_after(0));
            for (grown, writes) in steps {
                source.grow(grown).await;
                storage.writes_left.store(writes, Ordering::SeqCst);
                let copied = source.pass(&storage, None).await;
                let files = found(&storage).await;
                if files.contains_key("checkpoint") {
                    let report = verify::verify(&files, &[key().public()], &[]).unwrap();
                    prop_assert!(copied.as_ref().map_or(true, |entries| *entries == report.entries));
                }
            }
            source.grow(more).await;
            storage.writes_left.store(i64::MAX, Ordering::SeqCst);
            prop_assert_eq!(source.pass(&storage, None).await.unwrap(), source.tree.size());
            let report = verify::verify(&found(&storage).await, &[key().public()], &[]).unwrap();
            prop_assert_eq!((report.entries, report.root), (source.tree.size(), source.tree.root()));
            Ok(())
        })?;
    }
}

#[test]
fn a_copy_goes_on_where_it_stopped_and_lists_nothing_but_what_it_takes_away() {
    run(async {
        let (mut source, storage) = (Source::new(), away_after(i64::MAX));
        source.grow(300).await;
        source.pass(&storage, None).await.unwrap();
        assert!(found(&storage).await.contains_key("tile/0/001.p/44"));
        let lists = storage.lists.load(Ordering::SeqCst);
        storage.writes_left.store(6, Ordering::SeqCst);
        source.grow(3).await;
        // One batch, the bundle and the tile that are not full, the one above, and the checkpoint.
        source.pass(&storage, None).await.unwrap();
        assert_eq!(
            (storage.writes_left.load(Ordering::SeqCst), storage.lists.load(Ordering::SeqCst)),
            (1, lists)
        );
        // When it is full its beginnings go.
        storage.writes_left.store(i64::MAX, Ordering::SeqCst);
        source.grow(300).await;
        source.pass(&storage, None).await.unwrap();
        let files = found(&storage).await;
        assert!(files.contains_key("tile/0/001") && !files.contains_key("tile/0/001.p/44"));
        verify::verify(&files, &[key().public()], &[]).unwrap();
    });
}

#[test]
fn what_witnesses_have_cosigned_comes_behind_the_checkpoint_and_not_before() {
    run(async {
        let (mut source, storage) = (Source::new(), away_after(i64::MAX));
        source.grow(10).await;
        let to = CopyTo::of_store(storage.clone()).place("gateway");
        let mut pass = Pass::begin(source.place.clone(), to, vec![key().public()], None).await.unwrap();
        let witness = WitnessKey::of_seed("example.com/w", &[5; 32]).unwrap();
        let path = witnessed_path("example.com/w");
        let seen = async || {
            let files = found(&storage).await;
            let copied = verify::verify_witnessed(&files, &[key().public()], &[], &[witness.public()]);
            copied.ok().map(|report| report.witnessed[0].1)
        };
        pass.run().await.unwrap();
        assert_eq!(seen().await, None);
        let cosign = async |source: &Source| {
            let note = source.place.read("checkpoint").await.unwrap().unwrap();
            source.place.write(&path, cosigned(&witness, &note)).await.unwrap();
        };
        cosign(&source).await;
        source.place.write("checkpoint.witnessed/.half", b"spinw".to_vec()).await.unwrap();
        // The log has not grown.
        pass.witnessed().await.unwrap();
        assert_eq!(seen().await, Some(10));
        let writes = storage.writes_left.load(Ordering::SeqCst);
        pass.witnessed().await.unwrap();
        assert_eq!(storage.writes_left.load(Ordering::SeqCst), writes, "once is enough");
        // Seen by the witness before the copy has it.
        source.grow(5).await;
        cosign(&source).await;
        pass.witnessed().await.unwrap();
        assert_eq!(seen().await, Some(10));
        pass.run().await.unwrap();
        assert_eq!(seen().await, Some(15));
        assert!(!found(&storage).await.contains_key("checkpoint.witnessed/.half"));
    });
}

#[test]
fn a_long_first_copy_goes_on_where_it_stopped_unless_somebody_emptied_the_place() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let progress = || Some(Progress::of(folder.path(), "s3://here"));
        let (mut source, storage) = (Source::new(), away_after(64 * 88 + 20));
        source.grow(70 * 256).await;
        source.pass(&storage, progress()).await.unwrap_err();
        let before = found(&storage).await.len() as i64;
        storage.writes_left.store(i64::MAX, Ordering::SeqCst);
        source.pass(&storage, progress()).await.unwrap();
        let written = i64::MAX - storage.writes_left.load(Ordering::SeqCst);
        let all = found(&storage).await;
        verify::verify(&all, &[key().public()], &[]).unwrap();
        assert!(
            before > 1000 && written < all.len() as i64 - before + 200,
            "{before} and {written} of {}",
            all.len()
        );
        // Nothing of it is there any more, and nothing of another place is believed.
        let other = away_after(i64::MAX);
        source.pass(&other, progress()).await.unwrap();
        assert_eq!(found(&other).await.len(), all.len());
        assert_eq!(Progress::of(folder.path(), "s3://there").read().unwrap(), 0);
    });
}

#[test]
fn the_copy_of_another_log_and_of_a_longer_one_are_left_as_they_are() {
    run(async {
        let (mut long, mut short, storage) = (Source::new(), Source::new(), away_after(i64::MAX));
        long.grow(20).await;
        short.grow(10).await;
        long.pass(&storage, None).await.unwrap();
        let error = short.pass(&storage, None).await.unwrap_err();
        assert!(matches!(error, CopyError::Ahead { copy: 20, log: 10 }), "{error}");
        let stranger = LogKey::of_seed("example.com/log", &[9; 32]).unwrap();
        let to = CopyTo::of_store(storage.clone()).place("gateway");
        let begun = Pass::begin(long.place.clone(), to, vec![stranger.public()], None).await;
        assert!(matches!(begun.err(), Some(CopyError::Another(_))));
        verify::verify(&found(&storage).await, &[key().public()], &[]).unwrap();
    });
}

#[test]
fn places_are_buckets_and_folders() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("file://{}/new/copy", folder.path().display());
    let environment = [("AWS_ENDPOINT_URL".to_owned(), "http://127.0.0.1:1".to_owned())];
    for text in ["s3://bucket", "s3://bucket/some/prefix", "s3://bucket/", &file] {
        let place = CopyTo::parse(text, &environment).unwrap();
        assert_eq!((place.to_string(), format!("{place:?}")), (text.to_owned(), format!("CopyTo({text})")));
    }
    for text in ["", "bucket", "s3://", "s3:///prefix", "s3://a b/", "file://relative", "gs://bucket"] {
        assert!(matches!(CopyTo::parse(text, &[]), Err(InvalidPlace::Form(_))), "{text}");
    }
}

#[test]
fn what_was_copied_into_a_folder_comes_back_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let (log, back) = (folder.path().join("log"), folder.path().join("back"));
    let writer = Writer::open(Settings {
        folder: log.clone(),
        key: key(),
        program: "test".into(),
        boot: "here".into(),
        span: Duration::from_millis(100),
        checkpoint: Duration::from_millis(100),
        clock: || UnixMicros(1_795_000_000_000_000),
    })
    .unwrap();
    let to = CopyTo::parse(&format!("file://{}/copy", folder.path().display()), &[]).unwrap();
    let settings =
        CopySettings { folder: log.clone(), public: key().public(), name: "gateway".into(), to: to.clone() };
    let copier = Copier::start(settings).unwrap();
    for _ in 0..50 {
        let line = |number: u64, at: UnixMicros, line: &mut Vec<u8>| {
            line.extend_from_slice(format!("{{\"at\":{},\"n\":{number}}}", at.0).as_bytes());
        };
        writer.record(line).unwrap();
    }
    writer.close();
    // A witness has seen the end; its name has a sign that no file's name has.
    let witness = WitnessKey::of_seed("example.com/w", &[5; 32]).unwrap();
    let note = std::fs::read(log.join("checkpoint")).unwrap();
    let seen = File { path: witnessed_path("example.com/w"), bytes: cosigned(&witness, &note) };
    Folder::new(&log).write(&seen).unwrap();
    copier.close();
    let counts = copier.counts();
    assert_eq!((counts.entries, counts.lag, counts.failed), (writer.entries().0, Micros(0), 0));
    let fetched = fetch(&to, &back, &[]).unwrap();
    assert_eq!(fetched.logs, [("gateway".to_owned(), counts.entries, counts.entries)]);
    assert_eq!(fetched.keys.len(), 1);
    let files = Folder::new(&back.join("gateway"));
    let report = verify::verify_witnessed(&files, &[key().public()], &[], &[witness.public()]).unwrap();
    assert_eq!(report.witnessed[0].1, counts.entries);
    assert_eq!((report.entries, report.records), (counts.entries, 50));
    // A second time there is nothing new.
    assert_eq!(
        fetch(&to, &back, &[key().public()]).unwrap().logs,
        [("gateway".to_owned(), counts.entries, 0)]
    );
    let stranger = LogKey::of_seed("example.com/other", &[9; 32]).unwrap();
    let other = folder.path().join("other");
    assert!(matches!(fetch(&to, &other, &[stranger.public()]), Err(CopyError::Checkpoint(_))));
}
