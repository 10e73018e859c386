//! Features of local shape: where, how long and how far dilated convolutions of a series stand above a threshold.
//!
//! MiniRocket (Dempster, Schmidt & Webb 2021, "MiniRocket: a very fast (almost) deterministic transform for time
//! series classification", §3) with the four pooled values of MultiRocket (Tan et al. 2022, "MultiRocket: multiple
//! pooling operators and transformations for fast and effective time series classification", §3.2): 84 kernels of
//! length 9, three weights 2 and six weights -1; exponential dilations; thresholds from quantiles of the convolutions of
//! training cases; of what stands above a threshold the share, the mean excess, the mean place and the longest run. A
//! kernel's weights sum to zero, so a series' level does not matter, only its shape. Our own choices: several channels
//! are summed over a random subset of them; series of unequal length share the dilations that fit the median training
//! length, and where a kernel would not fit into a series at all it is convolved with zeros around it, as every second
//! kernel is anyway; places and runs are shares of the length.
//!
//! All kernels of a dilation share one set of nine shifted copies of the series: `C = 3·(sᵢ + sⱼ + sₖ) - Σ s`, three
//! additions a value instead of nine multiplications.

use super::series::Series;
use crate::kernel::{LANES, dispatch};
use spinwell_core::Rng;

/// Values under a kernel.
const LENGTH: usize = 9;
/// Ways to choose three of nine weights.
pub(crate) const KERNELS: usize = 84;
/// Features per kernel, dilation and threshold.
pub(crate) const POOLS: usize = 4;
/// Dilations at most.
const DILATIONS_MAX: usize = 32;
/// A kernel sees at most so many channels at once.
const CHANNELS_MAX: usize = 9;

/// The positions of the three weights 2 of every kernel.
const POSITIONS: [[usize; 3]; KERNELS] = positions();

const fn positions() -> [[usize; 3]; KERNELS] {
    let mut all = [[0; 3]; KERNELS];
    let (mut at, mut i) = (0, 0);
    while i < LENGTH {
        let mut j = i + 1;
        while j < LENGTH {
            let mut k = j + 1;
            while k < LENGTH {
                all[at] = [i, j, k];
                at += 1;
                k += 1;
            }
            j += 1;
        }
        i += 1;
    }
    all
}

/// What is drawn before the features can be computed, as it stands in a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    /// Channels of a series.
    pub(crate) channels: usize,
    /// Distances between the values under a kernel, ascending.
    pub(crate) dilations: Vec<u32>,
    /// Thresholds per kernel, one entry per dilation.
    pub(crate) thresholds_each: Vec<u32>,
    /// Thresholds: dilation after dilation, kernel after kernel.
    pub(crate) thresholds: Vec<f32>,
    /// Where the channels of each pair of dilation and kernel begin; one more than there are pairs.
    pub(crate) subset_starts: Vec<u32>,
    /// Those channels.
    pub(crate) subsets: Vec<u32>,
}

/// What is asked of a draw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw {
    /// Channels of the series.
    pub(crate) channels: usize,
    /// About how many features; at least 336 are made.
    pub(crate) features: usize,
    /// Which random choices.
    pub(crate) seed: u64,
}

impl Shape {
    /// Draws dilations, channels and thresholds for training series.
    pub(crate) fn draw(series: &[Series], draw: &Draw) -> Self {
        let &Draw { channels, features, seed } = draw;
        let mut lengths: Vec<usize> = series.iter().map(|series| series.rows).collect();
        lengths.sort_unstable();
        let (dilations, thresholds_each) =
            dilations(lengths[lengths.len() / 2], (features / (POOLS * KERNELS)).max(1));
        let rng = Rng::seeded(seed);
        let mut shape = Self {
            channels,
            dilations,
            thresholds_each,
            thresholds: Vec::new(),
            subset_starts: vec![0],
            subsets: Vec::new(),
        };
        let mut rng_channels = rng.fork(0);
        for _ in 0..shape.dilations.len() * KERNELS {
            shape.subsets.extend(subset(channels, &mut rng_channels));
            shape.subset_starts.push(shape.subsets.len() as u32);
        }
        shape.draw_thresholds(series, &mut rng.fork(1));
        shape
    }

