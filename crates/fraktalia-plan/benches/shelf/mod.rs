//! A shelf of many boxes, as wanted, as seen and as recorded: what a planner is given. Every fifth box is a base, and
//! the four after it stand on it, as members and a binding stand on their room.

use std::path::Path;
use std::sync::{Arc, Mutex};

use fraktalia_model::manifest::OnRemove;
use fraktalia_model::{Manifest, Outputs, RoomId};
use fraktalia_plan::erase::{AnyDesired, AnyObserved, DynSystem};
use fraktalia_plan::planner::{self, Input, Options, View};
use fraktalia_plan::{Observed, Owner, Plan, Record, Records, Resource, Seen};
use fraktalia_testkit::toy::{BoxSpec, BoxState, Shelf, World, id, wish};

const NAME: &str = "shelf";

/// What is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// Nothing, and nothing is on record.
    Nothing,
    /// All of it, as wanted and as recorded.
    All,
}

/// Everything that a plan depends on.
pub struct Stand {
    shelf: Shelf,
    manifest: Manifest,
    desired: AnyDesired,
    observed: AnyObserved,
    records: Records,
    options: Options,
}

impl Stand {
    /// A shelf that is to hold `many` boxes.
    pub fn of(many: usize, there: There) -> Self {
        let wishes: Vec<Resource<BoxSpec>> = (0..many).map(wanted).collect();
        let shelf = Shelf::new(NAME, wishes.clone(), Arc::new(Mutex::new(World::default())));
        let manifest = fraktalia_testkit::manifest::empty("home", Path::new("/tmp"));
        let desired = DynSystem::lower(&shelf, &manifest).expect("a shelf takes every wish");
        let mut observed = Observed::default();
        let mut records = Records::new();
        if there == There::All {
            for wish in &wishes {
                observed.outputs.set(&wish.id, &number(&wish.id.name));
                observed.found.insert(wish.id.clone(), Seen { state: seen(wish), owner: Owner::Ours });
            }
            records.extend(wishes.iter().map(|wish| (wish.id.clone(), recorded(wish, &observed.outputs))));
        }
        Self { shelf, manifest, desired, observed: observed.into(), records, options: Options::default() }
    }

    /// The plan for it.
    pub fn plan(&self) -> Plan {
        planner::plan(&Input {
            manifest: &self.manifest,
            systems: vec![View { system: &self.shelf, desired: &self.desired, observed: &self.observed }],
            records: &self.records,
            options: &self.options,
        })
    }
}

fn name(index: usize) -> String {
    format!("box{index:06}")
}

/// What a box yields: its own name does.
fn number(name: &str) -> RoomId {
    RoomId(name.to_owned())
}

fn wanted(index: usize) -> Resource<BoxSpec> {
    let base = index - index % 5;
    let on = if index == base { Vec::new() } else { vec![id(NAME, &name(base))] };
    let mut wish = wish(NAME, &name(index), &format!("label of {index}"), &on);
    wish.on_remove = OnRemove::Delete;
    wish
}

fn seen(wish: &Resource<BoxSpec>) -> BoxState {
    let on = wish.requires.iter().map(|other| (other.to_string(), number(&other.name).0));
    BoxState {
        number: 1,
        label: wish.spec.label.clone(),
        on: on.collect(),
        realm: Some("home".into()),
        precious: false,
        stamp: "run/1".into(),
    }
}

fn recorded(wish: &Resource<BoxSpec>, known: &Outputs) -> Record {
    let mut spec = wish.spec.clone();
    fraktalia_plan::Spec::settle(&mut spec, known);
    Record {
        spec: fraktalia_plan::SpecText::of(&spec),
        requires: wish.requires.clone(),
        on_remove: wish.on_remove,
        subject: wish.subject.clone(),
    }
}
