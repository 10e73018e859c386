//! The decision itself: a function of options, state and what is seen.

use super::decision::{Decision, Failure, Figure, Item, Reason};
use super::figures::{Figures, Model};
use super::options::Options;
use super::scaler::{Mode, State, Trouble, later};
use super::score::{Advice, Score};
use super::snapshot::{Member, Phase, Snapshot};
use crate::capacity::PerSecond;
use spinwell_core::UnixMillis;
use std::cmp::Reverse;
use std::time::Duration;

/// Decides how many there are to be and what is done for it; beside it the state that the next decision depends on.
#[must_use]
pub fn decide<I: Clone + Ord>(
    options: &Options,
    before: &State<I>,
    seen: &Snapshot<I>,
) -> (Decision<I>, State<I>) {
    let mut state = before.clone();
    state.not_later_than(seen.now, options);
    let failures = state.notice(options, seen);
    let patience = options.patience(seen.region.warm_up_p95);
    let mut figures = Figures::of(seen, |member| has_failed(member, patience, seen.now), options);
    let model = Model { each: figures.capacity_each, service: seen.region.service, options };
    if let Some(arrivals) = figures.arrivals {
        figures.expect(state.average(arrivals, options, seen.now), seen.region.forecast, &model);
    }
    let current = state.current(&figures, options);
    if figures.serving >= current && figures.coming == 0 {
        state.additions = Trouble::default();
    }
    let score = Score::of(&figures, &seen.region);
    let look = Look { options, seen, figures, score, model, state: &state };
    let Chosen { target, why, would_fewer_do } = look.choose(current);
    let is_order = state.mode == Mode::Active || state.by_hand.is_some();
    let items = if why.contains(&Reason::Paused) { Vec::new() } else { look.items(current, target, &why) };
    let fewer_since = if would_fewer_do { state.fewer_since.or(Some(seen.now)) } else { None };
    state.fewer_since = fewer_since;
    if is_order {
        let removes =
            |item: &Item<I>| matches!(item, Item::Remove(_, reason) if *reason != Reason::NeverServed);
        state.target = Some(target);
        state.by_hand = None;
        state.up = if target > current { Some(seen.now) } else { state.up };
        state.down = if target < current || items.iter().any(removes) { Some(seen.now) } else { state.down };
    } else if state.mode == Mode::Advisory {
        // Somebody else decides how many there are.
        state.target = None;
    }
    let mode = state.mode;
    let at = seen.now;
    (Decision { at, mode, is_order, before: current, target, why, items, failures, figures, score }, state)
}

/// Whether a member was ordered so long ago that it will not serve any more.
fn has_failed<I>(member: &Member<I>, patience: Duration, now: UnixMillis) -> bool {
    let is_coming = matches!(member.phase, Phase::Pending | Phase::Warming);
    is_coming && later(member.ordered, patience) < now
}

impl<I: Clone + Ord> State<I> {
    /// A clock that went back must not let cool-downs last for ever.
    fn not_later_than(&mut self, now: UnixMillis, options: &Options) {
        for trouble in [&mut self.additions, &mut self.removals] {
            trouble.until = trouble.until.min(later(now, options.back_off.most));
        }
        for moment in [&mut self.up, &mut self.down, &mut self.fewer_since] {
            *moment = moment.map(|moment| moment.min(now));
        }
    }

    /// What arrives on average: older looks count less and less.
    fn average(&mut self, arrivals: PerSecond, options: &Options, now: UnixMillis) -> PerSecond {
        let mean = self.arrivals.map_or(arrivals, |(looked, mean)| {
            let past = now.0.saturating_sub(looked.0) as f64 / 1e3;
            let keeps = (-past / options.smooths.as_secs_f64().max(1e-3)).exp();
            PerSecond::new(arrivals.get() + keeps * (mean.get() - arrivals.get())).unwrap_or(arrivals)
        });
        self.arrivals = Some((now, mean));
        mean
    }