    fn draw_thresholds(&mut self, series: &[Series], rng: &mut Rng) {
        let mut buffers = Buffers::default();
        let mut quantile = 0u64;
        for place in 0..self.dilations.len() {
            for kernel in 0..KERNELS {
                let case = &series[rng.below(series.len() as u64) as usize];
                buffers.shift(case, self.channels, self.dilations[place] as usize);
                let subset = self.subset(place, kernel);
                buffers.convolve(kernel, subset, case.rows);
                let range = self.range(place, kernel, case.rows);
                let mut values = buffers.output[range].to_vec();
                values.sort_by(f32::total_cmp);
                for _ in 0..self.thresholds_each[place] {
                    quantile += 1;
                    // The golden ratio's multiples, modulo 1, fill the unit interval evenly.
                    let share = (quantile as f64 * 0.618_033_988_749_894_9).fract();
                    self.thresholds.push(at_share(&values, share));
                }
            }
        }
    }

    fn subset(&self, place: usize, kernel: usize) -> &[u32] {
        let pair = place * KERNELS + kernel;
        &self.subsets[self.subset_starts[pair] as usize..self.subset_starts[pair + 1] as usize]
    }

    /// The part of a convolution that counts: everything, or, for every second kernel, where no zero around the
    /// series is under it.
    fn range(&self, place: usize, kernel: usize, rows: usize) -> std::ops::Range<usize> {
        let margin = LENGTH / 2 * self.dilations[place] as usize;
        if (place + kernel).is_multiple_of(2) || rows <= 2 * margin { 0..rows } else { margin..rows - margin }
    }

    /// Number of features.
    pub(crate) fn len(&self) -> usize {
        POOLS * self.thresholds.len()
    }

    /// Appends the features of one series to `features`: for each dilation, kernel and threshold its four.
    pub(crate) fn features(&self, series: &Series, buffers: &mut Buffers, features: &mut Vec<f32>) {
        let mut first = features.len();
        features.resize(first + self.len(), 0.0);
        let mut thresholds = &self.thresholds[..];
        for (place, (&dilation, &each)) in self.dilations.iter().zip(&self.thresholds_each).enumerate() {
            let each = each as usize;
            let (own, rest) = thresholds.split_at(each * KERNELS);
            thresholds = rest;
            buffers.shift(series, self.channels, dilation as usize);
            // Kernels of one parity share the part of the series that counts, so that 16 of them advance together.
            for kernels in (0..2).flat_map(|parity| GROUPS.map(move |group| (parity, group))) {
                let kernel_at = |lane: usize| 2 * (kernels.1 * LANES + lane) + kernels.0;
                let lanes = (0..LANES).take_while(|&lane| kernel_at(lane) < KERNELS).count();
                let range = self.range(place, kernel_at(0), series.rows);
                buffers.clear_lanes(range.len());
                for lane in 0..lanes {
                    let kernel = kernel_at(lane);
                    buffers.convolve(kernel, self.subset(place, kernel), series.rows);
                    buffers.fill_lane(lane, range.clone());
                }
                for index in 0..each {
                    let threshold = |lane: usize| own.get(kernel_at(lane) * each + index).copied();
                    let pooled =
                        pool(&buffers.lanes, &std::array::from_fn(|lane| threshold(lane).unwrap_or(0.0)));
                    for lane in 0..lanes {
                        let at = first + POOLS * (kernel_at(lane) * each + index);
                        features[at..at + POOLS].copy_from_slice(&pooled.map(|values| values[lane]));
                    }
                }
            }
            first += POOLS * own.len();
        }
    }
}

/// Groups of 16 kernels that one parity of the 84 makes up.
const GROUPS: [usize; KERNELS.div_ceil(2 * LANES)] = [0, 1, 2];

