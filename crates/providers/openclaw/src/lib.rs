//! `openclaw.json` and the gateway that runs on it: agents, bindings, room settings and accounts.
//!
//! - [`Document`]: the file as a tree that loses nothing. Knows JSON5, nothing of OpenClaw.
//! - `dialect`: the shapes that the file has had over time.
//! - `op`, `apply`, `undo`: edits in the words of OpenClaw, done to a document and taken back.
//! - `write`, `validate`, `gateway`: the file on disk, the program that checks it, the process that runs on it.
//! - `sessions`: what agents remember of their conversations, as the gateway has it.
//! - `health`, `glance`: what `doctor` asks, and what `init` wants to know.
//! - `lower`, `system`, `diff`, `observe`, `provider`: what the planner and the engine ask of a system.

mod apply;
mod dialect;
mod diff;
mod discover;
mod document;
mod engines;
mod error;
mod gateway;
pub mod glance;
pub mod health;
mod lower;
mod observe;
mod op;
mod provider;
mod routes;
mod sessions;
mod spec;
mod system;
mod undo;
mod validate;
mod watch;
mod write;

pub use document::{Document, DocumentError, Place, Step};
pub use error::FileError;
pub use op::{Edit, EditError, OpenClawOp};
pub use provider::Patience;
pub use sessions::{Routing, Session, SessionsError};
pub use spec::{AccountSpec, BindingSpec, Field, GroupSpec, OpenClawSpec, OpenClawState, PeerSpec};
pub use system::OpenClaw;
pub use undo::OpenClawUndo;
