//! A part of a manifest, written by somebody who is not trusted. It goes through the same reader as the manifest
//! itself, within bounds of its own, and comes out as what it asks for: every key and text that stands in it, with its
//! place. Whether it may ask for that is for others to decide.

use std::path::Path;

use super::check;
use super::finding::{Findings, Located, Mark};
use super::raw::{Fractal, Root};
use super::read::{FromNode, Reader};
use super::yaml::{self, Content, Node};
use crate::note::{Notes, Span};

/// What a fragment may cost. Anchors, aliases, `<<`, tags and second documents are never part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentBounds {
    /// Bytes of text.
    pub bytes: usize,
    /// Lines.
    pub lines: usize,
    /// Levels of nesting.
    pub depth: usize,
    /// Values and keys.
    pub values: usize,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted<T> {
    /// Where.
    pub at: Span,
    /// What.
    pub value: T,
}

/// A key of a mapping, or an item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The way to it: `["fractals", "cook", "members", "[0]"]`.
    pub path: Vec<String>,
    /// Where it begins.
    pub at: Span,
    /// The text, number or truth value behind it; `None` for what has parts, or nothing.
    pub text: Option<Quoted<String>>,
}

/// A fractal of a fragment: what it names that has to be allowed, or free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its key.
    pub key: Quoted<String>,
    /// Its models, the primary one and the fallbacks.
    pub models: Vec<Quoted<String>>,
    /// Members by localpart or full id, as they are written.
    pub members: Vec<Quoted<String>>,
    /// The key of its sandbox.
    pub sandbox: Option<Quoted<String>>,
    /// The ports of the host that lead to it.
    pub ports: Vec<Quoted<u16>>,
    /// The alias of its room, where that is not its key.
    pub alias: Option<Quoted<String>>,
}

/// What stands in a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Its fractals.
    pub fractals: Vec<Asked>,
    /// Every key and list item, in the order of the text.
    pub written: Vec<Written>,
}

/// What came out of reading a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFragment {
    /// What stands in it, as far as it could be read; absent when it is not YAML or out of bounds.
    pub fragment: Option<Fragment>,
    /// All findings.
    pub notes: Notes,
}

/// Reads a fragment. `name` is what findings call it.
pub fn read_fragment(name: &Path, text: &str, bounds: &FragmentBounds) -> ReadFragment {
    let mut findings = Findings::default();
    findings.files.push(name.into());
    let fragment = read(text, bounds, &mut findings);
    ReadFragment { fragment, notes: findings.into_notes() }
}

fn read(text: &str, bounds: &FragmentBounds, findings: &mut Findings) -> Option<Fragment> {
    // Counted before anything looks into it: the cost of a text that is too long is its length.
    if text.len() > bounds.bytes {
        let text = format!("this has {} bytes, and at most {} are read", text.len(), bounds.bytes);
        findings.error("proposal.too-large", START, text, "write less");
        return None;
    }
    let lines = text.lines().count();
    if lines > bounds.lines {
        let text = format!("this has {lines} lines, and at most {} are read", bounds.lines);
        findings.error("proposal.too-large", START, text, "write less");
        return None;
    }
    let within = yaml::Bounds { depth: bounds.depth, values: bounds.values, indirect: false };
    let tree = yaml::parse(0, text, within, findings)?;
    let mut written = Vec::new();
    collect(&tree, &mut Vec::new(), findings, &mut written);
    let root = Root::from_node(&tree, &mut Reader::new(findings))?;
    check::names(&root, findings);
    let fractals = root.fractals.iter().map(|(key, fractal)| asked(key, fractal, findings)).collect();
    Some(Fragment { fractals, written })
}

const START: Mark = Mark { file: 0, line: 1, column: 1, length: 0 };

