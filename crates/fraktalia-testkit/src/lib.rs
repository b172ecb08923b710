//! Systems to test against: simulated at the wire and real, with faults on demand, and the suite that both must pass.

#![expect(clippy::missing_panics_doc, reason = "a test suite reports by panicking")]

pub mod contract;
pub mod manifest;
pub mod toy;
pub mod twice;
