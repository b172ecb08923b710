//! The plane of one host: networks that are kept closed, and ports that lead into containers.
//!
//! One helper on the host holds both (`fraktalia-plane`). It is told all of it at once, so whatever changes is one
//! step, as with `openclaw.json`. All that the helper holds is of one realm and ours.

pub mod diff;
mod health;
pub mod observe;
pub mod op;
pub mod perform;
pub mod spec;
pub mod state;
pub mod system;
pub mod undo;

pub use op::Op;
pub use spec::Spec;
pub use state::State;
pub use system::Plane;
pub use undo::Undo;
