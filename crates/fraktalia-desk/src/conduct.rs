//! How much of what one person sends is read, and how much of it is answered. A flood costs one message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::Moment;

/// How long nothing is read after too many messages, in seconds.
pub const SILENCE_S: u64 = 600;
/// How long the same is not said again, in seconds.
pub const REMIND_S: u64 = 3600;
/// A day, in seconds.
pub const DAY_S: u64 = 86_400;
/// So many proposals that were not accepted are answered for each one that may be.
const TRIES: u32 = 5;

/// What is known of one person's conduct.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conduct {
    /// Messages of the last minute.
    recent: Vec<Moment>,
    /// Until when nothing is read.
    silent_until: Option<Moment>,
    /// Proposals of the last 24 hours that became cases.
    proposals: Vec<Moment>,
    /// Proposals of the last 24 hours that did not.
    tries: Vec<Moment>,
    /// When something was last said that needs not be repeated.
    told: BTreeMap<Why, Moment>,
}

/// Why somebody is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Too many messages.
    TooMany,
    /// Not a proposer.
    NotProposer,
    /// Not an operator.
    NotOperator,
    /// Not in the room, or nobody vouches for them.
    Unvouched,
    /// As many proposals as a day has.
    PerDay,
    /// As many proposals as may wait.
    Open,
    /// As many faulty ones as are answered.
    Tries,
    /// Two fragments in one message, or one that is too large.
    Several,
    /// Something was changed after it was approved.
    Changed,
    /// An answer came when none counted.
    Late,
    /// What they wrote could not be read.
    Unread,
}

impl Why {
    /// A word for keys.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::TooMany => "too-many",
            Self::NotProposer => "not-proposer",
            Self::NotOperator => "not-operator",
            Self::Unvouched => "unvouched",
            Self::PerDay => "per-day",
            Self::Open => "open",
            Self::Tries => "tries",
            Self::Several => "several",
            Self::Changed => "changed",
            Self::Late => "late",
            Self::Unread => "unread",
        }
    }
}

/// Whether a message is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// It is.
    Read,
    /// It is the first that is not.
    NoMore,
    /// It is not.
    Silence,
}

impl Conduct {
    /// Counts a message.
    pub(crate) fn message(&mut self, at: Moment, per_minute: u32) -> Rate {
        if self.silent_until.is_some_and(|until| at < until) {
            return Rate::Silence;
        }
        self.silent_until = None;
        keep(&mut self.recent, at, 60);
        if self.recent.len() >= per_minute as usize {
            self.recent.clear();
            self.silent_until = Some(at.after_s(SILENCE_S));
            return Rate::NoMore;
        }
        self.recent.push(at);
        Rate::Read
    }

    /// Whether another proposal may become a case today.
    pub(crate) fn may_propose(&mut self, at: Moment, per_day: u32) -> bool {
        keep(&mut self.proposals, at, DAY_S);
        self.proposals.len() < per_day as usize
    }

    /// Counts a proposal that became a case.
    pub(crate) fn proposed(&mut self, at: Moment) {
        self.proposals.push(at);
    }

    /// Counts a proposal that did not; whether it is to be answered.
    pub(crate) fn tried(&mut self, at: Moment, per_day: u32) -> bool {
        keep(&mut self.tries, at, DAY_S);
        let answered = self.tries.len() < per_day.max(1).saturating_mul(TRIES) as usize;
        if answered {
            self.tries.push(at);
        }
        answered
    }

    /// Whether something is to be said that was not said lately. It counts as said.
    pub(crate) fn tell(&mut self, why: Why, at: Moment) -> bool {
        let due = self.told.get(&why).is_none_or(|told| at.since_s(*told) >= REMIND_S);
        if due {
            self.told.insert(why, at);
        }
        due
    }

    /// Whether there is nothing left to remember.
    pub(crate) fn is_blank(&mut self, at: Moment) -> bool {
        keep(&mut self.recent, at, 60);
        keep(&mut self.proposals, at, DAY_S);
        keep(&mut self.tries, at, DAY_S);
        self.told.retain(|_, told| at.since_s(*told) < REMIND_S);
        let silent = self.silent_until.is_some_and(|until| at < until);
        !silent
            && self.recent.is_empty()
            && self.proposals.is_empty()
            && self.tries.is_empty()
            && self.told.is_empty()
    }
}

/// Forgets what is older.
fn keep(moments: &mut Vec<Moment>, at: Moment, seconds: u64) {
    moments.retain(|moment| at.since_s(*moment) < seconds);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Moment {
        Moment(seconds * 1000)
    }

    #[test]
    fn after_too_many_messages_nothing_is_read_for_a_while() {
        let mut conduct = Conduct::default();
        let rates: Vec<Rate> = (0..10).map(|n| conduct.message(s(n), 3)).collect();
        assert_eq!(rates[..4], [Rate::Read, Rate::Read, Rate::Read, Rate::NoMore]);
        assert!(rates[4..].iter().all(|rate| *rate == Rate::Silence));
        assert_eq!(conduct.message(s(3 + SILENCE_S - 1), 3), Rate::Silence);
        assert_eq!(conduct.message(s(3 + SILENCE_S), 3), Rate::Read);
    }

    #[test]
    fn a_slow_sender_is_always_read() {
        let mut conduct = Conduct::default();
        assert!((0..100).all(|n| conduct.message(s(n * 30), 3) == Rate::Read));
    }

    #[test]
    fn the_day_is_the_last_24_hours() {
        let mut conduct = Conduct::default();
        conduct.proposed(s(0));
        assert!(!conduct.may_propose(s(86_399), 1));
        assert!(conduct.may_propose(s(86_400), 1));
    }

    #[test]
    fn who_behaves_is_forgotten() {
        let mut conduct = Conduct::default();
        conduct.message(s(0), 3);
        assert!(conduct.tell(Why::Several, s(0)) && !conduct.tell(Why::Several, s(3599)));
        assert!(!conduct.is_blank(s(3599)));
        assert!(conduct.is_blank(s(3600)));
    }
}
