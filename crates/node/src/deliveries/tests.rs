//! Files that are given and taken, between two folders.

use super::arriving::{PATIENCE, UNDER_WAY_MAX};
use super::staging::HASH_DIGITS;
use super::*;
use crate::example::{no_models, trained};
use bytes::Bytes;
use spinwell_core::ModelHash;
use spinwell_protocol::FILE_BYTES_MAX;
use spinwell_runtime::files::write_dated_atomically;
use std::time::Duration;

const VERSION: ModelVersion = ModelVersion(3);

fn name() -> ModelName {
    "m".parse().unwrap()
}

/// The bytes of a model; another one for other settings.
fn model(settings: &str) -> (ModelHash, Vec<u8>) {
    let model = AnyModel::Forecaster(trained(settings));
    (model.hash(), model.to_bytes())
}

struct Side {
    folder: tempfile::TempDir,
    deliveries: Arc<Deliveries>,
}

impl Side {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let deliveries =
            Arc::new(Deliveries::new(folder.path().to_owned(), no_models(), &NodeId("n".into())));
        Self { folder, deliveries }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join("m").join(file)
    }

    /// Puts a file there that nobody has written to for long.
    fn put(&self, file: &str, bytes: &[u8]) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_dated_atomically(&path, bytes, UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    }

    /// What lies in a folder, by name.
    fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    async fn ask(&self, request: FileRequest) -> Result<FileAnswer, Fault> {
        self.deliveries.clone().answer(request, None).await
    }

    async fn held(&self) -> Vec<HeldFile> {
        let Ok(FileAnswer::Held(files)) = self.ask(FileRequest::Held(name())).await else {
            panic!("no files")
        };
        files
    }

    async fn read(&self, hash: ModelHash, offset: u64) -> FilePart {
        let key = FileKey { name: name(), version: VERSION, hash };
        let Ok(FileAnswer::Part(part)) = self.ask(FileRequest::Read(key, offset)).await else {
            panic!("no part")
        };
        part
    }

    /// Takes a file of that hash from a source, in parts of so many bytes.
    async fn take(&self, offer: FileOffer, bytes: &[u8], part: usize) -> Result<bool, Fault> {
        let transfer = offer.transfer;
        let mut answer = self.ask(FileRequest::Offer(offer)).await?;
        for (number, piece) in bytes.chunks(part).enumerate() {
            if answer == FileAnswer::Placed(true) {
                break;
            }
            let (offset, bytes) = ((number * part) as u64, Bytes::copy_from_slice(piece));
            answer = self.ask(FileRequest::Part { transfer, offset, bytes }).await?;
        }
        Ok(answer == FileAnswer::Placed(true))
    }
}

fn offer(hash: ModelHash, whole: usize, replaces: Option<ModelHash>) -> FileOffer {
    let key = FileKey { name: name(), version: VERSION, hash };
    let beside = Beside { modified: UnixMillis(1_700_000_000_123), ..Beside::default() };
    FileOffer { key, transfer: whole as u64, whole: whole as u64, replaces, beside }
}

#[tokio::test]
async fn a_file_arrives_with_its_card_its_settings_and_its_time() {
    let (source, target) = (Side::new(), Side::new());
    let (hash, bytes) = model("lags=2");
    source.put("3/model.spinwell", &bytes);
    source.put("3/card.json", b"{}");
    source.put("serving.toml", b"[traffic]\ndefault = 3\n");
    assert_eq!(target.held().await, []);
    let held = source.held().await;
    assert_eq!((held.len(), held[0].version, held[0].hash), (1, VERSION, Some(hash)));
    let first = source.read(hash, 0).await;
    assert_eq!((first.whole, &first.bytes[..]), (bytes.len() as u64, &bytes[..]));
    let rest = source.read(hash, 10).await;
    assert_eq!((&rest.bytes[..], rest.beside), (&bytes[10..], None));
    let offer = FileOffer { beside: first.beside.unwrap(), ..offer(hash, bytes.len(), None) };
    assert!(target.take(offer.clone(), &bytes, 100).await.unwrap());
    assert_eq!(target.held().await, held, "the same bytes of the same time");
    for file in ["3/model.spinwell", "3/card.json", "serving.toml"] {
        assert_eq!(fs::read(target.path(file)).unwrap(), fs::read(source.path(file)).unwrap(), "{file}");
    }
    assert_eq!(fs::read_dir(target.path("")).unwrap().count(), 2, "nothing unfinished is left");
    // What is there is not sent again, and how it is served stays.
    target.put("serving.toml", b"");
    assert_eq!(target.ask(FileRequest::Offer(offer)).await, Ok(FileAnswer::Placed(true)));
    assert_eq!(fs::read(target.path("serving.toml")).unwrap(), b"");
}

