//! That a manifest changes nothing live: its own plan says so, or what it would change is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fraktalia_engine::session::Options;
use fraktalia_engine::{Session, SessionError, load};
use fraktalia_model::adopt::{Composed, Entry, Left, What};
use fraktalia_model::manifest::edit::{EditError, Text};
use fraktalia_model::{Manifest, Note, ResourceId, Severity, Span};
use fraktalia_plan::{Change, FieldChange, Plan, Verb};

use crate::app::App;
use crate::error::Failure;
use crate::registry;

/// More rounds of leaving out than this mean that something else is wrong.
const ROUNDS: usize = 40;

/// The files of a manifest as they are, and as they would be.
#[derive(Clone)]
pub struct Texts {
    main: PathBuf,
    before: BTreeMap<PathBuf, String>,
    now: BTreeMap<PathBuf, Text>,
}

impl Texts {
    /// The manifest that was named.
    pub fn of(app: &App) -> Result<Self, Failure> {
        let mut texts = Self { main: absolute(app.path())?, before: BTreeMap::new(), now: BTreeMap::new() };
        texts.file(app.path())?;
        Ok(texts)
    }

    /// One of its files, as it is by now.
    pub fn file(&mut self, path: &Path) -> Result<&mut Text, Failure> {
        let path = absolute(path)?;
        if !self.now.contains_key(&path) {
            let text = std::fs::read_to_string(&path).map_err(|source| Failure::File {
                doing: "read",
                path: path.clone(),
                source,
            })?;
            let parsed = Text::new(&text).map_err(|error| unwritten(&path, &error))?;
            self.before.insert(path.clone(), text);
            self.now.insert(path.clone(), parsed);
        }
        Ok(self.now.get_mut(&path).expect("it was put there just now"))
    }

    fn main(&mut self) -> &mut Text {
        self.now.get_mut(&self.main).expect("it was read first")
    }

    /// Each file that would change: what it is, and what it would be.
    pub fn changed(&self) -> BTreeMap<&Path, (&str, String)> {
        let both =
            self.now.iter().map(|(path, now)| (path.as_path(), (self.before[path].as_str(), now.text())));
        both.filter(|(_, (before, now))| before != now).collect()
    }

    fn as_if(&self) -> BTreeMap<PathBuf, String> {
        self.now.iter().map(|(path, text)| (path.clone(), text.text())).collect()
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let absolute = std::path::absolute(path);
    let absolute = absolute.map_err(|source| Failure::File { doing: "find", path: path.into(), source })?;
    Ok(fraktalia_model::files::normal(&absolute))
}

/// A file whose layout is not understood.
pub fn unwritten(path: &Path, error: &EditError) -> Failure {
    Failure::Forbidden {
        what: format!("{} cannot be changed: {error}", path.display()),
        hint: "`--format yaml` prints what is missing in it, to be put there by hand".into(),
    }
}

/// Something that a manifest would change or get wrong.
#[derive(Clone, Debug)]
pub struct Offence {
    /// The resource that it is about.
    pub about: Option<ResourceId>,
    /// The place in the manifest that it is about.
    pub at: Option<Span>,
    /// What it is.
    pub why: String,
}

/// What a manifest that is not on disk amounts to.
pub enum Judged {
    /// It is not right.
    Wrong(Vec<Note>),
    /// It is, and this would be done.
    Plan(Box<(Manifest, Plan)>),
}

/// Plans with manifests that are not on disk.
pub struct Prover<'a> {
    app: &'a App,
    /// What the manifest on disk would change by itself.
    changes: Vec<Change>,
    notes: BTreeSet<(String, String)>,
}

impl<'a> Prover<'a> {
    /// Plans with the manifest as it is.
    pub async fn new(app: &'a App, session: &Session) -> Result<Self, Failure> {
        let planned = session.plan(&Options::default(), false).await?;
        let errors = planned.plan.blockers().map(|note| (note.code.clone(), note.text.clone())).collect();
        let changes = planned.plan.changes.into_iter().filter(|change| change.verb != Verb::Adopt).collect();
        Ok(Self { app, changes, notes: errors })
    }

