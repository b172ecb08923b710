//! Whatever happens in whatever order: nothing is done that no operator has said yes to.
//!
//! A judge of its own watches what goes in and what comes out. It knows the rules and nothing of how the desk keeps them.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_desk::{Act, Approval, Ask, CaseId, Do, EventId, Key, Order, Outcome, Planned, Sent, What};
use fraktalia_model::Note;
use proptest::prelude::*;

use crate::room::{
    AGENT, ANA, BEN, NO, OTHER, OURS, Room, STRANGER, YES, event, filing, fragment, plan, policy_with, user,
};

const PEOPLE: [&str; 6] = [ANA, BEN, AGENT, OTHER, STRANGER, OURS];
const NAMES: [&str; 5] = ["cook", "baker", "smith", "miller", "potter"];

/// Something that happens. Numbers choose among what there is at that moment.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Propose { who: usize, name: usize, thread: Option<usize> },
    React { who: usize, on: usize, key: usize, vouched: bool, joined: bool },
    Edit { who: usize, of: usize },
    Redact { who: usize, of: usize },
    Leave { who: usize },
    Again { which: usize },
    Answer { which: usize, how: usize },
    Rollback { who: usize },
    File { token: usize, number: usize, name: usize, remove: bool, apply: bool },
    Remove { who: usize },
    Drift { which: usize },
    Settle,
    Wait { minutes: u64 },
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let who = 0..PEOPLE.len();
    let which = 0_usize..1000;
    let deed = prop_oneof![
        6 => (0_usize..4, 0..NAMES.len(), proptest::option::weighted(0.3, which.clone()))
            .prop_map(|(who, name, thread)| Deed::Propose { who, name, thread }),
        10 => (who.clone(), which.clone(), 0_usize..5, proptest::bool::weighted(0.9), proptest::bool::weighted(0.9))
            .prop_map(|(who, on, key, vouched, joined)| Deed::React { who, on, key, vouched, joined }),
        2 => (who.clone(), which.clone()).prop_map(|(who, of)| Deed::Edit { who, of }),
        2 => (who.clone(), which.clone()).prop_map(|(who, of)| Deed::Redact { who, of }),
        1 => who.clone().prop_map(|who| Deed::Leave { who }),
        3 => which.clone().prop_map(|which| Deed::Again { which }),
        16 => (which.clone(), 0_usize..12).prop_map(|(which, how)| Deed::Answer { which, how }),
        1 => who.clone().prop_map(|who| Deed::Rollback { who }),
        1 => who.prop_map(|who| Deed::Remove { who }),
        5 => (0_usize..4, 0_usize..8, 0..NAMES.len() + 1, proptest::bool::weighted(0.3), any::<bool>())
            .prop_map(|(token, number, name, remove, apply)| Deed::File { token, number, name, remove, apply }),
        1 => (0_usize..3).prop_map(|which| Deed::Drift { which }),
        1 => Just(Deed::Settle),
        2 => (1_u64..600).prop_map(|minutes| Deed::Wait { minutes }),
    ];
    proptest::collection::vec(deed, 1..120)
}

/// What the judge remembers.
#[derive(Default)]
struct Judge {
    /// The case and the round of each message with a plan.
    plans: BTreeMap<EventId, (CaseId, u32)>,
    /// The present round of each case by its message, so that an older one does not count.
    newest: BTreeMap<CaseId, EventId>,
    /// Good reactions by operators, by message: whose, and to what they say yes.
    yes: BTreeMap<EventId, BTreeSet<(EventId, String)>>,
    /// Reactions that were taken back.
    gone: BTreeSet<EventId>,
    keys: BTreeSet<Key>,
    /// Cases whose end was said, or that were applied.
    over: BTreeSet<CaseId>,
    /// What tokens asked to have done at once: the token, and the fractal.
    applies: BTreeSet<(String, String)>,
    /// The newest plan of each case.
    planned: BTreeMap<CaseId, String>,
    /// The run that is at work.
    running: Option<(Key, CaseId)>,
}

/// The fractal that is added or removed.
fn order_name(order: &Order) -> &str {
    match order {
        Order::Add { name, .. } | Order::Remove { name } => name,
        Order::Rollback | Order::PutBack | Order::TakeIn => "",
    }
}

impl Judge {
    /// An operator said yes to just that.
    fn approved(&self, case: &CaseId, order: &Order, reaction: &EventId, message: &EventId) {
        let shown = self.plans.get(message).map(|(case, _)| case);
        assert_eq!(shown, Some(case), "the message that was reacted to shows this case");
        assert_eq!(self.newest.get(case), Some(message), "and its newest plan");
        assert!(!self.gone.contains(reaction), "the yes was not taken back");
        let given = self.yes.get(message).into_iter().flatten();
        let keys: Vec<&str> =
            given.filter(|(this, _)| this == reaction).map(|(_, key)| key.as_str()).collect();
        let meant: &[&str] = match order {
            Order::PutBack => &["↩"],
            Order::TakeIn => &["📥"],
            Order::Add { .. } | Order::Remove { .. } | Order::Rollback => &[YES],
        };
        assert_eq!(keys, meant, "an operator said yes to just that");
    }