#[tokio::test]
async fn bytes_that_are_not_what_was_offered_are_refused_and_nothing_is_placed() {
    let target = Side::new();
    let ((hash, bytes), (_, other)) = (model("lags=2"), model("lags=3"));
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for (sent, wanted) in
        [(&damaged, Code::FileCorrupt), (&other, Code::FileCorrupt), (&b"text".to_vec(), Code::FileForeign)]
    {
        let refused = target.take(offer(hash, sent.len(), None), sent, 1000).await.unwrap_err();
        assert_eq!(refused.code(), wanted, "{refused}");
    }
    assert_eq!(target.held().await, []);
    assert!(!target.path("").exists());
}

#[tokio::test]
async fn parts_that_do_not_fit_end_the_offer() {
    let target = Side::new();
    let (hash, bytes) = model("lags=2");
    let part = |offset: u64, bytes: &[u8]| FileRequest::Part {
        transfer: 7,
        offset,
        bytes: Bytes::copy_from_slice(bytes),
    };
    let own = FileOffer { transfer: 7, ..offer(hash, bytes.len(), None) };
    for wrong in [part(1, &bytes[1..]), part(0, b""), part(0, &[&bytes[..], b"x"].concat())] {
        assert_eq!(target.ask(FileRequest::Offer(own.clone())).await, Ok(FileAnswer::Placed(false)));
        assert_eq!(target.ask(wrong).await.unwrap_err().code(), Code::RequestInvalid);
        assert_eq!(target.ask(part(0, &bytes)).await.unwrap_err().code(), Code::BodyTimeout, "it has ended");
        assert!(!target.path("").exists(), "nothing is left of it");
    }
}

#[tokio::test]
async fn what_is_too_long_is_not_taken_whatever_of_it_is() {
    let target = Side::new();
    let own = offer(ModelHash([1; 32]), 10, None);
    let with = |card: usize, settings: usize| {
        let bytes = |length: usize| Some(vec![b' '; length].into());
        let beside = Beside { card: bytes(card), settings: bytes(settings), ..own.beside.clone() };
        FileOffer { beside, ..own.clone() }
    };
    let most = BESIDE_BYTES_MAX;
    for long in [FileOffer { whole: FILE_BYTES_MAX + 1, ..own.clone() }, with(most + 1, 0), with(0, most + 1)]
    {
        assert_eq!(target.ask(FileRequest::Offer(long)).await.unwrap_err().code(), Code::BodyTooLarge);
    }
    assert_eq!(target.ask(FileRequest::Offer(with(most, most))).await, Ok(FileAnswer::Placed(false)));
}