fn asked(key: &Located<String>, fractal: &Fractal, findings: &Findings) -> Asked {
    let quoted = |text: &Located<String>| quote(text, findings);
    let model = fractal.model.iter();
    let room = fractal.room.as_ref();
    // Members may stand at the fractal or at its room, never at both.
    let members = [fractal.members.as_ref(), room.and_then(|room| room.members.as_ref())];
    Asked {
        key: quoted(key),
        models: model
            .flat_map(|model| [&model.primary].into_iter().chain(&model.fallbacks))
            .map(quoted)
            .collect(),
        members: members.into_iter().flatten().flat_map(|members| &members.value).map(quoted).collect(),
        sandbox: fractal.sandbox.as_ref().map(quoted),
        ports: fractal.forwards.iter().map(|forward| quote(&forward.0.host_port, findings)).collect(),
        alias: room.and_then(|room| room.alias.as_ref()).map(quoted),
    }
}

fn quote<T: Clone>(located: &Located<T>, findings: &Findings) -> Quoted<T> {
    Quoted { at: findings.span(located.at), value: located.value.clone() }
}

/// Writes down every key and item below a node. The tree is no deeper than its bounds.
fn collect(node: &Node, path: &mut Vec<String>, findings: &Findings, written: &mut Vec<Written>) {
    let text = |node: &Node| match &node.content {
        Content::Scalar { text, .. } => Some(Quoted { at: findings.span(node.at), value: text.clone() }),
        _ => None,
    };
    match &node.content {
        Content::Map(entries) => {
            for (key, value) in entries {
                path.push(key.value.clone());
                written.push(Written { path: path.clone(), at: findings.span(key.at), text: text(value) });
                collect(value, path, findings, written);
                path.pop();
            }
        }
        Content::List(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(format!("[{index}]"));
                written.push(Written { path: path.clone(), at: findings.span(item.at), text: text(item) });
                collect(item, path, findings, written);
                path.pop();
            }
        }
        Content::Null | Content::Scalar { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: FragmentBounds = FragmentBounds { bytes: 4096, lines: 100, depth: 8, values: 200 };

    fn codes(text: &str) -> Vec<String> {
        let read = read_fragment(Path::new("proposal"), text, &BOUNDS);
        read.notes.into_iter().map(|note| note.code).collect()
    }

    #[test]
    fn a_fragment_says_all_that_it_asks_for_with_places() {
        let text = "fractals:\n  cook:\n    model: a/b\n    members: [ana]\n    forwards: [9000]\n";
        let read = read_fragment(Path::new("proposal"), text, &BOUNDS);
        assert_eq!(read.notes, []);
        let fragment = read.fragment.unwrap();
        let cook = &fragment.fractals[0];
        assert_eq!((cook.key.at.line, cook.key.at.column), (2, 3));
        assert_eq!((cook.models[0].value.as_str(), cook.members[0].value.as_str()), ("a/b", "ana"));
        assert_eq!(cook.ports[0].value, 9000);
        let paths: Vec<String> = fragment.written.iter().map(|written| written.path.join(".")).collect();
        assert_eq!(
            paths,
            [
                "fractals",
                "fractals.cook",
                "fractals.cook.model",
                "fractals.cook.members",
                "fractals.cook.members.[0]",
                "fractals.cook.forwards",
                "fractals.cook.forwards.[0]",
            ]
        );
    }

    #[test]
    fn nothing_in_a_fragment_stands_for_something_elsewhere() {
        for indirect in [
            "fractals: &a { cook: { purpose: x } }\n",
            "a: *x\n",
            "fractals:\n  <<: { cook: }\n",
            "fractals: !!map { cook: }\n",
            "fractals: { cook: { purpose: !!str x } }\n",
            "? !x cook\n: 1\n",
            "fractals: { ? &k cook : }\n",
            "fractals: { cook: }\n---\nfractals: { gardener: }\n",
        ] {
            assert_eq!(codes(indirect), ["manifest.yaml"], "{indirect}");
        }
    }

    #[test]
    fn a_fragment_out_of_bounds_is_not_looked_into() {
        assert_eq!(codes(&"#".repeat(4097)), ["proposal.too-large"]);
        assert_eq!(codes(&"\n".repeat(101)), ["proposal.too-large"]);
        assert_eq!(codes(&format!("a: {}", "[".repeat(50))), ["manifest.yaml"]);
        assert_eq!(codes(&format!("a: [{}]", "x,".repeat(300))), ["manifest.yaml"]);
    }
}
