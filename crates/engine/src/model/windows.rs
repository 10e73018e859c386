//! Many windows at once: a cohort of fresh streams, refilled as its windows end.
//!
//! Windows of any length share a pass. The longest begin first, and a stream whose window has ended makes room for the
//! next one at once, so that no row is stepped that nobody asked for. When few windows are left they go on one after
//! the other, which is then faster.

use super::forecaster::{Buffers, Profile, Row};
use super::readout::Parts;
use super::stream::StreamOf;
use super::{Forecast, Scratch, Window, WindowError};
use crate::cohort::STREAMS_MAX;
use crate::kernel::dispatch;
use spinwell_core::Samples;

/// A window under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane<'w> {
    pub(super) window: Window<'w>,
    /// Its place among the results.
    pub(super) index: usize,
    /// Rows fed.
    pub(super) row: usize,
}

/// The row of a window that comes next.
pub(super) struct Arriving<'w> {
    pub(super) lane: Lane<'w>,
    pub(super) hears_targets: bool,
}

impl Row for Arriving<'_> {
    #[inline(always)]
    fn value(&self, channel: usize) -> f64 {
        let Lane { window: Window { series, index }, row, .. } = self.lane;
        sample(series.samples(), (index * series.rows() + row) * series.channels() + channel)
    }

    #[inline(always)]
    fn truth(&self, target: usize) -> Option<f64> {
        self.hears_targets.then(|| self.value(target))
    }
}

/// Windows under way and the windows that wait, next one last.
struct Passengers<'w, R> {
    lanes: Vec<Lane<'w>>,
    streams: Vec<StreamOf<R>>,
    waiting: Vec<Lane<'w>>,
}

impl<R: Profile> Parts<R> {
    /// Forecasts windows that have been checked; `wanted` are their places in `windows` and in `results`.
    pub(super) fn forecast_windows(
        &self,
        windows: &[Window<'_>],
        wanted: &[usize],
        results: &mut [Result<Option<Forecast>, WindowError>],
        scratch: &mut Scratch,
    ) {
        let mut waiting: Vec<_> =
            wanted.iter().map(|&index| Lane { window: windows[index], index, row: 0 }).collect();
        waiting.sort_by_key(|lane| lane.window.series.rows());
        let together = waiting.len().min(STREAMS_MAX);
        let buffers = R::buffers(scratch);
        buffers.cohort.begin(&self.encoder, together);
        let lanes = waiting.split_off(waiting.len() - together);
        let streams = lanes.iter().map(|_| self.stream()).collect();
        let mut passengers = Passengers { lanes, streams, waiting };
        while !passengers.lanes.is_empty() {
            dispatch(
                #[inline(always)]
                || self.feed(&mut passengers, buffers),
            );
            self.let_off(&mut passengers, buffers, results);
        }
        buffers.cohort.leave_lanes();
    }

    /// Feeds one row to every stream.
    #[inline(always)]
    fn feed(&self, passengers: &mut Passengers<'_, R>, buffers: &mut Buffers<R>) {
        let Passengers { lanes, streams, .. } = passengers;
        self.advance(
            streams,
            #[inline(always)]
            |stream| Arriving { lane: lanes[stream], hears_targets: self.hears_targets },
            buffers,
        );
        lanes.iter_mut().for_each(|lane| lane.row += 1);
    }

    /// Reads out the windows that have ended and lets others begin.
    fn let_off(
        &self,
        passengers: &mut Passengers<'_, R>,
        buffers: &mut Buffers<R>,
        results: &mut [Result<Option<Forecast>, WindowError>],
    ) {
        let Passengers { lanes, streams, waiting } = passengers;
        for place in (0..lanes.len()).rev() {
            let Lane { window, index, row } = lanes[place];
            if row < window.series.rows() {
                continue;
            }
            buffers.cohort.bring_home(place, &mut streams[place].memory);
            let forecast = dispatch(
                #[inline(always)]
                || self.read_out(&streams[place], buffers),
            );
            results[index] = Ok(Some(forecast));
            if let Some(next) = waiting.pop() {
                lanes[place] = next;
                streams[place] = self.stream();
                buffers.cohort.enter(&self.encoder, place);
            } else {
                lanes.swap_remove(place);
                streams.swap_remove(place);
                buffers.cohort.move_lane(lanes.len(), place);
            }
        }
        if buffers.cohort.are_too_few(lanes.len()) {
            for (place, stream) in streams.iter_mut().enumerate() {
                buffers.cohort.bring_home(place, &mut stream.memory);
            }
            buffers.cohort.leave_lanes();
        }
    }
}

#[inline(always)]
fn sample(samples: &Samples, index: usize) -> f64 {
    match samples {
        Samples::F32(values) => f64::from(values[index]),
        Samples::F64(values) => values[index],
    }
}
