//! A node: what it has in memory, the steps in its hands, and what it wants of the log.
//!
//! It decides with the real [`Trial`](spinwell_policy::sequence::Trial), [`Tails`] and [`Roles`]; what it wants done comes out as
//! data ([`Do`]). The rules that are its own:
//!
//! - One append is under way at a time, for as many shards as have something to append; until it is answered it is sent again.
//!   Meanwhile nothing that was read of these shards is used: the tail is not known. So nothing more is appended to a shard that a
//!   step waits to have read, or it would wait for as long as others append.
//! - Whatever is loaded was read in one snapshot with the news of its shard.

use super::history::Answer;
use super::log::{Append, Appended, Expected, Part, Read, Wanted};
use super::scenario::Plant;
use super::state::{Entry, State, fold};
use super::turns::{Hand, Stage, Step, Turn, Worked};
use spinwell_core::{Millis, NodeId, UnixMillis};
use spinwell_policy::sequence::{Asked, Decision, Role, Roles, Tails, Verdict};
use std::collections::BTreeMap;

/// No sequence expires here.
const IDLE: Millis = Millis(u64::MAX);

/// What a node wants done.
#[derive(Debug)]
pub(super) enum Do {
    Append {
        call: u64,
        appends: Vec<Append>,
    },
    Read {
        call: u64,
        wanted: Wanted,
    },
    Keep(Vec<State>),
    /// Let the model work on the step in hand of that sequence.
    Compute {
        sequence: usize,
        work: u64,
    },
    Answer {
        attempt: u64,
        request: usize,
        answer: Answer,
    },
}

/// A node's process.
#[derive(Debug)]
pub(super) struct Node {
    plant: Option<Plant>,
    /// The shard of each sequence.
    shards: Vec<u16>,
    pub(super) roles: Roles,
    tails: Tails,
    /// What is known of sequences, as of the tail of their shard: that there is none, too.
    memory: BTreeMap<usize, Option<State>>,
    turns: BTreeMap<usize, Turn>,
    /// Sequences whose step waits to be appended, in order.
    waiting: Vec<usize>,
    group: Option<Group>,
    /// Calls and pieces of work, numbered.
    numbered: u64,
    /// The position of each copy that it has made.
    kept: BTreeMap<usize, u64>,
    now: UnixMillis,
    pub(super) fences: u64,
    pub(super) out: Vec<Do>,
}

/// The append that is under way.
#[derive(Debug)]
struct Group {
    call: u64,
    appends: Vec<Append>,
    /// Whether it was sent more than once.
    is_again: bool,
}

impl Node {
    /// A process without memory.
    pub(super) fn new(name: NodeId, shards: Vec<u16>, plant: Option<Plant>) -> Self {
        Self {
            plant,
            shards,
            roles: Roles::new(name),
            tails: Tails::default(),
            memory: BTreeMap::new(),
            turns: BTreeMap::new(),
            waiting: Vec::new(),
            group: None,
            numbered: 0,
            kept: BTreeMap::new(),
            now: UnixMillis(0),
            fences: 0,
            out: Vec::new(),
        }
    }

    /// It is that late.
    pub(super) fn at(&mut self, now: UnixMillis) -> &mut Self {
        self.now = now;
        self
    }

    // Steps.

    pub(super) fn step(&mut self, step: Step) {
        self.turns.entry(step.sequence).or_default().queue.push_back(step);
        self.go_on(step.sequence);
    }

    /// Does what can be done for a sequence without anybody's answer.
    fn go_on(&mut self, sequence: usize) {
        while self.is_to_decide(sequence) {
            let Some(known) = self.memory.get(&sequence).copied() else { return self.read(sequence) };
            let now = self.now;
            let asked = self.seen(self.turns[&sequence].hand.as_ref().map(|hand| hand.step.asked));
            let hand = self.hand(sequence);
            match hand.trial.verdict(known.as_ref().map(|state| &state.known), asked, now, IDLE) {
                Verdict::Refresh if self.plant == Some(Plant::RefusesUnread) => {
                    self.hand(sequence).trial.refreshed();
                }
                Verdict::Refresh => return self.read(sequence),
                Verdict::Refuse(refusal) => self.answer(sequence, Answer::Refused(refusal)),
                Verdict::Take(Decision::Repeat) => {
                    let (step, value) = known.map_or((0, 0), |state| (state.known.step, state.value));
                    self.answer(sequence, Answer::Taken { step, value });
                }
                Verdict::Take(decision) => return self.compute(sequence, known.as_ref(), decision),
            }
        }
    }

