//! How right forecasts turned out to be, by model and version.

use super::VersionLabels;
use crate::accuracy::OfVersion;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

type Figure = Family<VersionLabels, Gauge<f64, AtomicU64>>;
type Count = Family<VersionLabels, Counter>;

/// What is shown of every version whose forecasts are remembered.
pub(super) struct LiveFigures {
    absolute_error: Figure,
    squared_error: Figure,
    coverage: Figure,
    interval_width: Figure,
    interval_score: Figure,
    skill: Figure,
    awaiting: Figure,
    matured: Count,
    off_scale: Count,
    forgotten: Count,
    failed: Count,
}

impl LiveFigures {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut figure = |name: &str, help: &str| {
            let figure = Figure::default();
            registry.register(name, help, figure.clone());
            figure
        };
        let absolute_error = figure(
            "spinwell_live_absolute_error",
            "Mean absolute error of the newest forecasts whose truth is known, in the data's units",
        );
        let squared_error = figure(
            "spinwell_live_root_mean_squared_error",
            "Root mean squared error of the newest forecasts whose truth is known, in the data's units",
        );
        let coverage =
            figure("spinwell_live_coverage_ratio", "Share of those whose interval held the truth, 0 to 1");
        let interval_width =
            figure("spinwell_live_interval_width", "Mean width of their intervals, in the data's units");
        let interval_score = figure(
            "spinwell_live_interval_score",
            "Mean interval score of them, in the data's units; lower is better",
        );
        let skill = figure("spinwell_live_skill", "1 - their errors / those of the naive forecast");
        let awaiting = figure("spinwell_live_forecasts_awaiting", "Forecasts whose truth is not all known");
        let mut count = |name: &str, help: &str| {
            let count = Count::default();
            registry.register(name, help, count.clone());
            count
        };
        let matured = count("spinwell_live_matured_values", "Forecast values whose truth has become known");
        let off_scale = count(
            "spinwell_live_off_scale_values",
            "Those so far from the truth, beyond 1e30, that they are in no figure",
        );
        let forgotten = count(
            "spinwell_live_forecasts_forgotten",
            "Forecasts forgotten before all their truth was known",
        );
        let failed = count("spinwell_live_requests_failed", "Requests that the version failed");
        Self {
            absolute_error,
            squared_error,
            coverage,
            interval_width,
            interval_score,
            skill,
            awaiting,
            matured,
            off_scale,
            forgotten,
            failed,
        }
    }

    pub(super) fn set(&self, all: &[OfVersion]) {
        // A version of which nothing is kept any more must not show its last figures.
        let figures = [
            &self.absolute_error,
            &self.squared_error,
            &self.coverage,
            &self.interval_width,
            &self.interval_score,
            &self.skill,
            &self.awaiting,
        ];
        figures.into_iter().for_each(Figure::clear);
        let counts = [&self.matured, &self.off_scale, &self.forgotten, &self.failed];
        counts.into_iter().for_each(Count::clear);
        for (model, version, figures) in all {
            let labels = VersionLabels { model: model.as_str().to_owned(), version: version.0 };
            for (figure, value) in [
                (&self.absolute_error, figures.mean_absolute_error),
                (&self.squared_error, figures.root_mean_squared_error),
                (&self.coverage, figures.coverage),
                (&self.interval_width, figures.mean_interval_width),
                (&self.interval_score, figures.mean_interval_score),
                (&self.skill, figures.skill),
                (&self.awaiting, Some(figures.awaiting as f64)),
            ] {
                if let Some(value) = value {
                    figure.get_or_create(&labels).set(value);
                }
            }
            self.matured.get_or_create(&labels).inc_by(figures.matured_total);
            self.off_scale.get_or_create(&labels).inc_by(figures.off_scale_total);
            self.forgotten.get_or_create(&labels).inc_by(figures.forgotten_total);
            self.failed.get_or_create(&labels).inc_by(figures.failed_total);
        }
    }
}
