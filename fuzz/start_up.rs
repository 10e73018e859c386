//! What a fuzz target does with bytes that a node finds on the disk or is handed as a state: a model's `serving.toml`, an entry
//! of the step log, a state that a caller brings back. Shared by `cargo fuzz` and by the node's tests.

use crate::sequences::record::{Change, Portable, Record, digest, seal};
use crate::settings::Settings;
use spinwell_core::{Code, ModelHash};

/// What starts the fuzzer off.
pub(crate) const SERVING: [&str; 3] = [
    "[limits]\nconcurrency_max = 2\nqueue_len_max = 50\nmemory_bytes_max = 1_000_000\n",
    "[traffic]\ndefault = 1\ncanary = {version = 2, share = 0.05}\n[traffic.shadow]\nversion = 3\nshare = 1\n",
    "traffic.shadow = { version = 0x10, share = 1e-3 } # later\n",
];

/// Reads bytes as the text of a model's `serving.toml`. Says whether it can be understood.
pub(crate) fn serving_toml(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let name = "m".parse().expect("a name");
    match Settings::parse(text, &name) {
        Ok(settings) => {
            let windows = settings.windows_max(&name, 1000, 100, 4);
            assert!(windows.is_err() || settings.memory_bytes_max.is_none_or(|most| most >= 1000));
            let traffic = settings.traffic(&name, &[], |_| None);
            assert!(traffic.is_ok() || text.contains("traffic"), "nothing was asked of the versions");
            true
        }
        Err(fault) => {
            assert_eq!(fault.code(), Code::ConfigInvalid, "{fault}");
            let length = fault.message().len();
            assert!(length < 2048, "a message of {length} bytes repeats the file");
            false
        }
    }
}

/// Reads bytes as an entry of the step log, and as a state that is brought back. Says whether they were one of the two.
pub(crate) fn log_entry(bytes: &[u8]) -> bool {
    let record = Record::read(bytes);
    if let Some(record) = &record {
        let written = record.to_bytes();
        let again = Record::read(&written).expect("what was read can be written and read again");
        assert_eq!(again.to_bytes(), written, "reading and writing change nothing");
        if let Some(key) = record.key() {
            assert!(again.key() == Some(key), "another sequence comes back");
        }
        if let Change::Step { rows, .. } = &record.change
            && let Some(series) = rows.series()
        {
            assert!(series.batch() == 1 && series.rows() > 0 && series.channels() > 0);
            assert_eq!(series.samples().len(), series.rows() * series.channels());
            let _ = digest(&series);
        }
    }
    // A stranger can make the checksum too.
    let contents = bytes.len().saturating_sub(8);
    let sealed = seal(bytes[..contents].to_vec());
    let portable = Portable::read(bytes).or_else(|_| Portable::read(&sealed));
    if let Ok(portable) = &portable {
        let Portable { hash, step, digest, state, .. } = portable;
        let written = Portable::new(ModelHash(*hash), *step, *digest, state).to_bytes();
        let again = Portable::read(&written).expect("what was read can be written and read again");
        assert!((again.hash, again.step, again.digest) == (*hash, *step, *digest) && again.state == *state);
    }
    record.is_some() || portable.is_ok()
}

/// Entries of the log of every kind, and a state.
pub(crate) fn log_entries() -> Vec<Vec<u8>> {
    use crate::sequences::record::Rows;
    use spinwell_core::{Samples, SequenceId, SequenceKey, Series, TenantId, UnixMillis};
    let id = SequenceId::of_text("größe").expect("an id");
    let key = SequenceKey { tenant: TenantId("t".into()), model: "m".parse().expect("a name"), id };
    let entry = |change| Record::new(&key, UnixMillis(5), change).to_bytes();
    let step = |samples, begins| {
        let series = Series::new(1, 2, 2, samples).expect("two rows");
        Change::Step { begins, ends: true, step: 1, digest: digest(&series), rows: Rows::of(&series) }
    };
    vec![
        entry(step(Samples::F32(vec![1.5, -0.0, 3.25, 4.0]), Some([7; 32]))),
        entry(step(Samples::F64(vec![0.1, 0.2, 0.3, 0.4]), None)),
        entry(Change::Put { hash: [7; 32], step: 3, digest: 9, state: b"state"[..].into() }),
        entry(Change::Remove),
        entry(Change::End),
        Portable::new(ModelHash([7; 32]), 3, 9, b"state").to_bytes(),
    ]
}