    /// What a node makes of what it is asked: planted bugs take no notice of when it was sent.
    fn seen(&self, asked: Option<Asked>) -> Asked {
        let asked = asked.unwrap_or_default();
        let is_blind = match self.plant {
            Some(Plant::LateStartWins) => asked.starts,
            Some(Plant::LivesMix) => !asked.starts,
            _ => false,
        };
        Asked { sent: asked.sent.filter(|_| !is_blind), ..asked }
    }

    /// Whether there is a step in hand that is to be decided; takes the next one where there is none.
    fn is_to_decide(&mut self, sequence: usize) -> bool {
        let Some(turn) = self.turns.get_mut(&sequence) else { return false };
        if turn.hand.is_none() {
            turn.hand = turn.queue.pop_front().map(Hand::new);
        }
        if turn.hand.is_none() {
            self.turns.remove(&sequence);
            return false;
        }
        turn.hand.as_ref().is_some_and(|hand| hand.stage == Stage::Deciding)
    }

    fn compute(&mut self, sequence: usize, before: Option<&State>, decision: Decision) {
        self.numbered += 1;
        let (work, now) = (self.numbered, self.now);
        let is_planted = self.plant == Some(Plant::UsedOnArrival);
        let hand = self.hand(sequence);
        let known = before.map(|state| &state.known);
        let used = if is_planted { now } else { hand.step.asked.used(known, now) };
        let entry = entry(&hand.step, decision, used);
        hand.is_overtaken = false;
        hand.stage = Stage::Computing(work, Worked { entry, state: fold(before, &entry, 0) });
        self.out.push(Do::Compute { sequence, work });
    }

    /// The model has worked.
    pub(super) fn computed(&mut self, sequence: usize, work: u64) {
        let hand = self.turns.get_mut(&sequence).and_then(|turn| turn.hand.as_mut());
        let Some(hand) = hand else { return };
        let Stage::Computing(own, worked) = hand.stage else { return };
        if own == work {
            hand.stage = Stage::Appending(worked);
            self.waiting.push(sequence);
            self.append();
        }
    }

    fn answer(&mut self, sequence: usize, answer: Answer) {
        if let Some(hand) = self.turns.get_mut(&sequence).and_then(|turn| turn.hand.take()) {
            let Step { attempt, request, .. } = hand.step;
            self.out.push(Do::Answer { attempt, request, answer });
        }
    }

    // The log.

    /// Sends what waits to be appended, where nothing is under way.
    fn append(&mut self) {
        if self.group.is_some() {
            return;
        }
        let mut appends: BTreeMap<u16, Append> = BTreeMap::new();
        for sequence in std::mem::take(&mut self.waiting) {
            if self.is_read(self.shards[sequence]) {
                self.waiting.push(sequence);
                continue;
            }
            if self.hand(sequence).is_overtaken && self.plant != Some(Plant::OvertakenUnmarked) {
                self.fenced(sequence, false);
                continue;
            }
            let shard = self.shards[sequence];
            let Stage::Appending(Worked { entry, .. }) = self.hand(sequence).stage else { continue };
            let expected = match self.plant {
                Some(Plant::AppendsAtHead) => Expected::Head,
                _ => Expected::At(self.tails.of(shard).unwrap_or_default()),
            };
            let append = appends.entry(shard).or_insert(Append { shard, expected, entries: Vec::new() });
            append.entries.push(entry);
        }
        if !appends.is_empty() {
            self.numbered += 1;
            let group =
                Group { call: self.numbered, appends: appends.into_values().collect(), is_again: false };
            self.out.push(Do::Append { call: group.call, appends: group.appends.clone() });
            self.group = Some(group);
        }
    }

    /// The log has answered an append.
    pub(super) fn appended(&mut self, call: u64, results: &[(u16, Appended)]) {
        let Some(group) = self.group.take_if(|group| group.call == call) else { return };
        for append in group.appends {
            let result = results.iter().find(|(shard, _)| *shard == append.shard);
            let is_written = matches!(result, Some((_, Appended::Written)));
            let first =
                if is_written { self.tails.written(append.shard, append.entries.len() as u64) } else { None };
            for (offset, entry) in (0..).zip(&append.entries) {
                match first {
                    Some(first) => self.written(entry.sequence, first + offset),
                    None => self.fenced(entry.sequence, group.is_again),
                }
            }
        }
        self.append();
    }

