//! The options that `train` and `backtest` share, and reading the data they name.

use crate::failure;
use crate::task::{self, Limited, TaskArg, of_detectors, of_forecasts, of_labels, of_streams};
use spinwell_core::{Code, Fault};
use spinwell_engine::Family;
use spinwell_engine::classify::{ClassifierChoice, ClassifierFamily, ClassifyOptions, ClassifySettings};
use spinwell_engine::data::{Columns, Table, read_csv, read_marked_csv};
use spinwell_engine::settings::{Precision, Settings};
use spinwell_engine::train::{Choice, Feeds, Options, Score};
use spinwell_runtime::options::Device;
use std::path::{Path, PathBuf};

/// What `--family` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FamilyArg {
    /// Compare all and keep the best, a naive forecast included
    Auto,
    /// Ridge regression on recent and seasonal lags
    Linear,
    /// Ridge regression on products of recent values (next-generation reservoir computing)
    Ngrc,
    /// An echo-state network beside the same lags
    Echo,
    /// A liquid of spiking neurons beside the same lags
    Spiking,
    /// A bank of simulated quantum reservoirs beside the same lags
    Quantum,
    /// Several reservoirs beside each other, their forecasts mixed; for classes, shapes beside a reservoir
    Hybrid,
    /// Dilated convolutions, which know classes by local shape; with --task classify
    Shape,
}

/// What `--precision` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PrecisionArg {
    /// 32 bits, and 64 where validation shows that 32 are not enough
    Auto,
    /// 32 bits
    F32,
    /// 64 bits
    F64,
}

/// Options of training.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TrainingArgs {
    /// CSV file with a header row, one row a time step (or one row a series, for classes).
    pub(crate) data: PathBuf,
    /// What the model is for.
    #[arg(long, value_enum, default_value_t = TaskArg::Forecast)]
    pub(crate) task: TaskArg,
    /// Column to forecast or to watch, needed for that; several separated by commas.
    #[arg(long, value_name = "COL[,COL..]", value_delimiter = ',')]
    pub(crate) target: Vec<String>,
    /// Column of labels: of classes, to classify [default: label]; of rows inside known anomalies, to score a detector.
    #[arg(long, value_name = "COL")]
    pub(crate) label: Option<String>,
    /// Further columns that are known up to the present and may help.
    #[arg(long, value_name = "COL[,COL..]", value_delimiter = ',')]
    pub(crate) inputs: Vec<String>,
    /// Feed the inputs alone: the target's own past is learned from, but never sent.
    #[arg(long, requires = "inputs")]
    pub(crate) inputs_only: bool,
    /// Column of times: orders the rows and checks their spacing. To classify, of long files alone, and t by default.
    #[arg(long, value_name = "COL")]
    pub(crate) time: Option<String>,
    /// How many rows ahead to forecast [default: 1]. A detector judges the next row: 1.
    #[arg(long, value_name = "H", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) horizon: Option<u32>,
    /// Rows of a season (1 for none), or `auto` to find it in the data [default: auto].
    #[arg(long, value_name = "M", value_parser = parse_season)]
    pub(crate) season: Option<SeasonArg>,
    /// Family of models.
    #[arg(long, value_enum, default_value_t = FamilyArg::Auto)]
    pub(crate) family: FamilyArg,
    /// Fix hyper-parameters, such as units=300,leak=0.3,skip=off.
    #[arg(long, value_name = "KEY=VALUE[,..]", value_delimiter = ',', long_help = set_help())]
    pub(crate) set: Vec<String>,
    /// Arithmetic of the model [default: auto].
    #[arg(long, value_enum)]
    pub(crate) precision: Option<PrecisionArg>,
    /// Where the model will be served [default: auto]: it is trained on the CPU and then tried out on the graphics cards
    /// named.
    #[arg(long, value_name = "auto|cpu|gpu[:I]", value_parser = crate::serve::device)]
    pub(crate) device: Option<Device>,
    /// Most learned candidates to try; with the seed it fixes the result.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) trials: u32,
    /// Start no new candidate after this long, such as 30s, 5m or 1h.
    #[arg(long, value_name = "D", value_parser = parse_duration)]
    pub(crate) budget: Option<std::time::Duration>,
    /// Share of truths that intervals shall contain [default: 0.95].
    #[arg(long, value_name = "P", value_parser = parse_share)]
    pub(crate) coverage: Option<f64>,
    /// Share of usual rows that a detector may call anomalies [default: 0.0005].
    #[arg(long, value_name = "P", value_parser = parse_share)]
    pub(crate) alpha: Option<f64>,
    /// Fixes every random weight.
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
    /// Write a plot of forecasts on rows the model has not seen.
    #[arg(long, value_name = "F.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A season given, or to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeasonArg {
    Auto,
    Rows(usize),
}

