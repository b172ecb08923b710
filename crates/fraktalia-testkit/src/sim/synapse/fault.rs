//! What can go wrong, by request.

use std::time::Duration;

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this status, and not done.
    Refuse(u16),
    /// It is refused for its rate, and not done.
    RateLimit {
        /// When to ask again, in milliseconds.
        retry_after_ms: u64,
    },
    /// A page of a proxy comes instead, with this status; it is not done.
    Html(u16),
    /// It is not done, and no answer ever comes.
    Timeout,
    /// It is done, and no answer ever comes.
    DoneThenTimeout,
    /// It is done, and the connection drops before the answer.
    DoneButLost,
    /// The connection drops, and it is done a while later.
    DoneLater(Duration),
    /// It is done after a while.
    Slow(Duration),
    /// A room is made up to its creator's join, and then the homeserver fails.
    Half,
}

#[derive(Clone, Debug)]
struct Order {
    method: String,
    path: String,
    fault: Fault,
    once: bool,
}

/// What is to go wrong.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Order>);

impl Faults {
    pub(super) fn once(&mut self, method: &str, path: &str, fault: Fault) {
        self.0.push(Order { method: method.into(), path: path.into(), fault, once: true });
    }

    pub(super) fn always(&mut self, method: &str, path: &str, fault: Fault) {
        self.0.push(Order { method: method.into(), path: path.into(), fault, once: false });
    }

    pub(super) fn take(&mut self, method: &str, path: &str) -> Option<Fault> {
        let hit =
            |order: &Order| (order.method.is_empty() || order.method == method) && path.contains(&order.path);
        let index = self.0.iter().position(hit)?;
        let order = self.0[index].clone();
        if order.once {
            self.0.remove(index);
        }
        Some(order.fault)
    }
}
