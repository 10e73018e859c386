//! What a model computes: rows of streams in, forecasts out, in the arithmetic of its profile.

use super::mixer::MixState;
use super::readout::{FORGETS_WITHIN, Parts};
use super::stream::StreamOf;
use super::{Forecast, Scratch, WindowError};
use crate::cohort::{Cohort, Remembers};
use crate::encoder::Memory;
use crate::kernel::{Real, dispatch};
use crate::spiking::Activity;

/// Scored rows from which the intervals of a window held what they promise on every series we tried (56 series and
/// horizons; with 120 rows 3 of them did not).
pub(crate) const SETTLED_ROWS_MIN: usize = 300;

/// Buffers that a step needs, in one arithmetic.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers<R> {
    features: Vec<R>,
    pub(super) cohort: Cohort<R>,
    members: Vec<f64>,
    points: Vec<f64>,
}

/// A type that models compute in: knows its place in what holds both.
pub(crate) trait Profile: Real {
    /// The buffers of this type.
    fn buffers(scratch: &mut Scratch) -> &mut Buffers<Self>;
}

impl Profile for f32 {
    fn buffers(scratch: &mut Scratch) -> &mut Buffers<f32> {
        &mut scratch.narrow
    }
}

impl Profile for f64 {
    fn buffers(scratch: &mut Scratch) -> &mut Buffers<f64> {
        &mut scratch.wide
    }
}

/// A row that arrives: its channels, and what it says of the targets where the channels do not hold them.
pub(crate) trait Row {
    /// The value of a channel.
    fn value(&self, channel: usize) -> f64;
    /// The truth of a target, where it is known.
    fn truth(&self, target: usize) -> Option<f64>;
}

/// A truth beside the one-step forecast of it, both standardised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Surprise {
    /// What came.
    pub(crate) truth: f64,
    /// What was forecast.
    pub(crate) forecast: f64,
    /// The size of error that was to be expected; positive.
    pub(crate) scale: f64,
}

impl Surprise {
    /// The error in scales.
    pub(crate) fn error(&self) -> f64 {
        (self.truth - self.forecast) / self.scale
    }
}

/// A row of a series that begins with its targets, or of inputs whose truth does not come.
pub(crate) struct Plain<V> {
    pub(crate) value: V,
    pub(crate) hears_targets: bool,
}

impl<W: Row> Row for &W {
    #[inline(always)]
    fn value(&self, channel: usize) -> f64 {
        (**self).value(channel)
    }

    #[inline(always)]
    fn truth(&self, target: usize) -> Option<f64> {
        (**self).truth(target)
    }
}

impl<V: Fn(usize) -> f64> Row for Plain<V> {
    #[inline(always)]
    fn value(&self, channel: usize) -> f64 {
        (self.value)(channel)
    }

    #[inline(always)]
    fn truth(&self, target: usize) -> Option<f64> {
        self.hears_targets.then(|| (self.value)(target))
    }
}

/// A row of inputs with the targets beside it.
pub(crate) struct WithTruth<'r> {
    pub(crate) row: &'r [f64],
    pub(crate) truth: &'r [f64],
}

impl Row for WithTruth<'_> {
    #[inline(always)]
    fn value(&self, channel: usize) -> f64 {
        self.row[channel]
    }

    #[inline(always)]
    fn truth(&self, target: usize) -> Option<f64> {
        Some(self.truth[target])
    }
}

impl<R> Remembers<R> for StreamOf<R> {
    fn memory(&self) -> &Memory<R> {
        &self.memory
    }

    fn memory_mut(&mut self) -> &mut Memory<R> {
        &mut self.memory
    }
}

impl<R: Profile> Parts<R> {
    /// Number of targets.
    pub(crate) fn targets(&self) -> usize {
        self.outputs.len()
    }

    /// Rows of the shortest window that has a forecast: as far as the lags look back.
    pub(crate) fn window_min(&self) -> usize {
        self.encoder.rows_needed()
    }

    /// Rows after which the reservoir has forgotten its start to 1e-3 and the intervals have settled.
    pub(crate) fn window_recommended(&self) -> usize {
        self.scored_from() + self.intervals.settled_rows().max(SETTLED_ROWS_MIN + self.horizon)
    }

    /// From this many rows on a stream's own errors enter its interval scale: earlier ones come from a state
    /// that still remembers where it started.
    pub(crate) fn scored_from(&self) -> usize {
        self.window_min().max(self.contraction.to_1e3.unwrap_or(FORGETS_WITHIN))
    }

