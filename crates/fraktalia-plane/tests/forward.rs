//! The forwarder on real sockets.

#[path = "forward/listeners.rs"]
mod listeners;
#[path = "forward/load.rs"]
mod load;
#[path = "forward/moves.rs"]
mod moves;
#[path = "forward/streams.rs"]
mod streams;
#[path = "forward/support.rs"]
mod support;
