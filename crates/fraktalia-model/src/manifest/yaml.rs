//! YAML text to a tree in which every value knows its place.
//!
//! The parser is asked for events rather than for Rust values: only so can one run find all duplicate and unknown
//! keys, and show both places of what stands twice. `docs/design/0001-yaml-library.md` tells the whole story.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, Span as Range2, StrInput, Tag};

use super::finding::{Findings, Located, Mark};

/// What a file may cost, and what may stand in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Levels of nesting.
    pub depth: usize,
    /// Values, those that aliases repeat included.
    pub values: usize,
    /// Whether one place may stand for another: anchors, aliases, `<<`, tags. Who approves a text has to see what
    /// it says where it says it.
    pub indirect: bool,
}

impl Bounds {
    /// For files of the operator: deeper nesting than any manifest needs, and shallow enough for every recursion over
    /// the tree. A manifest of 10,000 fractals stays below that many values.
    pub const MANIFEST: Self = Self { depth: 64, values: 1_000_000, indirect: true };
}

/// One value of a YAML document.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its place. For an alias: where the alias stands.
    pub at: Mark,
    /// The bytes of the file that it covers.
    pub bytes: Range<usize>,
    /// What it is.
    pub content: Content,
}

/// What a value is, before anybody decided what it should be.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Nothing, `~` or `null`.
    Null,
    /// A text, number or truth value. `plain`: written without quotes, so that it may be other than a text.
    Scalar {
        /// The text.
        text: String,
        /// Whether it stood without quotes.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file; no key twice.
    Map(Vec<(Located<String>, Node)>),
}

/// What a plain scalar means by the core schema of YAML 1.2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plain {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text,
}

/// Parses one file. `None` when there is no telling what was meant; what is wrong stands in `findings` then.
pub(crate) fn parse(file: u32, text: &str, bounds: Bounds, findings: &mut Findings) -> Option<Node> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.block_nesting_limit = 2 * bounds.depth;
    options.flow_nesting_limit = 2 * bounds.depth;
    let mut composer = Composer {
        file,
        bounds,
        events: Parser::new_from_str_with_options(text, options),
        findings,
        anchors: HashMap::new(),
        values: 0,
    };
    match composer.document() {
        Ok(node) => Some(node),
        Err(Stop { at, text, hint }) => {
            findings.error("manifest.yaml", at, text, hint);
            None
        }
    }
}

/// Why a file cannot be read on.
struct Stop {
    at: Mark,
    text: String,
    hint: String,
}

/// A value that may be repeated by an alias.
struct Anchored {
    node: Node,
    values: usize,
    height: usize,
}

/// What a value is, how many levels it has, and the byte where it ends.
struct Inside {
    content: Content,
    height: usize,
    end: usize,
}

/// A composed value, and how many levels it has.
type Composed = (Node, usize);

struct Composer<'input, 'findings> {
    file: u32,
    bounds: Bounds,
    events: Parser<'input, StrInput<'input>>,
    findings: &'findings mut Findings,
    anchors: HashMap<usize, Anchored>,
    values: usize,
}

