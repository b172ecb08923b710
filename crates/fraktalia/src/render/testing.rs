//! Plans built by hand, for tests of what is printed.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_model::{Note, ResourceId, Span, id};
use fraktalia_plan::{
    Basis, Cause, Change, Edge, FieldChange, Impact, Plan, Sealed, Step, StepId, Verb, Why,
};

use super::look::{Detail, Look};
use super::plan::About;

/// A look without colour.
pub fn plain(width: usize) -> Look {
    Look { colour: false, width, detail: Detail::Brief }
}

/// A plan without anything in it.
pub fn empty() -> Plan {
    Plan {
        realm: "home".into(),
        basis: Basis {
            format: fraktalia_plan::plan::FORMAT,
            manifest: "3f2a91c07e".into(),
            touched: BTreeMap::new(),
        },
        changes: Vec::new(),
        steps: Vec::new(),
        edges: Vec::new(),
        notes: Vec::new(),
        records: BTreeMap::new(),
        forgotten: BTreeSet::new(),
        strangers: BTreeMap::new(),
    }
}

/// What the command knows besides the plan.
pub fn about(fractals: &[&str]) -> About {
    About {
        manifest: "fraktalia.yaml".into(),
        origin: Some(fraktalia_engine::git::Origin {
            commit: "3f2a91cb7f0e5d1c2b3a495867788990a1b2c3d4".into(),
            changed: false,
            branch: None,
            subject: None,
            author: None,
        }),
        fractals: fractals.iter().map(ToString::to_string).collect(),
        server: Some("chat.home".into()),
        read: vec![
            ("matrix".into(), "2 changes since the last look".into()),
            ("openclaw".into(), String::new()),
            ("docker".into(), String::new()),
        ],
        took: Some(std::time::Duration::from_millis(80)),
    }
}

/// A change that comes with a summary.
pub fn comes(id: ResourceId, subject: &str, title: &str, summary: &str) -> Change {
    Change {
        id,
        subject: subject.into(),
        verb: Verb::Create,
        title: title.into(),
        summary: summary.into(),
        fields: Vec::new(),
        why: "new in the manifest".into(),
    }
}

/// A change of another verb.
pub fn turned(change: Change, verb: Verb, why: &str) -> Change {
    Change { verb, why: why.into(), ..change }
}

/// A change of fields.
pub fn changes(id: ResourceId, subject: &str, title: &str, fields: Vec<FieldChange>) -> Change {
    let why = fields.first().map_or("", |field| field.cause.text());
    Change { fields, ..turned(comes(id, subject, title, "as it is to be"), Verb::Update, why) }
}

/// A field from old to new.
pub fn field(field: &str, from: Option<&str>, to: Option<&str>, cause: Cause) -> FieldChange {
    FieldChange { field: field.into(), from: from.map(Into::into), to: to.map(Into::into), cause }
}

/// A step that realises what it is given.
pub fn step(id: StepId, title: &str, realises: Vec<ResourceId>, impact: Impact) -> Step {
    let system = realises[0].system.clone();
    Step {
        id,
        title: title.into(),
        realises,
        op: Sealed { system: system.clone(), format: 1, body: serde_json::json!({"never": "shown"}) },
        system,
        impact,
    }
}

fn edge(from: StepId, to: StepId, why: Why) -> Edge {
    Edge { from, to, why }
}

/// A new fractal, a changed one, one binding that goes: the plan of the guide.
pub fn garden() -> Plan {
    let mut plan = empty();
    let members = ["ana", "ben", "agent"].map(|user| {
        let id = id::member("gardener", &format!("@{user}:chat.home"));
        comes(id, "gardener", &format!("@{user}:chat.home"), "joined")
    });
    plan.changes = vec![
        comes(id::room("gardener"), "gardener", "#gardener:chat.home", "invite only; agent, ana, ben"),
        comes(id::tree("gardener"), "gardener", "/srv/openclaw/agents/gardener", "2 files, 996:1100"),
        comes(id::file("gardener", "AGENTS.md"), "gardener", "AGENTS.md", "seeded once"),
        comes(id::file("gardener", "SOUL.md"), "gardener", "SOUL.md", "seeded once"),
        comes(id::agent("gardener"), "gardener", "gardener", "anthropic/claude-sonnet-4-5, sandbox standard"),
        comes(
            id::binding("gardener", "room/gardener"),
            "gardener",
            "#gardener -> gardener",
            "before the catch-all (felix); room id known after apply",
        ),
        changes(
            id::room("cook"),
            "cook",
            "#cook:chat.home",
            vec![field(
                "topic",
                Some("Soups and stews for the whole house"),
                Some("Soups and sauces for the whole house"),
                Cause::Manifest,
            )],
        ),
        changes(
            id::agent("cook"),
            "cook",
            "cook",
            vec![
                field("sandbox.docker.memory", Some("16g"), Some("8g"), Cause::Drift),
                field("model.primary", None, Some("anthropic/claude-sonnet-4-5"), Cause::Manifest),
            ],
        ),
        turned(
            comes(id::binding("mox", "room/lounge"), "lounge", "#lounge -> mox", ""),
            Verb::Delete,
            "left the manifest",
        ),
    ];
    plan.changes.extend(members);
    garden_steps(&mut plan);
    plan.strangers = BTreeMap::from([("agents".into(), 11), ("bindings".into(), 14), ("rooms".into(), 1)]);
    plan
}

fn garden_steps(plan: &mut Plan) {
    let restart = "the Matrix channel restarts (about 6 s, messages wait)";
    let document = vec![
        id::agent("gardener"),
        id::binding("gardener", "room/gardener"),
        id::agent("cook"),
        id::binding("mox", "room/lounge"),
    ];
    plan.steps = vec![
        step(1, "create #gardener:chat.home", vec![id::room("gardener")], Impact::Quiet),
        step(2, "set the topic of #cook:chat.home", vec![id::room("cook")], Impact::Quiet),
        step(
            3,
            "write the workspace of gardener (2 files)",
            vec![id::tree("gardener"), id::file("gardener", "AGENTS.md"), id::file("gardener", "SOUL.md")],
            Impact::Quiet,
        ),
    ];
    for (at, user) in (4..).zip(["agent", "ana", "ben"]) {
        let id = id::member("gardener", &format!("@{user}:chat.home"));
        plan.steps.push(step(
            at,
            &format!("join @{user}:chat.home to #gardener:chat.home"),
            vec![id],
            Impact::Quiet,
        ));
        plan.edges.push(edge(1, at, Why::NeedsOutput(id::room("gardener"))));
        plan.edges.push(edge(at, 7, Why::Requires(plan.steps[at as usize - 1].realises[0].clone())));
    }
    plan.steps.push(step(7, "write openclaw.json (4 changes)", document, Impact::Disruptive(restart.into())));
    plan.edges.push(edge(1, 7, Why::NeedsOutput(id::room("gardener"))));
    plan.edges.push(edge(3, 7, Why::Requires(id::tree("gardener"))));
    plan.edges.sort();
}

/// The same, with a room that is purged and things that are in the way.
pub fn blocked() -> Plan {
    let mut plan = garden();
    plan.notes = vec![
        Note::error("plan.not-ours", "matrix/room/gardener is there already and is of realm `other`")
            .about(&id::room("gardener"))
            .at(&Span { file: "/fraktalia.yaml".into(), line: 2, column: 3, length: 8 })
            .hint("choose another name, or take it over with `fraktalia adopt matrix/room/gardener`"),
        Note::warning("matrix.left", "ana left #cook:chat.home by herself and is left in peace")
            .hint("`members_policy: exact` joins her again"),
    ];
    plan
}
