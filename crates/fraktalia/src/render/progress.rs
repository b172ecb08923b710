//! A run as it happens: live lines on a terminal, plain lines in a pipe, JSON lines for programs.

mod echo;
mod live;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fraktalia_engine::{Event, EventSink};
use fraktalia_plan::{Plan, StepId};

use super::line::Line;
use super::look::{Look, Tone};
use crate::cli::RunFormat;
use crate::out;
use live::Live;

/// Steps that take less say no time.
const WORTH_SAYING: Duration = Duration::from_millis(50);

/// What is worth telling at the end of a run.
#[derive(Debug, Default)]
pub struct Story {
    /// Steps that failed.
    pub failures: Vec<Failed>,
    /// Steps that could not be taken back.
    pub stuck: Vec<Stuck>,
    /// What a second plan still wants.
    pub left: Option<Box<Plan>>,
    /// What stays though its step was taken back.
    pub stays: Vec<String>,
    /// Steps that had their effect in this process.
    pub done: usize,
    /// Steps that were taken back.
    pub undone: usize,
}

/// A step that failed.
#[derive(Debug)]
pub struct Failed {
    /// What it was to do.
    pub title: String,
    /// Why it could not.
    pub why: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A step that could not be taken back.
#[derive(Debug)]
pub struct Stuck {
    /// What it had done.
    pub title: String,
    /// Why it stays.
    pub why: String,
    /// What a person can do instead.
    pub by_hand: Vec<String>,
}

/// Listens to a run and shows it.
pub struct Progress {
    state: Mutex<State>,
}

struct State {
    look: Look,
    shape: Shape,
    titles: BTreeMap<StepId, String>,
    began: BTreeMap<StepId, Instant>,
    steps: usize,
    finished: usize,
    story: Story,
}

enum Shape {
    Live(Live),
    Plain,
    Jsonl,
}

impl Progress {
    /// What suits the format and this process's stderr. `plan` is what runs, as far as it is known.
    pub fn new(look: Look, format: RunFormat, plan: Option<&Plan>) -> Self {
        let shape = match format {
            RunFormat::Jsonl => Shape::Jsonl,
            RunFormat::Text if std::io::stderr().is_terminal() => Shape::Live(Live::new(look)),
            RunFormat::Text => Shape::Plain,
        };
        Self::with(look, shape, plan)
    }

    fn with(look: Look, shape: Shape, plan: Option<&Plan>) -> Self {
        let steps = plan.map(|plan| plan.steps.as_slice()).unwrap_or_default();
        let titles = steps.iter().map(|step| (step.id, step.title.clone())).collect();
        Self {
            state: Mutex::new(State {
                look,
                shape,
                titles,
                began: BTreeMap::new(),
                steps: steps.len(),
                finished: 0,
                story: Story::default(),
            }),
        }
    }

