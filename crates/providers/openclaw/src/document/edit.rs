//! Changes to the tree. Each touches as little of the text as it can.

use serde_json::Value as Json;

use super::layout::{Layout, Style};
use super::tree::{Container, Item, Node, Slot};
use super::trivia::{
    ends_in_line_comment, indent_after, is_blank, leading_space, split_line, split_trailing_space,
    without_lead,
};

/// Where a container stands: what a new element has to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'s> {
    pub style: &'s Style,
    /// Indentation of the line on which the container begins.
    pub indent: &'s str,
    /// `Line` when the container is itself an element of a one-line container.
    pub layout: Layout,
}

impl<'a, T: Item<'a>> Container<'a, T> {
    /// How a new element would be written at `index`, and with which indentation.
    pub fn site_of_new(&self, index: usize, site: Site<'_>) -> (Layout, String) {
        let neighbour = self.slots.get(index).or(self.slots.last());
        let Some(neighbour) = neighbour else {
            let (comments, space) = split_trailing_space(&self.end);
            let one_line = site.layout == Layout::Line || (comments.is_empty() && space == " ");
            let layout = if one_line { Layout::Line } else { Layout::Block };
            return (layout, site.style.deeper(site.indent));
        };
        let indent = indent_after(&neighbour.before);
        let flat = match neighbour.item.node() {
            Node::Scalar(_) => false,
            node => !node.spans_lines(),
        };
        // A new element in a one-line container, or beside a one-line object, is written on one line.
        let layout =
            if flat || (indent.is_none() && !self.spans_lines()) { Layout::Line } else { Layout::Block };
        (layout, indent.unwrap_or(site.indent).to_owned())
    }

    /// Puts an element before the one at `index`, or at the end.
    pub fn insert(&mut self, index: usize, item: T, site: Site<'_>) {
        if self.slots.is_empty() {
            self.insert_first(item, site);
        } else if index < self.slots.len() {
            self.insert_before(index, item, site.style);
        } else {
            self.append(item, site.style);
        }
    }

    fn insert_first(&mut self, item: T, site: Site<'_>) {
        let (layout, indent) = self.site_of_new(0, site);
        let (comments, space) = split_trailing_space(&self.end);
        let (before, end) = if layout == Layout::Line && comments.is_empty() && !space.contains('\n') {
            (space.to_owned().into(), space.to_owned().into())
        } else if layout == Layout::Block || space.contains('\n') {
            let end =
                if space.contains('\n') { space.to_owned().into() } else { site.style.line(site.indent) };
            (format!("{comments}{}{indent}", site.style.eol).into(), end)
        } else {
            (format!("{comments} ").into(), space.to_owned().into())
        };
        self.end = end;
        self.slots.push(Slot { before, item, after: "".into(), comma: false });
    }

    fn insert_before(&mut self, index: usize, item: T, style: &Style) {
        let next = &mut self.slots[index];
        let before = if let Some((same, rest)) = split_line(&next.before) {
            // Comments at the end of the line above stay there; those on lines of their own stay with `next`.
            let indent = indent_after(&next.before).unwrap_or_default();
            let before = format!("{same}{}{indent}", style.eol);
            next.before = rest.to_owned().into();
            before
        } else {
            let space = leading_space(&next.before).to_owned();
            if index == 0 && is_blank(&next.before) {
                next.before = " ".into();
            }
            space
        };
        let slot = Slot { before: before.into(), item, after: "".into(), comma: true };
        self.slots.insert(index, slot);
    }

    fn append(&mut self, item: T, style: &Style) {
        let count = self.slots.len();
        let last = &mut self.slots[count - 1];
        let comma = last.comma;
        last.comma = true;
        let before = match indent_after(&last.before) {
            None if count == 1 => " ".to_owned(),
            None => leading_space(&last.before).to_owned(),
            Some(indent) => match split_line(&self.end) {
                Some((same, rest)) => {
                    let before = format!("{same}{}{indent}", style.eol);
                    self.end = rest.to_owned().into();
                    before
                }
                None => format!("{}{indent}", style.eol),
            },
        };
        self.slots.push(Slot { before: before.into(), item, after: "".into(), comma });
    }

    /// Takes out the element at `index`. Comments around it stay.
    pub fn remove(&mut self, index: usize) {
        let gone = self.slots.remove(index);
        let last = index == self.slots.len();
        let kept = without_lead(&gone.before);
        let after = if is_blank(&gone.after) { "" } else { &*gone.after };
        let next = if last { &self.end } else { &self.slots[index].before };
        let follows = format!("{after}{next}");
        let opens_line = follows.starts_with(['\n', '\r']);
        let joined = if ends_in_line_comment(kept) && !opens_line {
            format!("{}{follows}", gone.before)
        } else if index == 0 && !last && is_blank(kept) && is_blank(&follows) && !follows.contains('\n') {
            gone.before.into_owned()
        } else {
            format!("{kept}{follows}")
        };
        if last {
            self.end = if self.slots.is_empty() && is_blank(&joined) && joined.contains('\n') {
                "".into()
            } else {
                joined.into()
            };
            if let Some(previous) = self.slots.last_mut() {
                previous.comma = gone.comma;
            }
        } else {
            self.slots[index].before = joined.into();
        }
    }
}

