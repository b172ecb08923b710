//! Moments, events, cases, and the keys by which acts are told apart.

use std::fmt;

use fraktalia_model::UserId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A point in time: milliseconds since 1970. It comes with what is heard; nothing in here asks a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// This much later.
    #[must_use]
    pub fn after_s(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// Whole seconds since an earlier moment; none since a later one.
    pub fn since_s(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }
}

/// The id of an event in the room, as the homeserver gave it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(String);

impl EventId {
    /// Longest id that Matrix has.
    const LONGEST: usize = 255;

    /// An id, unless it is none that a homeserver gives.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = !text.is_empty()
            && text.len() <= Self::LONGEST
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then_some(Self(text))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who asks: a person in the room, or a token of the API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Applicant {
    /// A person, or an agent.
    User(UserId),
    /// A token, by its name in the manifest.
    Token(String),
}

impl Applicant {
    /// What a stored token begins with. No user's id does.
    const TOKEN: &str = "token ";
}

impl From<String> for Applicant {
    fn from(text: String) -> Self {
        match text.strip_prefix(Self::TOKEN) {
            Some(name) => Self::Token(name.into()),
            None => Self::User(UserId(text)),
        }
    }
}

impl From<Applicant> for String {
    fn from(who: Applicant) -> Self {
        match who {
            Applicant::User(user) => user.0,
            Applicant::Token(name) => format!("{}{name}", Applicant::TOKEN),
        }
    }
}

impl From<UserId> for Applicant {
    fn from(user: UserId) -> Self {
        Self::User(user)
    }
}

impl PartialEq<UserId> for Applicant {
    fn eq(&self, user: &UserId) -> bool {
        matches!(self, Self::User(this) if this == user)
    }
}

impl fmt::Display for Applicant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "{user}"),
            Self::Token(name) => write!(f, "the API's token `{name}`"),
        }
    }
}

/// A matter that is to be decided. Follows from what began it, so that it has the same id after a crash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CaseId(String);

impl CaseId {
    /// The case that an event, or anything else with a text of its own, begins.
    pub fn of(origin: &str) -> Self {
        let digest = Sha256::digest(origin.as_bytes());
        Self(fraktalia_model::files::hex(&digest[..8]))
    }
}

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What tells one act from all others: done again under the same key, it is done once. In the room it is the
/// transaction id, in git a line of the commit's message, in the audit a field of the entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// A step of a round of a case.
    pub(crate) fn of_case(case: &CaseId, round: u32, step: &str) -> Self {
        Self(format!("{case}.{round}.{step}"))
    }

    /// An act of our own that comes once, under a name that says which.
    pub(crate) fn of_ours(name: &str, step: &str) -> Self {
        Self(format!("{}.{step}", CaseId::of(name)))
    }

    /// An act that answers one event and belongs to no case.
    pub(crate) fn of_event(event: &EventId, step: &str) -> Self {
        Self(format!("{}.{step}", CaseId::of(event.as_str())))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A key that was stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_short_and_visible() {
        assert!(EventId::new("$abc:chat.home").is_some());
        for bad in [String::new(), "a b".into(), "$\u{202e}x".into(), "$".repeat(256)] {
            assert_eq!(EventId::new(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn who_asks_is_the_same_after_it_was_stored() {
        for who in [Applicant::User(UserId("@token:chat.home".into())), Applicant::Token("ci".into())] {
            let text = serde_json::to_string(&who).unwrap();
            assert_eq!(serde_json::from_str::<Applicant>(&text).unwrap(), who, "{text}");
        }
    }

    #[test]
    fn time_does_not_run_over() {
        assert_eq!(Moment(u64::MAX).after_s(u64::MAX), Moment(u64::MAX));
        assert_eq!(Moment(5).since_s(Moment(6000)), 0);
    }
}
