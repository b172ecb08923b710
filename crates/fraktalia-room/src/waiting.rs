//! Messages whose key is not there yet, by their ids, in a file: they are tried again when keys come.

use std::path::{Path, PathBuf};

use fraktalia_desk::{EventId, Moment};
use fraktalia_model::UserId;
use matrix_sdk::ruma::events::AnySyncTimelineEvent;
use matrix_sdk::ruma::serde::Raw;
use serde::{Deserialize, Serialize};

use crate::error::RoomError;
use crate::files;

/// How many wait at most,
const LONGEST: usize = 200;
/// and how many of one sender, so that nobody can drive out what others wrote.
const OF_ONE: usize = 20;

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) event: EventId,
    pub(crate) by: UserId,
    /// When we first saw it.
    pub(crate) since: Moment,
    /// As it came; fetched again after a restart.
    #[serde(skip)]
    pub(crate) raw: Option<Raw<AnySyncTimelineEvent>>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Waiting {
    path: PathBuf,
    entries: Vec<Entry>,
}

impl Waiting {
    /// Those that waited when we ended.
    pub(crate) fn open(dir: &Path) -> Self {
        let path = dir.join("unread.json");
        let entries = files::read(&path).unwrap_or_default();
        Self { path, entries }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn keep_raw(&mut self, event: &EventId, raw: Raw<AnySyncTimelineEvent>) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.event == *event) {
            entry.raw = Some(raw);
        }
    }

    /// Keeps some more. Yields those for which there is no room.
    pub(crate) fn add(&mut self, more: Vec<Entry>) -> Result<Vec<Entry>, RoomError> {
        let (mut changed, mut left) = (false, Vec::new());
        for entry in more {
            if self.entries.iter().any(|known| known.event == entry.event) {
                continue;
            }
            let of_one = self.entries.iter().filter(|known| known.by == entry.by).count();
            if self.entries.len() >= LONGEST || of_one >= OF_ONE {
                left.push(entry);
            } else {
                self.entries.push(entry);
                changed = true;
            }
        }
        if changed {
            files::write(&self.path, &self.entries)?;
        }
        Ok(left)
    }

    /// Forgets those that were told of.
    pub(crate) fn forget(&mut self, told: &[EventId]) -> Result<(), RoomError> {
        let before = self.entries.len();
        self.entries.retain(|entry| !told.contains(&entry.event));
        if self.entries.len() < before { files::write(&self.path, &self.entries) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(by: &str, number: usize) -> Entry {
        let event = EventId::new(format!("${by}{number}")).unwrap();
        Entry { event, by: UserId(by.into()), since: Moment(1), raw: None }
    }

    #[test]
    fn what_waits_is_bounded_for_each_sender_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut waiting = Waiting::open(dir.path());
        let left = waiting.add((0..30).map(|number| entry("@a:b", number)).collect()).unwrap();
        assert_eq!(left.len(), 10);
        assert!(waiting.add(vec![entry("@a:b", 0)]).unwrap().is_empty(), "it waits already");
        assert!(waiting.add(vec![entry("@c:b", 0)]).unwrap().is_empty(), "somebody else's");

        let mut waiting = Waiting::open(dir.path());
        assert_eq!(waiting.entries().len(), OF_ONE + 1);
        waiting.forget(&[entry("@a:b", 3).event]).unwrap();
        assert_eq!(Waiting::open(dir.path()).entries().len(), OF_ONE);
    }

    #[test]
    fn all_together_are_bounded_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let mut waiting = Waiting::open(dir.path());
        let many = (0..LONGEST + 5).map(|number| entry(&format!("@u{number}:b"), 0)).collect();
        assert_eq!(waiting.add(many).unwrap().len(), 5);
    }
}