/// What stands above a threshold in the convolutions of 16 kernels: its share of the rows, its mean excess, its mean
/// place (0 is the first row, 1 the last; 0 where nothing stands above), its longest run as a share of the rows.
fn pool(values: &[[f32; LANES]], thresholds: &[f32; LANES]) -> [[f32; LANES]; POOLS] {
    let rows = values.len() as f32;
    dispatch(
        #[inline(always)]
        || {
            let (mut count, mut excess, mut place) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
            let (mut run, mut longest) = ([0.0f32; LANES], [0.0f32; LANES]);
            for (row, values) in values.iter().enumerate() {
                let row = row as f32;
                for lane in 0..LANES {
                    let above = values[lane] - thresholds[lane];
                    let is_above = if above > 0.0 { 1.0 } else { 0.0 };
                    count[lane] += is_above;
                    excess[lane] += is_above * above;
                    place[lane] += is_above * row;
                    run[lane] = is_above * (run[lane] + 1.0);
                    longest[lane] = if run[lane] > longest[lane] { run[lane] } else { longest[lane] };
                }
            }
            for lane in 0..LANES {
                // Sums are zero where the count is: dividing by 1 leaves them so.
                let divisor = if count[lane] > 0.0 { count[lane] } else { 1.0 };
                count[lane] /= rows;
                excess[lane] /= divisor;
                place[lane] /= divisor * rows;
                longest[lane] /= rows;
            }
            [count, excess, place, longest]
        },
    )
}

/// Dilations for series of `rows` rows and the number of thresholds of each, which sum to `each`: spaced evenly in
/// their logarithm, from 1 to the largest whose kernel still fits (§3.1 of the paper).
fn dilations(rows: usize, each: usize) -> (Vec<u32>, Vec<u32>) {
    let steps = each.min(DILATIONS_MAX);
    let largest = ((rows.max(LENGTH + 1) - 1) as f64 / (LENGTH - 1) as f64).log2();
    let mut dilations: Vec<u32> = Vec::new();
    let mut counts: Vec<u32> = Vec::new();
    let share = each as f64 / steps as f64;
    for step in 0..steps {
        let exponent = if steps == 1 { 0.0 } else { largest * step as f64 / (steps - 1) as f64 };
        // The tiny summand keeps a whole power of two from falling to the number below it.
        let dilation = (exponent.exp2() + 1e-9).floor() as u32;
        // What whole numbers lose is handed on, so that the counts sum to `each`.
        let count =
            ((step + 1) as f64 * share + 1e-9).floor() as u32 - (step as f64 * share + 1e-9).floor() as u32;
        match (dilations.last(), counts.last_mut()) {
            (Some(&last), Some(sum)) if last == dilation => *sum += count,
            _ => {
                dilations.push(dilation);
                counts.push(count);
            }
        }
    }
    (dilations, counts)
}

/// A random subset of the channels: its size uniform in its logarithm, at most nine.
fn subset(channels: usize, rng: &mut Rng) -> Vec<u32> {
    let most = channels.min(CHANNELS_MAX);
    let size = ((most + 1) as f64).powf(rng.uniform()).floor() as usize;
    let mut all: Vec<u32> = (0..channels as u32).collect();
    for place in 0..size.clamp(1, most) {
        let other = place + rng.below((channels - place) as u64) as usize;
        all.swap(place, other);
    }
    all.truncate(size.clamp(1, most));
    all.sort_unstable();
    all
}

/// The value below which `share` of the sorted values lie, between two of them by proportion.
fn at_share(sorted: &[f32], share: f64) -> f32 {
    let at = share * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let part = (at - below as f64) as f32;
    sorted[below] + part * (sorted[above] - sorted[below])
}

/// Memory that features are computed in; one may serve any number of series, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Nine shifted copies of each channel.
    shifted: Vec<f32>,
    /// The sum of the nine, each channel.
    sums: Vec<f32>,
    /// The convolution by one kernel.
    output: Vec<f32>,
    /// The convolutions by 16 kernels, those of a row side by side.
    lanes: Vec<[f32; LANES]>,
}

