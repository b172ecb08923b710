//! What runs beside a Docker engine, on ground that must be taken as hostile: it keeps the networks of sandboxes closed
//! and carries forwarded ports into their containers.
//!
//! It is told what to hold by a [`config::Config`], once, and holds it from then on: through re-created containers, a
//! restarted engine, a flushed rule set and a reboot. It has no manifest, no secrets, and nothing to decide.
//!
//! - [`config`]: what it is told, and what it answers
//! - [`isolation`]: the nftables table that closes the networks
//! - [`forward`]: the listeners, and how bytes get from here to there
//! - [`protocol`]: how it is asked
//! - [`engine`]: where the containers are
//! - [`pages`]: what those read who watch it
//! - [`helper`]: the program that holds it all

pub mod config;
pub mod engine;
pub mod forward;
pub mod helper;
pub mod isolation;
pub mod pages;
pub mod protocol;