    /// How many there are meant to be. What there is beyond that, within bounds, somebody else has added, or it has come back, or could not be
    /// removed: it stays until one fewer will do.
    fn current(&self, figures: &Figures, options: &Options) -> usize {
        let meant = self.target.unwrap_or(0).max(figures.counted());
        meant.clamp(options.min, options.max.max(options.min))
    }

    /// What has failed since the last look: what others have noted, and what has taken too long.
    fn notice(&mut self, options: &Options, seen: &Snapshot<I>) -> Vec<Failure<I>> {
        let mut failures = std::mem::take(&mut self.noted);
        let is_there = |id: &I| seen.members.iter().any(|member| member.id == *id);
        self.told.retain(is_there);
        if self.leaving.iter().any(|id| !is_there(id)) {
            (self.removals, self.avoided) = (Trouble::default(), None);
        }
        let leaving = seen.members.iter().filter(|member| member.phase == Phase::Draining);
        self.leaving = leaving.map(|member| member.id.clone()).collect();
        let patience = options.patience(seen.region.warm_up_p95);
        let reason = || format!("it took longer than {} s", patience.as_secs());
        for member in &seen.members {
            let id = member.id.clone();
            if has_failed(member, patience, seen.now) && self.told.insert(id.clone()) {
                self.additions.note(seen.now, &options.back_off);
                failures.push(Failure::NodeAdditionFailed { id: Some(id), reason: reason() });
            } else if member.phase == Phase::Draining
                && later(member.since, patience) < seen.now
                && self.told.insert(id.clone())
            {
                self.removals.note(seen.now, &options.back_off);
                failures.push(Failure::NodeRemovalFailed { id, reason: reason() });
            }
        }
        failures
    }
}

/// How many there are to be.
struct Chosen {
    target: usize,
    why: Vec<Reason>,
    /// Whether one fewer would do, now or once it has for long enough.
    would_fewer_do: bool,
}

impl Chosen {
    fn hold(current: usize, why: Vec<Reason>) -> Self {
        Self { target: current, why, would_fewer_do: false }
    }
}

/// All that a decision is made of.
struct Look<'a, I> {
    options: &'a Options,
    seen: &'a Snapshot<I>,
    figures: Figures,
    score: Score,
    model: Model<'a>,
    state: &'a State<I>,
}

