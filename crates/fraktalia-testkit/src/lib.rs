//! Systems to test against: simulated at the wire and real, with faults on demand, and the suite that both must pass.

pub mod contract;
pub mod generate;
pub mod git;
pub mod manifest;
pub mod proxy;
pub mod real;
pub mod sim;
pub mod toy;
pub mod twice;