impl Buffers {
    /// Prepares all convolutions of one dilation: copy j of a channel holds, at t, the value under weight j of a
    /// kernel centred at t, or 0 where that lies outside the series.
    fn shift(&mut self, series: &Series, channels: usize, dilation: usize) {
        let rows = series.rows;
        self.shifted.clear();
        self.shifted.resize(channels * LENGTH * rows, 0.0);
        self.sums.clear();
        self.sums.resize(channels * rows, 0.0);
        self.output.clear();
        self.output.resize(rows, 0.0);
        for channel in 0..channels {
            let values = series.channel(channel);
            let copies = &mut self.shifted[channel * LENGTH * rows..][..LENGTH * rows];
            for (weight, copy) in copies.chunks_exact_mut(rows).enumerate() {
                let offset = weight.abs_diff(LENGTH / 2) * dilation;
                if offset < rows && weight >= LENGTH / 2 {
                    copy[..rows - offset].copy_from_slice(&values[offset..]);
                } else if offset < rows {
                    copy[offset..].copy_from_slice(&values[..rows - offset]);
                }
            }
            let sums = &mut self.sums[channel * rows..][..rows];
            for copy in copies.chunks_exact(rows) {
                sums.iter_mut().zip(copy).for_each(|(sum, value)| *sum += value);
            }
        }
    }

    /// Makes room for convolutions of so many rows.
    fn clear_lanes(&mut self, rows: usize) {
        self.lanes.clear();
        self.lanes.resize(rows, [0.0; LANES]);
    }

    /// Puts the part of the newest convolution that counts into one lane.
    fn fill_lane(&mut self, lane: usize, range: std::ops::Range<usize>) {
        for (lanes, value) in self.lanes.iter_mut().zip(&self.output[range]) {
            lanes[lane] = *value;
        }
    }