impl<I: Clone + Ord> Look<'_, I> {
    fn patience(&self) -> Duration {
        self.options.patience(self.seen.region.warm_up_p95)
    }

    fn choose(&self, current: usize) -> Chosen {
        let Options { min, max, .. } = *self.options;
        if let Some(wanted) = self.state.by_hand {
            return Chosen::hold(wanted.clamp(min, max.max(min)), vec![Reason::ByHand]);
        }
        if self.state.mode == Mode::Paused {
            return Chosen::hold(current, vec![Reason::Paused]);
        }
        let symptoms = self.symptoms();
        let mut why: Vec<Reason> = self.too_few(current).into_iter().collect();
        if self.is_settled(current) {
            why.extend(&symptoms);
        } else if why.is_empty() && !symptoms.is_empty() {
            // What was done already has not shown yet.
            why.extend(&symptoms);
            why.push(Reason::Coming(self.figures.coming));
            return Chosen::hold(current, why);
        }
        if why.is_empty() { self.fewer(current) } else { self.more(current, why) }
    }

    /// Why so many, those among them that are coming, are too few by what they carry.
    fn too_few(&self, count: usize) -> Option<Reason> {
        let Figures { arrivals, arrivals_ahead, .. } = self.figures;
        let now = arrivals.and_then(|now| self.model.overload(count, now)).map(Reason::TooFewNow);
        let ahead =
            || arrivals_ahead.and_then(|ahead| self.model.obstacle(count, ahead)).map(Reason::TooFewAhead);
        now.or_else(ahead)
    }

    /// What shows that too few serve, whatever they should be able to carry.
    fn symptoms(&self) -> Vec<Reason> {
        let Options { scale_up_threshold, queue_delay_most, refused_most, goal, .. } = *self.options;
        let busy = self.figures.utilization.filter(|busy| *busy >= scale_up_threshold.get());
        let delay = self.figures.queue_delay.filter(|delay| *delay > queue_delay_most);
        let latency = self.seen.region.latency_p95.filter(|latency| *latency > goal.within);
        let refused = self.figures.refused.filter(|refused| *refused > refused_most.get());
        let found = [
            busy.map(Reason::Utilization),
            delay.map(Reason::QueueDelay),
            latency.map(Reason::Latency),
            refused.map(Reason::Refused),
        ];
        found.into_iter().flatten().collect()
    }

    /// Whether all serve that should, for long enough that what is measured is measured with them.
    fn is_settled(&self, current: usize) -> bool {
        let cool_down = self.options.up_cool_down;
        let is_past = |moment: UnixMillis| later(moment, cool_down) <= self.seen.now;
        let mut serving = self.seen.members.iter().filter(|member| member.phase == Phase::Serving);
        let is_quiet = [self.state.up, self.state.down].into_iter().flatten().all(is_past);
        is_quiet && self.figures.serving >= current && serving.all(|member| is_past(member.since))
    }

    /// As many more as are needed, where nothing holds that up.
    fn more(&self, current: usize, mut why: Vec<Reason>) -> Chosen {
        let Options { max, up_cool_down, refused_most, .. } = *self.options;
        // Where no model has an answer, what is measured is worse than it should be.
        let is_model = |reason: &Reason| matches!(reason, Reason::TooFewNow(_) | Reason::TooFewAhead(_));
        let is_unexplained = !why.iter().any(is_model);
        let is_over = self.figures.utilization.is_some_and(|busy| busy >= 1.0)
            || self.figures.refused.is_some_and(|share| share > refused_most.get());
        let mut wanted = self.figures.wanted.unwrap_or(0).max(current + 1);
        // There, and where nodes are at their end, figures say only that more are needed; the score says how many.
        if is_unexplained || (is_over && self.score.advice() == Advice::GrowByHalf) {
            wanted = wanted.max(self.score.grown(current));
        }
        let target = wanted.min(max);
        if target <= current {
            why.push(Reason::AtMaximum);
            return Chosen::hold(current, why);
        }
        // What is coming counts, so that more may be ordered at any time for what carries too little. What is measured is measured with the
        // last addition first. A reversal always waits.
        let last = if is_unexplained { self.state.down.max(self.state.up) } else { self.state.down };
        let until = last.map_or(self.seen.now, |last| later(last, up_cool_down));
        if self.seen.now < until {
            why.push(Reason::CoolsDown(until));
            return Chosen::hold(current, why);
        }
        Chosen { target, why, would_fewer_do: false }
    }

    /// One fewer, where nothing speaks against it.
    fn fewer(&self, current: usize) -> Chosen {
        let Options { down_after, down_cool_down, down_pace, .. } = *self.options;
        let now = self.seen.now;
        if let Some(against) = self.against_fewer(current) {
            return Chosen::hold(current, vec![against]);
        }
        let since = self.state.fewer_since.unwrap_or(now);
        let after =
            |moment: Option<UnixMillis>, span: Duration| moment.map_or(now, |moment| later(moment, span));
        let cooled = after(self.state.up, down_cool_down).max(after(self.state.down, down_pace));
        let (lasted, retried) = (later(since, down_after), self.state.removals.until);
        let held = [
            (cooled, Reason::CoolsDown(cooled)),
            (retried, Reason::BacksOff(retried)),
            (lasted, Reason::NotYet(lasted)),
        ];
        match held.into_iter().find(|(until, _)| now < *until) {
            Some((_, reason)) => Chosen { target: current, why: vec![reason], would_fewer_do: true },
            None => Chosen { target: current - 1, why: vec![Reason::FewerDo], would_fewer_do: true },
        }
    }

    /// What speaks against one fewer, now and a warm-up from now.
    fn against_fewer(&self, current: usize) -> Option<Reason> {
        let Options { min, hysteresis, scale_down_threshold, .. } = *self.options;
        if current <= min {
            return Some(Reason::AtMinimum);
        }
        let Some(ahead) = self.figures.arrivals_ahead else { return Some(Reason::NoData(Figure::Arrivals)) };
        if self.model.service.is_none() {
            return Some(Reason::NoData(Figure::Service));
        }
        let fewer = current - 1;
        let overload = self.figures.arrivals.and_then(|now| self.model.overload(fewer, now));
        if let Some(obstacle) = overload.or_else(|| self.model.obstacle(fewer, ahead)) {
            return Some(Reason::FewerWouldNotDo(obstacle));
        }
        let is_idle = self.figures.utilization.is_some_and(|busy| busy <= scale_down_threshold.get());
        let more = if is_idle { 0.0 } else { hysteresis.get() };
        let expected = PerSecond::new(ahead.get() * (1.0 + more)).unwrap_or(ahead);
        (!self.model.suits(fewer, expected)).then_some(Reason::TooClose)
    }

    /// What is to be done for it.
    fn items(&self, current: usize, target: usize, why: &[Reason]) -> Vec<Item<I>> {
        let now = self.seen.now;
        let failed = self.seen.members.iter().filter(|member| has_failed(member, self.patience(), now));
        let mut items: Vec<Item<I>> =
            failed.map(|member| Item::Remove(member.id.clone(), Reason::NeverServed)).collect();
        let counted = self.figures.counted();
        let reason = why.first().copied().filter(|_| target > current).unwrap_or(Reason::Missing);
        if now >= self.state.additions.until {
            items.extend((counted..target).map(|_| Item::Add(reason)));
        }
        let surplus = counted.saturating_sub(target);
        let removed = if self.state.by_hand.is_some() { surplus } else { surplus.min(1) };
        let reason =
            if target < current || self.state.by_hand.is_some() { why.first().copied() } else { None };
        if target < current || self.may_remove() {
            let victims = self.victims().into_iter().take(removed);
            items.extend(victims.map(|id| Item::Remove(id, reason.unwrap_or(Reason::AboveMaximum))));
        }
        items
    }

    /// Whether the last steps were long enough ago for what is more than there may be.
    fn may_remove(&self) -> bool {
        let Options { down_cool_down, down_pace, .. } = *self.options;
        let is_past = |moment: Option<UnixMillis>, span| {
            moment.is_none_or(|moment| later(moment, span) <= self.seen.now)
        };
        let is_cool = is_past(self.state.up, down_cool_down) && is_past(self.state.down, down_pace);
        (is_cool || self.state.by_hand.is_some()) && self.state.removals.until <= self.seen.now
    }

    /// Who would be removed, in that order: those that do not serve yet; then the emptiest, of those the ones whose removal moves the least,
    /// of those the newest, because what is old is warm. Whose removal has just failed comes last.
    fn victims(&self) -> Vec<I> {
        let is_counted = |member: &&Member<I>| {
            let is_there = matches!(member.phase, Phase::Pending | Phase::Warming | Phase::Serving);
            is_there && !has_failed(member, self.patience(), self.seen.now)
        };
        let mut members: Vec<&Member<I>> = self.seen.members.iter().filter(is_counted).collect();
        members.sort_by_cached_key(|member| {
            let is_avoided = self.state.avoided.as_ref() == Some(&member.id);
            let in_flight = member.in_flight.unwrap_or(u64::MAX);
            let serves = member.phase == Phase::Serving;
            (is_avoided, serves, in_flight, member.keeps, Reverse(member.ordered), member.id.clone())
        });
        members.into_iter().map(|member| member.id.clone()).collect()
    }
}