    /// A stream that has seen nothing.
    pub(crate) fn stream(&self) -> StreamOf<R> {
        let horizons = self.intervals.scored.iter().cycle();
        let mixes = self.mixer.as_ref().map_or_else(Vec::new, |mixer| {
            mixer
                .errors
                .iter()
                .zip(horizons)
                .map(|(errors, &horizon)| MixState::new(errors, horizon))
                .collect()
        });
        StreamOf { memory: self.encoder.fresh(), tracks: self.intervals.fresh(), mixes }
    }

    /// Feeds one row.
    pub(crate) fn step(&self, stream: &mut StreamOf<R>, row: &impl Row, scratch: &mut Scratch) {
        let buffers = R::buffers(scratch);
        dispatch(
            #[inline(always)]
            || self.advance(std::slice::from_mut(stream), |_| row, buffers),
        );
    }

    /// What the row that comes next says against the one-step forecast of `target`; nothing before there is one.
    pub(crate) fn surprise(&self, stream: &StreamOf<R>, target: usize, truth: f64) -> Option<Surprise> {
        let (forecast, scale) =
            stream.tracks[target * self.intervals.scored.len()].expected(stream.memory.rows)?;
        let truth = self.outputs[target].standardise::<R>(truth).widen();
        Some(Surprise { truth, forecast, scale })
    }

    /// The forecast of a stream from its newest row, if it has seen enough of them.
    pub(crate) fn forecast(
        &self,
        stream: &StreamOf<R>,
        scratch: &mut Scratch,
    ) -> Result<Forecast, WindowError> {
        self.check_rows(stream.memory.rows)?;
        let buffers = R::buffers(scratch);
        Ok(dispatch(
            #[inline(always)]
            || self.read_out(stream, buffers),
        ))
    }

    fn check_rows(&self, rows: usize) -> Result<(), WindowError> {
        let window_min = self.window_min();
        if rows < window_min { Err(WindowError::TooShort { rows, window_min }) } else { Ok(()) }
    }

    /// Lets a stream feed on its own one-step forecasts for `steps` rows: `[steps][targets]`, in the data's units.
    pub(crate) fn run_free(
        &self,
        stream: &StreamOf<R>,
        steps: usize,
        scratch: &mut Scratch,
    ) -> Result<Vec<Vec<f64>>, WindowError> {
        self.check_rows(stream.memory.rows)?;
        let mut stream = stream.clone();
        let mut path = Vec::with_capacity(steps);
        for _ in 0..steps {
            let Buffers { features, members, .. } = R::buffers(scratch);
            let row: Vec<f64> = dispatch(
                #[inline(always)]
                || {
                    self.write_features(&stream.memory, features);
                    let mut row = Vec::with_capacity(self.targets());
                    for (target, channel) in self.outputs.iter().enumerate() {
                        row.push(channel.restore(self.point(&stream, target, 1, features, members)));
                    }
                    row
                },
            );
            self.step(
                &mut stream,
                &Plain { value: |channel: usize| row[channel], hears_targets: true },
                scratch,
            );
            path.push(row);
        }
        Ok(path)
    }

    /// One row of each stream: score what it confirms, step, and note what is to be scored later.
    #[inline(always)]
    pub(super) fn advance<W: Row>(
        &self,
        streams: &mut [StreamOf<R>],
        row: impl Fn(usize) -> W,
        buffers: &mut Buffers<R>,
    ) {
        for (index, stream) in streams.iter_mut().enumerate() {
            self.score(stream, &row(index));
        }
        self.encoder.advance(
            streams,
            #[inline(always)]
            |stream, channel| row(stream).value(channel),
            &mut buffers.cohort,
        );
        for (index, stream) in streams.iter_mut().enumerate() {
            if stream.memory.rows >= self.scored_from() {
                buffers.cohort.bring_home(index, &mut stream.memory);
                self.note_pending(stream, &mut buffers.features, &mut buffers.members);
            }
        }
    }