impl<'input> Composer<'input, '_> {
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, range) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(Stop {
                        at: self.mark(&range),
                        text: "a second YAML document begins here".into(),
                        hint: "put it into a file of its own and name that file under `include`".into(),
                    });
                }
                Event::DocumentStart(..) => {
                    let (event, range) = self.next()?;
                    root = Some(self.node(event, &range, 0)?.0);
                }
                _ => return Err(self.unexpected(&range)),
            }
        }
        // A file of comments has no document at all.
        Ok(root.unwrap_or(Node {
            at: Mark { file: self.file, line: 1, column: 1, length: 0 },
            bytes: 0..0,
            content: Content::Null,
        }))
    }

    fn next(&mut self) -> Result<(Event<'input>, Range2), Stop> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = Mark {
                    file: self.file,
                    line: count(error.marker().line()),
                    column: count(error.marker().col() + 1),
                    length: 0,
                };
                Err(Stop {
                    at,
                    text: format!("this is not YAML: {}", error.info()),
                    hint: hint(error.kind()).into(),
                })
            }
            None => Ok((Event::StreamEnd, Range2::default())),
        }
    }

    fn node(&mut self, event: Event<'input>, range: &Range2, depth: usize) -> Result<Composed, Stop> {
        self.spend(1, range)?;
        if !self.bounds.indirect {
            self.refuse_indirect(&event, range)?;
        }
        if depth >= self.bounds.depth {
            return Err(self.too_deep(range));
        }
        let before = self.values;
        let start = bytes(range);
        let (inside, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, range, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let text_by_tag = self.is_text(tag.as_deref(), range)?;
                let plain = style == ScalarStyle::Plain && !text_by_tag;
                let content = scalar(text.into_owned(), plain);
                (Inside { content, height: 1, end: start.end }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "seq", range)?;
                (self.list(depth)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "map", range)?;
                (self.map(depth)?, anchor)
            }
            _ => return Err(self.unexpected(range)),
        };
        let Inside { content, height, end } = inside;
        let node = Node { at: self.mark(range), bytes: start.start..end.max(start.end), content };
        if anchor != 0 {
            let anchored = Anchored { node: node.clone(), values: self.values - before + 1, height };
            self.anchors.insert(anchor, anchored);
        }
        Ok((node, height))
    }

    fn list(&mut self, depth: usize) -> Result<Inside, Stop> {
        let (mut items, mut height) = (Vec::new(), 0);
        loop {
            match self.next()? {
                (Event::SequenceEnd, range) => {
                    let end = bytes(&range).end;
                    return Ok(Inside { content: Content::List(items), height: height + 1, end });
                }
                (event, range) => {
                    let (item, levels) = self.node(event, &range, depth + 1)?;
                    height = height.max(levels);
                    items.push(item);
                }
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Inside, Stop> {
        let (mut entries, mut height) = (Entries::default(), 0);
        loop {
            let (event, range) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                let (content, end) = (Content::Map(entries.finish()), bytes(&range).end);
                return Ok(Inside { content, height: height + 1, end });
            }
            let key = self.key(event, &range, depth)?;
            let (event, range) = self.next()?;
            let (value, levels) = self.node(event, &range, depth + 1)?;
            height = height.max(levels);
            if key.value == "<<" {
                if !self.bounds.indirect {
                    return Err(self.indirect("`<<`", &range));
                }
                merge(&mut entries, value)?;
                continue;
            }
            let hidden = value.bytes.clone();
            if let Some(first) = entries.add(key.clone(), value) {
                self.twice(&key, first, hidden);
            }
        }
    }

    /// Says that a key stands twice in one mapping. Nobody will look at the second value.
    fn twice(&mut self, key: &Located<String>, first: Mark, value: Range<usize>) {
        let text = format!("`{}` is given twice", key.value);
        let hint = "keep one of them, or give one another name";
        self.findings.damaged = true;
        self.findings.mask_if_secret(&key.value, self.file, value);
        self.findings.clash("manifest.duplicate-key", key.at, first, text, hint);
    }

    fn key(&mut self, event: Event<'input>, range: &Range2, depth: usize) -> Result<Located<String>, Stop> {
        let (node, _) = self.node(event, range, depth + 1)?;
        match node.content {
            Content::Scalar { text, .. } => Ok(Located { at: node.at, value: text }),
            _ => Err(Stop {
                at: node.at,
                text: "a key has to be a text".into(),
                hint: "put a name before the colon, in quotes where it has special characters".into(),
            }),
        }
    }

    fn alias(&mut self, anchor: usize, range: &Range2, depth: usize) -> Result<Composed, Stop> {
        let Some(Anchored { node, values, height }) = self.anchors.get(&anchor) else {
            return Err(Stop {
                at: self.mark(range),
                text: "this alias stands inside of the very value that it repeats".into(),
                hint: "write the value out".into(),
            });
        };
        let (mut node, values, height) = (node.clone(), *values, *height);
        if depth + height > self.bounds.depth {
            return Err(self.too_deep(range));
        }
        node.at = self.mark(range);
        node.bytes = bytes(range);
        // Counted before the next alias can repeat this one: repetition of repetition ends here.
        self.spend(values, range)?;
        Ok((node, height))
    }

    fn spend(&mut self, values: usize, range: &Range2) -> Result<(), Stop> {
        self.values += values;
        if self.values <= self.bounds.values {
            return Ok(());
        }
        let hint = if self.bounds.indirect {
            "aliases (`*name`) repeat what they name each time: use fewer, or split the file"
        } else {
            "write less"
        };
        Err(Stop {
            at: self.mark(range),
            text: format!("this file comes to more than {} values", self.bounds.values),
            hint: hint.into(),
        })
    }

    /// Refuses what lets one place of a text stand for another.
    fn refuse_indirect(&self, event: &Event<'input>, range: &Range2) -> Result<(), Stop> {
        let (anchor, tag) = match event {
            Event::Alias(_) => return Err(self.indirect("an alias", range)),
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(_, anchor, tag)
            | Event::MappingStart(_, anchor, tag) => (*anchor, tag.is_some()),
            _ => (0, false),
        };
        match (anchor, tag) {
            (0, false) => Ok(()),
            (0, true) => Err(self.indirect("a tag", range)),
            _ => Err(self.indirect("an anchor", range)),
        }
    }

    fn indirect(&self, what: &str, range: &Range2) -> Stop {
        Stop {
            at: self.mark(range),
            text: format!("{what} may not stand here"),
            hint: "write each value out where it belongs".into(),
        }
    }

    /// Whether a tag makes a text out of a plain scalar.
    fn is_text(&self, tag: Option<&Tag>, range: &Range2) -> Result<bool, Stop> {
        match tag.map(|tag| (tag.core_suffix(), tag)) {
            None => Ok(false),
            Some((Some("str"), _)) => Ok(true),
            Some((_, tag)) => Err(self.unknown_tag(tag, range)),
        }
    }

    fn refuse_tag(&self, tag: Option<&Tag>, harmless: &str, range: &Range2) -> Result<(), Stop> {
        match tag {
            Some(tag) if tag.core_suffix() != Some(harmless) => Err(self.unknown_tag(tag, range)),
            _ => Ok(()),
        }
    }

    fn unknown_tag(&self, tag: &Tag, range: &Range2) -> Stop {
        Stop {
            at: self.mark(&range.tag_span().unwrap_or(*range)),
            text: format!("the tag `{}` means nothing here", tag.original()),
            hint: "leave it away; for a text that looks like a number, use quotes".into(),
        }
    }

    fn too_deep(&self, range: &Range2) -> Stop {
        Stop {
            at: self.mark(range),
            text: format!("this is nested more than {} levels deep", self.bounds.depth),
            hint: "no part of a manifest needs that: look for a bracket that is not closed".into(),
        }
    }

    fn unexpected(&self, range: &Range2) -> Stop {
        Stop {
            at: self.mark(range),
            text: "this cannot stand here".into(),
            hint: "check the indentation of this line and of the one above".into(),
        }
    }

    fn mark(&self, range: &Range2) -> Mark {
        let one_line = range.start.line() == range.end.line();
        Mark {
            file: self.file,
            line: count(range.start.line()),
            column: count(range.start.col() + 1),
            length: if one_line { count(range.end.index().saturating_sub(range.start.index())) } else { 0 },
        }
    }
}

/// The entries of one mapping while it is read.
#[derive(Default)]
struct Entries {
    own: Vec<(Located<String>, Node)>,
    inherited: Vec<(Located<String>, Node)>,
    places: HashMap<String, Mark>,
}

impl Entries {
    /// Adds an entry, or returns the place of the one with the same key.
    fn add(&mut self, key: Located<String>, value: Node) -> Option<Mark> {
        if let Some(first) = self.places.get(&key.value) {
            return Some(*first);
        }
        self.places.insert(key.value.clone(), key.at);
        self.own.push((key, value));
        None
    }

    fn finish(mut self) -> Vec<(Located<String>, Node)> {
        for (key, value) in std::mem::take(&mut self.inherited) {
            // What is written out here, or was inherited earlier, stands.
            let _ = self.add(key, value);
        }
        self.own
    }
}

/// `<<: *other` or `<<: [*one, *two]`: what is written out wins, then the earlier of several.
fn merge(entries: &mut Entries, value: Node) -> Result<(), Stop> {
    let sources = match value.content {
        Content::List(items) => items,
        _ => vec![value],
    };
    for source in sources {
        let Content::Map(map) = source.content else {
            return Err(Stop {
                at: source.at,
                text: "`<<` takes over the keys of a mapping, and this is none".into(),
                hint: "write `<<: *name`, with `&name` before the mapping that is meant".into(),
            });
        };
        entries.inherited.extend(map);
    }
    Ok(())
}

fn scalar(text: String, plain: bool) -> Content {
    if plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") {
        Content::Null
    } else {
        Content::Scalar { text, plain }
    }
}