#[tokio::test]
async fn a_node_that_can_write_nothing_says_so_before_anything_is_sent() {
    let target = Side::new();
    // Permissions would not stop a test that runs as root.
    write_atomically(&target.folder.path().join("m"), b"no folder").unwrap();
    let refused = target.ask(FileRequest::Offer(offer(ModelHash([1; 32]), 10, None))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Io, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn only_so_many_files_are_on_their_way_and_those_that_nobody_goes_on_with_are_given_up() {
    let target = Side::new();
    let (hash, bytes) = model("lags=2");
    let begin = |transfer: u64| {
        target.ask(FileRequest::Offer(FileOffer { transfer, ..offer(hash, bytes.len(), None) }))
    };
    let part = |transfer: u64, offset: usize| {
        let bytes = Bytes::copy_from_slice(&bytes[offset..offset + 10]);
        target.ask(FileRequest::Part { transfer, offset: offset as u64, bytes })
    };
    for number in 0..UNDER_WAY_MAX as u64 {
        assert_eq!(begin(number).await, Ok(FileAnswer::Placed(false)));
    }
    assert_eq!(begin(99).await.unwrap_err().code(), Code::QueueFull);
    assert_eq!(target.names("").len(), UNDER_WAY_MAX);
    // One of them is sent on just in time.
    tokio::time::sleep(PATIENCE / 2).await;
    assert_eq!(part(0, 0).await, Ok(FileAnswer::Placed(false)));
    // Without anybody asking, the bytes of the others go, and their places.
    tokio::time::sleep(PATIENCE - Duration::from_secs(1)).await;
    let is_under_way = |transfer: u64| target.deliveries.arriving.awaited_until(transfer).is_some();
    assert_eq!((0..UNDER_WAY_MAX as u64).filter(|number| is_under_way(*number)).collect::<Vec<_>>(), [0]);
    assert_eq!(target.names("").len(), 1);
    assert_eq!(part(0, 10).await, Ok(FileAnswer::Placed(false)));
    assert_eq!(part(1, 0).await.unwrap_err().code(), Code::BodyTimeout, "it may be offered again");
    tokio::time::sleep(PATIENCE + Duration::from_secs(1)).await;
    assert!(!is_under_way(0) && !target.path("").exists());
}

#[tokio::test(start_paused = true)]
async fn what_somebody_is_writing_is_offered_to_nobody_and_does_not_give_way() {
    let target = Side::new();
    let (hash, bytes) = model("lags=2");
    let path = target.path("3/model.spinwell");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_atomically(&path, &bytes[..bytes.len() / 2]).unwrap();
    let held = target.held().await;
    assert_eq!((held[0].hash, held[0].is_unsettled), (None, true));
    let take = || target.take(offer(hash, bytes.len(), None), &bytes, 1000);
    assert_eq!(take().await.unwrap_err().code(), Code::FileUnsettled);
    // Whoever has begun to write while it was on its way finds it in its place as well.
    tokio::time::sleep(known::SETTLED / 2).await;
    write_atomically(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(take().await.unwrap_err().code(), Code::FileUnsettled);
    assert_eq!(fs::read(&path).unwrap(), bytes[..bytes.len() - 1]);
    tokio::time::sleep(known::SETTLED).await;
    assert_eq!((target.held().await[0].hash, target.held().await[0].is_unsettled), (None, false));
    assert!(take().await.unwrap());
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn settings_come_with_a_version_that_is_there_where_there_are_none() {
    let target = Side::new();
    let (hash, bytes) = model("lags=2");
    target.put("3/model.spinwell", &bytes);
    let with = |text: &'static str| {
        let own = offer(hash, bytes.len(), None);
        let beside = Beside { settings: Some(text.into()), ..own.beside.clone() };
        target.ask(FileRequest::Offer(FileOffer { beside, ..own }))
    };
    assert_eq!(with("[traffic]").await, Ok(FileAnswer::Placed(true)));
    assert_eq!(with("[limits]").await, Ok(FileAnswer::Placed(true)));
    assert_eq!(fs::read(target.path("serving.toml")).unwrap(), b"[traffic]");
}

#[tokio::test(start_paused = true)]
async fn other_bytes_give_way_only_where_they_are_named_and_stay_beside() {
    let target = Side::new();
    let ((hash, bytes), (other, old)) = (model("lags=2"), model("lags=3"));
    target.put("3/model.spinwell", &old);
    target.put("3/card.json", b"old");
    let refused = target.take(offer(hash, bytes.len(), None), &bytes, 1000).await.unwrap_err();
    assert_eq!(refused.code(), Code::VersionExists);
    assert_eq!(fs::read(target.path("3/model.spinwell")).unwrap(), old);
    assert!(target.take(offer(hash, bytes.len(), Some(other)), &bytes, 1000).await.unwrap());
    assert_eq!(fs::read(target.path("3/model.spinwell")).unwrap(), bytes);
    let aside = format!("3/replaced.{}.spinwell", &other.to_string()[..HASH_DIGITS]);
    assert_eq!(fs::read(target.path(&aside)).unwrap(), old);
    let card = format!("3/replaced.{}.card.json", &other.to_string()[..HASH_DIGITS]);
    assert_eq!(fs::read(target.path(&card)).unwrap(), b"old");
    assert!(!target.path("3/card.json").exists(), "it is the card of another model");
    // What is no model needs no name.
    tokio::time::sleep(known::SETTLED).await;
    target.put("3/model.spinwell", b"damaged");
    assert_eq!(target.held().await[0].hash, None);
    assert!(target.take(offer(hash, bytes.len(), None), &bytes, 1000).await.unwrap());
    assert_eq!(fs::read(target.path("3/replaced.unreadable.spinwell")).unwrap(), b"damaged");
    assert_eq!(target.held().await[0].hash, Some(hash));
}

#[tokio::test]
async fn what_the_shared_store_has_is_not_sent() {
    let server = tokio::task::spawn_blocking(spinwell_store::testing::Server::shared).await.unwrap();
    let store = Postgres::open(&server.database().await).await.unwrap();
    let (target, (hash, bytes)) = (Side::new(), model("lags=2"));
    let own = offer(hash, bytes.len(), None);
    let ask = || target.deliveries.clone().answer(FileRequest::Offer(own.clone()), Some(store.clone()));
    assert_eq!(ask().await, Ok(FileAnswer::Placed(false)), "it is not there");
    // What somebody has put there under a hash that is not its own is no file of that hash.
    let wrong = ModelHash([7; 32]);
    store.keep_model("m", VERSION, &wrong, &bytes).await.unwrap();
    let refused = FileRequest::Offer(offer(wrong, bytes.len(), None));
    let answer = target.deliveries.clone().answer(refused, Some(store.clone())).await;
    assert_eq!(answer, Ok(FileAnswer::Placed(false)));
    assert_eq!(target.held().await, []);
    store.keep_model("m", VERSION, &hash, &bytes).await.unwrap();
    assert_eq!(ask().await, Ok(FileAnswer::Placed(true)));
    assert_eq!(target.held().await[0].hash, Some(hash));
}
