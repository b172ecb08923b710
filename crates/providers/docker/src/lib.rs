//! The Docker engine of one host: images, networks, and the containers that OpenClaw makes from them.
//!
//! What is ours carries labels ([`labels`]), so that losing our own record loses nothing. OpenClaw makes the
//! containers itself, at the first command of a session; all that is done with them here is to remove those that were
//! made from an older definition, so that the next command makes a fresh one.

pub mod client;
pub mod context;
pub mod diff;
mod discover;
pub mod error;
mod health;
pub mod helper;
pub mod labels;
pub mod leftovers;
pub mod observe;
pub mod op;
pub mod perform;
pub mod spec;
pub mod state;
pub mod system;
pub mod undo;
mod watch;

pub use helper::{HelperBuild, HelperSpec};
pub use op::Op;
pub use spec::Spec;
pub use state::State;
pub use system::DockerHost;
pub use undo::Undo;
