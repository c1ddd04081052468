//! A model of how an instance keeps lanes current (`freshness.rs`, `memory.rs`, `store.rs` and `listener.rs` of `lanes/`),
//! checked in every order of its steps.
//!
//! Two months, changed by commits of this instance and of others, each commit with the next version. The database has the
//! version of the last change of each month, and so stands for its content. Each planted fault must be found, or the check
//! would prove nothing.

use stateright::{Checker, Model, Property};

const MONTHS: usize = 2;
const COMMITS: u8 = 2;

/// What the protocol could do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The version is known before the changes of its commit.
    VersionBeforeChanges,
    /// A month in memory counts as current, whatever has changed since it was read.
    ChangesIgnored,
    /// A write is acknowledged at once.
    AcknowledgedAtOnce,
    /// Months of different states are put together.
    StatesMixed,
    /// A read that began before a write was acknowledged answers a request that came after it.
    OldReadJoined,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kept {
    /// The version that it was read at.
    read_at: u8,
    /// The version of the last change that it has.
    content: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct State {
    // The database.
    version: u8,
    content: [u8; MONTHS],
    // The instance.
    is_live: bool,
    /// `Freshness::version`.
    known: u8,
    /// The changes that were read, and are not taken into account yet.
    hearing: Option<(u8, [u8; MONTHS])>,
    /// `Freshness::changed`.
    changed: [u8; MONTHS],
    /// `Freshness::oldest`.
    oldest: u8,
    memory: [Option<Kept>; MONTHS],
    /// A statement that has read both months, with the oldest state that its requests may get.
    reading: Option<(u8, u8, [u8; MONTHS])>,
    /// Own commits that are not acknowledged yet.
    committed: Option<u8>,
    acknowledged: u8,
    /// An answer that is being put together: the version that was known, what was acknowledged before, the first month.
    answering: Option<(u8, u8, Option<Kept>)>,
    /// An answer: its content, and what was acknowledged before it was asked for.
    answer: Option<([u8; MONTHS], u8)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A commit of these months, by this instance or another.
    Commit {
        months: [bool; MONTHS],
        is_own: bool,
    },
    Acknowledge,
    GiveUpWaiting,
    Hear,
    TakeIntoAccount,
    Publish,
    LoseNotifications,
    Read,
    Keep(usize),
    AnswerFromRead,
    AskMemory,
    TakeFirst,
    TakeSecond,
}

/// A state, with the content at each version.
type Whole = (State, Vec<[u8; MONTHS]>);

struct Instance(Fault);

impl Instance {
    fn has(&self, fault: Fault) -> bool {
        self.0 == fault
    }

    fn current(&self, state: &State, month: usize) -> Option<Kept> {
        let kept = state.memory[month]?;
        let is_current = kept.read_at >= state.changed[month] && kept.read_at >= state.oldest;
        (is_current || self.has(Fault::ChangesIgnored)).then_some(kept)
    }
}

impl Model for Instance {
    type State = Whole;
    type Action = Step;

    fn init_states(&self) -> Vec<Self::State> {
        vec![(State::default(), vec![[0; MONTHS]])]
    }

    fn actions(&self, (state, _): &Whole, steps: &mut Vec<Step>) {
        if state.version < COMMITS {
            for months in [[true, false], [false, true], [true, true]] {
                steps.push(Step::Commit { months, is_own: false });
                if state.committed.is_none() {
                    steps.push(Step::Commit { months, is_own: true });
                }
            }
        }
        steps.extend([
            Step::Acknowledge,
            Step::GiveUpWaiting,
            Step::Hear,
            Step::TakeIntoAccount,
            Step::Publish,
            Step::LoseNotifications,
            Step::Read,
            Step::Keep(0),
            Step::Keep(1),
            Step::AnswerFromRead,
            Step::AskMemory,
            Step::TakeFirst,
            Step::TakeSecond,
        ]);
    }

    fn next_state(&self, (state, history): &Whole, step: Step) -> Option<Self::State> {
        let (mut next, mut history) = (state.clone(), history.clone());
        next.answer = None;
        match step {
            Step::Commit { months, is_own } => {
                next.version += 1;
                for month in (0..MONTHS).filter(|month| months[*month]) {
                    next.content[month] = next.version;
                }
                history.push(next.content);
                if is_own {
                    next.committed = Some(next.version);
                }
            }
            Step::Acknowledge => {
                let version = state.committed?;
                if !(state.is_live && state.known >= version || self.has(Fault::AcknowledgedAtOnce)) {
                    return None;
                }
                next.acknowledged = version;
                next.committed = None;
            }
            Step::GiveUpWaiting => {
                let version = state.committed?;
                next.oldest = next.oldest.max(version);
                next.acknowledged = version;
                next.committed = None;
            }
            Step::Hear => {
                if state.hearing.is_some() || (state.is_live && state.version == state.known) {
                    return None;
                }
                next.hearing = Some((state.version, state.content));
                if self.has(Fault::VersionBeforeChanges) {
                    next.known = state.version;
                    next.is_live = true;
                }
            }
            Step::TakeIntoAccount => {
                let (_, content) = state.hearing?;
                // What changed after the known version; the rest is unchanged anyway.
                for (changed, content) in next.changed.iter_mut().zip(content) {
                    *changed = (*changed).max(content);
                }
                if next == *state {
                    return None;
                }
            }
            Step::Publish => {
                let (version, content) = state.hearing?;
                if (0..MONTHS).any(|month| state.changed[month] < content[month]) {
                    return None;
                }
                next.known = version;
                next.is_live = true;
                next.hearing = None;
            }
            Step::LoseNotifications => {
                if !state.is_live {
                    return None;
                }
                next.is_live = false;
                next.hearing = None;
            }
            Step::Read => {
                if state.reading.is_some() {
                    return None;
                }
                next.reading = Some((state.known.max(state.oldest), state.version, state.content));
            }
            Step::Keep(month) => {
                let (_, read_at, content) = state.reading?;
                next.memory[month] = Some(Kept { read_at, content: content[month] });
            }
            Step::AnswerFromRead => {
                let (oldest, _, content) = state.reading?;
                next.reading = None;
                // A request that comes now joins only a read that its own would be the same as.
                if oldest == state.known.max(state.oldest) || self.has(Fault::OldReadJoined) {
                    next.answer = Some((content, state.acknowledged));
                }
            }
            Step::AskMemory => {
                if state.answering.is_some() || !state.is_live {
                    return None;
                }
                next.answering = Some((state.known, state.acknowledged, None));
            }
            Step::TakeFirst => {
                let (known, acknowledged, None) = state.answering? else { return None };
                next.answering = self.current(state, 0).map(|kept| (known, acknowledged, Some(kept)));
            }
            Step::TakeSecond => {
                let (known, acknowledged, Some(first)) = state.answering? else { return None };
                next.answering = None;
                let second = self.current(state, 1);
                let fits = |kept: Kept| kept.read_at <= known || self.has(Fault::StatesMixed);
                if let Some(second) = second.filter(|second| fits(*second) && fits(first)) {
                    next.answer = Some(([first.content, second.content], acknowledged));
                }
            }
        }
        Some((next, history))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("an answer is of one state", |_, (state, history): &Whole| {
                state.answer.is_none_or(|(content, _)| history.contains(&content))
            }),
            Property::always(
                "no answer is older than what was acknowledged",
                |_, (state, history): &Whole| {
                    state.answer.is_none_or(|(content, acknowledged)| {
                        let least = history[usize::from(acknowledged)];
                        (0..MONTHS).all(|month| content[month] >= least[month])
                    })
                },
            ),
            Property::always("what is heard of is current", |model: &Self, (state, _): &Whole| {
                let is_up_to_date = state.is_live && state.hearing.is_none() && state.known == state.version;
                !is_up_to_date
                    || (0..MONTHS).all(|month| {
                        model.current(state, month).is_none_or(|kept| kept.content == state.content[month])
                    })
            }),
            Property::sometimes("memory answers", |_, (state, _): &Whole| {
                state.answer.is_some_and(|(content, _)| content == [COMMITS; MONTHS])
            }),
        ]
    }
}

#[test]
fn the_protocol_holds_in_every_order_of_its_steps() {
    let checker = Instance(Fault::None).checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.unique_state_count() > 10_000, "{} states", checker.unique_state_count());
}

#[test]
fn each_planted_fault_is_found() {
    for fault in [
        Fault::VersionBeforeChanges,
        Fault::ChangesIgnored,
        Fault::AcknowledgedAtOnce,
        Fault::StatesMixed,
        Fault::OldReadJoined,
    ] {
        let checker = Instance(fault).checker().threads(2).spawn_bfs().join();
        let found = checker.discoveries().into_iter().filter(|(name, _)| *name != "memory answers").count();
        assert!(found > 0, "{fault:?} was not found");
    }
}
