//! Writes the corpora that the fuzz targets start from, into the folder named: the smallest model of every family and a state
//! of each, which are never out of date because they have just been trained; CSV files of different makes; requests of
//! every wire; keys, tokens and files of a ledger.

#[allow(dead_code, reason = "only what makes seeds is used here, the rest by the targets")]
#[path = "credentials.rs"]
mod credentials;
#[allow(dead_code, reason = "only what makes seeds is used here, the rest by the targets")]
#[path = "ledger.rs"]
mod ledger;
#[path = "node.rs"]
mod node;
#[path = "requests.rs"]
mod requests;
#[allow(dead_code, reason = "only what makes seeds is used here, the rest by the engine's tests")]
#[path = "../crates/engine/tests/it/support.rs"]
mod support;

use node::{sequences, settings, start_up};
use spinwell_engine::{Family, Model};
use std::io::Result;
use std::path::{Path, PathBuf};

/// What stands in front of a state's values, and is put there by the target itself.
const HEADER: usize = 40;

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "corpus".into()));
    let models: Vec<Vec<u8>> = Family::ALL.into_iter().map(support::smallest).collect();
    write(&folder, "state", &states(&models))?;
    write(&folder, "model_file", &models)?;
    write(&folder, "csv", &support::TABLES)?;
    write(&folder, "json_body", &requests::JSON)?;
    write(&folder, "binary_body", &requests::binary())?;
    write(&folder, "batch_call", &requests::BATCH)?;
    write(&folder, "observations", &requests::OBSERVATIONS)?;
    write(&folder, "traceparent", &requests::TRACEPARENTS)?;
    write(&folder, "serving_toml", &start_up::SERVING)?;
    write(&folder, "log_entry", &start_up::log_entries())?;
    write(&folder, "grpc_message", &requests::messages())?;
    write(&folder, "api_key", &credentials::api_keys())?;
    write(&folder, "token", &credentials::tokens())?;
    write(&folder, "envelope", &credentials::envelopes())?;
    write(&folder, "checkpoint", &ledger::checkpoints())?;
    write(&folder, "ledger_files", &ledger::logs())?;
    write(&folder, "receipt", &ledger::receipts())?;
    // Words that a fuzzer would take long to find.
    let quoted = |word: &&[u8]| word.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let words: Vec<String> = requests::WORDS.iter().map(|word| format!("\"{}\"\n", quoted(word))).collect();
    std::fs::write(folder.join("words.dict"), words.concat())
}

fn write(folder: &Path, target: &str, seeds: &[impl AsRef<[u8]>]) -> Result<()> {
    let folder = folder.join(target);
    std::fs::create_dir_all(&folder)?;
    let one = |(index, seed): (usize, &_)| {
        std::fs::write(folder.join(format!("seed-{index}")), AsRef::<[u8]>::as_ref(seed))
    };
    seeds.iter().enumerate().try_for_each(one)
}

/// A state of each model after some rows, behind the number of the model.
fn states(models: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let waves = support::waves(60);
    let state = |(index, file): (usize, &Vec<u8>)| {
        let model = Model::from_bytes(file).expect("a model just trained");
        let mut stream = model.stream();
        support::feed(&model, &mut stream, &waves, 0..60);
        [&[index as u8][..], &model.save_state(&stream)[HEADER..]].concat()
    };
    models.iter().enumerate().map(state).collect()
}
