//! From a text that an agent wrote to a proposal that may be planned, or to all that is wrong with it.

mod rules;

use std::collections::HashSet;
use std::path::Path;

use fraktalia_model::manifest::{Asked, Fragment, FragmentBounds, Quoted, nearest, read_fragment};
use fraktalia_model::{Note, Notes, Severity, Span};

use crate::policy::Policy;
use crate::words::is_unseen;

/// What a fragment may cost. One fractal with a persona and some files has a tenth of it.
pub const BOUNDS: FragmentBounds = FragmentBounds { bytes: 16 * 1024, lines: 400, depth: 10, values: 1_000 };
/// What findings call a fragment.
pub const NAME: &str = "proposal";

/// A fragment that asks for nothing that it may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The key of its fractal.
    pub name: String,
    /// Its text, as it was written.
    pub text: String,
    /// SHA-256 of the text, hex.
    pub sha256: String,
}

/// Checks a fragment. Findings are made all at once, in the order of their places.
///
/// # Errors
/// All that is in the way, each with place and cure.
pub fn check(text: &str, policy: &Policy) -> Result<Checked, Notes> {
    if text.len() <= BOUNDS.bytes
        && let Some(note) = unseen(text)
    {
        // Nothing else is said about a text that does not show what it says.
        return Err(vec![note]);
    }
    let read = read_fragment(Path::new(NAME), text, &BOUNDS);
    let mut judge = Judge { policy, told: places(&read.notes), notes: read.notes };
    let name = read.fragment.as_ref().and_then(|fragment| judge.fragment(fragment));
    let mut notes = judge.notes;
    notes.retain(|note| note.severity == Severity::Error);
    notes.sort_by_key(|note| note.at.as_ref().map(|at| (at.line, at.column)));
    match name {
        Some(name) if notes.is_empty() => Ok(Checked {
            name,
            text: text.into(),
            sha256: fraktalia_model::files::sha256_hex(text.as_bytes()),
        }),
        _ => Err(notes),
    }
}

/// The first character that forges what people see, comments included: an operator reads the whole text.
fn unseen(text: &str) -> Option<Note> {
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some((column, c)) = line.chars().enumerate().find(|(_, c)| is_unseen(*c) && !harmless(*c)) {
            let at = Span {
                file: NAME.into(),
                line: u32::try_from(index + 1).unwrap_or(u32::MAX),
                column: u32::try_from(column + 1).unwrap_or(u32::MAX),
                length: 1,
            };
            let text =
                format!("the character {} is not seen, or changes how others are shown", c.escape_unicode());
            return Some(Note::error("proposal.unseen", text).at(&at).hint("leave it away"));
        }
    }
    None
}

/// How an emoji looks, and the tab, which YAML itself refuses where it would matter.
fn harmless(c: char) -> bool {
    matches!(c, '\u{fe0f}' | '\t')
}

fn places(notes: &Notes) -> HashSet<(u32, u32)> {
    notes.iter().filter_map(|note| note.at.as_ref()).map(|at| (at.line, at.column)).collect()
}

struct Judge<'a> {
    policy: &'a Policy,
    /// Places about which the reader has said something already.
    told: HashSet<(u32, u32)>,
    notes: Notes,
}

