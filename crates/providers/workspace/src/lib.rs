//! The workspaces of agents: a directory each, with the files that an agent reads before it answers.
//!
//! Two kinds of resource: `tree`, the directory, and `file`, one file in it. A file is either kept as the manifest
//! says (`sync`), or written once and then the agent's own (`seed`): its content is never looked at again, and if the
//! agent deletes it, it stays deleted.
//!
//! The agent writes in its workspace while we do, and may mean harm: see [`host`].

pub mod diff;
mod discover;
pub mod error;
pub mod health;
pub mod host;
pub mod made;
pub mod observe;
pub mod op;
pub mod persona;
pub mod spec;
pub mod state;
pub mod system;
pub mod undo;
mod watch;

pub use op::Op;
pub use spec::Spec;
pub use state::State;
pub use system::Workspaces;
pub use undo::Undo;
