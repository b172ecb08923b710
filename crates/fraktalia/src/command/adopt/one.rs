//! `adopt ID`: one thing that only lives, that is in the way, or that drifted.

use std::collections::BTreeSet;

use fraktalia_engine::session::Options as Planning;
use fraktalia_model::adopt::takeover::{self, Edit, Known};
use fraktalia_model::adopt::{Composed, Entry, Left, What};
use fraktalia_model::manifest::edit::EditError;
use fraktalia_model::{Living, Manifest, ResourceId, Severity};
use fraktalia_plan::{Plan, Verb};

use super::proof::{Judged, Prover, Texts, unwritten};
use crate::app::App;
use crate::cli::AdoptArgs;
use crate::error::Failure;
use crate::exit::Exit;
use crate::out;
use crate::render::adopt as page;

/// One edit may show the next difference: after so many times it will not end.
const ROUNDS: usize = 12;

/// Takes over what was named.
pub async fn run(
    app: &App,
    args: &AdoptArgs,
    living: &Living,
    composed: Composed,
    prover: &Prover<'_>,
) -> Result<Exit, Failure> {
    let (new, known): (Vec<&String>, Vec<&String>) =
        args.ids.iter().partition(|id| composed.entries.iter().any(|entry| is_meant(entry, id)));
    let mut texts = Texts::of(app)?;
    let mut taken = Composed::default();
    if !new.is_empty() {
        let part = with_needs(&composed, |entry| new.iter().any(|id| is_meant(entry, id)));
        let asked: BTreeSet<(What, String)> =
            part.entries.iter().map(|entry| (entry.what, entry.key.clone())).collect();
        let (part, with) = prover.prove(part, texts).await?;
        let still = |id: &&String| part.entries.iter().any(|entry| is_meant(entry, id));
        if part.entries.len() < asked.len()
            && let Some(lost) = new.iter().find(|id| !still(id))
        {
            return Err(lost_on_the_way(lost, &part.left));
        }
        (taken, texts) = (part, with);
    }
    for id in known {
        let target = Target { app, args, living, prover, id };
        target.take_over(&composed.left, &mut texts).await?;
    }
    tell(app, args, &taken, &texts)
}

/// Shows or writes what changed.
fn tell(app: &App, args: &AdoptArgs, taken: &Composed, texts: &Texts) -> Result<Exit, Failure> {
    if texts.changed().is_empty() {
        out::talk("The manifest says already what lives.\n");
        return Ok(Exit::OK);
    }
    if args.format == crate::cli::AdoptFormat::Text {
        out::data(&page::manifest_diff(&texts.changed(), &app.out))?;
        if !args.write {
            out::talk("\nNothing was changed. `--write` writes it.\n");
            return Ok(Exit::OK);
        }
        let kept = super::save::save(app, texts)?;
        out::talk(&page::written(&app.path().display().to_string(), &kept, &app.err));
        return Ok(Exit::OK);
    }
    super::finish(app, args, taken, texts, &[])
}

/// Whether somebody means this entry by that name.
fn is_meant(entry: &Entry, name: &str) -> bool {
    let by_key = entry.key == name && matches!(entry.what, What::User | What::Room | What::Fractal);
    let by_id = name.parse::<ResourceId>().is_ok_and(|id| entry.asks_for(&id));
    by_key || by_id || entry.room.as_ref().is_some_and(|room| room.0 == name) || entry.title == name
}

/// The part of a proposal that is chosen, and what that refers to.
fn with_needs(composed: &Composed, chosen: impl Fn(&Entry) -> bool) -> Composed {
    let mut wanted: BTreeSet<(What, String)> = BTreeSet::new();
    let mut open: Vec<&Entry> = composed.entries.iter().filter(|entry| chosen(entry)).collect();
    while let Some(entry) = open.pop() {
        if wanted.insert((entry.what, entry.key.clone())) {
            let is_needed = |other: &&Entry| {
                let key = (other.what, other.key.clone());
                let as_room = (What::Room, other.key.clone());
                entry.needs.contains(&key) || (other.what == What::Fractal && entry.needs.contains(&as_room))
            };
            open.extend(composed.entries.iter().filter(is_needed));
        }
    }
    let is_wanted = |entry: &&Entry| wanted.contains(&(entry.what, entry.key.clone()));
    Composed { entries: composed.entries.iter().filter(is_wanted).cloned().collect(), left: Vec::new() }
}