    /// The convolution of the prepared series by one kernel, summed over `channels`.
    fn convolve(&mut self, kernel: usize, channels: &[u32], rows: usize) {
        let [i, j, k] = POSITIONS[kernel];
        let (shifted, sums, output) = (&self.shifted, &self.sums, &mut self.output);
        dispatch(
            #[inline(always)]
            || {
                for (place, &channel) in channels.iter().enumerate() {
                    let channel = channel as usize;
                    let copy = |weight: usize| &shifted[(channel * LENGTH + weight) * rows..][..rows];
                    let (a, b, c, sums) = (copy(i), copy(j), copy(k), &sums[channel * rows..][..rows]);
                    let output = &mut output[..rows];
                    for t in 0..rows {
                        let value = 3.0 * (a[t] + b[t] + c[t]) - sums[t];
                        output[t] = if place == 0 { value } else { output[t] + value };
                    }
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::random_series;
    use super::*;

    /// One feature quadruple by its definition, in 64 bits; `None` where rounding decides what stands above.
    fn direct(shape: &Shape, series: &Series, place: usize, kernel: usize, index: usize) -> Option<[f64; 4]> {
        let dilation = shape.dilations[place] as i64;
        let rows = series.rows as i64;
        let weights: Vec<f64> =
            (0..9).map(|j| if POSITIONS[kernel].contains(&j) { 2.0 } else { -1.0 }).collect();
        let convolution = |t: i64| {
            let mut sum = 0.0;
            for &channel in shape.subset(place, kernel) {
                for (j, weight) in weights.iter().enumerate() {
                    let at = t + (j as i64 - 4) * dilation;
                    if (0..rows).contains(&at) {
                        sum += weight * f64::from(series.channel(channel as usize)[at as usize]);
                    }
                }
            }
            sum
        };
        let padded = (place + kernel).is_multiple_of(2) || rows <= 8 * dilation;
        let range = if padded { 0..rows } else { 4 * dilation..rows - 4 * dilation };
        let values: Vec<f64> = range.map(convolution).collect();
        let before: usize = (0..place).map(|p| shape.thresholds_each[p] as usize * KERNELS).sum();
        let each = shape.thresholds_each[place] as usize;
        let threshold = f64::from(shape.thresholds[before + kernel * each + index]);
        if values.iter().any(|value| (value - threshold).abs() < 1e-4) {
            return None;
        }
        let above: Vec<usize> = (0..values.len()).filter(|&t| values[t] > threshold).collect();
        let count = above.len().max(1) as f64;
        let mut longest = 0;
        for start in 0..values.len() {
            longest = longest.max(values[start..].iter().take_while(|&&value| value > threshold).count());
        }
        Some([
            above.len() as f64 / values.len() as f64,
            above.iter().map(|&t| values[t] - threshold).sum::<f64>() / count,
            above.iter().map(|&t| t as f64).sum::<f64>() / count / values.len() as f64,
            longest as f64 / values.len() as f64,
        ])
    }

    #[test]
    fn features_are_those_of_the_definition() {
        for (channels, lengths) in [(1, [60, 60]), (1, [30, 90]), (5, [7, 40]), (12, [20, 3])] {
            let training: Vec<Series> =
                (0..12).map(|i| random_series(lengths[i % 2], channels, 1.0, i as u64)).collect();
            let draw = Draw { channels, features: 3000, seed: 7 };
            let shape = Shape::draw(&training, &draw);
            assert_eq!(shape.len(), 8 * 4 * KERNELS);
            let mut compared = 0;
            for rows in [3, 8, 25, 70] {
                let series = random_series(rows, channels, 1.0, 1000 + rows as u64);
                let mut fast = Vec::new();
                shape.features(&series, &mut Buffers::default(), &mut fast);
                assert_eq!(fast.len(), shape.len());
                let mut quadruples = fast.chunks_exact(4);
                for place in 0..shape.dilations.len() {
                    for kernel in 0..KERNELS {
                        for index in 0..shape.thresholds_each[place] as usize {
                            let fast = quadruples.next().unwrap();
                            let Some(exact) = direct(&shape, &series, place, kernel, index) else { continue };
                            compared += 1;
                            for (fast, exact) in fast.iter().zip(exact) {
                                let close = (f64::from(*fast) - exact).abs() < 1e-4 * exact.abs().max(1.0);
                                assert!(close, "{rows} rows, {place} {kernel} {index}: {fast} {exact}");
                            }
                        }
                    }
                }
            }
            assert!(compared > 2500, "{compared} features were compared");
        }
    }

    #[test]
    fn kernels_are_all_ways_to_place_three_twos_and_ignore_the_level() {
        let mut all = POSITIONS.to_vec();
        all.dedup();
        assert_eq!(all.len(), 84);
        assert!(all.is_sorted() && all.iter().all(|p| p[0] < p[1] && p[1] < p[2] && p[2] < 9));
        // Without zeros around the series, a constant added changes nothing but rounding.
        let (series, mut raised) = (random_series(50, 1, 1.0, 3), random_series(50, 1, 1.0, 3));
        raised.values.iter_mut().for_each(|value| *value += 10.0);
        let mut buffers = [Buffers::default(), Buffers::default()];
        for kernel in 0..KERNELS {
            for (buffers, series) in buffers.iter_mut().zip([&series, &raised]) {
                buffers.shift(series, 1, 2);
                buffers.convolve(kernel, &[0], 50);
            }
            for t in 8..42 {
                assert!((buffers[0].output[t] - buffers[1].output[t]).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn dilations_ascend_fit_the_length_and_share_out_all_thresholds() {
        for rows in [3, 9, 10, 24, 150, 1460] {
            for each in [1, 7, 30, 100] {
                let (dilations, counts) = dilations(rows, each);
                assert_eq!(counts.iter().sum::<u32>() as usize, each, "{rows} {each}");
                assert!(dilations[0] == 1 && dilations.windows(2).all(|pair| pair[0] < pair[1]));
                let last = *dilations.last().unwrap() as usize;
                assert!(last == 1 || last * 8 < rows, "{rows} {each}: {dilations:?}");
                assert!(dilations.len() <= DILATIONS_MAX && counts.iter().all(|&count| count > 0));
            }
        }
        assert_eq!(dilations(24, 30).0, [1, 2]);
    }

    #[test]
    fn subsets_hold_different_channels_and_at_most_nine() {
        let mut rng = Rng::seeded(2);
        for channels in [1, 2, 12, 300] {
            let mut sizes = [0; 10];
            for _ in 0..200 {
                let subset = subset(channels, &mut rng);
                assert!(subset.windows(2).all(|pair| pair[0] < pair[1]), "{subset:?}");
                assert!(subset.iter().all(|&channel| (channel as usize) < channels));
                sizes[subset.len()] += 1;
            }
            assert!(sizes[0] == 0 && sizes[1] > 40, "{sizes:?}");
        }
    }
}
