//! Windows whose reservoirs step somewhere else, such as on a graphics card.
//!
//! What a reservoir hears is known before it steps. So a stretch of rows of all windows (a leg) is prepared ahead, sent
//! away with one request for each reservoir, and walked through here once the features have come back. A leg is as
//! long as the other side has room for, which bounds the memory of both.

use super::forecaster::{Buffers, Profile, Row};
use super::readout::Parts;
use super::stream::StreamOf;
use super::windows::{Arriving, Lane};
use super::{Forecast, Scratch, Window, WindowError};
use crate::encoder::Memory;
use crate::kernel::dispatch;

/// What one row of a leg asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LegRow {
    /// Streams under way, from the first.
    pub(crate) streams: usize,
    /// Whether its features are wanted back.
    pub(crate) is_wanted: bool,
}

/// A stretch of rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leg<'l> {
    /// The rows in order.
    pub(crate) rows: &'l [LegRow],
}

/// Where reservoirs step.
pub(crate) trait Elsewhere {
    /// Why it no longer does.
    type Error;

    /// Whether a block steps there.
    fn steps(&self, block: usize) -> bool;

    /// Streams that there is room for.
    fn streams(&self) -> usize;

    /// Rows that there is room for in a leg.
    fn rows(&self) -> usize;

    /// Puts every stream back to its beginning.
    fn begin(&mut self);

    /// Steps a block by `inputs`, rows × inputs × [`Elsewhere::streams`], and appends the features of the wanted rows:
    /// rows × streams × features.
    fn step(
        &mut self,
        block: usize,
        leg: &Leg<'_>,
        inputs: &[f32],
        features: &mut Vec<f32>,
    ) -> Result<(), Self::Error>;
}

/// A window under way.
struct Traveller<'w> {
    lane: Lane<'w>,
    /// Remembers the rows that have been sent away.
    ahead: Memory<f32>,
    /// Has taken the rows whose features are back.
    stream: StreamOf<f32>,
}

impl Traveller<'_> {
    fn rows(&self) -> usize {
        self.lane.window.series.rows()
    }
}

/// The numbers of one block on a leg.
#[derive(Debug, Default)]
struct Cargo {
    inputs: Vec<f32>,
    features: Vec<f32>,
}

