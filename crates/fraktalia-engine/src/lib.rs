//! Runs a plan durably: journal, ledger, lock, applier, rollback, verification.
//!
//! Knows no outside system: those are behind [`provider::Provider`]. Never talks to a terminal: what happens is
//! told as [`event::Event`]s.

pub mod applier;
pub mod backups;
pub mod clock;
pub mod erase;
pub mod event;
pub mod git;
pub mod health;
pub mod journal;
pub mod ledger;
pub mod load;
pub mod lock;
pub mod paths;
pub mod provider;
pub mod secrets;
pub mod session;
pub mod watch;

pub use applier::{OnFailure, Stop};
pub use erase::{Executor, Registry};
pub use event::{Event, EventSink};
pub use git::Origin;
pub use journal::{Outcome, Run};
pub use load::load;
pub use lock::Lock;
pub use paths::StatePaths;
pub use provider::{
    Ask, Follow, Landed, ObserveError, Observed, Owned, Provider, Remark, StepCx, StepError, Survey,
};
pub use secrets::{SecretError, Secrets};
pub use session::{ApplyOptions, Ended, Look, Planned, Session, SessionError};
