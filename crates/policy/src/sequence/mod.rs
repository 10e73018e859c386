//! What becomes of a request that belongs to a sequence: begin, go on, repeat an answer, or refuse.
//!
//! A caller who numbers his steps may send each as often as he likes: it is applied once. The newest step is answered
//! again where its rows are the same; anything else that does not come next is refused and changes nothing. That holds for the
//! first step too, which would otherwise begin the sequence anew when it comes late. Who does not
//! number them gets the next number, and a retry of his is a new step, as it is everywhere else.
//!
//! [`decide`] is that decision. Where nodes share a log, what a node knows may be behind what another has written: [`Trial`] says
//! when knowing is not enough, [`Tails`] how far a node has read, [`Roles`] for which shards it is there, and [`Homes`] when a
//! gateway may send the steps of a shard to another node. `README.md` beside this file puts them together.

mod homes;
mod roles;
mod tails;
mod trial;

pub use homes::{Homes, Place, Stay};
pub use roles::{Role, Roles};
pub use tails::Tails;
pub use trial::{Trial, Verdict};

use spinwell_core::{Millis, UnixMillis};

/// How long after a sequence was last used its own first step may still be on its way a second time: what a caller, a proxy or a
/// network sends again, they send again soon. Later it is somebody who begins anew.
const LATE: Millis = Millis(10_000);

/// What is known of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its newest step, from 1; 0 where nothing is left of it but that it has ended.
    pub step: u64,
    /// The digest of that step's rows.
    pub digest: u64,
    /// The digest of its first step's rows; 0 where that is not known, because its state came from elsewhere.
    pub first_digest: u64,
    /// When it was last used, as [`Asked::used`] has it.
    pub used: UnixMillis,
    /// What `used` was when it was begun; 0 where nobody knows any more.
    pub begun_at: UnixMillis,
    /// Whether it goes on.
    pub phase: Phase,
}

/// Whether a sequence goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It does.
    Live,
    /// Its caller has ended it.
    Ended,
    /// Its state was given up.
    Expired,
}

/// What a request asks of its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// To begin it, whatever was before.
    pub starts: bool,
    /// The number of the step, where the caller counts.
    pub step: Option<u64>,
    /// The digest of the rows.
    pub digest: u64,
    /// When its gateway got it, however often it was sent to nodes since; nothing where there is one node, which takes requests in
    /// the order in which they come.
    pub sent: Option<UnixMillis>,
}

impl Asked {
    /// When the sequence counts as used if the step is taken at `now`: when its gateway got it, so that two requests which one
    /// gateway got in this order are never compared as if they had come in the other. It does not go back.
    #[must_use]
    pub fn used(&self, known: Option<&Known>, now: UnixMillis) -> UnixMillis {
        let before = known.map_or(UnixMillis(0), |known| known.used);
        self.sent.unwrap_or(now).max(before)
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Feed the rows to a new state, as step 1.
    Begin,
    /// Feed the rows to the state, as this step.
    Continue {
        /// Its number.
        step: u64,
    },
    /// Answer again from the state as it is: this is the newest step, sent again.
    Repeat,
}

/// Why nothing is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody knows the sequence, and the request does not begin it.
    Unknown,
    /// Its caller has ended it.
    Ended,
    /// It was not used for so long that it is over.
    Expired,
    /// It comes late, and another node has gone on: it would begin a sequence anew that was used after the request was sent, or it is
    /// a step of what the sequence was before it was begun anew.
    Overtaken,
    /// A sequence begins with step 1.
    StartsAtOne,
    /// Steps are missing before this one.
    Gap {
        /// The step that comes next.
        expected: u64,
    },
    /// The step is older than the newest, whose answer alone is still known; also the first one, with the rows that it was taken with.
    Old {
        /// The step that comes next.
        expected: u64,
    },
    /// The newest step was taken with other rows.
    OtherRows {
        /// The step that comes next.
        expected: u64,
    },
}

