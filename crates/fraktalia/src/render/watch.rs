//! What a watch has to tell, a line for each thing.

pub mod json;
pub mod notice;

use std::collections::BTreeSet;
use std::time::Duration;

use fraktalia_engine::watch::{Cause, Happening, Look as Looked, Policy, Waiting};
use fraktalia_engine::{Ended, Event, Outcome};
use fraktalia_model::{Notes, Sources};
use fraktalia_plan::{Change, Verb};

use super::line::Line;
use super::look::{Detail, Look, Tone};
use super::note;
use super::plan::{label, number};
use super::progress::seconds;
use super::status::Standing;

/// More changes than this are counted only: `fraktalia plan` shows all.
const MOST_CHANGES: usize = 12;
/// More causes than this are counted only.
const MOST_CAUSES: usize = 3;

/// What each line is shown with.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// How.
    pub look: &'a Look,
    /// What stands at the beginning of each line; empty where the reader knows the time already.
    pub time: &'a str,
    /// How far the watch goes by itself.
    pub policy: Policy,
}

/// Nothing, a line, or several.
pub fn text(happening: &Happening<'_>, style: Style<'_>) -> String {
    let mut page = Page { style, text: String::new() };
    page.happening(happening);
    page.text
}

struct Page<'a> {
    style: Style<'a>,
    text: String,
}