    /// Ends the display, and says what happened.
    pub fn end(&self) -> Story {
        let mut state = self.lock();
        if let Shape::Live(live) = &mut state.shape {
            live.clear();
        }
        std::mem::take(&mut state.story)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Progress {
    fn emit(&self, event: &Event) {
        let mut state = self.lock();
        state.remember(event);
        if matches!(state.shape, Shape::Jsonl) {
            if let Ok(text) = serde_json::to_string(event) {
                // A reader who has left does not stop a run.
                let _ = out::data(&(text + "\n"));
            }
            return;
        }
        let line = state.line(event, Instant::now());
        state.show(event, line);
    }
}

impl State {
    /// Keeps what the end of the run has to tell.
    fn remember(&mut self, event: &Event) {
        match event {
            Event::Started { steps, done, .. } => {
                self.steps = *steps;
                self.finished = *done;
            }
            Event::Begun { step, title } => {
                self.titles.insert(*step, title.clone());
                self.began.insert(*step, Instant::now());
            }
            Event::Done { .. } => {
                self.finished += 1;
                self.story.done += 1;
            }
            Event::Failed { step, why, hint } => {
                let failed = Failed { title: self.title(*step), why: why.clone(), hint: hint.clone() };
                self.story.failures.push(failed);
            }
            Event::Undone { .. } => self.story.undone += 1,
            Event::Stays { what, .. } => self.story.stays.push(what.clone()),
            Event::Stuck { step, why, by_hand } => {
                let stuck = Stuck { title: self.title(*step), why: why.clone(), by_hand: by_hand.clone() };
                self.story.stuck.push(stuck);
            }
            Event::NotConverged { plan } => self.story.left = Some(plan.clone()),
            _ => {}
        }
    }

    fn title(&self, step: StepId) -> String {
        self.titles.get(&step).cloned().unwrap_or_else(|| format!("step {step}"))
    }

    /// What an event adds to the lines that stay. `None` when it adds nothing.
    fn line(&mut self, event: &Event, now: Instant) -> Option<Line> {
        let mark = |tone, symbol: &str| Line::indented(2).text(tone, symbol).space(1).hang();
        let line = match event {
            Event::Started { run, steps, done: 0 } => {
                Line::new().text(Tone::Faint, &format!("run {run}: {}", super::plan::number(*steps, "step")))
            }
            Event::Started { run, steps, done } => {
                Line::new().text(Tone::Faint, &format!("run {run} goes on: {done} of {steps} steps are done"))
            }
            Event::Done { step } => {
                let took = self.began.remove(step).map(|began| now.saturating_duration_since(began));
                mark(Tone::Add, "✓")
                    .plain(&self.title(*step))
                    .text(Tone::Faint, &took.filter(|took| *took >= WORTH_SAYING).map(|took| format!("  {}", seconds(took))).unwrap_or_default())
            }
            Event::Failed { step, why, .. } => {
                mark(Tone::Bad, "✗").plain(&self.title(*step)).text(Tone::Faint, ": ").plain(why)
            }
            Event::Doubt { step, why } => mark(Tone::Warn, "?")
                .plain(&self.title(*step))
                .text(Tone::Faint, &format!(": no answer ({why}); asking whether it happened")),
            Event::Progress { step, line } => {
                if matches!(self.shape, Shape::Live(_)) {
                    return None;
                }
                mark(Tone::Faint, "·").text(Tone::Faint, &format!("{}: {line}", self.title(*step)))
            }
            Event::Stopping => Line::new().text(
                Tone::Warn,
                "Stopping after what is in flight; unless that was the last of it, all is taken back. Ctrl-C again stops at once.",
            ),
            Event::RollingBack { steps, why } => Line::new()
                .text(Tone::Warn, &format!("Taking back {}: ", super::plan::number(*steps, "step")))
                .hang()
                .plain(why),
            Event::Undone { title, .. } => mark(Tone::Own, "↶").plain(title),
            Event::Stuck { step, why, .. } => {
                mark(Tone::Bad, "✗").plain("cannot take back: ").plain(&self.title(*step)).plain(&format!(": {why}"))
            }
            Event::Verifying => Line::new().text(Tone::Faint, "looking again: a second plan has to be empty"),
            // What stays is told at the end of the run.
            Event::Begun { .. } | Event::Stays { .. } | Event::NotConverged { .. } | Event::Finished { .. } => {
                return None;
            }
        };
        Some(line)
    }

    fn show(&mut self, event: &Event, line: Option<Line>) {
        let mut text = String::new();
        if let Some(line) = line {
            line.write(&self.look, &mut text);
        }
        match &mut self.shape {
            Shape::Live(live) => live.show(event, &text, self.finished, self.steps),
            Shape::Plain | Shape::Jsonl => out::talk(&text),
        }
    }
}

/// `0.8 s`, `12 s`, `3 min 5 s`.
pub fn seconds(took: Duration) -> String {
    match took.as_secs() {
        0..10 => format!("{:.1} s", took.as_secs_f64()),
        whole @ 10..60 => format!("{whole} s"),
        whole => format!("{} min {} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{garden, plain};
    use fraktalia_engine::Outcome;

    #[test]
    fn a_run_in_a_pipe_reads_like_a_report() {
        let progress = Progress::with(plain(90), Shape::Plain, Some(&garden()));
        let events = [
            Event::Started { run: "20260314-150000000-abcdef".into(), steps: 7, done: 0 },
            Event::Begun { step: 1, title: "create #gardener:chat.home".into() },
            Event::Progress { step: 1, line: "asking \u{1b}[2J".into() },
            Event::Done { step: 1 },
            Event::Doubt { step: 4, why: "connection reset".into() },
            Event::Failed { step: 7, why: "the gateway refused it".into(), hint: Some("see its log".into()) },
            Event::RollingBack { steps: 2, why: "write openclaw.json: refused".into() },
            Event::Undone { step: 4, title: "join @agent:chat.home".into() },
            Event::Stuck { step: 1, why: "403".into(), by_hand: vec!["delete the room".into()] },
            Event::Verifying,
            Event::Finished { outcome: Outcome::Incomplete { why: "x".into() } },
        ];
        let mut page = String::new();
        for event in &events {
            let mut state = progress.lock();
            state.remember(event);
            let now = Instant::now();
            state.began.insert(1, now);
            if let Some(line) = state.line(event, now + Duration::from_millis(830)) {
                line.write(&plain(90), &mut page);
            }
        }
        insta::assert_snapshot!(page);
        let story = progress.end();
        assert_eq!((story.done, story.undone, story.failures.len(), story.stuck.len()), (1, 1, 1, 1));
        assert_eq!(story.failures[0].title, "write openclaw.json (4 changes)");
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        let said = |millis| seconds(Duration::from_millis(millis));
        assert_eq!([said(830), said(12_400), said(185_000)], ["0.8 s", "12 s", "3 min 5 s"]);
    }
}
