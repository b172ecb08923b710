//! The desk of the admin room: agents propose, operators decide, and nothing is done that no operator has said yes to.
//!
//! [`Desk::hear`] is the whole of what decides. It knows nothing of Matrix, HTTP, git or a clock: a program tells it what
//! happened in the room, at the planner and at the applier, and does what it says. [`Store`] keeps what the desk knows and
//! what is still to be done over a crash, and [`Audit`] writes down who decided what so that a change of it is seen.
//!
//! ```text
//! room, planner, applier ──Heard──► Store ──► Desk::hear ──Act──► outbox ──► room, planner, applier, audit
//!                                     └── one transaction for each input ──┘
//! ```

pub mod act;
pub mod audit;
pub mod case;
pub mod commands;
pub mod conduct;
pub mod desk;
pub mod filed;
pub mod found;
pub mod fragment;
pub mod heard;
pub mod ids;
pub mod policy;
pub mod seen;
pub mod store;
pub mod words;

pub use act::{Act, Approval, Credits, Do, Lane, Order};
pub use audit::{Anchor, Audit, AuditError};
pub use case::{Case, Choice, End, Kind, Stage};
pub use desk::Desk;
pub use filed::{Ask, Filed, Filing, Reply};
pub use heard::{Heard, Outcome, Plan, Planned, Sent, What};
pub use ids::{Applicant, CaseId, EventId, Key, Moment};
pub use policy::{Known, Policy, Rights};
pub use store::{Store, StoreError};
pub use words::Words;