/// Decides on a request, at `now`, for a sequence that expires after `idle`.
///
/// # Errors
/// Why nothing is to be done.
pub fn decide(
    known: Option<&Known>,
    asked: Asked,
    now: UnixMillis,
    idle: Millis,
) -> Result<Decision, Refusal> {
    if asked.starts {
        return begin(known, asked, now, idle);
    }
    let known = known.ok_or(Refusal::Unknown)?;
    if is_over(known, now, idle) {
        return Err(Refusal::Expired);
    }
    if asked.sent.is_some_and(|sent| sent < known.begun_at) {
        return Err(Refusal::Overtaken);
    }
    let expected = known.step.saturating_add(1);
    match asked.step {
        Some(step) if step == known.step && step > 0 => repeat(known, asked),
        _ if known.phase == Phase::Ended => Err(Refusal::Ended),
        None => Ok(Decision::Continue { step: expected }),
        Some(step) if step == expected => Ok(Decision::Continue { step }),
        Some(step) if step < expected => Err(Refusal::Old { expected }),
        Some(_) => Err(Refusal::Gap { expected }),
    }
}

/// Whether nobody has used a sequence for too long.
fn is_over(known: &Known, now: UnixMillis, idle: Millis) -> bool {
    known.phase == Phase::Expired || known.phase == Phase::Live && known.used < now.before(idle)
}

/// A first step. One that is sent again, number and all, does not begin the sequence a second time.
fn begin(known: Option<&Known>, asked: Asked, now: UnixMillis, idle: Millis) -> Result<Decision, Refusal> {
    if asked.step.is_some_and(|step| step != 1) {
        return Err(Refusal::StartsAtOne);
    }
    let Some(known) = known else { return Ok(Decision::Begin) };
    if asked.step.is_some()
        && known.step == 1
        && known.digest == asked.digest
        && known.phase != Phase::Expired
    {
        return Ok(Decision::Repeat);
    }
    let is_this_beginning = asked.step.is_some()
        && known.step > 1
        && known.first_digest == asked.digest
        && known.first_digest != 0
        && known.phase == Phase::Live
        && !is_over(known, now, idle)
        && known.used >= now.before(LATE);
    if is_this_beginning {
        return Err(Refusal::Old { expected: known.step.saturating_add(1) });
    }
    if asked.sent.is_some_and(|sent| known.used > sent) {
        return Err(Refusal::Overtaken);
    }
    Ok(Decision::Begin)
}

