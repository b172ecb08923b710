//! A bell that anybody may ring. Many rings in a row are one wake-up: what is looked at then is the whole world.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// More causes than this are not told apart: a storm is a storm.
const MOST_CAUSES: usize = 8;
/// Causes may hold names from outside; no more of each than this.
const MOST_CHARS: usize = 120;

/// Who rang, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Cause {
    /// A system, `manifest`, `timer`, a signal.
    pub who: String,
    /// What happened, in half a sentence.
    pub what: String,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.what.is_empty() { f.write_str(&self.who) } else { write!(f, "{}: {}", self.who, self.what) }
    }
}

/// What has rung since the last wake-up.
#[derive(Clone, Debug)]
pub struct Wake {
    /// Who rang; the first few of them.
    pub causes: BTreeSet<Cause>,
    /// How often it rang.
    pub rings: u64,
    /// When it rang last.
    pub last: Instant,
    /// Whether somebody asked to believe no cache, and to forget that something failed.
    pub afresh: bool,
}

#[derive(Default)]
struct Shared {
    wake: Mutex<Option<(Instant, Wake)>>,
    rung: Notify,
}

impl Shared {
    fn wake(&self) -> MutexGuard<'_, Option<(Instant, Wake)>> {
        self.wake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cheap to clone. Rings in the name of one who.
#[derive(Clone)]
pub struct Bell {
    shared: Arc<Shared>,
    who: Arc<str>,
    hears: Arc<dyn Fn() + Send + Sync>,
}

/// Waits for the bell.
pub struct Ears {
    shared: Arc<Shared>,
}

/// A bell, and who listens to it.
pub fn bell() -> (Bell, Ears) {
    let shared = Arc::<Shared>::default();
    let bell = Bell { shared: Arc::clone(&shared), who: "".into(), hears: Arc::new(|| {}) };
    (bell, Ears { shared })
}

impl Bell {
    /// The same bell, rung in the name of `who`.
    #[must_use]
    pub fn of(&self, who: impl Into<Arc<str>>) -> Self {
        Self { who: who.into(), ..self.clone() }
    }

    /// With somebody to tell that events are heard from now on.
    #[must_use]
    pub(super) fn with_hearing(&self, hears: impl Fn() + Send + Sync + 'static) -> Self {
        Self { hears: Arc::new(hears), ..self.clone() }
    }

    /// Something may have changed; `what` says what, in half a sentence.
    pub fn ring(&self, what: impl AsRef<str>) {
        self.strike(Some(what.as_ref()), false);
    }

    /// The same, and no cache is believed.
    pub fn ring_afresh(&self, what: impl AsRef<str>) {
        self.strike(Some(what.as_ref()), true);
    }

    /// Whatever happens from now on is heard. What happened before was perhaps not: so there is one look.
    pub fn listening(&self) {
        (self.hears)();
    }

    /// There is to be a look, and nobody needs to know why.
    pub(super) fn nudge(&self) {
        self.strike(None, false);
    }

    fn strike(&self, what: Option<&str>, afresh: bool) {
        let now = Instant::now();
        let mut pending = self.shared.wake();
        let (_, wake) = pending.get_or_insert_with(|| {
            (now, Wake { causes: BTreeSet::new(), rings: 0, last: now, afresh: false })
        });
        if let Some(what) = what
            && wake.causes.len() < MOST_CAUSES
        {
            let what = what.chars().take(MOST_CHARS).collect();
            wake.causes.insert(Cause { who: self.who.to_string(), what });
        }
        wake.rings += 1;
        wake.last = now;
        wake.afresh |= afresh;
        drop(pending);
        self.shared.rung.notify_one();
    }
}

impl Ears {
    /// Waits until the bell has rung and was quiet for `quiet`, or for `most` since it rang first. Safe to cancel:
    /// nothing is taken before it is given.
    pub async fn next(&mut self, quiet: Duration, most: Duration) -> Wake {
        loop {
            let due = self.shared.wake().as_ref().map(|(first, wake)| (wake.last + quiet).min(*first + most));
            match due {
                Some(due) if due <= Instant::now() => {
                    if let Some((_, wake)) = self.shared.wake().take() {
                        return wake;
                    }
                }
                // A ring meanwhile moves the time; it is asked for again then.
                Some(due) => sleep_until(due).await,
                None => self.shared.rung.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(100);
    const MOST: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn many_rings_are_one_wake_up_once_it_is_quiet() {
        let (bell, mut ears) = bell();
        let began = Instant::now();
        for ring in 0..5 {
            bell.of("matrix").ring(format!("event {}", ring % 2));
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        let wake = ears.next(QUIET, MOST).await;
        assert_eq!((wake.rings, wake.causes.len()), (5, 2));
        assert_eq!(began.elapsed(), Duration::from_millis(200) + QUIET);
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_without_end_wakes_once_a_second() {
        let (bell, mut ears) = bell();
        let storm = tokio::spawn(async move {
            loop {
                bell.ring("again");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let began = Instant::now();
        for _ in 0..5 {
            ears.next(QUIET, MOST).await;
        }
        let took = began.elapsed();
        assert!(took >= MOST * 5 && took < MOST * 6, "{took:?}");
        storm.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn what_rings_while_nobody_waits_is_not_lost() {
        let (bell, mut ears) = bell();
        bell.of("timer").ring("");
        tokio::time::advance(Duration::from_mins(1)).await;
        let cause = ears.next(QUIET, MOST).await.causes.pop_first().unwrap();
        assert_eq!(cause.to_string(), "timer");
        assert!(tokio::time::timeout(Duration::from_secs(5), ears.next(QUIET, MOST)).await.is_err());
    }

    #[test]
    fn a_storm_of_different_causes_takes_bounded_room() {
        let (bell, ears) = bell();
        for number in 0..10_000 {
            bell.ring(format!("{number} {}", "x".repeat(1000)));
        }
        let pending = ears.shared.wake();
        let causes = &pending.as_ref().unwrap().1.causes;
        assert_eq!(causes.len(), MOST_CAUSES);
        assert!(causes.iter().all(|cause| cause.what.chars().count() <= MOST_CHARS));
    }
}
