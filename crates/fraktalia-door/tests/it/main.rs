//! The door from outside: a real socket, a real desk on a real store, and planner and applier that do as they are told.

mod abuse;
mod answers;
mod http;
mod schemathesis;
mod tokens;
mod world;
