//! Runs a plan durably: journal, ledger, lock, applier, rollback, verification.
//!
//! Knows no outside system: those are behind [`provider::Provider`].

pub mod paths;
pub mod provider;
pub mod secrets;

pub use paths::StatePaths;
pub use provider::{Ask, Landed, ObserveError, Provider, StepCx, StepError};
pub use secrets::{SecretError, Secrets};
