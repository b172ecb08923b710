//! The Matrix provider: users, access tokens, rooms, spaces and members on a Synapse homeserver.
//!
//! | file | job |
//! |---|---|
//! | `spec`, `lower` | what is asked, and how it follows from the manifest |
//! | `state`, `marker`, `observe`, `snapshot` | what is seen, whose it is, how it is read, and what is kept of it for the next look |
//! | `discover` | what else lives there |
//! | `diff`, `steps`, `op` | what differs, what is to be done about it, and the vocabulary of doing |
//! | `perform`, `create` | the effects |
//! | `landed`, `undo`, `by_hand` | whether they were had, the ways back, and what people can do |
//! | `client` | the HTTP calls |
//! | `watch` | hears that something happened |

mod by_hand;
pub mod client;
mod create;
mod diff;
mod discover;
pub mod error;
mod landed;
mod lower;
pub mod marker;
mod observe;
pub mod op;
mod perform;
mod picture;
mod snapshot;
pub mod spec;
pub mod state;
mod steps;
pub mod system;
mod token_file;
pub mod undo;
mod watch;

pub use client::{Client, Limits};
pub use error::MatrixError;
pub use op::MatrixOp;
pub use spec::MatrixSpec;
pub use state::MatrixState;
pub use system::Matrix;
pub use undo::MatrixUndo;
