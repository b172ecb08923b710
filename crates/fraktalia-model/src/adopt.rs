//! From what lives to what a manifest says of it: plain functions of what was found.
//!
//! What comes out is a proposal. That a manifest with it changes nothing is for a plan to prove.

mod compose;
mod entries;
pub mod takeover;

use std::collections::BTreeSet;

use crate::id::ResourceId;
use crate::manifest::edit::Value;
use crate::output::RoomId;

pub use compose::compose;

/// What the person wants who takes something over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether rooms count that our own user would have to enter, which people in them see.
    pub enter: bool,
    /// The realm whose marked rooms are taken over as well.
    pub from_realm: Option<String>,
}

/// What kind of thing an entry of a manifest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// An entry of `users`.
    User,
    /// An entry of `rooms`.
    Room,
    /// An entry of `fractals`.
    Fractal,
    /// An item of `bindings`.
    Binding,
    /// The key `openclaw.catch_all`.
    CatchAll,
}

impl What {
    /// How it is called in lists.
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Room => "room",
            Self::Fractal => "fractal",
            Self::Binding | Self::CatchAll => "binding",
        }
    }
}

/// Something that goes into a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What it is.
    pub what: What,
    /// Its key; for a binding, the second half of its resource's name: `mox/room/lounge`.
    pub key: String,
    /// What stands under the key.
    pub value: Value,
    /// What people call it.
    pub title: String,
    /// What it is, in half a line.
    pub summary: String,
    /// The room that it is about.
    pub room: Option<RoomId>,
    /// Whether our own user has to enter that room.
    pub enters: bool,
    /// What of it stays out of the manifest, and why.
    pub unmanaged: Vec<String>,
    /// The entries that it refers to.
    pub needs: BTreeSet<(What, String)>,
}

impl Entry {
    /// Whether a resource is asked for by this entry.
    pub fn asks_for(&self, id: &ResourceId) -> bool {
        let (kind, name, key) = (id.kind.as_str(), id.name.as_str(), self.key.as_str());
        let of_room = |name: &str| name.split('/').next() == Some(key);
        match self.what {
            What::User => kind == "user" && name == key,
            What::Room | What::Fractal if matches!(kind, "room" | "group") => name == key,
            What::Room | What::Fractal if matches!(kind, "member" | "name") => of_room(name),
            What::Room | What::Fractal if kind == "child" => {
                name.split_once('/').is_some_and(|(_, child)| child == key)
            }
            What::Room => false,
            What::Fractal if matches!(kind, "agent" | "tree") => name == key,
            What::Fractal if kind == "file" => of_room(name),
            What::Fractal => kind == "binding" && name == format!("{key}/room/{key}"),
            What::Binding => {
                let room = key.split_once("/room/").map(|(_, room)| room);
                (kind == "binding" && name == key) || (kind == "group" && Some(name) == room)
            }
            What::CatchAll => kind == "binding" && name == format!("{key}/catch-all"),
        }
    }

    /// Where it stands in a manifest; for an item of a list, the list.
    pub fn path(&self) -> Vec<&str> {
        match self.what {
            What::User => vec!["users", &self.key],
            What::Room => vec!["rooms", &self.key],
            What::Fractal => vec!["fractals", &self.key],
            What::Binding => vec!["bindings"],
            What::CatchAll => vec!["openclaw", "catch_all"],
        }
    }
}

/// Something that stays out of a manifest, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// What it is: `agent`.
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// Why it is left alone.
    pub why: String,
}

/// A proposal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Composed {
    /// What goes into the manifest.
    pub entries: Vec<Entry>,
    /// What does not.
    pub left: Vec<Left>,
}

#[cfg(test)]
mod tests;