    fn written(&mut self, sequence: usize, position: u64) {
        let Stage::Appending(Worked { state, .. }) = self.hand(sequence).stage else { return };
        self.memory.insert(sequence, Some(State { position, ..state }));
        self.answer(sequence, Answer::Taken { step: state.known.step, value: state.value });
        self.go_on(sequence);
    }

    /// The append has failed, or must not be sent; it is in doubt where it was sent more than once.
    fn fenced(&mut self, sequence: usize, is_in_doubt: bool) {
        self.fences += 1;
        self.memory.remove(&sequence);
        let is_in_doubt = is_in_doubt && self.plant != Some(Plant::DoubtIgnored);
        let hand = self.hand(sequence);
        let asked = hand.step.asked;
        let goes_on = if is_in_doubt { hand.trial.in_doubt(&asked) } else { hand.trial.fenced() };
        match (goes_on, is_in_doubt && asked.step.is_none()) {
            (true, _) => hand.stage = Stage::Deciding,
            (false, true) => self.answer(sequence, Answer::Lost),
            (false, false) => self.answer(sequence, Answer::Moved),
        }
        self.go_on(sequence);
    }

    /// Asks the log for what is missing to decide the step in hand.
    fn read(&mut self, sequence: usize) {
        self.numbered += 1;
        let call = self.numbered;
        let shard = self.shards[sequence];
        let is_missing = !self.memory.contains_key(&sequence);
        let hand = self.hand(sequence);
        hand.is_overtaken = false;
        hand.stage = Stage::Reading(call);
        let tails = vec![(shard, self.tails.of(shard))];
        let wanted = Wanted { tails, sequence: is_missing.then_some((shard, sequence)) };
        self.out.push(Do::Read { call, wanted });
    }

    /// Nothing was heard of a call: it is sent again, an append as it was.
    pub(super) fn again(&mut self, call: u64) {
        if let Some(group) = self.group.as_mut().filter(|group| group.call == call) {
            group.is_again = true;
            return self.out.push(Do::Append { call, appends: group.appends.clone() });
        }
        if let Some(sequence) = self.reader(call) {
            self.read(sequence);
        }
    }

    /// Whose step in hand waits for that call.
    fn reader(&self, call: u64) -> Option<usize> {
        let is_own = |turn: &Turn| turn.hand.as_ref().is_some_and(|hand| hand.stage == Stage::Reading(call));
        self.turns.iter().find(|(_, turn)| is_own(turn)).map(|(sequence, _)| *sequence)
    }

    /// The log has answered what was wanted.
    pub(super) fn has_read(&mut self, call: u64, wanted: &Wanted, read: &Read) {
        for part in &read.parts {
            if !self.is_appending(part.shard) {
                self.follow(part);
            }
        }
        let Some(sequence) = self.reader(call) else { return };
        let Some(part) = read.parts.first() else { return };
        if !self.is_new(sequence, part) {
            return self.read(sequence);
        }
        if wanted.sequence.is_some() {
            self.memory.insert(sequence, read.loaded);
        }
        let hand = self.hand(sequence);
        hand.trial.refreshed();
        hand.stage = Stage::Deciding;
        self.go_on(sequence);
        self.append();
    }

    /// Whether what was read for a sequence together with that part is what memory would hold of it now.
    fn is_new(&mut self, sequence: usize, part: &Part) -> bool {
        let tail = self.tails.of(part.shard);
        let has_others = self.hand(sequence).is_overtaken;
        // Where memory is ahead of what was read, that was by own entries, which are not of a sequence in hand, or by others'.
        let is_ahead = part.from.is_some() && tail.is_some_and(|tail| tail > part.head);
        !self.is_appending(part.shard) && (tail == Some(part.head) || is_ahead && !has_others)
    }

    /// Whether a step waits for that shard to be read.
    fn is_read(&self, shard: u16) -> bool {
        let mut own = self.turns.iter().filter(|(sequence, _)| self.shards[**sequence] == shard);
        own.any(|(_, turn)| turn.hand.as_ref().is_some_and(|hand| matches!(hand.stage, Stage::Reading(_))))
    }

