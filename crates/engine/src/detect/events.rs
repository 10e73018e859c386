//! Alarms against labelled windows, as the Numenta Anomaly Benchmark counts them.

/// Alarms outside every window that are at most this many rows apart are one event: one look by one person.
pub const EVENT_GAP: usize = 24;

/// What alarms were worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Events {
    /// Labelled windows with an alarm in them.
    pub windows_detected: usize,
    /// Labelled windows, those that lie before the first row scored included: nobody can see them in time.
    pub windows_total: usize,
    /// Groups of alarms outside every window.
    pub false_events: usize,
}

/// Counts. `labels` says of each row whether it lies inside a labelled window, `alarms` whether it was called an
/// anomaly; rows before `first` count for nothing.
#[must_use]
pub fn events(labels: &[bool], alarms: &[bool], first: usize) -> Events {
    let mut found = Events::default();
    let (mut detected, mut newest_false) = (false, None::<usize>);
    for (row, (&inside, &alarm)) in labels.iter().zip(alarms).enumerate() {
        if inside && (row == 0 || !labels[row - 1]) {
            found.windows_total += 1;
            detected = false;
        }
        if !alarm || row < first {
            continue;
        }
        if inside {
            found.windows_detected += usize::from(!detected);
            detected = true;
        } else {
            found.false_events += usize::from(newest_false.is_none_or(|newest| row - newest > EVENT_GAP));
            newest_false = Some(row);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(marked: &[usize]) -> Vec<bool> {
        (0..200).map(|row| marked.contains(&row)).collect()
    }

    #[test]
    fn a_window_counts_once_and_near_false_alarms_are_one_event() {
        let labels = rows(&[0, 1, 50, 51, 52, 53, 150, 151]);
        let alarms = rows(&[0, 20, 51, 53, 80, 90, 110, 140]);
        // Row 0 and 20 lie before the first row scored; 80, 90, 110 follow each other closely, 140 does not.
        let found = events(&labels, &alarms, 30);
        assert_eq!(found, Events { windows_detected: 1, windows_total: 3, false_events: 2 });
        assert_eq!(events(&labels, &rows(&[]), 0), Events { windows_total: 3, ..Events::default() });
    }
}
