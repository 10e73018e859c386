//! How fast the ledger's writer takes records on this disk, how soon they are sealed there, and how long a large log takes to be verified.
//! Prints one JSON object; `make bench-trust` runs it.

use spinwell_core::{Micros, UnixMicros};
use spinwell_ledger::{Checkpoint, Entry, LogKey, Prediction, PredictionResult, Tree, verify};
use spinwell_store::ledger::{Folder, Settings, Writer};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const THREADS: usize = 2;
const SECONDS: u64 = 5;
/// A second, for each thread: the load is offered and not the most that fits.
const RATE: u64 = 12_500;
const ENTRIES: u64 = 1_000_000;

#[allow(clippy::disallowed_methods, reason = "an example reads the clock")]
fn clock() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[allow(clippy::disallowed_methods, reason = "an example reads the clock")]
fn now() -> Instant {
    Instant::now()
}

fn key() -> Result<LogKey, spinwell_ledger::InvalidKey> {
    LogKey::of_seed("example/speed", &[5; 32])
}

/// Numbers that no compression makes shorter, as commitments are.
fn hash(number: u64, salt: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt;
    for part in bytes.chunks_exact_mut(8) {
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        part.copy_from_slice(&(state ^ (state >> 31)).to_le_bytes());
    }
    bytes
}

fn record(number: u64, at: UnixMicros, line: &mut Vec<u8>) {
    let prediction = Prediction {
        number,
        life: 0,
        at,
        took: Micros(700 + number % 900),
        principal: "default/meter",
        key: "5f02b7ee15184d58",
        tenant: "default",
        policy: "predictor",
        protocol: "http_binary",
        request_id: "",
        trace: "",
        batch_call: "",
        model: "taxi",
        version: Some(3),
        model_hash: Some(&[0xab; 32]),
        profile: "cpu-f32",
        node: "n1",
        sequence: "",
        step: None,
        result: PredictionResult::Answered,
        input: Some(&hash(number, 1)),
        output: Some(&hash(number, 2)),
    };
    prediction.write(line);
}

fn write(writer: &Writer, start: Instant) -> u64 {
    let mut written = 0;
    while now() - start < Duration::from_secs(SECONDS) {
        let due = RATE * u64::try_from((now() - start).as_micros()).unwrap_or(0) / 1_000_000;
        if written >= due {
            std::thread::yield_now();
            continue;
        }
        match writer.record(record) {
            Ok(_) => written += 1,
            Err(error) => panic!("{error}"),
        }
    }
    written
}

fn bytes_under(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| match entry.path().is_dir() {
        true => bytes_under(&entry.path()),
        false => entry.metadata().map_or(0, |file| file.len()),
    };
    entries.map(of).sum()
}

#[expect(clippy::print_stdout, reason = "printing is what the program is for")]
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir_in("target")?;
    let writer = Writer::open(Settings {
        folder: folder.path().join("log"),
        key: key()?,
        program: "ledger_speed".into(),
        boot: "here".into(),
        span: Duration::from_millis(100),
        checkpoint: Duration::from_secs(1),
        clock,
    })?;
    let start = now();
    let records: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| write(&writer, start))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
    });
    let seconds = (now() - start).as_secs_f64();
    let mut lags = writer.take_lags();
    lags.sort();
    let lag = lags.get(lags.len() * 99 / 100).copied().unwrap_or_default();
    let counts = writer.counts();
    writer.close();
    drop(writer);
    let log = folder.path().join("log");
    let report = verify::verify(&Folder::new(&log), &[key()?.public()], &[])?;
    assert_eq!(report.records, records);
    let bytes = bytes_under(&log.join("batches")) + bytes_under(&log.join("tile"));

    let (mut tree, mut files) = (Tree::default(), BTreeMap::new());
    for number in 0..ENTRIES {
        tree.append(&Entry::Closed { at: UnixMicros(1_795_000_000_000_000 + number) }.to_bytes())?;
        if number % 65_536 == 0 {
            files.extend(tree.take_files().into_iter().map(|file| (file.path, file.bytes)));
        }
    }
    files.extend(tree.take_files().into_iter().map(|file| (file.path, file.bytes)));
    let checkpoint = Checkpoint { origin: "example/speed".into(), size: tree.size(), root: tree.root() };
    files.insert("checkpoint".into(), checkpoint.sign(&[&key()?])?);
    let start = now();
    let large = verify::verify(&files, &[key()?.public()], &[])?;
    let verify_seconds = (now() - start).as_secs_f64();
    let document = serde_json::json!({
        "records_per_second": records as f64 / seconds, "lag_p99_ms": lag.0 as f64 / 1e3, "lag_max_ms": counts.lag_max.0 as f64 / 1e3,
        "forced": counts.forced, "waited": counts.waited, "bytes_per_record": bytes as f64 / records as f64,
        "verified_entries": large.entries, "verify_seconds": verify_seconds,
    });
    println!("{document}");
    Ok(())
}
