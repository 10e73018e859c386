//! Files that are given and taken, between two folders.

use super::*;
use crate::example::{no_models, trained};
use bytes::Bytes;

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
        let deliveries = Arc::new(Deliveries::new(folder.path().to_owned(), no_models()));
        Self { folder, deliveries }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join("m").join(file)
    }

    fn put(&self, file: &str, bytes: &[u8]) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_atomically(&path, bytes).unwrap();
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
        assert_eq!(
            target.ask(part(0, &bytes)).await.unwrap_err().code(),
            Code::RequestInvalid,
            "it has ended"
        );
    }
    let long = FileOffer { whole: FILE_BYTES_MAX + 1, ..own };
    assert_eq!(target.ask(FileRequest::Offer(long)).await.unwrap_err().code(), Code::BodyTooLarge);
}

#[tokio::test]
async fn only_so_many_files_are_on_their_way_and_those_that_nobody_goes_on_with_are_forgotten() {
    let target = Side::new();
    let (hash, start) = (ModelHash([1; 32]), clock::now());
    let begin = |transfer: u64, now: Instant| {
        target.deliveries.begin(FileOffer { transfer, ..offer(hash, 10, None) }, now)
    };
    (0..UNDER_WAY_MAX as u64).for_each(|number| begin(number, start).unwrap());
    assert_eq!(begin(99, start).unwrap_err().code(), Code::QueueFull);
    assert!(begin(99, start + PATIENCE).is_ok());
}

#[tokio::test]
async fn other_bytes_give_way_only_where_they_are_named_and_stay_beside() {
    let target = Side::new();
    let ((hash, bytes), (other, old)) = (model("lags=2"), model("lags=3"));
    target.put("3/model.spinwell", &old);
    let refused = target.take(offer(hash, bytes.len(), None), &bytes, 1000).await.unwrap_err();
    assert_eq!(refused.code(), Code::VersionExists);
    assert_eq!(fs::read(target.path("3/model.spinwell")).unwrap(), old);
    assert!(target.take(offer(hash, bytes.len(), Some(other)), &bytes, 1000).await.unwrap());
    assert_eq!(fs::read(target.path("3/model.spinwell")).unwrap(), bytes);
    let aside = format!("3/replaced.{}.spinwell", &other.to_string()[..HASH_DIGITS]);
    assert_eq!(fs::read(target.path(&aside)).unwrap(), old);
    // What is no model needs no name.
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
