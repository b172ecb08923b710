//! Where in a text something stands, and which part of it an edit replaces.

use std::ops::Range;

use super::Patch;
use super::value::{self, Value};
use crate::manifest::finding::Mark;
use crate::manifest::yaml::{Content, Node};

/// An entry of a mapping.
pub(super) struct Entry<'n> {
    /// The mapping that it is in.
    pub map: &'n Node,
    /// Where its key begins and ends.
    pub key: Range<usize>,
    /// What is behind the colon.
    pub value: &'n Node,
}

impl<'n> Entry<'n> {
    /// The entry at a place, if it stands there itself: what an alias repeats or a merge brings in stands elsewhere.
    pub fn find(tree: &'n Node, path: &[&str], text: &str) -> Option<Self> {
        let (key, above) = path.split_last()?;
        let layout = Layout::new(text);
        let mut map = tree;
        for key in above {
            map = layout.own(map).find(|(_, own, _)| own == key)?.2;
        }
        let (key, _, value) = layout.own(map).find(|(_, own, _)| own == key)?;
        Some(Self { map, key, value })
    }
}

/// A text, and where its lines begin.
pub(super) struct Layout<'t> {
    text: &'t str,
    lines: Vec<usize>,
}

impl<'t> Layout<'t> {
    pub fn new(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, lines: [0].into_iter().chain(ends).collect() }
    }

    /// The byte at which a place begins.
    fn offset(&self, at: Mark) -> usize {
        let line = self.lines.get(at.line.saturating_sub(1) as usize).copied().unwrap_or(self.text.len());
        let column = at.column.saturating_sub(1) as usize;
        self.text[line..].char_indices().nth(column).map_or(self.text.len(), |(bytes, _)| line + bytes)
    }

    /// The entries that stand in a mapping itself: where the key is, what it is, and its value.
    fn own<'n>(&self, map: &'n Node) -> impl Iterator<Item = (Range<usize>, &'n str, &'n Node)> {
        let entries = match &map.content {
            Content::Map(entries) if !self.is_alias(map) => entries.as_slice(),
            _ => &[],
        };
        let placed = entries.iter().map(|(key, value)| {
            let start = self.offset(key.at);
            let length: usize =
                self.text[start..].chars().take(key.at.length as usize).map(char::len_utf8).sum();
            (start..start + length, key.value.as_str(), value)
        });
        let placed: Vec<_> = placed.filter(|(at, ..)| map.bytes.contains(&at.start)).collect();
        placed.into_iter()
    }

    fn is_alias(&self, node: &Node) -> bool {
        self.text[node.bytes.start..].starts_with('*')
            && !matches!(node.content, Content::Null)
            && self.text[node.bytes.clone()].chars().skip(1).all(|c| !c.is_whitespace())
            && !matches!(&node.content, Content::Scalar { plain: false, .. })
    }

    fn is_flow(&self, node: &Node) -> bool {
        let rest = &self.text[node.bytes.start..];
        match &node.content {
            Content::Map(_) => rest.starts_with('{'),
            // A list whose dashes are not indented is said to begin with its first item.
            Content::List(items) => {
                rest.starts_with('[') && items.first().is_none_or(|item| item.bytes.start > node.bytes.start)
            }
            _ => false,
        }
    }

    /// Where the header of a block text (`|`, `>-`) stands, if the value behind `after` is one.
    fn header(&self, after: usize, node: &Node) -> Option<usize> {
        let between = self.text.get(after..node.bytes.start)?;
        let at = between.find(['|', '>'])?;
        // Nothing but anchors and tags stands before it.
        let is_scalar = matches!(node.content, Content::Scalar { .. });
        (is_scalar && between.contains('\n') && !between[..at].contains('\n')).then_some(after + at)
    }

    /// Where a value ends; `after` is where what leads to it ends.
    fn end(&self, after: usize, node: &Node) -> usize {
        if self.is_alias(node) || self.is_flow(node) {
            return node.bytes.end;
        }
        match &node.content {
            Content::Null => node.bytes.end.max(after),
            Content::Scalar { .. } => match self.header(after, node) {
                Some(header) if self.text[header..].lines().next().is_some_and(|line| line.contains('+')) => {
                    node.bytes.end
                }
                Some(_) => node.bytes.start + self.text[node.bytes.clone()].trim_end().len(),
                None => node.bytes.end,
            },
            Content::Map(_) => {
                let ends = self.own(node).map(|(key, _, value)| self.end(key.end + 1, value));
                ends.max().unwrap_or(node.bytes.start)
            }
            Content::List(items) => {
                items.last().map_or(node.bytes.start, |item| self.end(item.bytes.start, item))
            }
        }
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// The beginning of the next line.
    fn line_end(&self, at: usize) -> usize {
        if at > 0 && self.text[..at].ends_with('\n') {
            return at;
        }
        self.text[at..].find('\n').map_or(self.text.len(), |newline| at + newline + 1)
    }

    /// Columns before a place, if there are only spaces.
    fn indent(&self, at: usize) -> Option<usize> {
        let before = &self.text[self.line_start(at)..at];
        before.bytes().all(|byte| byte == b' ').then_some(before.len())
    }

    /// Columns before the dash of a list's item, if the line begins with it.
    fn dash(&self, item: &Node) -> Option<usize> {
        let before = &self.text[self.line_start(item.bytes.start)..item.bytes.start];
        (before.trim() == "-").then(|| before.len() - before.trim_start().len())
    }

    fn column(&self, at: usize) -> usize {
        self.text[self.line_start(at)..at].chars().count()
    }

    /// How much deeper this text sets what is inside of something.
    fn step(&self, tree: &Node) -> usize {
        let inner = self.own(tree).find_map(|(key, _, value)| {
            let (first, ..) = self.own(value).next().filter(|_| !self.is_flow(value))?;
            self.indent(first.start)?.checked_sub(self.column(key.start))
        });
        inner.filter(|step| *step > 0).unwrap_or(2)
    }

    /// After `at`, past the comments that belong to what is `indent` deep.
    fn past_comments(&self, at: usize, indent: usize) -> usize {
        let mut end = at;
        for line in self.text[at..].split_inclusive('\n') {
            let inside = line.trim_start_matches(' ');
            if !inside.starts_with('#') || line.len() - inside.len() < indent.max(1) {
                break;
            }
            end += line.len();
        }
        end
    }

    /// Whole lines put in at a place that begins a line.
    fn lines_at(&self, at: usize, lines: String) -> Patch {
        let ends = at == 0 || self.text[..at].ends_with('\n');
        let with = if ends { lines } else { format!("\n{lines}") };
        Patch { range: at..at, with }
    }

    pub fn add_entries(
        &self,
        tree: &Node,
        path: &[&str],
        node: &Node,
        entries: &[(String, Value)],
    ) -> Option<Patch> {
        let step = self.step(tree);
        if path.is_empty() && !self.is_flow(tree) {
            return Some(self.add_sections(tree, entries, step));
        }
        if self.is_alias(node) {
            return None;
        }
        let first = self.own(node).next();
        let Some((first, ..)) = first else {
            let entry = Entry::find(tree, path, self.text)?;
            let map = Value::Map(entries.to_vec());
            return self.fill(&entry, step, &map, &|indent| {
                entries.iter().map(|(key, value)| value::entry(key, value, indent, step)).collect()
            });
        };
        if self.is_flow(node) {
            let inner = Value::Map(entries.to_vec()).flow();
            let last = self.own(node).map(|(key, _, value)| self.end(key.end, value)).max()?;
            let inner = inner.strip_prefix("{ ")?.strip_suffix(" }")?;
            let with = format!(", {inner}");
            return Some(Patch { range: last..last, with });
        }
        let indent = self.indent(first.start)?;
        let at = self.past_comments(self.line_end(self.end(first.end, node)), indent);
        let lines = entries.iter().map(|(key, value)| value::entry(key, value, indent, step)).collect();
        Some(self.lines_at(at, lines))
    }

    /// New sections, at the end.
    fn add_sections(&self, tree: &Node, entries: &[(String, Value)], step: usize) -> Patch {
        let lines: Vec<String> =
            entries.iter().map(|(key, value)| value::entry(key, value, 0, step)).collect();
        let end = self.text.len();
        let ended = self.text.lines().any(|line| line.starts_with("..."));
        let at = if ended { self.line_end(self.end(tree.bytes.start, tree)) } else { end };
        let apart =
            if self.text[..at].trim_end().is_empty() || lines.iter().all(|l| l.matches('\n').count() < 2) {
                ""
            } else {
                "\n"
            };
        self.lines_at(at, format!("{apart}{}", lines.join(apart)))
    }

    /// Puts something into an entry that is empty: as lines below it where the entry has a line of its own.
    fn fill(
        &self,
        entry: &Entry<'_>,
        step: usize,
        value: &Value,
        lines: &dyn Fn(usize) -> String,
    ) -> Option<Patch> {
        let colon = self.colon(entry)?;
        let old = entry.value.bytes.clone();
        let old = if old.is_empty() || old.start < colon { colon..colon } else { old };
        let Some(indent) = self.indent(entry.key.start).filter(|_| !self.is_flow(entry.map)) else {
            let space = if old.start == colon { " " } else { "" };
            return Some(Patch { range: old, with: format!("{space}{}", value.flow()) });
        };
        let line_end = self.line_end(colon);
        let rest = self.text.get(old.end..line_end)?;
        let kept = if rest.trim().is_empty() { "" } else { rest.trim_end() };
        let gap = if kept.is_empty() { "" } else { self.text[colon..old.start].trim_end_matches(' ') };
        let space = if kept.is_empty() || kept.starts_with(' ') { "" } else { " " };
        Some(Patch { range: colon..line_end, with: format!("{gap}{space}{kept}\n{}", lines(indent + step)) })
    }

    /// Behind the colon of an entry.
    fn colon(&self, entry: &Entry<'_>) -> Option<usize> {
        let rest = &self.text[entry.key.end..];
        let at = rest.find(':')?;
        rest[..at].trim().is_empty().then_some(entry.key.end + at + 1)
    }

    /// From where to where an entry, or an item of its list, stands.
    pub fn extent(&self, entry: &Entry<'_>, item: Option<usize>) -> Option<Range<usize>> {
        match (item, &entry.value.content) {
            (None, _) => Some(entry.key.start..self.end(self.colon(entry)?, entry.value)),
            (Some(index), Content::List(items)) => {
                let item = items.get(index)?;
                Some(item.bytes.start..self.end(item.bytes.start, item))
            }
            (Some(_), _) => None,
        }
    }

    pub fn set(&self, entry: &Entry<'_>, value: &Value) -> Option<Patch> {
        let colon = self.colon(entry)?;
        let node = entry.value;
        let end = self.end(colon, node);
        let with = value.flow();
        let one_place = self.is_alias(node) || self.is_flow(node);
        match &node.content {
            _ if one_place => Some(Patch { range: node.bytes.clone(), with }),
            Content::Scalar { .. } if self.header(colon, node).is_none() => {
                Some(Patch { range: node.bytes.clone(), with })
            }
            Content::Null if node.bytes.start >= colon && !node.bytes.is_empty() => {
                Some(Patch { range: node.bytes.clone(), with })
            }
            Content::Null => Some(Patch { range: colon..colon, with: format!(" {with}") }),
            _ => Some(Patch { range: colon..end, with: format!(" {with}") }),
        }
    }

    pub fn remove(&self, entry: &Entry<'_>) -> Option<Patch> {
        let end = self.end(self.colon(entry)?, entry.value);
        if self.is_flow(entry.map) {
            return Some(self.cut(entry.key.start..end));
        }
        self.indent(entry.key.start)?;
        Some(Patch { range: self.line_start(entry.key.start)..self.line_end(end), with: String::new() })
    }

    /// Takes something out of brackets, with one comma.
    fn cut(&self, range: Range<usize>) -> Patch {
        let after = &self.text[range.end..];
        let gap = after.len() - after.trim_start().len();
        if after[gap..].starts_with(',') {
            let mut end = range.end + gap + 1;
            end += self.text[end..].len() - self.text[end..].trim_start_matches(' ').len();
            return Patch { range: range.start..end, with: String::new() };
        }
        let before = self.text[..range.start].trim_end();
        match before.strip_suffix(',') {
            Some(kept) => Patch { range: kept.len()..range.end, with: String::new() },
            None => Patch { range, with: String::new() },
        }
    }

    pub fn push(&self, entry: &Entry<'_>, items: &[Value]) -> Option<Patch> {
        let list = entry.value;
        let old: &[Node] = match &list.content {
            Content::List(old) => old,
            _ => &[],
        };
        if self.is_alias(list) {
            return None;
        }
        let Some(last) = old.last() else {
            let all = Value::List(items.to_vec());
            return self.fill(entry, 2, &all, &|indent| {
                items.iter().map(|item| value::item(item, indent, 2)).collect()
            });
        };
        let end = self.end(last.bytes.start, last);
        if self.is_flow(list) {
            let new: Vec<String> = items.iter().map(Value::flow).collect();
            return Some(Patch { range: end..end, with: format!(", {}", new.join(", ")) });
        }
        let indent = self.dash(last)?;
        let at = self.past_comments(self.line_end(end), indent);
        let lines = items.iter().map(|item| value::item(item, indent, 2)).collect();
        Some(self.lines_at(at, lines))
    }

    pub fn take(&self, entry: &Entry<'_>, index: usize) -> Option<Patch> {
        let list = entry.value;
        let Content::List(items) = &list.content else { return None };
        let item = items.get(index).filter(|_| !self.is_alias(list))?;
        let end = self.end(item.bytes.start, item);
        if self.is_flow(list) {
            return Some(self.cut(item.bytes.start..end));
        }
        self.dash(item)?;
        Some(Patch { range: self.line_start(item.bytes.start)..self.line_end(end), with: String::new() })
    }
}
