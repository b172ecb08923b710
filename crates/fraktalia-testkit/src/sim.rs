//! Systems simulated at the wire: the real clients talk to them. They hold state and answer any sequence of calls.

pub mod docker;
pub mod openclaw;
pub mod synapse;