fn repeat(known: &Known, asked: Asked) -> Result<Decision, Refusal> {
    if known.digest == asked.digest {
        return Ok(Decision::Repeat);
    }
    Err(Refusal::OtherRows { expected: known.step.saturating_add(1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: UnixMillis = UnixMillis(10_000);
    const IDLE: Millis = Millis(1_000);

    fn known(phase: Phase, used: u64) -> Known {
        let (used, begun_at) = (UnixMillis(used), UnixMillis(0));
        Known { step: 4, digest: 44, first_digest: 11, used, begun_at, phase }
    }

    #[test]
    fn a_sequence_must_be_begun_and_may_be_begun_again() {
        use Decision::{Begin, Continue, Repeat};
        let live = known(Phase::Live, 9_500);
        let first = Known { step: 1, digest: 7, first_digest: 7, ..live };
        let start = |step, digest| Asked { starts: true, step, digest, sent: None };
        let check = |known: Option<Known>, asked: Asked, wanted: Result<Decision, Refusal>| {
            assert_eq!(decide(known.as_ref(), asked, NOW, IDLE), wanted, "{known:?} {asked:?}");
        };
        check(None, Asked::default(), Err(Refusal::Unknown));
        check(None, start(None, 7), Ok(Begin));
        check(None, start(Some(1), 7), Ok(Begin));
        check(None, start(Some(2), 7), Err(Refusal::StartsAtOne));
        check(Some(live), start(None, 7), Ok(Begin));
        check(Some(first), start(Some(1), 7), Ok(Repeat));
        check(Some(first), start(Some(1), 8), Ok(Begin));
        check(Some(first), start(None, 7), Ok(Begin));
        check(Some(Known { phase: Phase::Expired, ..first }), start(Some(1), 7), Ok(Begin));
        check(Some(live), Asked::default(), Ok(Continue { step: 5 }));
    }

    #[test]
    fn a_numbered_step_is_applied_once_and_in_order() {
        use Decision::{Continue, Repeat};
        let check = |phase: Phase, step: u64, digest: u64, wanted: Result<Decision, Refusal>| {
            let asked = Asked { step: Some(step), digest, ..Asked::default() };
            assert_eq!(decide(Some(&known(phase, 9_500)), asked, NOW, IDLE), wanted, "{phase:?} {step}");
        };
        check(Phase::Live, 5, 1, Ok(Continue { step: 5 }));
        check(Phase::Live, 4, 44, Ok(Repeat));
        check(Phase::Live, 4, 45, Err(Refusal::OtherRows { expected: 5 }));
        check(Phase::Live, 3, 44, Err(Refusal::Old { expected: 5 }));
        check(Phase::Live, 0, 44, Err(Refusal::Old { expected: 5 }));
        check(Phase::Live, 6, 44, Err(Refusal::Gap { expected: 5 }));
        check(Phase::Live, u64::MAX, 44, Err(Refusal::Gap { expected: 5 }));
        check(Phase::Ended, 4, 44, Ok(Repeat));
        check(Phase::Ended, 5, 44, Err(Refusal::Ended));
        check(Phase::Expired, 5, 44, Err(Refusal::Expired));
        let removed = Known { step: 0, digest: 0, first_digest: 0, ..known(Phase::Ended, 9_500) };
        for step in [None, Some(0), Some(1)] {
            let asked = Asked { step, ..Asked::default() };
            assert_eq!(decide(Some(&removed), asked, NOW, IDLE), Err(Refusal::Ended), "{step:?}");
        }
    }

    #[test]
    fn a_beginning_that_comes_late_does_not_undo_what_came_after_it() {
        let live = known(Phase::Live, 9_500);
        let late = |step, sent| Asked { starts: true, step, digest: 7, sent: Some(UnixMillis(sent)) };
        let check = |known: Known, asked: Asked, wanted: Result<Decision, Refusal>| {
            assert_eq!(decide(Some(&known), asked, NOW, IDLE), wanted, "{known:?} {asked:?}");
        };
        check(live, late(None, 9_499), Err(Refusal::Overtaken));
        check(live, late(Some(1), 9_499), Err(Refusal::Overtaken));
        check(live, late(Some(1), 9_500), Ok(Decision::Begin));
        // Its own answer, once more.
        check(
            Known { step: 1, digest: 7, first_digest: 7, ..live },
            late(Some(1), 9_499),
            Ok(Decision::Repeat),
        );
        assert_eq!(decide(None, late(None, 1), NOW, IDLE), Ok(Decision::Begin));
    }

    #[test]
    fn a_first_step_that_comes_again_late_does_not_undo_what_came_after_it() {
        let live = known(Phase::Live, 9_500);
        let check = |known: Known, step, digest, wanted: Result<Decision, Refusal>| {
            let asked = Asked { starts: true, step, digest, sent: None };
            assert_eq!(decide(Some(&known), asked, NOW, IDLE), wanted, "{known:?} {asked:?}");
        };
        let begins = Ok(Decision::Begin);
        check(live, Some(1), 11, Err(Refusal::Old { expected: 5 }));
        check(Known { step: 2, ..live }, Some(1), 11, Err(Refusal::Old { expected: 3 }));
        check(Known { step: u64::MAX, ..live }, Some(1), 11, Err(Refusal::Old { expected: u64::MAX }));
        // Who wants to begin anew says so: without a number, with other rows, or after an end.
        check(live, None, 11, begins);
        check(live, Some(1), 12, begins);
        check(known(Phase::Ended, 9_500), Some(1), 11, begins);
        check(known(Phase::Expired, 9_500), Some(1), 11, begins);
        check(known(Phase::Live, 8_999), Some(1), 11, begins);
        // How this one began is not known.
        check(Known { first_digest: 0, ..live }, Some(1), 0, begins);
        check(Known { first_digest: 0, ..live }, Some(1), 11, begins);
        let long_after = Known { used: UnixMillis(9_500), ..live };
        let asked = Asked { starts: true, step: Some(1), digest: 11, sent: None };
        let at = |now| decide(Some(&long_after), asked, UnixMillis(now), Millis(60_000));
        assert_eq!(at(19_500), Err(Refusal::Old { expected: 5 }));
        assert_eq!(at(19_501), begins, "a stream that was not used for so long is begun anew");
        let late = Asked { starts: true, step: Some(1), digest: 11, sent: Some(UnixMillis(1)) };
        assert_eq!(decide(Some(&live), late, NOW, IDLE), Err(Refusal::Old { expected: 5 }));
    }

    /// Steps as a caller sends them and a line delivers them, each as often and as late as it likes, with his numbers.
    fn deliveries() -> impl Strategy<Value = (Vec<u64>, Vec<usize>)> {
        (proptest::collection::vec(1u64..4, 1..8), proptest::collection::vec(0usize..8, 1..60))
    }

    proptest! {
        /// Whatever comes twice, late or early: a numbered step is applied once, in order, and none is lost.
        #[test]
        fn numbered_steps_are_applied_once_however_they_come((rows, order) in deliveries()) {
            let (mut known, mut applied) = (None::<Known>, Vec::new());
            for at in order.into_iter().map(|at| at % rows.len()) {
                let (step, digest) = (at as u64 + 1, rows[at]);
                let asked = Asked { starts: step == 1, step: Some(step), digest, sent: None };
                let first_digest = known.map_or(digest, |known| known.first_digest);
                let newest = match decide(known.as_ref(), asked, NOW, IDLE) {
                    Ok(Decision::Begin) => 1,
                    Ok(Decision::Continue { step }) => step,
                    Ok(Decision::Repeat) => {
                        prop_assert_eq!(known.map(|known| known.step), Some(step));
                        continue;
                    }
                    Err(_) => continue,
                };
                applied.push(newest);
                known = Some(Known { step: newest, digest, first_digest, used: NOW, begun_at: NOW, phase: Phase::Live });
            }
            prop_assert_eq!(&applied, &(1..=applied.len() as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_step_of_a_former_life_is_not_taken_into_the_next() {
        let known = Known { begun_at: UnixMillis(9_000), ..known(Phase::Live, 9_500) };
        for step in [None, Some(4), Some(5), Some(6)] {
            let at = |sent| {
                let asked = Asked { step, digest: 44, sent: Some(UnixMillis(sent)), ..Asked::default() };
                decide(Some(&known), asked, NOW, IDLE)
            };
            assert_eq!(at(8_999), Err(Refusal::Overtaken), "{step:?}");
            // One that was sent right behind the beginning.
            assert_ne!(at(9_000), Err(Refusal::Overtaken), "{step:?}");
        }
    }

    #[test]
    fn what_one_gateway_sends_in_order_is_not_overtaken_by_its_own() {
        // The step reached its node late, when the beginning behind it was already on its way.
        let step = Asked { step: Some(5), sent: Some(UnixMillis(9_600)), ..Asked::default() };
        let before = known(Phase::Live, 9_500);
        let after = Known { step: 5, used: step.used(Some(&before), UnixMillis(9_700)), ..before };
        let start = Asked { starts: true, sent: Some(UnixMillis(9_601)), ..Asked::default() };
        assert_eq!(decide(Some(&after), start, NOW, IDLE), Ok(Decision::Begin));
        // Sent before the newest step, and taken after it.
        let late = Asked { sent: Some(UnixMillis(9_000)), ..Asked::default() };
        assert_eq!(late.used(Some(&before), UnixMillis(9_700)), UnixMillis(9_500));
        assert_eq!(Asked::default().used(None, NOW), NOW);
    }

    #[test]
    fn who_is_not_used_for_too_long_is_over() {
        let at = |used| decide(Some(&known(Phase::Live, used)), Asked::default(), NOW, IDLE);
        assert_eq!(at(9_000), Ok(Decision::Continue { step: 5 }));
        assert_eq!(at(8_999), Err(Refusal::Expired));
        // A clock that was set back makes nobody older.
        assert_eq!(at(20_000), Ok(Decision::Continue { step: 5 }));
    }
}
