//! Which events were heard already. Of bounded size: what is older than all that is remembered counts as heard.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{EventId, Moment};

/// How many events are remembered.
const REMEMBERED: usize = 10_000;

/// The events that were heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    events: BTreeMap<EventId, Moment>,
    by_age: BTreeSet<(Moment, EventId)>,
    horizon: Moment,
    most: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self { events: BTreeMap::new(), by_age: BTreeSet::new(), horizon: Moment(0), most: REMEMBERED }
    }
}

impl Seen {
    /// The events that were stored, and the moment before which all count as heard.
    pub fn stored(events: impl IntoIterator<Item = (EventId, Moment)>, horizon: Moment) -> Self {
        let mut seen = Self { horizon, ..Self::default() };
        for (event, at) in events {
            seen.remember(event, at);
        }
        seen
    }

    /// Whether an event is heard for the first time. It is remembered.
    ///
    /// `sent` is what a homeserver claims, so one from the future counts as of now: otherwise a single forged event would
    /// put the horizon there and silence everybody.
    pub(crate) fn is_first(&mut self, event: &EventId, sent: Option<Moment>, now: Moment) -> bool {
        let sent = sent.map_or(now, |sent| sent.min(now));
        if sent <= self.horizon || self.events.contains_key(event) {
            return false;
        }
        self.remember(event.clone(), sent);
        true
    }

    fn remember(&mut self, event: EventId, at: Moment) {
        if self.events.insert(event.clone(), at).is_none() {
            self.by_age.insert((at, event));
        }
        while self.events.len() > self.most
            && let Some((at, event)) = self.by_age.pop_first()
        {
            self.events.remove(&event);
            self.horizon = self.horizon.max(at);
        }
    }

    /// All that was sent up to here counts as heard.
    pub fn horizon(&self) -> Moment {
        self.horizon
    }

    /// When an event was sent that is remembered.
    pub fn get(&self, event: &EventId) -> Option<Moment> {
        self.events.get(event).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u64) -> EventId {
        EventId::new(format!("${n}")).unwrap()
    }

    #[test]
    fn an_event_counts_once_also_when_it_is_forgotten() {
        let mut seen = Seen { most: 3, ..Seen::default() };
        for n in 1..=10 {
            assert!(seen.is_first(&event(n), Some(Moment(n * 1000)), Moment(20_000)));
        }
        assert_eq!(seen.events.len(), 3);
        for n in 1..=10 {
            assert!(!seen.is_first(&event(n), Some(Moment(n * 1000)), Moment(20_000)), "{n}");
        }
    }

    #[test]
    fn events_from_the_future_silence_nobody() {
        let mut seen = Seen { most: 3, ..Seen::default() };
        for n in 1..=10 {
            assert!(seen.is_first(&event(n), Some(Moment(u64::MAX)), Moment(n * 1000)));
        }
        assert!(seen.is_first(&event(11), Some(Moment(11_000)), Moment(11_000)));
    }
}
