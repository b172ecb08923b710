//! What a command does beside a plan, step by step: a line that moves on a terminal, a line for each step in a pipe.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::escape::visible;
use super::line::{Line, shortened};
use super::look::{Look, Tone};
use super::progress::seconds;
use crate::out;

/// Columns that spinner, time and spaces take.
const AROUND: usize = 14;
/// How often the line is drawn anew.
const TICK: Duration = Duration::from_millis(120);
/// In a pipe something is said this often, and no more.
const PIPE: Duration = Duration::from_secs(5);

/// One step after another, on stderr.
pub struct Doing {
    look: Look,
    terminal: bool,
    step: Mutex<Option<Step>>,
}

struct Step {
    title: String,
    bar: Option<ProgressBar>,
    began: Instant,
    said: Instant,
}

impl Doing {
    /// Nothing yet.
    pub fn new(look: Look) -> Self {
        Self { look, terminal: std::io::stderr().is_terminal(), step: Mutex::new(None) }
    }

    /// A step begins. The one before it was done.
    pub fn begin(&self, title: &str) {
        let bar = self.terminal.then(|| {
            let bar = ProgressBar::new_spinner();
            let style = if self.look.colour {
                "  {spinner:.cyan} {msg} {elapsed:.dim}"
            } else {
                "  {spinner} {msg} {elapsed}"
            };
            bar.set_style(
                ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.set_message(self.fit(title));
            bar.enable_steady_tick(TICK);
            bar
        });
        let now = Instant::now();
        *self.lock() = Some(Step { title: title.into(), bar, began: now, said: now });
    }

    /// How far it is.
    pub fn say(&self, text: &str) {
        let mut step = self.lock();
        let Some(step) = step.as_mut() else { return };
        let text = format!("{}: {text}", step.title);
        if let Some(bar) = &step.bar {
            bar.set_message(self.fit(&text));
        } else if step.said.elapsed() >= PIPE {
            step.said = Instant::now();
            self.line(Tone::Faint, "·", &text, "");
        }
    }

    /// It is done; `text` stays.
    pub fn done(&self, text: &str) {
        let took = self.end();
        let took = took.filter(|took| *took >= Duration::from_millis(500)).map(seconds);
        self.line(Tone::Add, "✓", text, &took.map(|took| format!("  {took}")).unwrap_or_default());
    }

    /// It could not be done.
    pub fn failed(&self, text: &str) {
        self.end();
        self.line(Tone::Bad, "✗", text, "");
    }

    fn end(&self) -> Option<Duration> {
        let step = self.lock().take()?;
        if let Some(bar) = step.bar {
            bar.finish_and_clear();
        }
        Some(step.began.elapsed())
    }

    fn line(&self, tone: Tone, symbol: &str, text: &str, after: &str) {
        let mut page = String::new();
        let line = Line::indented(2).text(tone, symbol).space(1).hang().plain(text);
        line.text(Tone::Faint, after).write(&self.look, &mut page);
        out::talk(&page);
    }

    fn fit(&self, text: &str) -> String {
        shortened(&visible(text), self.look.width.saturating_sub(AROUND))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Step>> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        self.end();
    }
}
