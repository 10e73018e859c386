//! Writes the corpora that the fuzz targets start from, into the folder named: the smallest model of every family, which
//! is never out of date because it has just been trained, and CSV files of different makes.

#[allow(dead_code, reason = "only what makes seeds is used here, the rest by the engine's tests")]
#[path = "../crates/engine/tests/it/support.rs"]
mod support;

use spinwell_engine::Family;
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "corpus".into()));
    let (models, tables) = (folder.join("model_file"), folder.join("csv"));
    std::fs::create_dir_all(&models)?;
    std::fs::create_dir_all(&tables)?;
    for family in Family::ALL {
        std::fs::write(models.join(family.as_str()), support::smallest(family))?;
    }
    for (index, text) in support::TABLES.iter().enumerate() {
        std::fs::write(tables.join(format!("table-{index}")), text)?;
    }
    Ok(())
}
