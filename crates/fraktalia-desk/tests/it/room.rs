//! A room to try the desk in: people write and react, and whoever is asked answers.

use std::path::Path;

use fraktalia_desk::{
    Act, Ask, Desk, Do, EventId, Filing, Heard, Key, Moment, Outcome, Plan, Planned, Policy, Sent, What,
};
use fraktalia_model::{MemoryFiles, UserId, manifest};

pub const ANA: &str = "@ana:chat.home";
pub const BEN: &str = "@ben:chat.home";
pub const AGENT: &str = "@agent:chat.home";
pub const OTHER: &str = "@cook:chat.home";
pub const STRANGER: &str = "@eve:chat.home";
pub const OURS: &str = "@fraktalia:chat.home";
pub const YES: &str = "✅";
pub const NO: &str = "❌";

const MANIFEST: &str = "\
version: 1
realm: home
include: [written/*.yaml]
matrix:
  homeserver: http://127.0.0.1:8008
  server_name: chat.home
  admin_token: { file: token }
  bot: '@agent:chat.home'
  padding: ['@warden:chat.home']
openclaw: { config: /srv/openclaw.json, catch_all: felix }
users: { ana: , ben: }
networks: { net: { subnet: 172.30.77.0/24 } }
sandboxes: { standard: { image: { tag: 'box:1' }, network: net }, root: { image: { tag: 'box:1' }, network: net } }
rooms: { lounge: { alias: parlour }, admin: { members: [ana, ben] } }
fractals: { gardener: { members: [ana, ben], sandbox: standard, forwards: [9000] } }
admin_room:
  room: admin
  operators: [ana, ben]
  proposers: ['@agent:chat.home', '@cook:chat.home']
  write_to: written/
  commit: true
  expires: 24h
  allow:
    models: [anthropic/claude-haiku-4-5]
    sandboxes: [standard]
    members: [ana, ben]
    forwards: 1
    per_day: 3
    open: 2
api:
  tokens:
    ci: { token: { env: CI }, scopes: [read, propose], expires: 2030-01-01 }
    root: { token: { env: ROOT }, scopes: [apply], expires: 2030-01-01 }
    other: { token: { env: OTHER }, scopes: [propose, apply], expires: 2030-01-01 }
policy: { max_fractals: 5 }
";

/// What an approved proposal wrote.
const HERDER: &str = "fractals: { herder: { members: [ana, ben] } }\n";

/// The rules of a manifest in order, with changes to its text.
pub fn policy_with(changes: &[(&str, &str)]) -> Policy {
    let text = changes.iter().fold(MANIFEST.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    let files = MemoryFiles::new().with("fraktalia.yaml", text).with("written/herder.yaml", HERDER);
    let loaded = manifest::load(Path::new("fraktalia.yaml"), &files);
    let manifest = loaded.manifest.unwrap_or_else(|| panic!("{:?}", loaded.notes));
    Policy::of(&manifest, user(OURS)).expect("it has an admin room")
}

pub fn user(name: &str) -> UserId {
    UserId(name.into())
}

pub fn event(text: &str) -> EventId {
    EventId::new(text).expect("an event id")
}

/// A fragment that asks for one small fractal.
pub fn fragment(name: &str) -> String {
    format!("```yaml\nfractals:\n  {name}:\n    purpose: Helps.\n    members: [ana, ben]\n```\n")
}

pub fn plan(fingerprint: &str) -> Plan {
    Plan {
        fingerprint: fingerprint.into(),
        summary: "3 to create".into(),
        changes: "cook  new\n  + room  #cook:chat.home".into(),
        warnings: vec!["openclaw.json is written once".into()],
        empty: false,
    }
}

pub struct Room {
    pub desk: Desk,
    pub policy: Policy,
    /// Milliseconds.
    pub now: u64,
    count: u64,
    /// All that was ever to be done.
    pub acts: Vec<Act>,
}

impl Room {
    pub fn new() -> Self {
        Self::with(policy_with(&[]))
    }

    pub fn with(policy: Policy) -> Self {
        Self { desk: Desk::default(), policy, now: 1_000_000_000_000, count: 0, acts: Vec::new() }
    }

    /// Tells the desk something, twenty seconds after what was before.
    pub fn hear(&mut self, what: What) -> Vec<Act> {
        self.now += 20_000;
        self.hear_now(what)
    }

    pub fn hear_now(&mut self, what: What) -> Vec<Act> {
        let acts = self.desk.hear(&Heard { at: Moment(self.now), what }, &self.policy);
        self.acts.extend(acts.clone());
        acts
    }

    /// An event of somebody who is in the room and whom the caller vouches for.
    pub fn sent(&mut self, by: &str) -> Sent {
        self.count += 1;
        Sent {
            event: event(&format!("${}", self.count)),
            by: user(by),
            at: Moment(self.now),
            joined: true,
            vouched: true,
        }
    }

    pub fn writes(&mut self, by: &str, body: &str) -> (EventId, Vec<Act>) {
        self.answers(by, None, body)
    }

    pub fn answers(&mut self, by: &str, answers: Option<&EventId>, body: &str) -> (EventId, Vec<Act>) {
        let sent = self.sent(by);
        let id = sent.event.clone();
        let message = What::Message { sent, answers: answers.cloned(), body: body.into(), attachment: None };
        (id, self.hear(message))
    }

    pub fn reacts(&mut self, by: &str, on: &EventId, key: &str) -> Vec<Act> {
        let sent = self.sent(by);
        self.hear(What::Reaction { sent, on: on.clone(), key: key.into() })
    }

    pub fn edits(&mut self, by: &str, of: &EventId) -> Vec<Act> {
        let sent = self.sent(by);
        self.hear(What::Edited { sent, of: of.clone() })
    }

    pub fn redacts(&mut self, by: &str, of: &EventId) -> Vec<Act> {
        let sent = self.sent(by);
        self.hear(What::Redacted { sent, of: of.clone() })
    }

    pub fn leaves(&mut self, who: &str) -> Vec<Act> {
        let event = self.sent(who).event;
        self.hear(What::Left { event, who: user(who) })
    }

    /// Answers the plan that was asked for, and posts what is to be posted; the message with the plan.
    pub fn show(&mut self, acts: &[Act], fingerprint: &str) -> EventId {
        let acts = self.plans(acts, Planned::Plan(plan(fingerprint)));
        self.post(&acts)
    }

    pub fn plans(&mut self, acts: &[Act], answer: Planned) -> Vec<Act> {
        let asked = acts.iter().find(|act| matches!(act.what, Do::Plan { .. })).expect("a plan is asked for");
        self.hear(What::Planned { key: asked.key.clone(), answer })
    }

    pub fn post(&mut self, acts: &[Act]) -> EventId {
        let said = acts.iter().find(|act| is_post(&act.key)).expect("a plan is posted");
        self.count += 1;
        let event = event(&format!("$plan{}", self.count));
        self.hear(What::Posted { key: said.key.clone(), event: event.clone() });
        event
    }

    /// A proposal whose plan stands in the room: its message, and that with the plan.
    pub fn open(&mut self, by: &str, name: &str) -> (EventId, EventId) {
        let (proposal, acts) = self.writes(by, &fragment(name));
        let message = self.show(&acts, &format!("print-{name}"));
        (proposal, message)
    }

    /// A program files a fractal, under an origin.
    pub fn files(&mut self, token: &str, origin: &str, name: &str, may_apply: bool) -> Vec<Act> {
        let fragment = format!("fractals:\n  {name}:\n    purpose: Helps.\n    members: [ana, ben]\n");
        self.hear(filing(token, origin, Ask::Add { fragment }, may_apply))
    }

    /// A program files the end of one.
    pub fn files_end(&mut self, token: &str, origin: &str, name: &str, may_apply: bool) -> Vec<Act> {
        self.hear(filing(token, origin, Ask::Remove { name: name.into() }, may_apply))
    }

    /// What becomes of the run that was begun.
    pub fn ran(&mut self, acts: &[Act], outcome: Outcome) -> Vec<Act> {
        let key = run(acts).expect("something is done");
        self.hear(What::Ran { key, outcome })
    }

    pub fn tick(&mut self, seconds: u64) -> Vec<Act> {
        self.now += seconds * 1000;
        self.hear_now(What::Tick)
    }
}

/// What a program files.
pub fn filing(token: &str, origin: &str, ask: Ask, may_apply: bool) -> What {
    let (origin, digest, token) = (origin.into(), format!("{ask:?}"), token.into());
    What::Filed(Filing { origin, digest, token, ask, may_apply })
}

/// The run that is begun.
pub fn run(acts: &[Act]) -> Option<Key> {
    acts.iter().find(|act| matches!(act.what, Do::Run { .. })).map(|act| act.key.clone())
}

/// All that is said, as plain text.
pub fn said(acts: &[Act]) -> Vec<String> {
    acts.iter()
        .filter_map(|act| match &act.what {
            Do::Say { words, .. } => Some(words.plain()),
            _ => None,
        })
        .collect()
}

/// The only thing that is said.
pub fn says(acts: &[Act]) -> String {
    let mut said = said(acts);
    assert_eq!(said.len(), 1, "{acts:?}");
    said.remove(0)
}

pub fn done() -> Outcome {
    Outcome::Applied { run: "r1".into(), commit: Some("abc123".into()) }
}

/// Whether an act posts a plan.
pub fn is_post(key: &Key) -> bool {
    key.as_str().rsplit('.').next() == Some("post")
}
