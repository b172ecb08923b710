//! What is said about ourselves: who sits here, that our device is another one, and what we could not read.

use fraktalia_model::UserId;

use super::Desk;
use crate::act::{Act, Do};
use crate::audit::{Event, Happened};
use crate::conduct::Why;
use crate::heard::Sent;
use crate::ids::{EventId, Key};
use crate::policy::Policy;
use crate::words::Words;

/// Said once in the life of a desk: its key is always the same.
pub(super) fn began(policy: &Policy) -> Vec<Act> {
    let words = Words::line(&format!("{} sits here from now on.", policy.ours))
        .and("Whoever may propose posts a fragment of the manifest: a block that says `yaml`, or a file.")
        .and("What it would do comes as an answer, and an operator's reaction to that decides.")
        .and("Operators see with `!help` what else can be asked.");
    vec![Act { key: Key::of_ours("began", "greeting"), what: Do::Say { thread: None, words } }]
}

impl Desk {
    /// Our device is another one than people know.
    pub(super) fn new_device(&self, policy: &Policy) -> Vec<Act> {
        let words = Words::line(&format!(
            "{} has a new device, since the files of the old one were lost.",
            policy.ours
        ))
        .and(
            "Open plans still count. What was said to the old device and not answered has to be said again.",
        );
        // With the time: it may happen again.
        let name = format!("new device {}", self.now.0);
        let event = Event { at: self.now, case: None, round: None, what: Happened::NewDevice };
        vec![
            Act { key: Key::of_ours(&name, "say"), what: Do::Say { thread: None, words } },
            Act { key: Key::of_ours(&name, "record"), what: Do::Record(event) },
        ]
    }

    /// Something could not be read. Only those hear of it whose messages would be read, and not of each.
    pub(super) fn unread(&mut self, event: &EventId, by: &UserId, why: &str, policy: &Policy) -> Vec<Act> {
        let heard = policy.operators.contains(by) || policy.proposers.contains(by);
        if !heard || *by == policy.ours {
            return Vec::new();
        }
        let sent = Sent { event: event.clone(), by: by.clone(), at: self.now, joined: false, vouched: false };
        self.tell(&sent, Why::Unread, &format!("This could not be read: {why}. Post it again."))
    }
}