fn set_help() -> String {
    format!(
        "Fix hyper-parameters instead of searching them. Keys: {}.\nskip=off hides the lags from the readout, to \
         study a reservoir alone; form is relative or raw; transform is none or sqrt.\nWith --task classify: {}; \
         normalise=on judges every series by its own mean and deviation; form is values, differences or both.",
        spinwell_engine::settings::KEYS,
        spinwell_engine::classify::SETTINGS_KEYS
    )
}

fn parse_season(text: &str) -> Result<SeasonArg, String> {
    match text {
        "auto" => Ok(SeasonArg::Auto),
        _ => match text.parse() {
            Ok(rows) if (1..=100_000).contains(&rows) => Ok(SeasonArg::Rows(rows)),
            _ => Err("use auto, 1 for none, or a number of rows up to 100000".to_owned()),
        },
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|p: &f64| *p > 0.0 && *p < 1.0);
    share.ok_or_else(|| "use a number between 0 and 1, such as 0.95".to_owned())
}

pub(crate) fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || "use a number with s, m or h, such as 30s".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let scale = match unit {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    if !(0.0..=1e6).contains(&number) {
        return Err(wrong());
    }
    Ok(std::time::Duration::from_secs_f64(number * scale))
}

/// A file that was read, with its bytes' hash.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) table: Table,
    pub(crate) hash: String,
}

/// Reads columns of a CSV file, with its path in every fault.
pub(crate) fn read_data(path: &Path, columns: &Columns) -> anyhow::Result<Data> {
    let bytes = std::fs::read(path).map_err(|error| failure::io(path, "reading", &error))?;
    let table = read_csv(&bytes[..], columns)
        .map_err(|error| failure::fault(error.code(), format!("{}: {error}", path.display())))?;
    Ok(Data { table, hash: spinwell_engine::artefact::digest(&bytes) })
}

/// The same with a column of marks, one a row.
pub(crate) fn read_marked_data(
    path: &Path,
    columns: &Columns,
    marks: &str,
) -> anyhow::Result<(Data, Vec<bool>)> {
    let bytes = std::fs::read(path).map_err(|error| failure::io(path, "reading", &error))?;
    let (table, marked) = read_marked_csv(&bytes[..], columns, marks)
        .map_err(|error| failure::fault(error.code(), format!("{}: {error}", path.display())))?;
    Ok((Data { table, hash: spinwell_engine::artefact::digest(&bytes) }, marked))
}

impl TrainingArgs {
    /// Refuses options that mean nothing for the task, the command's own (`more`) among them, and a task that lacks
    /// what it needs.
    pub(crate) fn check_task(&self, more: &[Limited]) -> anyhow::Result<()> {
        let own = [
            of_labels("--label", self.label.is_some()),
            of_streams("--target", !self.target.is_empty()),
            of_streams("--inputs", !self.inputs.is_empty()),
            of_forecasts("--inputs-only", self.inputs_only),
            of_streams("--horizon", self.horizon.is_some()),
            of_streams("--season", self.season.is_some()),
            of_streams("--precision", self.precision.is_some()),
            of_forecasts("--coverage", self.coverage.is_some()),
            of_detectors("--alpha", self.alpha.is_some()),
        ];
        task::check(self.task, &own)?;
        task::check(self.task, more)?;
        let lacks = match self.task {
            TaskArg::Forecast if self.target.is_empty() => {
                "a forecast needs --target COL, the column to forecast"
            }
            TaskArg::Anomaly if self.target.is_empty() => {
                "a detector needs --target COL, the column to watch"
            }
            TaskArg::Anomaly if self.horizon.is_some_and(|horizon| horizon != 1) => {
                "a detector judges the next row by the rows before it: --horizon must be 1; leave it out"
            }
            _ => return Ok(()),
        };
        Err(Fault::new(Code::OptionInvalid, lacks).into())
    }

    /// The pairs of `--set`.
    fn pairs(&self) -> impl Iterator<Item = &str> {
        self.set.iter().map(String::as_str).filter(|pair| !pair.trim().is_empty())
    }