fn lost_on_the_way(name: &str, left: &[Left]) -> Failure {
    let why: Vec<String> =
        left.iter().map(|left| format!("{} {}: {}", left.kind, left.name, left.why)).collect();
    Failure::Forbidden {
        what: format!("`{name}` cannot be taken over as it is: {}", why.join("; ")),
        hint: "change that, live or in the manifest, and try again".into(),
    }
}

/// Something that differs, and what to do about it, or why nothing can be done.
type Difference = (ResourceId, Result<Vec<Edit>, String>);

/// Something that the manifest asks for, and that is otherwise.
struct Target<'a> {
    app: &'a App,
    args: &'a AdoptArgs,
    living: &'a Living,
    prover: &'a Prover<'a>,
    id: &'a str,
}

impl Target<'_> {
    async fn take_over(&self, left: &[Left], texts: &mut Texts) -> Result<(), Failure> {
        let mut reasons: Vec<String> = Vec::new();
        for round in 0..ROUNDS {
            // What is in the way counts as ours here, so that the plan says what differs.
            let options = Planning { as_ours: true, ..Planning::default() };
            let (manifest, plan) = match self.prover.judge(texts, &options).await? {
                Judged::Plan(judged) => *judged,
                Judged::Wrong(notes) => {
                    let why = notes.first().map(|note| note.text.clone()).unwrap_or_default();
                    return Err(self.refused(&format!("the manifest would not be right: {why}")));
                }
            };
            if round == 0 && !self.is_known(&manifest, &plan) {
                return Err(self.unknown(left));
            }
            reasons.clear();
            if !self.round(&manifest, &plan, texts, &mut reasons)? {
                break;
            }
        }
        if let Some(why) = reasons.first() {
            return Err(self.refused(why));
        }
        self.changes_nothing(texts).await
    }

    /// Takes over the first difference that can be; whether there was one.
    fn round(
        &self,
        manifest: &Manifest,
        plan: &Plan,
        texts: &mut Texts,
        reasons: &mut Vec<String>,
    ) -> Result<bool, Failure> {
        for (id, edits) in self.differences(manifest, plan, texts)? {
            match edits {
                Ok(edits) if edits.is_empty() => {}
                Ok(edits) => {
                    self.edit(manifest, &id, edits, texts)?;
                    return Ok(true);
                }
                Err(why) => reasons.push(format!("{id}: {why}")),
            }
        }
        Ok(false)
    }

    fn differences(
        &self,
        manifest: &Manifest,
        plan: &Plan,
        texts: &mut Texts,
    ) -> Result<Vec<Difference>, Failure> {
        let mut found = Vec::new();
        let foreign =
            plan.notes.iter().filter(|note| note.severity == Severity::Error && note.code == "plan.not-ours");
        for id in foreign.filter_map(|note| note.about.as_ref()).filter(|id| self.is_it(manifest, id, None)) {
            let edits = if id.kind == "room" {
                self.known(manifest, id, texts, |known| {
                    takeover::room_of_others(known, id, self.args.from_realm.as_deref())
                })?
            } else {
                Err("it is somebody else's".into())
            };
            found.push((id.clone(), edits));
        }
        let changes =
            plan.changes.iter().filter(|change| self.is_it(manifest, &change.id, Some(&change.subject)));
        for change in changes {
            let id = &change.id;
            match change.verb {
                Verb::Update | Verb::Replace => {
                    for field in &change.fields {
                        let edits = self
                            .known(manifest, id, texts, |known| takeover::field(known, id, &field.field))?;
                        found.push((id.clone(), edits));
                    }
                }
                Verb::Create => {
                    found.push((
                        id.clone(),
                        self.known(manifest, id, texts, |known| takeover::absent(known, id))?,
                    ));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn known<T>(
        &self,
        manifest: &Manifest,
        id: &ResourceId,
        texts: &mut Texts,
        ask: impl FnOnce(&Known<'_>) -> Result<T, String>,
    ) -> Result<Result<T, String>, Failure> {
        let Some(file) = takeover::file_of(manifest, id) else {
            return Ok(Err("a manifest says that in other words: change it by hand".into()));
        };
        let text = texts.file(file)?.clone();
        let get = |path: &[&str]| text.get(path);
        Ok(ask(&Known { manifest, living: self.living, get: &get }))
    }

    fn edit(
        &self,
        manifest: &Manifest,
        id: &ResourceId,
        edits: Vec<Edit>,
        texts: &mut Texts,
    ) -> Result<(), Failure> {
        let file = takeover::file_of(manifest, id).unwrap_or(self.app.path()).to_path_buf();
        let text = texts.file(&file)?;
        for edit in edits {
            let done: Result<(), EditError> = match &edit {
                Edit::Set(path, value) => text.set(&refs(path), value),
                Edit::Remove(path) => text.remove(&refs(path)),
                Edit::Take(path, index) => text.take(&refs(path), *index),
                Edit::Push(path, items) => text.push(&refs(path), items),
            };
            done.map_err(|error| unwritten(&file, &error))?;
        }
        Ok(())
    }

    /// Whether a resource is what was named, as for `--target`.
    fn is_it(&self, manifest: &Manifest, id: &ResourceId, subject: Option<&str>) -> bool {
        let of = || match id.kind.as_str() {
            "room" => manifest.rooms.get(id.name.as_str()).map(|room| room.key.as_str()),
            "agent" => Some(id.name.as_str()),
            _ => None,
        };
        id.to_string() == self.id || subject.or_else(of) == Some(self.id)
    }

    fn is_known(&self, manifest: &Manifest, plan: &Plan) -> bool {
        let key = manifest.rooms.contains_key(self.id)
            || manifest.fractals.contains_key(self.id)
            || manifest.users.contains_key(self.id)
            || manifest.networks.contains_key(self.id);
        let id = self.id.parse::<ResourceId>().ok();
        let asked = id.is_some_and(|id| {
            takeover::file_of(manifest, &id).is_some()
                || plan.changes.iter().any(|change| change.id == id)
                || plan.notes.iter().any(|note| note.about.as_ref() == Some(&id))
        });
        key || asked
    }

    fn unknown(&self, left: &[Left]) -> Failure {
        let name = |left: &&Left| {
            left.name == self.id
                || left.name.strip_prefix('#').and_then(|name| name.split(':').next()) == Some(self.id)
                || self.id.ends_with(&format!("/{}/{}", left.kind, left.name))
        };
        match left.iter().find(name) {
            Some(left) => self.refused(&left.why),
            None => Failure::usage(
                format!("nothing that lives or is asked for is called `{}`", self.id),
                "`fraktalia adopt` lists what lives; an id is system/kind/name, for instance matrix/room/lab",
            ),
        }
    }

    fn refused(&self, why: &str) -> Failure {
        Failure::Forbidden {
            what: format!("`{}` cannot be taken over: {why}", self.id),
            hint: "nothing was written".into(),
        }
    }

    /// That the manifest, as it is now, asks for no change that it did not ask for before.
    async fn changes_nothing(&self, texts: &Texts) -> Result<(), Failure> {
        let offences = self.prover.offences(texts).await?;
        match offences.first() {
            Some(offence) => Err(self.refused(&offence.why)),
            None => Ok(()),
        }
    }
}

fn refs(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}
