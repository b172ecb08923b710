//! The real systems, installed into a cache folder and started on loopback, each test with its own.
//!
//! | module | what it gives |
//! |---|---|
//! | [`cache`] | where everything lies, and whether tests of real systems are wanted |
//! | [`install`] | fills the cache: Synapse, Node, OpenClaw, a base image |
//! | [`process`] | a child process that never outlives us, with a log and a readiness probe |
//! | [`synapse`] | a throw-away homeserver |
//! | [`person`] | a Matrix user who writes into rooms and reads the answers |
//! | [`model`] | a stand-in for a language model, answering in the agent's own name |
//! | [`openclaw`] | the OpenClaw command line, in two versions |
//! | [`gateway`] | a running OpenClaw gateway and its complete configuration |
//! | [`docker`] | a Docker engine that answers |
//! | [`execution`] | a second engine on a host of its own, reached by TLS, whose link can be cut |

pub mod cache;
pub mod docker;
pub mod error;
pub mod execution;
pub mod gateway;
pub mod install;
pub mod model;
pub mod openclaw;
pub mod person;
pub mod process;
pub mod synapse;

pub use cache::{Cache, fraktalia_bin};
pub use docker::Docker;
pub use error::RealError;
pub use execution::Execution;
pub use gateway::{BaseConfig, Gateway};
pub use model::ModelStandIn;
pub use openclaw::{OpenClaw, Version};
pub use person::{Person, encode};
pub use synapse::{Synapse, SynapseOptions};
