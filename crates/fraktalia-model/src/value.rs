//! Values that may be known only once another resource exists.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::id::ResourceId;
use crate::output::{OutputType, Outputs};

/// A reference to the output of kind `T` of a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ref<T> {
    /// The resource that yields the output.
    pub of: ResourceId,
    #[serde(skip)]
    output: PhantomData<fn() -> T>,
}

impl<T: OutputType> Ref<T> {
    /// The output of kind `T` of `of`.
    pub fn to(of: ResourceId) -> Self {
        Self { of, output: PhantomData }
    }
}

/// Known now, or after another resource was made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", bound = "T: OutputType")]
pub enum Value<T: OutputType> {
    /// Known while planning.
    Known(T),
    /// Known once that resource exists; a plan orders its steps by this.
    After(Ref<T>),
}

impl<T: OutputType> Value<T> {
    /// The output of `of`, to be known later.
    pub fn after(of: ResourceId) -> Self {
        Self::After(Ref::to(of))
    }

    /// The resource that has to exist first, if the value is not known yet.
    pub fn pending(&self) -> Option<&ResourceId> {
        match self {
            Self::Known(_) => None,
            Self::After(after) => Some(&after.of),
        }
    }

    /// Turns into `Known` what `outputs` knows.
    pub fn settle(&mut self, outputs: &Outputs) {
        if let Self::After(after) = self
            && let Some(known) = outputs.get(&after.of)
        {
            *self = Self::Known(known);
        }
    }

    /// The value, if known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(known) => Some(known),
            Self::After(_) => None,
        }
    }
}

impl<T: OutputType> std::fmt::Display for Value<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(known) => f.pad(known.as_text()),
            Self::After(_) => f.pad("(known after apply)"),
        }
    }
}
