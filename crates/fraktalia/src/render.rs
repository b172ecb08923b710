//! How things are shown. Everything in here turns values into text; nothing decides anything.
//!
//! Text from manifests and live systems is never trusted: it enters a [`line::Line`] (or the escaping of JSON, Markdown
//! or SVG), and those make control characters and direction overrides visible.

pub mod adopt;
pub mod cleanup;
pub mod doctor;
pub mod doing;
pub mod escape;
pub mod explain;
pub mod graph;
pub mod init;
pub mod invite;
pub mod json;
pub mod line;
pub mod look;
pub mod markdown;
pub mod note;
pub mod plan;
pub mod progress;
pub mod quantity;
pub mod reset;
pub mod runs;
pub mod status;
#[cfg(test)]
pub mod testing;
pub mod watch;

pub use line::Line;
pub use look::{Detail, Look, Tone};
