//! What failed, how often, and when it may be tried again.

use std::collections::VecDeque;
use std::time::Duration;

use fraktalia_plan::{Fingerprint, Plan};
use tokio::time::Instant;

/// The same thing is applied so often within [`FIGHT`], and then no more: somebody else wants it otherwise.
const MOST_APPLIED: usize = 5;
/// See [`MOST_APPLIED`].
const FIGHT: Duration = Duration::from_mins(10);

/// How patient a watch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A plan that failed so often is not tried again.
    pub tries: u32,
    /// The pause after the first failure; it grows fourfold with each.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 3, pause: Duration::from_secs(2) }
    }
}

/// Whether a piece of work may be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    Now,
    After(Duration),
    /// Not before the plan or the manifest changes.
    Never,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Again(Duration),
    GiveUp(u32),
}

/// Of the piece of work that failed last.
#[derive(Debug, Default)]
pub(super) struct Failures {
    work: Option<Fingerprint>,
    times: u32,
    not_before: Option<Instant>,
    given_up: bool,
    applied: VecDeque<(Fingerprint, Instant)>,
}

/// Tells pieces of work apart by what would be done, and not by what was seen: a rollback may leave traces.
pub(super) fn work(plan: &Plan) -> Fingerprint {
    let steps: Vec<_> = plan.steps.iter().map(|step| (&step.title, &step.realises)).collect();
    fraktalia_plan::fingerprint(&(&plan.basis.manifest, steps))
}

impl Failures {
    pub fn may(&mut self, work: &Fingerprint) -> May {
        if self.work.as_ref() != Some(work) {
            *self = Self {
                work: Some(work.clone()),
                applied: std::mem::take(&mut self.applied),
                ..Self::default()
            };
        }
        if self.given_up {
            return May::Never;
        }
        let now = Instant::now();
        match self.not_before {
            Some(then) if then > now => May::After(then - now),
            _ => May::Now,
        }
    }

    pub fn failed(&mut self, work: &Fingerprint, patience: Patience) -> Next {
        self.may(work);
        self.times += 1;
        if self.times >= patience.tries {
            self.given_up = true;
            return Next::GiveUp(self.times);
        }
        let pause = patience.pause * 4_u32.saturating_pow(self.times - 1);
        self.not_before = Some(Instant::now() + pause);
        Next::Again(pause)
    }

    /// It was done. When the same was done again and again, it is given up for a while: how often.
    pub fn applied(&mut self, work: &Fingerprint) -> Option<usize> {
        let now = Instant::now();
        self.may(work);
        (self.times, self.not_before) = (0, None);
        self.applied.retain(|(_, at)| now.duration_since(*at) < FIGHT);
        self.applied.push_back((work.clone(), now));
        let times = self.applied.iter().filter(|(other, _)| other == work).count();
        if times < MOST_APPLIED {
            return None;
        }
        self.not_before = Some(now + FIGHT);
        Some(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_pause_grows_until_it_is_given_up_and_other_work_is_not_held_up() {
        let patience = Patience { tries: 3, pause: Duration::from_secs(2) };
        let (one, other) = ("one".to_owned(), "other".to_owned());
        let mut failures = Failures::default();
        assert_eq!(failures.may(&one), May::Now);
        assert_eq!(failures.failed(&one, patience), Next::Again(Duration::from_secs(2)));
        assert_eq!(failures.may(&one), May::After(Duration::from_secs(2)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(failures.may(&one), May::Now);
        assert_eq!(failures.failed(&one, patience), Next::Again(Duration::from_secs(8)));
        assert_eq!(failures.failed(&one, patience), Next::GiveUp(3));
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(failures.may(&one), May::Never);
        assert_eq!(failures.may(&other), May::Now);
        assert_eq!(failures.may(&one), May::Now, "the plan has changed meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fight_is_not_fought_for_ever() {
        let (work, other) = ("work".to_owned(), "other".to_owned());
        let mut failures = Failures::default();
        for _ in 1..MOST_APPLIED {
            assert_eq!(failures.applied(&work), None);
            assert_eq!(failures.may(&work), May::Now);
        }
        assert_eq!(failures.applied(&work), Some(MOST_APPLIED));
        assert_eq!(failures.may(&work), May::After(FIGHT));
        assert_eq!(failures.may(&other), May::Now);
    }
}