impl Node<'_> {
    /// Makes it mean `value`, member by member and element by element.
    pub fn merge(&mut self, value: &Json, site: Site<'_>) {
        if self.means(value) {
            return;
        }
        match (&mut *self, value) {
            (Node::Object(object), Json::Object(members)) => {
                for index in (0..object.slots.len()).rev() {
                    if !members.contains_key(&*object.slots[index].item.key) {
                        object.remove(index);
                    }
                }
                for (key, value) in members {
                    object.set(key, value, site);
                }
            }
            (Node::Array(array), Json::Array(values)) => array.merge(values, site),
            (node, value) => *node = site.style.node(value, site.layout, site.indent),
        }
    }
}

impl<'a> Container<'a, super::tree::Member<'a>> {
    /// Makes the member `key` mean `value`; a new one goes to the end.
    pub fn set(&mut self, key: &str, value: &Json, site: Site<'_>) {
        match self.index_of(key) {
            Some(index) => {
                let site = self.site_within(index, site);
                self.slots[index].item.value.merge(value, site.as_site());
            }
            None => {
                let count = self.slots.len();
                let (layout, indent) = self.site_of_new(count, site);
                let member = site.style.member(key, site.style.node(value, layout, &indent));
                self.insert(count, member, site);
            }
        }
    }
}

impl<'a> Container<'a, Node<'a>> {
    fn merge(&mut self, values: &[Json], site: Site<'_>) {
        let same = |(slot, value): &(&Slot<'a, Node<'a>>, &Json)| slot.item.means(value);
        let head = self.slots.iter().zip(values).take_while(same).count();
        let tail = self.slots[head..].iter().rev().zip(values[head..].iter().rev()).take_while(same).count();
        let (old, new) = (self.slots.len() - head - tail, values.len() - head - tail);
        let both = head + old.min(new);
        for (index, value) in values.iter().enumerate().take(both).skip(head) {
            let site = self.site_within(index, site);
            self.slots[index].item.merge(value, site.as_site());
        }
        for index in (both..head + old).rev() {
            self.remove(index);
        }
        for (index, value) in values.iter().enumerate().take(head + new).skip(both) {
            self.insert_value(index, value, site);
        }
    }

    /// Puts a value before the element at `index`, or at the end.
    pub fn insert_value(&mut self, index: usize, value: &Json, site: Site<'_>) {
        let (layout, indent) = self.site_of_new(index, site);
        let node = site.style.node(value, layout, &indent);
        self.insert(index, node, site);
    }
}

/// A [`Site`] that owns its indentation.
pub(super) struct OwnedSite<'s> {
    style: &'s Style,
    indent: String,
    layout: Layout,
}

impl OwnedSite<'_> {
    pub fn as_site(&self) -> Site<'_> {
        Site { style: self.style, indent: &self.indent, layout: self.layout }
    }
}

impl<'a, T: Item<'a>> Container<'a, T> {
    /// Where the element at `index` stands.
    pub fn site_within<'s>(&self, index: usize, site: Site<'s>) -> OwnedSite<'s> {
        let indent = indent_after(&self.slots[index].before);
        let layout =
            if indent.is_none() && !self.spans_lines_cheaply() { Layout::Line } else { Layout::Block };
        OwnedSite { style: site.style, indent: indent.unwrap_or(site.indent).to_owned(), layout }
    }

    /// Whether an element or the closing bracket stands on a line of its own.
    fn spans_lines_cheaply(&self) -> bool {
        self.end.contains('\n') || self.slots.iter().any(|slot| slot.before.contains('\n'))
    }
}
