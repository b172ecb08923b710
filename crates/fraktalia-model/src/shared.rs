//! Short texts of which there are many copies.

use std::collections::HashSet;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

/// A text whose copies share one allocation. Ids are made of them: a plan holds each id a dozen times.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharedText(Arc<str>);

/// More than the words that a program has of its own; texts beyond that are not looked up.
const WORDS: usize = 512;

impl SharedText {
    /// The one copy of a word that stands in many ids, such as `room`. What it gives is equal to any other copy.
    pub fn word(text: &str) -> Self {
        static WORDS_SO_FAR: OnceLock<Mutex<HashSet<Arc<str>>>> = OnceLock::new();
        let words = WORDS_SO_FAR.get_or_init(Mutex::default);
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(word) = words.get(text) {
            return Self(Arc::clone(word));
        }
        let word: Arc<str> = text.into();
        if words.len() < WORDS {
            words.insert(Arc::clone(&word));
        }
        Self(word)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for SharedText {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SharedText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for SharedText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&String> for SharedText {
    fn from(text: &String) -> Self {
        Self(text.as_str().into())
    }
}

impl PartialEq<str> for SharedText {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for SharedText {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl PartialEq<String> for SharedText {
    fn eq(&self, other: &String) -> bool {
        *self.0 == **other
    }
}

impl fmt::Display for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for SharedText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SharedText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_there_once_and_equal_to_any_text_of_the_same_letters() {
        let (one, two) = (SharedText::word("room"), SharedText::word("room"));
        assert!(Arc::ptr_eq(&one.0, &two.0));
        assert_eq!(one, SharedText::from("room"));
        assert_eq!(one, "room");
        assert_eq!(serde_json::to_string(&one).unwrap(), "\"room\"");
    }

    #[test]
    fn more_words_than_a_program_has_are_texts_all_the_same() {
        for number in 0..2 * WORDS {
            assert_eq!(SharedText::word(&number.to_string()), number.to_string());
        }
    }
}
