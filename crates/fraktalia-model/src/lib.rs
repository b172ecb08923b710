//! The words that every part of fraktalia shares: what a person writes, what things are called, what is
//! known only later, what may not be printed, and what is said about it all.
//!
//! Nothing in here does I/O, reads a clock or draws a random number.

pub mod adopt;
pub mod files;
pub mod glob;
pub mod id;
pub mod living;
pub mod manifest;
pub mod note;
pub mod output;
pub mod secret;
pub mod shared;
pub mod value;

pub use files::{FileError, Files, Listed, MemoryFiles};
pub use id::{Kind, Name, ResourceId, SystemId};
pub use living::Living;
pub use manifest::{Loaded, Manifest, Sources};
pub use note::{Note, Notes, Severity, Span};
pub use output::{AccountId, BridgeName, ImageId, OutputType, Outputs, RoomId, UserId};
pub use secret::{SecretSource, SecretText};
pub use value::{Ref, Value};

/// What travels through plans and journals: plain data that can be stored and compared.
pub trait Data:
    serde::Serialize + serde::de::DeserializeOwned + Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static
{
}

impl<T> Data for T where
    T: serde::Serialize
        + serde::de::DeserializeOwned
        + Clone
        + std::fmt::Debug
        + PartialEq
        + Send
        + Sync
        + 'static
{
}
