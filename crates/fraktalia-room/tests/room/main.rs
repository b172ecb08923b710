//! The room against a real Synapse, with an operator and an agent as other Matrix clients.

mod lasting;
mod round;
mod stage;
mod trust;