    fn is_appending(&self, shard: u16) -> bool {
        self.group.as_ref().is_some_and(|group| group.appends.iter().any(|append| append.shard == shard))
    }

    /// Takes the news of a shard into memory.
    fn follow(&mut self, part: &Part) {
        let shard = part.shard;
        let (tail, from) = match (self.tails.of(shard), part.from) {
            (None, None) => return self.tails.follow(shard, part.head),
            (Some(tail), Some(from)) => (tail, from),
            _ => return,
        };
        let news: Vec<_> = part.entries.iter().filter(|(position, _)| *position > tail).collect();
        let is_whole = from <= tail && news.len() as u64 == part.head.saturating_sub(tail);
        for (position, entry) in news {
            self.fold(entry, *position);
        }
        if !is_whole {
            // Entries were pruned that memory does not hold: copies hold them.
            self.drop_memory(shard);
        }
        self.tails.read(shard, part.head);
    }

    /// An entry of another node.
    fn fold(&mut self, entry: &Entry, position: u64) {
        match self.memory.get_mut(&entry.sequence) {
            Some(state) => *state = Some(fold(state.as_ref(), entry, position)),
            None if entry.begins => {
                self.memory.insert(entry.sequence, Some(fold(None, entry, position)));
            }
            None => {}
        }
        self.overtake(entry.sequence);
    }

    fn overtake(&mut self, sequence: usize) {
        if let Some(hand) = self.turns.get_mut(&sequence).and_then(|turn| turn.hand.as_mut()) {
            hand.is_overtaken = true;
        }
    }

    fn drop_memory(&mut self, shard: u16) {
        let shards = &self.shards;
        self.memory.retain(|sequence, _| shards[*sequence] != shard);
        (0..shards.len())
            .filter(|sequence| self.shards[*sequence] == shard)
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|sequence| self.overtake(sequence));
    }

    // What is done from time to time.

    /// Reads along where it stands by or owns, and forgets the shards where it is nothing any more.
    pub(super) fn poll(&mut self) {
        let mut shards = self.shards.clone();
        shards.sort_unstable();
        shards.dedup();
        let (mine, others): (Vec<u16>, Vec<u16>) =
            shards.into_iter().partition(|shard| self.roles.of(*shard) > Role::None);
        for shard in others {
            if !self.turns.keys().any(|sequence| self.shards[*sequence] == shard) {
                self.drop_memory(shard);
                self.tails.forget(shard);
            }
        }
        if !mine.is_empty() {
            self.numbered += 1;
            let tails = mine.into_iter().map(|shard| (shard, self.tails.of(shard))).collect();
            self.out.push(Do::Read { call: self.numbered, wanted: Wanted { tails, sequence: None } });
        }
    }

    /// Copies what has changed where it is the owner.
    pub(super) fn keep(&mut self) {
        let states = self.memory.values().flatten().copied();
        let is_due = |state: &State| {
            self.roles.of(self.shards[state.sequence]) == Role::Owner
                && self.kept.get(&state.sequence).is_none_or(|kept| *kept < state.position)
        };
        let due: Vec<State> = states.filter(is_due).collect();
        self.kept.extend(due.iter().map(|state| (state.sequence, state.position)));
        if !due.is_empty() {
            self.out.push(Do::Keep(due));
        }
    }

    /// Drops a state, as a node does that is short of memory.
    pub(super) fn drop_state(&mut self, sequence: usize) {
        if !self.turns.contains_key(&sequence) {
            self.memory.remove(&sequence);
        }
    }

    fn hand(&mut self, sequence: usize) -> &mut Hand {
        let hand = self.turns.get_mut(&sequence).and_then(|turn| turn.hand.as_mut());
        hand.unwrap_or_else(|| unreachable!("only sequences with a step in hand are asked for"))
    }
}

/// What a step writes.
fn entry(step: &Step, decision: Decision, used: UnixMillis) -> Entry {
    let number = if let Decision::Continue { step } = decision { step } else { 1 };
    Entry {
        sequence: step.sequence,
        begins: decision == Decision::Begin,
        ends: step.ends,
        step: number,
        rows: step.asked.digest,
        used,
        request: step.request,
    }
}
