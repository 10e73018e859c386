//! Features of a reservoir's states over a series: their mean, the last one, and the means of four equal parts, heard
//! once forwards and once backwards.
//!
//! The reservoir's memory fades, so its last state knows the end of a series best; heard backwards it knows the
//! beginning as well (the bidirectional reservoir of Bianchi et al. 2021, "Reservoir computing approaches for
//! representation and classification of multivariate time series", §III-B). Pooling instead of a readout of the last
//! state alone makes series of any length comparable.

use super::series::Series;
use crate::echo::{Echo, Work};
use crate::kernel::One;

/// Parts of a series whose mean states are features.
const PARTS: usize = 4;
/// Pooled vectors of states in one direction: the mean, the last, and one per part.
const POOLS: usize = 2 + PARTS;

/// Number of features of a reservoir.
pub(crate) fn len(echo: &Echo<f32>) -> usize {
    2 * POOLS * echo.units()
}

/// Appends the features of one series to `features`: for each direction the mean of all states, the last state, and
/// the mean of each part.
pub(crate) fn features(echo: &Echo<f32>, series: &Series, features: &mut Vec<f32>) {
    let first = features.len();
    features.resize(first + len(echo), 0.0);
    let (forwards, backwards) = features[first..].split_at_mut(POOLS * echo.units());
    let mut work = Work::default();
    pool(echo, series, |row| row, forwards, &mut work);
    pool(echo, series, |row| series.rows - 1 - row, backwards, &mut work);
}

/// Hears the rows in the order of `row_at` and pools the states.
fn pool(
    echo: &Echo<f32>,
    series: &Series,
    row_at: impl Fn(usize) -> usize,
    pools: &mut [f32],
    work: &mut Work<f32>,
) {
    let units = echo.units();
    let mut vector = echo.fresh();
    let mut inputs = vec![0.0; echo.inputs_len()];
    for part in 0..PARTS {
        // A part of a series of three rows may be empty: it then repeats the state before it.
        let (start, end) = (part * series.rows / PARTS, (part + 1) * series.rows / PARTS);
        let place = (2 + part) * units;
        for row in start..end {
            let row = row_at(row);
            for (channel, input) in inputs.iter_mut().enumerate() {
                *input = series.channel(channel)[row];
            }
            echo.hear(&mut vector, &inputs);
            echo.step(&mut One(&mut vector), work);
            pools[place..place + units].iter_mut().zip(&vector).for_each(|(sum, state)| *sum += state);
        }
        for unit in 0..units {
            let sum = pools[place + unit];
            pools[unit] += sum;
            pools[place + unit] = if end > start { sum / (end - start) as f32 } else { vector[unit] };
        }
    }
    pools[..units].iter_mut().for_each(|sum| *sum /= series.rows as f32);
    pools[units..2 * units].copy_from_slice(&vector[..units]);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{random_series, small_echo};
    use super::*;
    use crate::echo::Recurrent;

    /// All states in 64 bits, straight from the equation.
    fn states(echo: &Echo<f32>, series: &Series, backwards: bool) -> Vec<Vec<f64>> {
        let weights = echo.weights();
        let (units, inputs) = (weights.units, weights.inputs);
        let Recurrent::Dense(matrix) = &weights.recurrent else {
            unreachable!("the tests' reservoir is dense")
        };
        let mut state = vec![0.0f64; units];
        let mut all = Vec::new();
        for t in 0..series.rows {
            let row = if backwards { series.rows - 1 - t } else { t };
            let before = state.clone();
            for unit in 0..units {
                let mut drive = f64::from(weights.input[unit * (inputs + 1) + inputs]);
                for (channel, weight) in weights.input[unit * (inputs + 1)..][..inputs].iter().enumerate() {
                    // The reservoir takes no input beyond four deviations.
                    drive += f64::from(*weight) * f64::from(series.channel(channel)[row].clamp(-4.0, 4.0));
                }
                for (other, value) in before.iter().enumerate() {
                    drive += f64::from(matrix[unit * units + other]) * value;
                }
                let leak = f64::from(weights.leak);
                state[unit] = (1.0 - leak) * before[unit] + leak * drive.tanh();
            }
            all.push(state.clone());
        }
        all
    }

    #[test]
    fn features_are_means_of_the_states_of_the_equation_in_both_directions() {
        for rows in [3, 4, 7, 40] {
            let (echo, series) = (small_echo(2), random_series(rows, 2, 1.0, rows as u64));
            let mut fast = Vec::new();
            features(&echo, &series, &mut fast);
            assert_eq!(fast.len(), len(&echo));
            let mean = |states: &[Vec<f64>], unit: usize| {
                states.iter().map(|state| state[unit]).sum::<f64>() / states.len() as f64
            };
            let mut exact = Vec::new();
            for backwards in [false, true] {
                let states = states(&echo, &series, backwards);
                exact.extend((0..echo.units()).map(|unit| mean(&states, unit)));
                exact.extend(states.last().unwrap());
                for part in 0..4 {
                    let (start, end) = (part * rows / 4, (part + 1) * rows / 4);
                    // An empty part repeats the state before it: zeros, before the first row.
                    let empty =
                        start.checked_sub(1).map_or(vec![0.0; echo.units()], |row| states[row].clone());
                    let states = if end > start { &states[start..end] } else { &[empty][..] };
                    exact.extend((0..echo.units()).map(|unit| mean(states, unit)));
                }
            }
            for (place, (fast, exact)) in fast.iter().zip(&exact).enumerate() {
                assert!(
                    (f64::from(*fast) - exact).abs() < 1e-5,
                    "{rows} rows, feature {place}: {fast} {exact}"
                );
            }
        }
    }
}