    /// Judges what is to be done.
    fn acts(&mut self, acts: &[Act]) {
        for act in acts {
            assert!(self.keys.insert(act.key.clone()), "a key is used once: {}", act.key);
            if let Do::Run { case, credits, order, .. } = &act.what {
                assert!(self.running.is_none(), "one thing is done at a time");
                assert!(!self.over.contains(case), "what is over is not done: {case}");
                match &credits.approved {
                    Approval::Operator { reaction, message, .. } => {
                        self.approved(case, order, reaction, message);
                    }
                    Approval::Token { name, fingerprint } => {
                        assert!(["root", "other"].contains(&name.as_str()), "the manifest lets it: {name}");
                        let asked =
                            self.applies.iter().any(|(token, of)| token == name && of == order_name(order));
                        assert!(asked, "the token itself asked for that, to be done at once");
                        assert_eq!(self.planned.get(case), Some(fingerprint), "its newest plan");
                    }
                }
                self.running = Some((act.key.clone(), case.clone()));
            }
            let text = act.key.as_str();
            if let Some((case, step)) = text.split_once('.').map(|(case, rest)| (case, rest.split_once('.')))
            {
                let ends = matches!(step, Some((_, "end")))
                    || matches!(&act.what, Do::Say { words, .. } if words.plain().starts_with("Void: "));
                if ends {
                    let case = case_id(case);
                    assert!(self.over.insert(case), "the end of a case is said once: {text}");
                }
            }
        }
    }
}

fn case_id(text: &str) -> CaseId {
    serde_json::from_value(text.into()).expect("a case id is a text")
}

struct Play {
    room: Room,
    judge: Judge,
    /// Acts that wait for an answer.
    open: Vec<Act>,
    /// All events that there were: whatever can be reacted to, edited, redacted.
    events: Vec<EventId>,
    /// Messages that show a plan.
    plans: Vec<EventId>,
    heard: Vec<What>,
}

impl Play {
    fn new() -> Self {
        Self {
            room: Room::with(policy_with(&[
                ("per_day: 3", "per_day: 50"),
                (
                    "open: 2",
                    "open: 10
    per_minute: 100",
                ),
            ])),
            judge: Judge::default(),
            open: Vec::new(),
            events: vec![event("$none")],
            plans: Vec::new(),
            heard: Vec::new(),
        }
    }

    fn hear(&mut self, what: What) {
        self.heard.push(what.clone());
        let acts = self.room.hear(what);
        self.judge.acts(&acts);
        self.open.extend(acts.into_iter().filter(|act| {
            matches!(act.what, Do::Plan { .. } | Do::Run { .. } | Do::TakeBack { .. } | Do::Look(_))
                || matches!(act.what, Do::Say { .. })
        }));
        let running = self.room.desk.cases().filter(|case| case.is_at_work()).count();
        assert!(running <= 1);
    }

    /// Something to act on: a plan more often than not, or nothing would ever be approved.
    fn event(&self, which: usize) -> EventId {
        if !which.is_multiple_of(3) && !self.plans.is_empty() {
            let back = (which / 3) % self.plans.len().min(6);
            return self.plans[self.plans.len() - 1 - back].clone();
        }
        // The younger, the likelier.
        let back = which % self.events.len().min(12);
        self.events[self.events.len() - 1 - back].clone()
    }

    fn sent(&mut self, who: usize) -> Sent {
        let sent = self.room.sent(PEOPLE[who]);
        self.events.push(sent.event.clone());
        sent
    }

    fn does(&mut self, deed: Deed) {
        match deed {
            Deed::Propose { who, name, thread } => {
                let answers = thread.map(|which| self.event(which));
                // Operators propose too, the agents more often.
                let sent = self.sent([2, 3, 0, 4][who]);
                let body = fragment(NAMES[name]);
                self.hear(What::Message { sent, answers, body, attachment: None });
            }
            Deed::React { who, on, key, vouched, joined } => self.react(who, on, key, vouched, joined),
            Deed::Edit { who, of } => {
                let of = self.event(of);
                let sent = self.sent(who);
                self.hear(What::Edited { sent, of });
            }
            Deed::Redact { who, of } => {
                let of = self.event(of);
                let sent = self.sent(who);
                self.judge.gone.insert(of.clone());
                self.hear(What::Redacted { sent, of });
            }
            Deed::Leave { who } => {
                let sent = self.sent(who);
                self.hear(What::Left { event: sent.event, who: user(PEOPLE[who]) });
            }
            Deed::Again { which } => {
                if let Some(what) = self.heard.get(which % self.heard.len().max(1)).cloned() {
                    self.hear(what);
                }
            }
            Deed::Answer { which, how } => self.answer(which, how),
            Deed::Rollback { who } => {
                let sent = self.sent(who);
                self.hear(What::Message { sent, answers: None, body: "!rollback".into(), attachment: None });
            }
            Deed::Remove { who } => {
                let sent = self.sent(who);
                let body = "!remove herder".into();
                self.hear(What::Message { sent, answers: None, body, attachment: None });
            }
            Deed::File { token, number, name, remove, apply } => {
                let token = ["ci", "root", "other", "nobody"][token];
                let name = NAMES.get(name).copied().unwrap_or("herder");
                let fragment = format!("fractals:\n  {name}:\n    members: [ana, ben]\n");
                let ask = if remove { Ask::Remove { name: name.into() } } else { Ask::Add { fragment } };
                if apply {
                    self.judge.applies.insert((token.into(), name.into()));
                }
                self.hear(filing(token, &format!("api {token} {number}"), ask, apply));
            }
            Deed::Drift { which } => self.hear(What::Drifted { plan: plan(&format!("drift-{which}")) }),
            Deed::Settle => self.hear(What::Settled),
            Deed::Wait { minutes } => {
                self.room.now += minutes * 60_000;
                self.hear(What::Tick);
            }
        }
    }

