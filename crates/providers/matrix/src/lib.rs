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
//! | `invitation`, `reset` | what operators do beside the manifest: invite a friend, empty a room |
//! | `health`, `probe` | what `doctor` asks, and what `init` wants to know |
//! | `watch`, `herald` | hears that something happened, and says so in a room |

mod by_hand;
pub mod client;
mod create;
mod diff;
mod discover;
pub mod error;
pub mod health;
pub mod herald;
pub mod invitation;
mod landed;
mod lower;
pub mod marker;
mod observe;
pub mod op;
mod perform;
mod picture;
pub mod probe;
pub mod reset;
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
pub use herald::{Address, Herald, HeraldError};
pub use op::MatrixOp;
pub use spec::MatrixSpec;
pub use state::MatrixState;
pub use system::Matrix;
pub use undo::MatrixUndo;
