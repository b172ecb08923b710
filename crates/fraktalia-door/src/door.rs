//! The door as a whole: what it knows, and how its parts reach that.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use fraktalia_desk::Moment;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::desk::Desk;
use crate::rate::Rates;
use crate::tokens::{Holder, Tokens};
use crate::{routes, serve};

/// Asked for the time.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// Bounds of the door.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most bytes of a body.
    pub body: usize,
    /// How long a body may take.
    pub body_time: Duration,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub head_time: Duration,
    /// Most connections at once; more wait until one is free.
    pub connections: usize,
    /// Longest life of a connection. Longer than the longest answer.
    pub life: Duration,
    /// How long a request waits for the plan of what it proposes.
    pub plan_time: Duration,
    /// How long a request waits until what it asks for is there.
    pub apply_time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body: 64 * 1024,
            body_time: Duration::from_secs(20),
            head_time: Duration::from_secs(20),
            connections: 128,
            life: Duration::from_mins(15),
            plan_time: Duration::from_secs(30),
            apply_time: Duration::from_mins(5),
        }
    }
}

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    settings: Settings,
    tokens: RwLock<Tokens>,
    rates: Mutex<Rates>,
    desk: Arc<dyn Desk>,
    clock: Clock,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Door {
    /// A door to a desk.
    pub fn new(settings: Settings, tokens: Tokens, desk: Arc<dyn Desk>, clock: Clock) -> Self {
        let (tokens, rates) = (RwLock::new(tokens), Mutex::default());
        Self(Arc::new(Inner { settings, tokens, rates, desk, clock }))
    }

    /// Other tokens, from now on: the manifest has changed.
    pub fn set_tokens(&self, tokens: Tokens) {
        *self.0.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens;
    }

    /// All routes, with all that holds for each of them. [`Door::serve`] has bounds besides that no route can have.
    pub fn router(&self) -> Router {
        routes::router(self)
    }

    /// Answers until `stop` is done; then what was begun is answered, and no more is taken.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()> + Send) {
        serve::run(&self.0.settings, listener, self.router(), stop).await;
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn desk(&self) -> &dyn Desk {
        &*self.0.desk
    }

    pub(crate) fn now(&self) -> Moment {
        (self.0.clock)()
    }

    pub(crate) fn holder(&self, shown: &str) -> Option<Holder> {
        self.0.tokens.read().unwrap_or_else(PoisonError::into_inner).find(shown).cloned()
    }

    pub(crate) fn take(&self, holder: &Holder, now: Instant) -> Result<(), u64> {
        let mut rates = self.0.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.take(&holder.name, holder.per_minute, now)
    }
}