impl Parts<f32> {
    /// Forecasts windows that have been checked; `wanted` are their places in `windows` and in `results`, longest
    /// window first.
    pub(crate) fn forecast_offloaded<E: Elsewhere>(
        &self,
        windows: &[Window<'_>],
        wanted: &[usize],
        results: &mut [Result<Option<Forecast>, WindowError>],
        scratch: &mut Scratch,
        mut elsewhere: E,
    ) -> Result<(), E::Error> {
        let buffers = f32::buffers(scratch);
        let blocks = &self.encoder.blocks;
        let away: Vec<usize> = (0..blocks.len()).filter(|&block| elsewhere.steps(block)).collect();
        buffers.cohort.begin(&self.encoder, 1);
        buffers.cohort.leave_out(&away);
        for group in wanted.chunks(elsewhere.streams()) {
            let traveller = |&index: &usize| {
                let mut stream = self.stream();
                for &block in &away {
                    stream.memory.states[block] = blocks[block].outlet();
                }
                let lane = Lane { window: windows[index], index, row: 0 };
                Traveller { lane, ahead: self.encoder.fresh_ring(), stream }
            };
            let mut travellers: Vec<_> = group.iter().map(traveller).collect();
            let mut cargo: Vec<Cargo> = away.iter().map(|_| Cargo::default()).collect();
            elsewhere.begin();
            let mut first = 0;
            while !travellers.is_empty() {
                let rows = self.leg(&travellers, first, elsewhere.rows());
                self.pack(&mut travellers, &away, &rows, elsewhere.streams(), &mut cargo);
                let leg = Leg { rows: &rows };
                for (&block, cargo) in away.iter().zip(&mut cargo) {
                    cargo.features.clear();
                    elsewhere.step(block, &leg, &cargo.inputs, &mut cargo.features)?;
                }
                for (place, traveller) in travellers.iter_mut().enumerate() {
                    let at = Seat { place, streams: elsewhere.streams() };
                    let forecast = dispatch(
                        #[inline(always)]
                        || self.walk(traveller, &away, &rows, at, &cargo, buffers),
                    );
                    if let Some(forecast) = forecast {
                        results[traveller.lane.index] = Ok(Some(forecast));
                    }
                }
                first += rows.len();
                travellers.retain(|traveller| traveller.rows() > first);
            }
        }
        Ok(())
    }

    /// The rows from `first` on, at most so many.
    fn leg(&self, travellers: &[Traveller<'_>], first: usize, rows_max: usize) -> Vec<LegRow> {
        let longest = travellers.first().map_or(0, Traveller::rows);
        let row = |row: usize| {
            let streams = travellers.partition_point(|traveller| traveller.rows() > row);
            let ends = travellers[..streams].last().is_some_and(|shortest| shortest.rows() == row + 1);
            LegRow { streams, is_wanted: ends || row + 1 >= self.scored_from() }
        };
        (first..longest.min(first + rows_max)).map(row).collect()
    }

    /// Writes what the blocks will hear.
    fn pack(
        &self,
        travellers: &mut [Traveller<'_>],
        away: &[usize],
        rows: &[LegRow],
        stride: usize,
        cargo: &mut [Cargo],
    ) {
        let blocks = &self.encoder.blocks;
        for (&block, cargo) in away.iter().zip(&mut *cargo) {
            cargo.inputs.clear();
            cargo.inputs.resize(rows.len() * blocks[block].inputs_len() * stride, 0.0);
        }
        let mut heard = vec![0.0; away.iter().map(|&block| blocks[block].inputs_len()).max().unwrap_or(0)];
        for (place, traveller) in travellers.iter_mut().enumerate() {
            let Traveller { lane, ahead, .. } = traveller;
            let mut lane = *lane;
            for (offset, _) in rows.iter().enumerate().take_while(|(_, row)| row.streams > place) {
                let arriving = Arriving { lane, hears_targets: self.hears_targets };
                self.encoder.remember(ahead, |channel| arriving.value(channel));
                lane.row += 1;
                for (&block, cargo) in away.iter().zip(&mut *cargo) {
                    let block = &blocks[block];
                    let heard = &mut heard[..block.inputs_len()];
                    self.encoder.listen(block, ahead, heard);
                    let row = &mut cargo.inputs[offset * heard.len() * stride..];
                    for (input, &value) in heard.iter().enumerate() {
                        row[input * stride + place] = block.within_limit(value);
                    }
                }
            }
        }
    }

    /// Takes a window through the rows of a leg; its forecast, where it ends there.
    #[inline(always)]
    fn walk(
        &self,
        traveller: &mut Traveller<'_>,
        away: &[usize],
        rows: &[LegRow],
        seat: Seat,
        cargo: &[Cargo],
        buffers: &mut Buffers<f32>,
    ) -> Option<Forecast> {
        let Traveller { lane, stream, .. } = traveller;
        let mut slot = 0;
        for row in rows.iter().take_while(|row| row.streams > seat.place) {
            if row.is_wanted {
                for (&block, cargo) in away.iter().zip(cargo) {
                    let block_of = &self.encoder.blocks[block];
                    let length = block_of.features_len();
                    let features = &cargo.features[(slot * seat.streams + seat.place) * length..][..length];
                    block_of.put_features(&mut stream.memory.states[block], features);
                }
                slot += 1;
            }
            let arriving = Arriving { lane: *lane, hears_targets: self.hears_targets };
            self.advance(
                std::slice::from_mut(stream),
                #[inline(always)]
                |_| &arriving,
                buffers,
            );
            lane.row += 1;
        }
        (lane.row == lane.window.series.rows()).then(|| self.read_out(stream, buffers))
    }
}

/// Where a stream's numbers stand among those of all streams.
#[derive(Debug, Clone, Copy)]
struct Seat {
    place: usize,
    streams: usize,
}