/// What a plain scalar stands for. Underscores, binary, `yes` and `no` are YAML 1.1, and are texts here; so are digits
/// after a zero, which one version reads as octal and the other as decimal.
pub(crate) fn plain(text: &str) -> Plain {
    match text {
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Plain::Text;
    }
    if digits.starts_with('0') && digits[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return Plain::Text;
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = text.parse()
    {
        return Plain::Int(number);
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && let Ok(number) = i64::from_str_radix(digits, radix)
        {
            return Plain::Int(number);
        }
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && digits != "." => Plain::Float(number),
        _ => Plain::Text,
    }
}

fn bytes(range: &Range2) -> Range<usize> {
    range.byte_range().unwrap_or_default()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What to do about the mistakes that people really make.
fn hint(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => "YAML is indented with spaces: replace the tabs",
        ErrorKind::UnclosedQuotedScalar => "close the quotes",
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::MismatchedFlowCollectionEnd { .. }
        | ErrorKind::MisplacedFlowCollectionEnd => {
            "count the brackets: each `[` needs its `]`, each `{` its `}`"
        }
        ErrorKind::UnknownAnchor => "name it with `&name` before its first use, or put the text in quotes",
        ErrorKind::UnexpectedCharacter { .. } => {
            "put the text in quotes if it begins with a special character"
        }
        ErrorKind::RecursionLimitExceeded => "no part of a manifest is nested this deep: count the brackets",
        _ => "check the indentation and the colons of this line and of the one above",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_those_of_yaml_1_2() {
        for (text, meaning) in [
            ("true", Plain::Bool(true)),
            ("FALSE", Plain::Bool(false)),
            ("12", Plain::Int(12)),
            ("-7", Plain::Int(-7)),
            ("0o17", Plain::Int(15)),
            ("0x1F", Plain::Int(31)),
            ("1.5", Plain::Float(1.5)),
            (".5e1", Plain::Float(5.0)),
        ] {
            assert_eq!(plain(text), meaning, "{text}");
        }
        let texts = [
            "yes",
            "off",
            "1_000",
            "0b1",
            "9.9.9.9",
            "996:1100",
            "9000-9099",
            "-",
            ".",
            "+",
            "0664",
            "-01.5",
            "1e999",
            "inf",
        ];
        for text in texts {
            assert_eq!(plain(text), Plain::Text, "{text}");
        }
    }

    fn tree(text: &str) -> (Option<Node>, usize) {
        let mut findings = Findings::default();
        let node = parse(0, text, Bounds::MANIFEST, &mut findings);
        (node, findings.errors())
    }

    #[test]
    fn places_count_characters_and_bytes_count_bytes() {
        let (node, _) = tree("ü: \"ä b\"\n");
        let Content::Map(entries) = node.unwrap().content else { panic!("a mapping") };
        let value = &entries[0].1;
        assert_eq!((value.at.line, value.at.column, value.at.length), (1, 4, 5));
        assert_eq!(value.bytes, 4..10);
    }

    #[test]
    fn what_is_written_out_wins_over_what_is_merged() {
        let (node, errors) = tree("a: &a { x: 1, y: 1 }\nb: &b { x: 2, z: 2 }\nc: { <<: [*a, *b], y: 3 }\n");
        assert_eq!(errors, 0);
        let Content::Map(entries) = node.unwrap().content else { panic!("a mapping") };
        let Content::Map(merged) = &entries[2].1.content else { panic!("a mapping") };
        let text = |node: &Node| match &node.content {
            Content::Scalar { text, .. } => text.clone(),
            _ => String::new(),
        };
        let found: Vec<_> = merged.iter().map(|(key, value)| (key.value.as_str(), text(value))).collect();
        assert_eq!(found, [("y", "3".into()), ("x", "1".into()), ("z", "2".into())]);
    }
}