    fn wrong_family(family: &str, task: TaskArg) -> anyhow::Error {
        let others = match task {
            TaskArg::Forecast | TaskArg::Anomaly => "auto, linear, ngrc, echo, spiking, quantum or hybrid",
            TaskArg::Classify => "auto, shape, echo or hybrid",
        };
        let text = format!("--family {family} is not of the task {}; use {others}", task.as_str());
        Fault::new(Code::OptionInvalid, text).into()
    }

    /// The engine's options to train a classifier.
    pub(crate) fn classify_options(&self) -> anyhow::Result<ClassifyOptions> {
        let settings = ClassifySettings::parse(self.pairs())
            .map_err(|e| failure::fault(Code::OptionInvalid, format!("--set: {e}")))?;
        let family = match self.family {
            FamilyArg::Auto => ClassifierChoice::Auto,
            FamilyArg::Shape => ClassifierChoice::Only(ClassifierFamily::Shape),
            FamilyArg::Echo => ClassifierChoice::Only(ClassifierFamily::Echo),
            FamilyArg::Hybrid => ClassifierChoice::Only(ClassifierFamily::Hybrid),
            FamilyArg::Linear => return Err(Self::wrong_family("linear", self.task)),
            FamilyArg::Ngrc => return Err(Self::wrong_family("ngrc", self.task)),
            FamilyArg::Spiking => return Err(Self::wrong_family("spiking", self.task)),
            FamilyArg::Quantum => return Err(Self::wrong_family("quantum", self.task)),
        };
        Ok(ClassifyOptions { family, trials: self.trials as usize, seed: self.seed, settings })
    }

    /// The columns that the options name.
    pub(crate) fn columns(&self) -> anyhow::Result<Columns> {
        let values: Vec<String> = self.target.iter().chain(&self.inputs).cloned().collect();
        if let Some(twice) = values.iter().enumerate().find(|(i, name)| values[..*i].contains(name)) {
            return Err(
                Fault::new(Code::OptionInvalid, format!("column {:?} is named twice", twice.1)).into()
            );
        }
        Ok(Columns { values, time: self.time.clone() })
    }

    /// The engine's options to train a forecaster, a detector's own among them.
    pub(crate) fn options(&self, score: Score) -> anyhow::Result<Options> {
        let settings = Settings::parse(self.pairs())
            .map_err(|e| failure::fault(Code::OptionInvalid, format!("--set: {e}")))?;
        Ok(Options {
            targets: self.target.len(),
            feeds: if self.inputs_only { Feeds::InputsAlone } else { Feeds::Everything },
            horizon: self.horizon.unwrap_or(1) as usize,
            season: match self.season {
                None | Some(SeasonArg::Auto) => None,
                Some(SeasonArg::Rows(rows)) => Some(rows),
            },
            choice: match self.family {
                FamilyArg::Auto => Choice::Auto,
                FamilyArg::Linear => Choice::Only(Family::Linear),
                FamilyArg::Ngrc => Choice::Only(Family::Ngrc),
                FamilyArg::Echo => Choice::Only(Family::Echo),
                FamilyArg::Spiking => Choice::Only(Family::Spiking),
                FamilyArg::Quantum => Choice::Only(Family::Quantum),
                FamilyArg::Hybrid => Choice::Only(Family::Hybrid),
                FamilyArg::Shape => return Err(Self::wrong_family("shape", self.task)),
            },
            settings,
            precision: match self.precision {
                None | Some(PrecisionArg::Auto) => Precision::Auto,
                Some(PrecisionArg::F32) => Precision::F32,
                Some(PrecisionArg::F64) => Precision::F64,
            },
            trials: self.trials as usize,
            coverage: self.coverage.unwrap_or(0.95),
            seed: self.seed,
            score,
            time_column: self.time.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_seasons_and_shares_are_read_or_explained() {
        assert_eq!(parse_duration("90s").unwrap().as_secs(), 90);
        assert_eq!(parse_duration("1.5m").unwrap().as_secs(), 90);
        for wrong in ["", "s", "10", "-1s", "infs", "10d", "é"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_season("auto"), Ok(SeasonArg::Auto));
        assert!(parse_season("0").is_err() && parse_season("-1").is_err());
        assert!(parse_share("95").is_err() && parse_share("NaN").is_err() && parse_share("0.9").is_ok());
    }
}