impl Judge<'_> {
    /// Judges all of it; the name of its fractal.
    fn fragment(&mut self, fragment: &Fragment) -> Option<String> {
        for written in &fragment.written {
            self.written(written);
        }
        let [asked] = &fragment.fractals[..] else {
            let at = fragment.fractals.get(1).map_or_else(start, |asked| asked.key.at.clone());
            let text = format!("this asks for {} fractals", fragment.fractals.len());
            self.refuse("proposal.one-fractal", &at, text, "propose exactly one: `fractals: { name: ... }`");
            return None;
        };
        self.name(&asked.key);
        self.allowed(asked);
        self.ports(asked);
        Some(asked.key.value.clone())
    }

    fn name(&mut self, key: &Quoted<String>) {
        if let Some(what) = self.policy.known.names.get(&key.value.to_ascii_lowercase()) {
            let text = format!("`{}` is the name of a {what} that is there already", key.value);
            let hint = "choose another name; what is there is changed in the manifest only";
            self.refuse("proposal.name-taken", &key.at, text, hint);
        }
        if self.policy.known.room_for == Some(0) {
            let text = "there are as many fractals as the manifest permits";
            let hint = "ask an operator to raise `policy.max_fractals`, or to remove one";
            self.refuse("proposal.no-room", &key.at, text, hint);
        }
    }

    fn allowed(&mut self, asked: &Asked) {
        let allow = &self.policy.allow;
        let models: Vec<&str> = allow.models.iter().map(String::as_str).collect();
        for model in &asked.models {
            self.one_of("model", model, &models, &model.value);
        }
        let sandboxes: Vec<&str> = allow.sandboxes.iter().map(String::as_str).collect();
        if let Some(sandbox) = &asked.sandbox {
            self.one_of("sandbox", sandbox, &sandboxes, &sandbox.value);
        }
        let members: Vec<&str> = allow.members.iter().map(|user| user.0.as_str()).collect();
        for member in &asked.members {
            let full = self.policy.known.user(&member.value);
            self.one_of("member", member, &members, &full.0);
        }
        if let Some(alias) = &asked.alias
            && self.policy.known.names.contains_key(&alias.value.to_ascii_lowercase())
        {
            let text = format!("the alias `{}` is taken", alias.value);
            self.refuse("proposal.name-taken", &alias.at, text, "leave `alias` away");
        }
    }

    /// What is named has to be on a list; `full` is how the list would have it.
    fn one_of(&mut self, what: &str, named: &Quoted<String>, list: &[&str], full: &str) {
        if list.contains(&full) {
            return;
        }
        let hint = match nearest(full, list.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if list.is_empty() => format!("leave it away: no {what} may be proposed here"),
            None => format!("choose one of: {}", list.join(", ")),
        };
        let text = format!("the {what} `{}` may not be proposed", short(&named.value));
        self.refuse(&format!("proposal.{what}"), &named.at, text, &hint);
    }

    fn ports(&mut self, asked: &Asked) {
        let most = self.policy.allow.forwards as usize;
        if let Some(port) = asked.ports.get(most) {
            let text = format!("this asks for {} forwarded ports, and {most} may be", asked.ports.len());
            let hint = if most == 0 { "leave `forwards` away" } else { "ask for fewer" };
            self.refuse("proposal.forwards", &port.at, text, hint);
        }
        let (first, last) = self.policy.known.range;
        let mut own = HashSet::new();
        for port in &asked.ports {
            if let Some(fractal) = self.policy.known.ports.get(&port.value) {
                let text = format!("port {} leads to `{fractal}` already", port.value);
                self.refuse("proposal.port-taken", &port.at, text, "choose another");
            } else if !own.insert(port.value) {
                let text = format!("port {} is named twice", port.value);
                self.refuse("proposal.port-taken", &port.at, text, "choose another");
            } else if !(first..=last).contains(&port.value) {
                let text = format!("port {} is outside of {first}-{last}", port.value);
                self.refuse("proposal.port-range", &port.at, text, "choose one of these");
            }
        }
    }

    /// Says what is wrong, unless the reader found the same place wrong.
    fn refuse(&mut self, code: &str, at: &Span, text: impl Into<String>, hint: &str) {
        if !self.told.contains(&(at.line, at.column)) {
            self.notes.push(Note::error(code, text).at(at).hint(hint));
        }
    }
}

fn start() -> Span {
    Span { file: NAME.into(), line: 1, column: 1, length: 0 }
}

/// A text as findings quote it.
fn short(text: &str) -> String {
    crate::words::clean_line(text, 80)
}