    /// Reads and plans as if these were the files.
    pub async fn judge(&self, texts: &Texts, options: &Options) -> Result<Judged, Failure> {
        let loaded = load::load_as_if(self.app.path(), &texts.as_if());
        let errors = |notes: Vec<Note>| -> Vec<Note> {
            notes.into_iter().filter(|note| note.severity == Severity::Error).collect()
        };
        let Some(manifest) = loaded.manifest else { return Ok(Judged::Wrong(errors(loaded.notes))) };
        let mut findings = errors(registry::findings(&manifest));
        findings.retain(|note| !self.notes.contains(&(note.code.clone(), note.text.clone())));
        findings.retain(|note| note.code != "docker.no-helper");
        if !findings.is_empty() {
            return Ok(Judged::Wrong(findings));
        }
        let session = self.app.session(manifest)?;
        match session.plan(options, false).await {
            Ok(planned) => Ok(Judged::Plan(Box::new((session.manifest().clone(), planned.plan)))),
            Err(SessionError::Lowering(notes)) => Ok(Judged::Wrong(notes)),
            Err(error) => Err(error.into()),
        }
    }

    /// What a manifest would change or get wrong that the one on disk would not.
    pub async fn offences(&self, texts: &Texts) -> Result<Vec<Offence>, Failure> {
        let of_note = |note: Note| Offence { about: note.about, at: note.at, why: note.text };
        match self.judge(texts, &Options::default()).await? {
            Judged::Wrong(notes) => Ok(notes.into_iter().map(of_note).collect()),
            Judged::Plan(judged) => {
                let plan = judged.1;
                let known = |note: &Note| self.notes.contains(&(note.code.clone(), note.text.clone()));
                let errors = plan.blockers().filter(|note| !known(note)).cloned().map(of_note);
                let changes = plan.changes.iter().filter(|change| {
                    change.verb != Verb::Adopt && !self.changes.iter().any(|before| same(before, change))
                });
                Ok(errors.chain(changes.map(offence)).collect())
            }
        }
    }

    /// The part of a proposal that changes nothing live, written into the manifest's text.
    pub async fn prove(&self, mut composed: Composed, texts: Texts) -> Result<(Composed, Texts), Failure> {
        for _ in 0..ROUNDS {
            let mut with = texts.clone();
            let path = with.main.clone();
            let written = write(with.main(), &composed.entries);
            written.map_err(|error| unwritten(&path, &error))?;
            let offences = self.offences(&with).await?;
            if offences.is_empty() {
                return Ok((composed, with));
            }
            let places = places(with.main(), &composed.entries);
            let mut blamed: BTreeMap<usize, String> = BTreeMap::new();
            for offence in &offences {
                let by_id = |entry: &Entry| offence.about.as_ref().is_some_and(|id| entry.asks_for(id));
                let by_place = |at: &Span| {
                    places
                        .iter()
                        .position(|lines| lines.as_ref().is_some_and(|lines| lines.contains(&at.line)))
                };
                let index =
                    composed.entries.iter().position(by_id).or_else(|| by_place(offence.at.as_ref()?));
                if let Some(index) = index {
                    blamed.entry(index).or_insert_with(|| offence.why.clone());
                }
            }
            if blamed.is_empty() {
                return Err(unproven(&offences));
            }
            leave_out(&mut composed, &blamed);
        }
        Err(unproven(&[]))
    }
}

fn unproven(offences: &[Offence]) -> Failure {
    let whys: Vec<&str> = offences.iter().take(3).map(|offence| offence.why.as_str()).collect();
    Failure::Forbidden {
        what: format!("it could not be made sure that nothing live would change: {}", whys.join("; ")),
        hint: "nothing was written; `fraktalia adopt ID` takes over one thing".into(),
    }
}

