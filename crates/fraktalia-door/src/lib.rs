//! The HTTP door of the desk, the Fractal API: what it asks for becomes a proposal or, for a token that may, a change.
//!
//! The door decides nothing about fractals. It sees to it that a request is one that a token may make, within bounds, and
//! files it at the [`Desk`]; what becomes of it there is its answer. All errors are problem details (RFC 9457).
//!
//! ```text
//! program ──HTTP──► Door ──Filing──► Desk (the store, and what drives it)
//!                    ▲─────Case───────┘
//! ```

mod answer;
mod body;
mod desk;
mod door;
mod guard;
mod openapi;
mod problem;
mod rate;
mod routes;
mod serve;
mod tokens;
mod view;
mod yaml;

pub use desk::{Desk, Health, Living, Unavailable};
pub use door::{Clock, Door, Settings};
pub use openapi::document;
pub use tokens::{Token, TokenError, Tokens};
