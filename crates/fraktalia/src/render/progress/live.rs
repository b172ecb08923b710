//! Lines that move: one for each running step with its time, and a bar below.

use std::collections::BTreeMap;
use std::time::Duration;

use fraktalia_engine::Event;
use fraktalia_plan::StepId;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::echo::Echo;
use crate::render::escape::visible;
use crate::render::line::shortened;
use crate::render::look::Look;

/// Columns that spinner, time and spaces take.
const AROUND: usize = 14;
/// How often lines are drawn anew.
const TICK: Duration = Duration::from_millis(120);

/// The moving part of a terminal.
pub struct Live {
    look: Look,
    lines: MultiProgress,
    bar: ProgressBar,
    running: BTreeMap<StepId, (ProgressBar, String)>,
    echo: Echo,
}

impl Live {
    /// On stderr.
    pub fn new(look: Look) -> Self {
        let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
        let bar = lines.add(ProgressBar::new(0));
        bar.set_style(style(&look, "  {bar:24.cyan/dim} {pos} of {len}", "  {bar:24} {pos} of {len}"));
        Self { look, lines, bar, running: BTreeMap::new(), echo: Echo::without_controls() }
    }

    /// Shows an event; `text` is what it adds to the lines that stay.
    pub fn show(&mut self, event: &Event, text: &str, finished: usize, steps: usize) {
        match event {
            Event::Begun { step, title } => self.begin(*step, title),
            Event::Progress { step, line } => self.say(*step, line),
            Event::Done { step } | Event::Failed { step, .. } => self.end(*step),
            Event::Verifying => self.begin(0, "looking again: a second plan has to be empty"),
            Event::NotConverged { .. } | Event::Finished { .. } => self.end(0),
            _ => {}
        }
        self.bar.set_length(steps as u64);
        self.bar.set_position(finished as u64);
        // A line that moves says it better than one that stays.
        if !text.is_empty() && !matches!(event, Event::Verifying) {
            let _ = self.lines.println(text.trim_end_matches('\n'));
        }
        if matches!(event, Event::Finished { .. }) {
            self.clear();
        }
    }

    fn begin(&mut self, step: StepId, title: &str) {
        let line = self.lines.insert_before(&self.bar, ProgressBar::new_spinner());
        line.set_style(style(
            &self.look,
            "  {spinner:.cyan} {msg} {elapsed:.dim}",
            "  {spinner} {msg} {elapsed}",
        ));
        line.set_message(self.fit(title));
        line.enable_steady_tick(TICK);
        self.running.insert(step, (line, title.into()));
    }

    fn say(&self, step: StepId, text: &str) {
        if let Some((line, title)) = self.running.get(&step) {
            line.set_message(self.fit(&format!("{title}: {text}")));
        }
    }

    fn end(&mut self, step: StepId) {
        if let Some((line, _)) = self.running.remove(&step) {
            line.finish_and_clear();
            self.lines.remove(&line);
        }
    }

    fn fit(&self, text: &str) -> String {
        shortened(&visible(text), self.look.width.saturating_sub(AROUND))
    }

    /// Takes all moving lines away.
    pub fn clear(&mut self) {
        for step in self.running.keys().copied().collect::<Vec<_>>() {
            self.end(step);
        }
        self.echo.restore();
        self.bar.finish_and_clear();
        let _ = self.lines.clear();
    }
}

/// A template, or a plain spinner should this crate's idea of templates ever differ from ours.
fn style(look: &Look, coloured: &str, plain: &str) -> ProgressStyle {
    ProgressStyle::with_template(if look.colour { coloured } else { plain })
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("━━─")
}