    /// Learns from the forecasts that were made for the row now arriving.
    #[inline(always)]
    fn score(&self, stream: &mut StreamOf<R>, row: &impl Row) {
        let scored = &self.intervals.scored;
        let rows = stream.memory.rows;
        for (index, track) in stream.tracks.iter_mut().enumerate() {
            let target = index / scored.len();
            let truth = row.truth(target).filter(|truth| truth.is_finite());
            let truth = truth.map(|truth| self.outputs[target].standardise::<R>(truth).widen());
            self.intervals.observe(index, track, rows, truth.unwrap_or(f64::NAN));
            let noted = rows >= self.scored_from() + scored[index % scored.len()] - 1;
            if let (true, Some(truth), Some(mix)) = (noted, truth, stream.mixes.get_mut(index)) {
                mix.observe(rows, truth);
            }
        }
    }

    /// Stores the forecasts of the scored horizons until their truth comes.
    #[inline(always)]
    fn note_pending(&self, stream: &mut StreamOf<R>, features: &mut Vec<R>, members: &mut Vec<f64>) {
        self.write_features(&stream.memory, features);
        let scored = &self.intervals.scored;
        for index in 0..stream.tracks.len() {
            let (target, horizon) = (index / scored.len(), scored[index % scored.len()]);
            let forecast = self.point(stream, target, horizon, features, members);
            let rows = stream.memory.rows;
            self.intervals.note(index, &mut stream.tracks[index], rows - 1, forecast);
            if let Some(mix) = stream.mixes.get_mut(index) {
                mix.note(rows, members);
            }
        }
    }

    #[inline(always)]
    fn write_features(&self, memory: &Memory<R>, features: &mut Vec<R>) {
        let encoder = &self.encoder;
        features.clear();
        features.resize(encoder.vectors(self.targets()) * encoder.padded_len(), R::ZERO);
        encoder.features(memory, features);
    }

    /// The standardised forecast of one target, `step` rows ahead. What each member said is left in `members`, where
    /// there are several.
    #[inline(always)]
    fn point(
        &self,
        stream: &StreamOf<R>,
        target: usize,
        step: usize,
        features: &[R],
        members: &mut Vec<f64>,
    ) -> f64 {
        let base = self.encoder.base_of(&stream.memory, target, step).widen();
        let (vector, output) = if self.encoder.shared {
            let padded = self.encoder.padded_len();
            (&features[target * padded..][..padded], step - 1)
        } else {
            (features, (step - 1) * self.targets() + target)
        };
        let Some(mixer) = &self.mixer else { return base + self.members[0].output(output, vector) };
        members.clear();
        for member in &self.members {
            members.push(base + member.output(output, vector));
        }
        for &naive in &self.encoder.bases[1..] {
            members.push(self.encoder.naive(naive, &stream.memory, target, step).widen());
        }
        let scored = &self.intervals.scored;
        let place = scored.partition_point(|&scored| scored < step).min(scored.len() - 1);
        stream.mixes[target * scored.len() + place].mix(mixer.power, members)
    }

    /// What the first spiking population has been doing.
    pub(super) fn activity(&self, memory: &Memory<R>) -> Option<Activity> {
        let mut blocks = self.encoder.blocks.iter().zip(&memory.states);
        blocks.find_map(|(block, state)| block.activity(state))
    }

    #[inline(always)]
    pub(super) fn read_out(&self, stream: &StreamOf<R>, buffers: &mut Buffers<R>) -> Forecast {
        let Buffers { features, members, points, .. } = buffers;
        self.write_features(&stream.memory, features);
        let (targets, outputs) = (self.targets(), self.targets() * self.horizon);
        points.clear();
        for step in 1..=self.horizon {
            for target in 0..targets {
                points.push(self.point(stream, target, step, features, members));
            }
        }
        let mut result = Forecast {
            forecast: vec![0.0; outputs],
            lower: vec![0.0; outputs],
            upper: vec![0.0; outputs],
            direction: vec![0; outputs],
            confidence: vec![0.0; outputs],
            activity: self.activity(&stream.memory),
        };
        for (target, channel) in self.outputs.iter().enumerate() {
            let at = |step: usize| (step - 1) * targets + target;
            let outlook = self
                .intervals
                .outlook(target, &stream.tracks, stream.memory.rows - 1, |step| points[at(step)]);
            for step in 1..=self.horizon {
                let (place, z) = (at(step), points[at(step)]);
                let half = outlook.half_width(step);
                let (direction, confidence) = outlook.direction(step, z);
                result.forecast[place] = channel.restore(z) as f32;
                result.lower[place] = channel.restore(z - half) as f32;
                result.upper[place] = channel.restore(z + half) as f32;
                result.direction[place] = direction.sign();
                result.confidence[place] = confidence;
            }
        }
        result
    }
}
