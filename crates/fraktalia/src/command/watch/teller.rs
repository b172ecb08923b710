//! Hears what the watch has to tell: writes it down, keeps count of it, and says the state of things to systemd.

use std::sync::{Arc, Mutex, PoisonError};

use fraktalia_engine::clock;
use fraktalia_engine::watch::{Happening, Policy, Teller};
use tokio::sync::Notify;

use super::notify::Notifier;
use super::state::State;
use crate::cli::LogFormat;
use crate::out::{self, Reader};
use crate::render::look::{Detail, Look};
use crate::render::watch::{self as lines, Style, json};

/// What it does with what it hears.
pub struct Scribe {
    /// How text is shown.
    pub look: Look,
    /// Shape of the lines.
    pub format: LogFormat,
    /// How far the watch goes.
    pub policy: Policy,
    /// Where the time stands.
    pub clock: Clock,
    /// How things stand, for those who ask.
    pub state: Mutex<State>,
    /// Rung when nobody reads any more.
    pub gone: Notify,
}

/// The scribe, and whoever says it in a room.
pub struct Tellers {
    /// Is told everything.
    pub scribe: Arc<Scribe>,
    /// Picks out what people want to know.
    pub notifier: Option<Arc<Notifier>>,
}

impl Teller for Tellers {
    fn tell(&self, happening: &Happening<'_>) {
        self.scribe.tell(happening);
        if let Some(notifier) = &self.notifier {
            notifier.hear(happening);
        }
    }
}

/// How a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Whoever reads sits before it.
    Time,
    /// Whoever reads comes later.
    Date,
    /// Whoever keeps the lines writes the time down: journald.
    None,
}

impl Clock {
    /// What suits where stdout leads to.
    pub fn of_stdout() -> Self {
        if std::env::var_os("JOURNAL_STREAM").is_some() {
            Self::None
        } else if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
            Self::Time
        } else {
            Self::Date
        }
    }

    fn of(self, now: &str) -> &str {
        match self {
            Self::Time => now.get(11..19).unwrap_or(now),
            Self::Date => now,
            Self::None => "",
        }
    }
}

impl Scribe {
    /// How things stand.
    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self, happening: &Happening<'_>) -> String {
        let now = clock::now();
        match self.format {
            LogFormat::Text => {
                let time = self.clock.of(&now);
                lines::text(happening, Style { look: &self.look, time, policy: self.policy })
            }
            LogFormat::Json if self.is_worth_a_line(happening) => {
                format!("{}\n", json::document(happening, &now))
            }
            LogFormat::Json => String::new(),
        }
    }

    /// A look that found nothing new is none, and a step is none either, unless more is wanted.
    fn is_worth_a_line(&self, happening: &Happening<'_>) -> bool {
        self.look.detail == Detail::Full
            || match happening {
                Happening::Looked(look) => look.news,
                Happening::Failed { news, .. } => *news,
                Happening::Run(_) | Happening::Heard(_) => false,
                _ => true,
            }
    }
}

impl Teller for Scribe {
    fn tell(&self, happening: &Happening<'_>) {
        let status = {
            let mut state = self.state();
            state.hear(happening);
            state.sentence()
        };
        // Nobody to tell is fine: it was not started by systemd.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(&status)]);
        let text = self.text(happening);
        if !text.is_empty() && !matches!(out::data(&text), Ok(Reader::There)) {
            self.gone.notify_one();
        }
    }
}