impl Page<'_> {
    fn line(&mut self, tone: Tone, head: &str, rest: &str) {
        let mut line = Line::new();
        if !self.style.time.is_empty() {
            line = line.text(Tone::Faint, self.style.time).space(2);
        }
        let line = line.text(tone, head).plain(if head.is_empty() { "" } else { ": " }).plain(rest);
        line.write_whole(self.style.look, &mut self.text);
    }

    fn hints<T: AsRef<str>>(&mut self, hints: impl IntoIterator<Item = T>) {
        let mut hints: Vec<T> = hints.into_iter().collect();
        hints.dedup_by(|one, other| one.as_ref() == other.as_ref());
        for hint in hints {
            self.line(Tone::Hint, "  hint", hint.as_ref());
        }
    }

    fn notes(&mut self, notes: &Notes, sources: &Sources) {
        note::write_all(notes, sources, self.style.look, &mut self.text);
    }

    fn is_full(&self) -> bool {
        self.style.look.detail == Detail::Full
    }

    fn happening(&mut self, happening: &Happening<'_>) {
        match happening {
            Happening::Began { policy, every } => {
                let every = span(*every);
                let text = format!("policy {}, a look at least every {every}", policy.name());
                self.line(Tone::Strong, "watching", &text);
            }
            Happening::Heard(system) if self.is_full() => {
                self.line(Tone::Faint, "heard", &format!("events of {system}"));
            }
            Happening::Heard(_) => {}
            Happening::Deaf { system, why, hint } => {
                let text =
                    format!("{system}: {why}; it is looked at by the clock until they are heard again");
                self.line(Tone::Warn, "no events", &text);
                self.hints(*hint);
            }
            Happening::Commit { .. } | Happening::Remote { .. } | Happening::Refused { .. } => {
                self.branch(happening);
            }
            Happening::Notifying { room, mute: Some((why, hint)) } => {
                self.line(Tone::Warn, "not said", &format!("in {room}: {why}; it is said here all the same"));
                self.hints(*hint);
            }
            Happening::Notifying { room, mute: None } => {
                self.line(Tone::Add, "said", &format!("in {room}"));
            }
            Happening::BadManifest { notes, sources, kept, origin } => {
                let of = origin.map_or_else(String::new, |origin| format!("{origin} "));
                self.bad_manifest(notes, sources, *kept, &of);
            }
            Happening::GoodManifest => self.line(Tone::Add, "manifest", "in order again"),
            Happening::Looked(look) => self.looked(look),
            Happening::Failed { causes, why, notes, hints, news, .. } => {
                if *news {
                    self.line(Tone::Bad, "cannot look", &format!("{why}{}", by(causes)));
                    self.hints(hints);
                    self.notes(notes, &Sources::default());
                }
            }
            Happening::Locked { holder } => {
                let who = holder.map_or_else(String::new, |holder| format!(" (process {holder})"));
                self.line(Tone::Own, "waiting", &format!("another run is at work{who}"));
            }
            Happening::Unfinished { run, waits: None } => {
                self.line(Tone::Warn, "unfinished", &format!("the run {run} goes on"));
            }
            Happening::Unfinished { run, waits: Some(why) } => {
                self.line(Tone::Warn, "unfinished", &format!("the run {run} waits for a person: {why}"));
                self.hints(["`fraktalia resume` finishes it, `fraktalia rollback` takes it back"]);
            }
            Happening::Applying { plan, origin, .. } => {
                let titles: Vec<&str> =
                    plan.steps.iter().take(MOST_CHANGES).map(|step| step.title.as_str()).collect();
                let more = more(plan.steps.len());
                let steps = number(plan.steps.len(), "step");
                let colon = if titles.is_empty() { "" } else { ": " };
                let of = origin.as_ref().map_or_else(String::new, |origin| format!(" of {origin}"));
                let text = format!("{steps}{of}{colon}{}{more}", titles.join("; "));
                self.line(Tone::Strong, "applying", &text);
            }
            Happening::Run(event) => self.event(event),
            Happening::Ended { ended, took, again } => self.ended(ended, *took, *again),
            Happening::GaveUp { times, why } => {
                let text = format!("the same {times} times without lasting: {why}");
                self.line(Tone::Bad, "given up", &text);
                self.hints(["it is tried again when the manifest or the plan changes, or on SIGHUP"]);
            }
            Happening::Ending => self.line(Tone::Strong, "ending", "nothing is left half done by this watch"),
        }
    }

    /// What becomes of a branch that is followed.
    fn branch(&mut self, happening: &Happening<'_>) {
        match happening {
            Happening::Commit { origin, remote } => {
                let by = origin.author.as_ref().map_or_else(String::new, |author| format!(" ({author})"));
                let subject = origin.subject.as_deref().unwrap_or_default();
                let text = format!("{} is at {origin}: {subject}{by}", remote.branch());
                self.line(Tone::Strong, "commit", &text);
            }
            Happening::Remote { lost: Some((why, hint)), .. } => {
                let text = format!("{why}; what was read last stays in force, and it is asked again");
                self.line(Tone::Warn, "no remote", &text);
                self.hints(*hint);
            }
            Happening::Remote { remote, lost: None } => {
                self.line(Tone::Add, "remote", &format!("{} answers again", remote.url()));
            }
            Happening::Refused { commit, why, hint } => {
                let short = commit.get(..7).unwrap_or(commit);
                let text = format!("commit {short}: {why}; what was read last stays in force");
                self.line(Tone::Bad, "refused", &text);
                self.hints([hint]);
            }
            _ => {}
        }
    }

    fn bad_manifest(&mut self, notes: &Notes, sources: &Sources, kept: bool, of: &str) {
        let what = if kept {
            "has errors; the last good one stays in force"
        } else {
            "has errors; waiting for a good one"
        };
        self.line(Tone::Bad, "manifest", &format!("{of}{what}"));
        self.notes(notes, sources);
    }

    fn looked(&mut self, look: &Looked<'_>) {
        let plan = &look.planned.plan;
        if !look.news {
            if self.is_full() {
                let took = seconds(look.took);
                self.line(Tone::Faint, "looked", &format!("nothing new, in {took}{}", by(look.causes)));
            }
            return;
        }
        let changes: Vec<&Change> = plan.changes.iter().filter(|change| change.verb != Verb::Keep).collect();
        if changes.is_empty() && !plan.is_blocked() {
            self.line(Tone::Add, "in sync", &format!("nothing to do{}", by(look.causes)));
            return;
        }
        for change in changes.iter().take(MOST_CHANGES) {
            let recorded = look.planned.records.contains_key(&change.id);
            let (head, tone, text) = change_line(change, recorded);
            self.line(tone, head, &format!("{text}{}", by(look.causes)));
        }
        if changes.len() > MOST_CHANGES {
            let more = changes.len() - MOST_CHANGES;
            self.line(
                Tone::Faint,
                "more",
                &format!("{}: `fraktalia plan` shows all", number(more, "change")),
            );
        }
        let blockers: Notes = plan.blockers().cloned().collect();
        if !blockers.is_empty() {
            self.line(Tone::Bad, "blocked", "nothing is applied while this stands");
            self.notes(&blockers, &Sources::default());
        } else if !self.style.policy.acts() {
            self.line(
                Tone::Faint,
                "reported",
                "nothing is done, the policy is report; `fraktalia apply` does it",
            );
        }
        self.waiting(look.waiting);
    }

    fn waiting(&mut self, waiting: &[Waiting]) {
        for one in waiting.iter().take(MOST_CHANGES) {
            self.line(Tone::Warn, "waits for a person", &format!("{}: {}", one.title, one.why));
        }
        if waiting.len() > MOST_CHANGES {
            let more = number(waiting.len() - MOST_CHANGES, "step");
            self.line(Tone::Warn, "waits for a person", &format!("{more} more"));
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Failed { why, hint, .. } => {
                self.line(Tone::Bad, "failed", why);
                self.hints(hint);
            }
            Event::Stopping => self.line(Tone::Warn, "stopping", "what is in flight is finished first"),
            Event::RollingBack { steps, .. } => {
                self.line(Tone::Warn, "taking back", &number(*steps, "step"));
            }
            Event::Stuck { why, by_hand, .. } => {
                self.line(Tone::Bad, "cannot take back", why);
                self.hints(by_hand);
            }
            Event::Begun { title, .. } if self.is_full() => self.line(Tone::Faint, "step", title),
            _ => {}
        }
    }

    fn ended(&mut self, ended: &Ended, took: Duration, again: Option<Duration>) {
        let run = &ended.run;
        let why = ended.why.as_deref().unwrap_or("for no known reason");
        let next = again.map_or_else(String::new, |again| format!("; tried again in {}", seconds(again)));
        match &ended.outcome {
            Some(Outcome::Applied) => {
                self.line(Tone::Add, "applied", &format!("run {run} in {}", seconds(took)));
            }
            Some(Outcome::Superseded) => {
                self.line(Tone::Own, "settled", &format!("run {run}; a new plan does the rest"));
            }
            Some(Outcome::RolledBack { .. }) => {
                self.line(Tone::Warn, "taken back", &format!("run {run}: {why}{next}"));
            }
            Some(Outcome::NotConverged) => {
                let text = format!("run {run} was applied, and a second plan is not empty{next}");
                self.line(Tone::Warn, "not converged", &text);
            }
            Some(Outcome::Incomplete { .. }) => {
                self.line(Tone::Bad, "not taken back completely", &format!("run {run}: {why}{next}"));
                self.hints([format!("`fraktalia show {run}` lists what is left")]);
            }
            None => {
                self.line(Tone::Warn, "left open", &format!("run {run}: {why}{next}"));
                self.hints(["`fraktalia resume` finishes it, `fraktalia rollback` takes it back"]);
            }
        }
    }
}

