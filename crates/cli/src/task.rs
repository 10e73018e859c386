//! What a model is for, and which options that leaves.
//!
//! Tasks share commands, because a user thinks "train", not "train a classifier". An option that means nothing for the
//! task is refused instead of ignored: who gives `--horizon` for a classifier expects something that will not happen.

use spinwell_core::{Code, Fault};

/// What `--task` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TaskArg {
    /// Say what comes next
    Forecast,
    /// Name the class of a whole series, learned from series with labels
    Classify,
    /// Say whether the newest row is unusual, given the rows before it
    Anomaly,
}

impl TaskArg {
    /// The task's name, as `--task` takes it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            TaskArg::Forecast => "forecast",
            TaskArg::Classify => "classify",
            TaskArg::Anomaly => "anomaly",
        }
    }
}

/// An option that some tasks take and others do not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limited {
    /// Its name, such as `--horizon`.
    pub(crate) name: &'static str,
    /// Whether it stands on the command line.
    pub(crate) is_given: bool,
    /// The tasks that take it.
    pub(crate) tasks: &'static [TaskArg],
}

/// An option of forecasts alone.
pub(crate) const fn of_forecasts(name: &'static str, is_given: bool) -> Limited {
    Limited { name, is_given, tasks: &[TaskArg::Forecast] }
}

/// An option of classifiers alone.
pub(crate) const fn of_classifiers(name: &'static str, is_given: bool) -> Limited {
    Limited { name, is_given, tasks: &[TaskArg::Classify] }
}

/// An option of detectors alone.
pub(crate) const fn of_detectors(name: &'static str, is_given: bool) -> Limited {
    Limited { name, is_given, tasks: &[TaskArg::Anomaly] }
}

/// An option of tasks that go along one series, row by row.
pub(crate) const fn of_streams(name: &'static str, is_given: bool) -> Limited {
    Limited { name, is_given, tasks: &[TaskArg::Forecast, TaskArg::Anomaly] }
}

/// An option of tasks that are scored against labels.
pub(crate) const fn of_labels(name: &'static str, is_given: bool) -> Limited {
    Limited { name, is_given, tasks: &[TaskArg::Classify, TaskArg::Anomaly] }
}

/// Refuses the first option that was given and that the task does not take.
pub(crate) fn check(task: TaskArg, options: &[Limited]) -> anyhow::Result<()> {
    let foreign = options.iter().find(|option| option.is_given && !option.tasks.contains(&task));
    let Some(option) = foreign else { return Ok(()) };
    let tasks: Vec<&str> = option.tasks.iter().map(|task| task.as_str()).collect();
    let text = format!(
        "{} is for the task {}, and the task here is {}; leave it out",
        option.name,
        tasks.join(" or "),
        task.as_str()
    );
    Err(Fault::new(Code::OptionInvalid, text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_of_another_task_is_refused_where_it_was_given() {
        let options = |horizon, label| [of_forecasts("--horizon", horizon), of_classifiers("--label", label)];
        let said = |task, given: [bool; 2]| {
            check(task, &options(given[0], given[1])).map_err(|error| error.to_string()).err()
        };
        assert_eq!(said(TaskArg::Forecast, [true, false]), None);
        assert_eq!(said(TaskArg::Classify, [false, true]), None);
        let wrong = said(TaskArg::Classify, [true, false]).unwrap();
        assert!(
            wrong.contains("--horizon is for the task forecast, and the task here is classify"),
            "{wrong}"
        );
        assert!(said(TaskArg::Forecast, [false, true]).unwrap().contains("--label is for the task classify"));
        let shared = [of_streams("--season", true), of_labels("--label", true)];
        assert!(check(TaskArg::Anomaly, &shared).is_ok());
        let wrong = check(TaskArg::Classify, &shared).unwrap_err().to_string();
        assert!(wrong.contains("--season is for the task forecast or anomaly"), "{wrong}");
    }
}