/// The same change, with whatever else may be different in the plan.
fn same(one: &Change, other: &Change) -> bool {
    let fields = |change: &Change| -> Vec<FieldChange> { change.fields.clone() };
    one.id == other.id && one.verb == other.verb && fields(one) == fields(other)
}

/// A change, said as the reason to leave something out.
fn offence(change: &Change) -> Offence {
    let fields: Vec<String> = change
        .fields
        .iter()
        .map(|field| {
            let text = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".into());
            format!("{} from {} to {}", field.field, text(&field.from), text(&field.to))
        })
        .collect();
    let why = match change.verb {
        Verb::Create => format!("{} would be made, which is not there", change.id),
        Verb::Delete => format!("{} would be removed", change.id),
        Verb::Forget => format!("{} would be given up", change.id),
        _ => format!("{} would change: {}", change.id, fields.join(", ")),
    };
    Offence { about: Some(change.id.clone()), at: None, why }
}

/// Puts entries into a manifest.
fn write(text: &mut Text, entries: &[Entry]) -> Result<(), EditError> {
    for (what, section) in [(What::User, "users"), (What::Room, "rooms"), (What::Fractal, "fractals")] {
        let of = entries.iter().filter(|entry| entry.what == what);
        let all: Vec<_> = of.map(|entry| (entry.key.clone(), entry.value.clone())).collect();
        text.insert(&[section], &all)?;
    }
    let of = entries.iter().filter(|entry| entry.what == What::Binding);
    let bindings: Vec<_> = of.map(|entry| entry.value.clone()).collect();
    if !bindings.is_empty() {
        text.push(&["bindings"], &bindings)?;
    }
    match entries.iter().find(|entry| entry.what == What::CatchAll) {
        Some(entry) => text.set(&["openclaw", "catch_all"], &entry.value),
        None => Ok(()),
    }
}

/// The lines on which each entry stands.
fn places(text: &Text, entries: &[Entry]) -> Vec<Option<std::ops::RangeInclusive<u32>>> {
    use fraktalia_model::manifest::edit::Value;
    let all = match text.get(&["bindings"]) {
        Some(Value::List(items)) => items.len(),
        _ => 0,
    };
    let new = entries.iter().filter(|entry| entry.what == What::Binding).count();
    let mut next = all.saturating_sub(new);
    let place = |entry: &Entry| {
        let item = (entry.what == What::Binding).then(|| {
            next += 1;
            next - 1
        });
        text.lines(&entry.path(), item)
    };
    entries.iter().map(place).collect()
}

/// Takes entries out of a proposal, and those that refer to them.
fn leave_out(composed: &mut Composed, blamed: &BTreeMap<usize, String>) {
    let mut gone: BTreeSet<(What, String)> = BTreeSet::new();
    let mut out: Vec<Left> = Vec::new();
    let left =
        |entry: &Entry, why: String| Left { kind: entry.what.word().into(), name: entry.title.clone(), why };
    for (index, why) in blamed {
        let entry = &composed.entries[*index];
        gone.insert((entry.what, entry.key.clone()));
        // A fractal's room is a room that others may refer to.
        if entry.what == What::Fractal {
            gone.insert((What::Room, entry.key.clone()));
        }
        out.push(left(entry, why.clone()));
    }
    let mut entries: Vec<Entry> = std::mem::take(&mut composed.entries);
    let mut index = 0;
    entries.retain(|_| {
        index += 1;
        !blamed.contains_key(&(index - 1))
    });
    loop {
        let lost = entries.iter().position(|entry| entry.needs.iter().any(|need| gone.contains(need)));
        let Some(index) = lost else { break };
        let entry = entries.remove(index);
        gone.insert((entry.what, entry.key.clone()));
        out.push(left(&entry, "it refers to something that is left out".into()));
    }
    composed.entries = entries;
    composed.left.extend(out);
}