fn change_line(change: &Change, recorded: bool) -> (&'static str, Tone, String) {
    // A title that says it all in a plan stands below a heading there.
    let place = match change.id.kind.as_str() {
        "member" | "child" if !change.summary.is_empty() => format!(" {}", change.summary),
        "file" => format!(" of {}", change.subject),
        _ => String::new(),
    };
    let what = format!("{} {}{place}", label(&change.id.kind), change.title);
    let fields: Vec<&str> = change.fields.iter().map(|field| field.field.as_str()).collect();
    let fields = if fields.is_empty() { String::new() } else { format!(": {}", fields.join(", ")) };
    match Standing::of(change, recorded) {
        Standing::Missing => ("drift", Tone::Change, format!("{what} was removed by hand")),
        Standing::Drifted => ("drift", Tone::Change, format!("{what} was changed by hand{fields}")),
        Standing::NotOursYet => ("to adopt", Tone::Own, what),
        Standing::Left => ("left the manifest", Tone::Remove, what),
        Standing::Pending | Standing::InSync if change.verb == Verb::Create => ("to create", Tone::Add, what),
        Standing::Pending | Standing::InSync => ("to change", Tone::Change, format!("{what}{fields}")),
    }
}

/// Who woke us.
fn by(causes: &BTreeSet<Cause>) -> String {
    let shown: Vec<String> = causes.iter().take(MOST_CAUSES).map(ToString::to_string).collect();
    let rest = causes.len().saturating_sub(MOST_CAUSES);
    match (shown.len(), rest) {
        (0, _) => String::new(),
        (_, 0) => format!("  ({})", shown.join("; ")),
        (_, rest) => format!("  ({}; and {rest} more)", shown.join("; ")),
    }
}

fn more(steps: usize) -> String {
    if steps > MOST_CHANGES { format!("; and {} more", steps - MOST_CHANGES) } else { String::new() }
}

/// `5 min`, `90 s`.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds > 0 && seconds.is_multiple_of(60) {
        format!("{} min", seconds / 60)
    } else {
        format!("{seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{garden, plain};

    fn said(happening: &Happening<'_>) -> String {
        let look = plain(110);
        text(happening, Style { look: &look, time: "12:00:00", policy: Policy::Report })
    }

    #[test]
    fn each_change_says_what_it_is_and_is_one_line() {
        let lines: Vec<String> = garden()
            .changes
            .iter()
            .map(|change| {
                let (head, _, text) = change_line(change, true);
                format!("{head}: {text}")
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_comes_from_outside_stays_on_its_line() {
        let why = "it\nlied\u{1b}[2J";
        let text = said(&Happening::GaveUp { times: 3, why });
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn many_causes_are_counted() {
        let causes = (0..5).map(|at| Cause { who: format!("s{at}"), what: String::new() }).collect();
        assert_eq!(by(&causes), "  (s0; s1; s2; and 2 more)");
    }

    #[test]
    fn every_ending_says_what_is_the_case() {
        let mut page = String::new();
        for outcome in [
            Some(Outcome::Applied),
            Some(Outcome::RolledBack { why: "no".into() }),
            Some(Outcome::Incomplete { why: "no".into() }),
            Some(Outcome::NotConverged),
            Some(Outcome::Superseded),
            None,
        ] {
            let ended = Ended { run: "20260314-1502".into(), outcome, why: Some("the shelf says no".into()) };
            let (took, again) = (Duration::from_millis(800), Some(Duration::from_secs(2)));
            page += &said(&Happening::Ended { ended: &ended, took, again });
        }
        insta::assert_snapshot!(page);
    }
}