    fn react(&mut self, who: usize, on: usize, key: usize, vouched: bool, joined: bool) {
        let on = self.event(on);
        let key = [YES, NO, "↩", "📥", "👍"][key];
        let sent = Sent { vouched, joined, ..self.sent(who) };
        if vouched && joined && matches!(PEOPLE[who], ANA | BEN) {
            self.judge.yes.entry(on.clone()).or_default().insert((sent.event.clone(), key.into()));
        }
        self.hear(What::Reaction { sent, on, key: key.into() });
    }

    /// Whoever was asked answers, in any order, one way or another.
    fn answer(&mut self, which: usize, how: usize) {
        if self.open.is_empty() {
            return;
        }
        // A run takes longer than a plan or a message, so that something happens meanwhile.
        let quick = self
            .open
            .iter()
            .position(|act| !matches!(act.what, Do::Run { .. }))
            .filter(|_| !which.is_multiple_of(4));
        let act = self.open.remove(quick.unwrap_or(which % self.open.len()));
        let key = act.key;
        match act.what {
            Do::Say { .. } => {
                let event = event(&format!("$said{}", self.events.len()));
                self.events.push(event.clone());
                self.shown(&key, &event);
                self.hear(What::Posted { key, event });
            }
            Do::Plan { case, .. } => {
                let print = format!("print-{}", self.events.len());
                self.judge.planned.insert(case, print.clone());
                let answer = match how {
                    0 => Planned::Findings(vec![Note::error("x", "no")]),
                    1 => Planned::Unable("away".into()),
                    _ => Planned::Plan(plan(&print)),
                };
                self.hear(What::Planned { key, answer });
            }
            Do::Run { .. } => {
                let outcome = match how {
                    0 | 1 => Outcome::Stale,
                    2 | 3 => Outcome::Busy("another".into()),
                    4 => Outcome::RolledBack { run: None, reason: "no".into() },
                    5 => Outcome::Stuck { run: None, reason: "no".into() },
                    _ => Outcome::Applied { run: "r".into(), commit: None },
                };
                let (running, _) = self.judge.running.take().expect("it was begun");
                assert_eq!(running, key);
                self.hear(What::Ran { key, outcome });
            }
            Do::TakeBack { .. } => self.hear(What::TakenBack { key, failed: None }),
            Do::Look(_) => self.hear(What::Looked { key, text: "x".into() }),
            _ => {}
        }
    }

    /// Remembers which plan a message shows.
    fn shown(&mut self, key: &Key, event: &EventId) {
        let mut parts = key.as_str().split('.');
        if let (Some(case), Some(round), Some("post")) = (parts.next(), parts.next(), parts.next()) {
            let (case, round): (CaseId, u32) = (case_id(case), round.parse().expect("a round"));
            let newest = self.judge.newest.get(&case).and_then(|event| self.judge.plans.get(event));
            if newest.is_none_or(|(_, before)| *before < round) {
                self.judge.newest.insert(case.clone(), event.clone());
            }
            self.plans.push(event.clone());
            self.judge.plans.insert(event.clone(), (case, round));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_done_without_an_operators_yes_to_the_present_plan(deeds in deeds()) {
        let mut play = Play::new();
        for deed in deeds {
            play.does(deed);
        }
    }

    /// Stored and read after every input, a desk does what it would have done.
    #[test]
    fn a_desk_that_was_stored_goes_on_as_if_it_was_not(deeds in deeds()) {
        let (mut kept, mut stored) = (Play::new(), Play::new());
        for deed in deeds.into_iter().take(40) {
            kept.does(deed);
            stored.does(deed);
            let text = serde_json::to_string(&stored.room.desk).expect("it can be written");
            let seen: Vec<_> = stored.events.iter().filter_map(|event| {
                Some((event.clone(), stored.room.desk.seen().get(event)?))
            }).collect();
            let read: fraktalia_desk::Desk = serde_json::from_str(&text).expect("it can be read");
            stored.room.desk = read.with_seen(seen);
            prop_assert_eq!(&kept.room.acts, &stored.room.acts);
        }
    }
}
