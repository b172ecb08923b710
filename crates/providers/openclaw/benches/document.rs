//! How long it takes to read, edit and write an `openclaw.json` with thousands of agents, in both dialects.

use std::fmt::Write as _;

use divan::Bencher;
use fraktalia_model::manifest::Dialect;
use fraktalia_model::{Outputs, RoomId, Value};
use fraktalia_openclaw::{BindingSpec, Document, Edit, Field, GroupSpec, OpenClawOp, PeerSpec, Step};

fn main() {
    divan::main();
}

const DIALECTS: [Dialect; 2] = [Dialect::List, Dialect::Entries];

/// Without optimisation only whether it runs is of interest.
const AGENTS: usize = if cfg!(debug_assertions) { 50 } else { 5_000 };

fn sizes() -> &'static [usize] {
    if cfg!(debug_assertions) { &[5] } else { &[1, 100, 1_000] }
}

/// A file as people write it: each agent with a comment, a binding and the settings of its room.
fn file(dialect: Dialect) -> String {
    let mut agents = String::new();
    let mut bindings = String::new();
    let mut groups = String::new();
    for index in 0..AGENTS {
        let _ = match dialect {
            Dialect::List => {
                writeln!(
                    agents,
                    "      {{ id: 'a{index}', name: 'Agent {index}', workspace: '/srv/a{index}' }}, // by hand"
                )
            }
            Dialect::Entries => writeln!(
                agents,
                "      a{index}: {{\n        name: 'Agent {index}', // by hand\n        workspace: '/srv/a{index}',\n      }},"
            ),
        };
        let _ = writeln!(
            bindings,
            "    {{ agentId: 'a{index}', match: {{ channel: 'matrix', peer: {{ kind: 'channel', id: '!r{index}' }} }} }},"
        );
        let _ = writeln!(groups, "        '!r{index}': {{ enabled: true, autoReply: true }},");
    }
    let table = match dialect {
        Dialect::List => format!("list: [\n{agents}    ]"),
        Dialect::Entries => format!("entries: {{\n{agents}    }}"),
    };
    format!(
        "// Ours\n{{\n  agents: {{\n    {table},\n  }},\n  bindings: [\n{bindings}    {{ agentId: 'a0', match: {{ channel: \
         'matrix' }} }}, // last\n  ],\n  channels: {{\n    matrix: {{\n      enabled: true,\n      groups: {{\n{groups}      \
         }},\n    }},\n  }},\n}}\n"
    )
}

/// The edits for many new fractals: an agent, a binding and the settings of a room for each.
fn new_fractals(many: usize) -> OpenClawOp {
    let room = |index: usize| Value::Known(RoomId(format!("!new{index}")));
    let field = |key: &str, value: String| Field { path: vec![key.into()], value: value.into() };
    let agents = (0..many).map(|index| Edit::PutAgent {
        id: format!("new{index}"),
        fields: vec![field("name", format!("New {index}")), field("workspace", format!("/srv/new{index}"))],
    });
    let bindings = (0..many).map(|index| {
        Edit::PutBinding(BindingSpec {
            agent: format!("new{index}"),
            account: None,
            peer: PeerSpec::Room(room(index)),
            shown: format!("#new{index}"),
        })
    });
    let groups = (0..many).map(|index| {
        Edit::PutGroup(GroupSpec { room: room(index), shown: format!("#new{index}"), auto_reply: Some(true) })
    });
    OpenClawOp { dialect: None, edits: agents.chain(bindings).chain(groups).collect() }
}

/// The edits that take away all that `file` has of the first agents.
fn fractals_that_go(many: usize) -> OpenClawOp {
    let bindings = (0..many).map(|index| {
        Edit::DropBinding(BindingSpec {
            agent: format!("a{index}"),
            account: None,
            peer: PeerSpec::Room(Value::Known(RoomId(format!("!r{index}")))),
            shown: String::new(),
        })
    });
    let groups = (0..many).map(|index| Edit::DropGroup { room: RoomId(format!("!r{index}")) });
    let agents = (1..=many).map(|index| Edit::DropAgent { id: format!("a{index}") });
    OpenClawOp { dialect: None, edits: bindings.chain(groups).chain(agents).collect() }
}

fn after(op: &OpenClawOp, text: &str) -> String {
    let edited = op.edited(text, &Outputs::new(), &|name| name.into()).expect("it can be edited");
    edited.expect("something changes")
}

#[divan::bench(args = DIALECTS)]
fn read(bencher: Bencher<'_, '_>, dialect: Dialect) {
    let text = file(dialect);
    bencher.bench_local(|| Document::parse(&text).map(drop));
}

#[divan::bench(args = DIALECTS)]
fn read_set_one_field_and_write(bencher: Bencher<'_, '_>, dialect: Dialect) {
    let text = file(dialect);
    let last = format!("a{}", AGENTS - 1);
    bencher.bench_local(|| {
        let mut document = Document::parse(&text).expect("it is JSON5");
        let path = match dialect {
            Dialect::List => {
                [Step::Key("agents"), Step::Key("list"), Step::At(AGENTS - 1), Step::Key("name")]
            }
            Dialect::Entries => {
                [Step::Key("agents"), Step::Key("entries"), Step::Key(&last), Step::Key("name")]
            }
        };
        document.set(&path, &"Another".into()).expect("there is an agent");
        document.render().expect("both readers agree")
    });
}

#[divan::bench(args = sizes(), consts = [false, true], sample_count = 5, sample_size = 1)]
fn add_fractals<const ENTRIES: bool>(bencher: Bencher<'_, '_>, many: usize) {
    let text = file(DIALECTS[usize::from(ENTRIES)]);
    let op = new_fractals(many);
    bencher.bench_local(|| after(&op, &text));
}

#[divan::bench(args = sizes(), consts = [false, true], sample_count = 5, sample_size = 1)]
fn drop_fractals<const ENTRIES: bool>(bencher: Bencher<'_, '_>, many: usize) {
    let text = file(DIALECTS[usize::from(ENTRIES)]);
    let op = fractals_that_go(many);
    bencher.bench_local(|| after(&op, &text));
}
