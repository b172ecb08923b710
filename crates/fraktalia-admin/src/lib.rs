//! `fraktalia-admin`: the desk of the admin room at work.
//!
//! ```text
//! fraktalia-room ──events──► clerk ──► store, desk ──► outbox ──► lanes ──► room, hands, audit
//!                              ▲                                    │
//!                              └──────────── what came of it ◄──────┘
//! ```
//!
//! The room, the hands and the door are crates of their own; here they are put together, and nothing is decided.

pub mod api;
pub mod clerk;
pub mod cli;
pub mod lanes;
pub mod ports;
mod program;
pub mod rules;

pub use program::main;
