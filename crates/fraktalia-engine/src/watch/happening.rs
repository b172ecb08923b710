//! What a watch has to tell. Who shows it, and how, is not its business.

use std::collections::BTreeSet;
use std::time::Duration;

use fraktalia_model::{Notes, Sources, SystemId};
use fraktalia_plan::Plan;

use super::policy::{Policy, Waiting};
use super::wake::Cause;
use crate::event::Event;
use crate::git::{Origin, Remote};
use crate::session::{Ended, Planned, Session};

/// Something that happened while nobody watched.
pub enum Happening<'a> {
    /// It begins.
    Began {
        /// How far it goes.
        policy: Policy,
        /// A look at least this often.
        every: Duration,
    },
    /// The events of a system are heard from now on.
    Heard(&'a SystemId),
    /// The events of a system are not heard any more.
    Deaf {
        /// Which.
        system: &'a SystemId,
        /// Why.
        why: &'a str,
        /// What to do about it.
        hint: Option<&'a str>,
    },
    /// The branch is at another commit.
    Commit {
        /// Which.
        origin: &'a Origin,
        /// Where.
        remote: &'a Remote,
    },
    /// The remote cannot be asked, or can be again; the last good commit stays in force.
    Remote {
        /// Which.
        remote: &'a Remote,
        /// Why not, and what to do about it; `None` when it answers again.
        lost: Option<(&'a str, Option<&'a str>)>,
    },
    /// A commit is not used, whatever its manifest says.
    Refused {
        /// Which.
        commit: &'a str,
        /// Why.
        why: &'a str,
        /// What to do about it.
        hint: &'a str,
    },
    /// What happens cannot be said in the room where it was to be said, or can be again.
    Notifying {
        /// The room, as it was named.
        room: &'a str,
        /// Why not, and what to do about it; `None` when it can be again.
        mute: Option<(&'a str, Option<&'a str>)>,
    },
    /// The manifest cannot be used; what was good last stays in force.
    BadManifest {
        /// What is wrong with it.
        notes: &'a Notes,
        /// Its text, to show findings in.
        sources: &'a Sources,
        /// Whether there is a good one.
        kept: bool,
        /// The commit that it is of.
        origin: Option<&'a Origin>,
    },
    /// The manifest can be used again.
    GoodManifest,
    /// Systems were looked at, and a plan was made.
    Looked(Look<'a>),
    /// No plan could be made.
    Failed {
        /// Who woke us.
        causes: &'a BTreeSet<Cause>,
        /// Why not.
        why: &'a str,
        /// The findings behind it.
        notes: &'a Notes,
        /// What to do about it, by system.
        hints: Vec<String>,
        /// The systems that could not be read.
        systems: Vec<SystemId>,
        /// Whether this was not said already.
        news: bool,
    },
    /// Another process is at work in this realm.
    Locked {
        /// Which, where it said so.
        holder: Option<&'a str>,
    },
    /// A run was not finished.
    Unfinished {
        /// Its name.
        run: &'a str,
        /// Why it is left to a person; `None` when it goes on now.
        waits: Option<&'a str>,
    },
    /// A plan is about to be carried out.
    Applying {
        /// All of it.
        plan: &'a Plan,
        /// The commit that it follows from.
        origin: Option<Origin>,
        /// What is left out of it, for a person.
        waiting: &'a [Waiting],
    },
    /// A plan is carried out.
    Run(&'a Event),
    /// A run has ended.
    Ended {
        /// How.
        ended: &'a Ended,
        /// How long it took.
        took: Duration,
        /// When it is tried again; `None` when it has not failed.
        again: Option<Duration>,
    },
    /// The same has failed so often that it is not tried again.
    GaveUp {
        /// How often.
        times: u32,
        /// Why it failed last.
        why: &'a str,
    },
    /// It ends.
    Ending,
}

/// A look at all systems.
pub struct Look<'a> {
    /// Who woke us.
    pub causes: &'a BTreeSet<Cause>,
    /// What came out.
    pub planned: &'a Planned,
    /// About what.
    pub session: &'a Session,
    /// Whether it differs from what was told last.
    pub news: bool,
    /// What is left to a person by the policy.
    pub waiting: &'a [Waiting],
    /// How long the look itself took.
    pub took: Duration,
    /// Since the last event that led to it.
    pub since_event: Duration,
}

/// Somebody who is told.
pub trait Teller: Send + Sync {
    /// Takes notice. Must not block.
    fn tell(&self, happening: &Happening<'_>);
}

impl<F: Fn(&Happening<'_>) + Send + Sync> Teller for F {
    fn tell(&self, happening: &Happening<'_>) {
        self(happening);
    }
}
