//! What a resource yields once it exists: a room its id, an image its digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::ResourceId;
use crate::value::{Ref, Value};

/// A kind of output. Two resources of one kind yield the same type.
pub trait OutputType: crate::Data {
    /// How the output is called in plans and journals.
    const KIND: &'static str;
    /// Wraps what a system answered.
    fn from_text(text: String) -> Self;
    /// The text that the system knows it by.
    fn as_text(&self) -> &str;
}

macro_rules! output {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl OutputType for $name {
            const KIND: &'static str = $kind;
            fn from_text(text: String) -> Self {
                Self(text)
            }
            fn as_text(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

output! {
    /// A Matrix room id: `!...`. Since room version 12 it names no server, so nothing may be parsed out of it.
    RoomId, "room id"
}
output! {
    /// A full Matrix user id: `@ana:chat.home`.
    UserId, "user id"
}
output! {
    /// A Docker image id: `sha256:...`.
    ImageId, "image id"
}
output! {
    /// The name of a Docker network's bridge interface, at most 15 characters.
    BridgeName, "bridge name"
}
output! {
    /// The id of an account under `channels.matrix.accounts`.
    AccountId, "account id"
}

/// The outputs that are known so far, by resource and kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outputs(BTreeMap<ResourceId, BTreeMap<String, String>>);

impl Outputs {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Outputs of one resource with one output.
    pub fn of<T: OutputType>(id: &ResourceId, value: &T) -> Self {
        let mut outputs = Self::new();
        outputs.set(id, value);
        outputs
    }

    /// Records an output.
    pub fn set<T: OutputType>(&mut self, id: &ResourceId, value: &T) {
        self.0.entry(id.clone()).or_default().insert(T::KIND.into(), value.as_text().into());
    }

    /// The output of kind `T` of `id`, if it is known.
    pub fn get<T: OutputType>(&self, id: &ResourceId) -> Option<T> {
        self.0.get(id)?.get(T::KIND).cloned().map(T::from_text)
    }

    /// The known value behind `value`.
    ///
    /// # Errors
    /// When it is still unknown. During an apply that means that the plan lacks an edge.
    pub fn resolve<T: OutputType>(&self, value: &Value<T>) -> Result<T, Unresolved> {
        match value {
            Value::Known(known) => Ok(known.clone()),
            Value::After(after) => self.get(&after.of).ok_or_else(|| Unresolved::of(after)),
        }
    }

    /// Takes over all that `other` knows.
    pub fn extend(&mut self, other: Self) {
        for (id, kinds) in other.0 {
            self.0.entry(id).or_default().extend(kinds);
        }
    }

    /// Forgets what `id` yielded, for instance because it is about to be replaced.
    pub fn forget(&mut self, id: &ResourceId) {
        self.0.remove(id);
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Resource, kind and value of each output, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceId, &str, &str)> {
        self.0.iter().flat_map(|(id, kinds)| {
            kinds.iter().map(move |(kind, value)| (id, kind.as_str(), value.as_str()))
        })
    }
}

/// An output that is not known where it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {kind} of {of} is not known yet: the plan lacks an edge, please report this")]
pub struct Unresolved {
    of: ResourceId,
    kind: &'static str,
}

impl Unresolved {
    fn of<T: OutputType>(after: &Ref<T>) -> Self {
        Self { of: after.of.clone(), kind: T::KIND }
    }
}
