//! Desired, observed and last asked in; a plan out.
//!
//! Everything in here is a plain function of its arguments: the same input gives the same bytes. There is no I/O,
//! no clock and no randomness, and `clippy.toml` beside this crate keeps it so.

pub mod audit;
pub mod change;
pub mod diff;
pub mod erase;
pub mod graph;
pub mod ids;
pub mod plan;
pub mod planner;
pub mod record;
pub mod system;

pub use change::{Cause, Change, Delta, FieldChange, Impact, Verb};
pub use ids::ResourceIds;
pub use plan::{Basis, Edge, Plan, Sealed, Step, StepId, Why};
pub use record::{Record, Records, SpecText};
pub use system::{Described, Observed, Owner, Resource, Seen, Spec, StepDraft, System, Work};

/// SHA-256, hex: tells whether something is still what it was.
pub type Fingerprint = String;

/// The fingerprint of any data: of its JSON.
pub fn fingerprint<T: serde::Serialize + ?Sized>(data: &T) -> Fingerprint {
    use sha2::{Digest, Sha256};
    // Serialising our own data types into memory fails only for maps with keys that are no strings.
    let bytes = serde_json::to_vec(data).unwrap_or_default();
    hex(&Sha256::digest(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
