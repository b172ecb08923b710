//! The watch against real systems: what it hears, what it says and does, how it ends. Latencies are printed, not judged.

mod watch {
    pub mod drift;
    pub mod policy;
    pub mod running;
    pub mod saved;
    pub mod service;
}
