//! A line of text made of pieces, each with a meaning. It knows its width, folds itself to the terminal, and lets no
//! control character through.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::escape::visible;
use super::look::{Look, Tone};

/// One line for people. Whatever goes in is made visible first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pieces: Vec<(Tone, String)>,
    width: usize,
    indent: usize,
    hang: usize,
}

impl Line {
    /// An empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// A line that starts with `columns` spaces.
    pub fn indented(columns: usize) -> Self {
        let mut line = Self::new().space(columns).hang();
        line.indent = columns;
        line
    }

    /// With `text` at its end.
    #[must_use]
    pub fn text(self, tone: Tone, text: &str) -> Self {
        let text = visible(text);
        let width = text.width();
        self.piece(tone, text, width)
    }

    /// With plain `text` at its end.
    #[must_use]
    pub fn plain(self, text: &str) -> Self {
        self.text(Tone::Plain, text)
    }

    /// With `columns` spaces at its end.
    #[must_use]
    pub fn space(self, columns: usize) -> Self {
        self.piece(Tone::Plain, " ".repeat(columns), columns)
    }

    /// Filled up with spaces to `column`, and at least `gap` of them.
    #[must_use]
    pub fn to_column(self, column: usize, gap: usize) -> Self {
        let columns = column.saturating_sub(self.width).max(gap);
        self.space(columns)
    }

    /// With all of `other` at its end.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.width += other.width;
        self.pieces.extend(other.pieces);
        self
    }

    /// Where it has to be folded, it goes on below this point.
    #[must_use]
    pub fn hang(mut self) -> Self {
        self.hang = self.width;
        self
    }

    fn piece(mut self, tone: Tone, text: String, width: usize) -> Self {
        if !text.is_empty() {
            self.pieces.push((tone, text));
            self.width += width;
        }
        self
    }

    /// Columns that it takes.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Adds it to `page`, folded to the look's width, with a newline.
    pub fn write(&self, look: &Look, page: &mut String) {
        if self.width <= look.width {
            self.write_pieces(look, page);
        } else {
            self.write_folded(look, page);
        }
        page.push('\n');
    }

    /// Adds it to `page` in one piece, however wide: a command that was folded cannot be copied.
    pub fn write_whole(&self, look: &Look, page: &mut String) {
        self.write_pieces(look, page);
        page.push('\n');
    }

    fn write_pieces(&self, look: &Look, page: &mut String) {
        let last = self.pieces.iter().rposition(|(_, text)| !text.trim_end().is_empty());
        for (index, (tone, text)) in self.pieces.iter().enumerate() {
            match last {
                Some(last) if index < last => page.push_str(&look.paint(*tone, text)),
                Some(last) if index == last => page.push_str(&look.paint(*tone, text.trim_end())),
                _ => {}
            }
        }
    }

    /// Breaks at spaces, and inside words only where a word alone is too wide.
    fn write_folded(&self, look: &Look, page: &mut String) {
        // Too narrow for columns: what is folded stands a little in from where the line begins.
        let hang = if self.hang * 5 > look.width * 2 { self.indent + 4 } else { self.hang };
        let mut fold = Fold { look, page, hang, column: 0, fresh: true };
        for (tone, text) in &self.pieces {
            for word in words(text) {
                fold.word(*tone, word);
            }
        }
    }
}

struct Fold<'a> {
    look: &'a Look,
    page: &'a mut String,
    hang: usize,
    column: usize,
    fresh: bool,
}

impl Fold<'_> {
    fn word(&mut self, tone: Tone, word: &str) {
        let bare = word.trim_end_matches(' ');
        let width = bare.width();
        if self.column + width > self.look.width && !self.fresh {
            self.break_line();
        }
        if self.column + width > self.look.width {
            self.split(tone, bare);
        } else {
            self.page.push_str(&self.look.paint(tone, bare));
            self.column += width;
            self.fresh &= width == 0;
        }
        let spaces = word.width() - width;
        if self.column + spaces < self.look.width
            && !(self.fresh && self.column == self.hang && self.hang > 0)
        {
            self.page.push_str(&" ".repeat(spaces));
            self.column += spaces;
        } else if !self.fresh {
            // Not written at the edge, and still between this word and the next: that one begins a line.
            self.column += spaces;
        }
    }

    fn split(&mut self, tone: Tone, word: &str) {
        let mut part = String::new();
        let mut width = 0;
        for at in word.chars() {
            let wide = at.width().unwrap_or(0);
            if self.column + width + wide > self.look.width && !part.is_empty() {
                self.page.push_str(&self.look.paint(tone, &part));
                part.clear();
                width = 0;
                self.break_line();
            }
            part.push(at);
            width += wide;
        }
        self.page.push_str(&self.look.paint(tone, &part));
        self.column += width;
        self.fresh = false;
    }

    fn break_line(&mut self) {
        let end = self.page.trim_end_matches(' ').len();
        self.page.truncate(end);
        self.page.push('\n');
        self.page.push_str(&" ".repeat(self.hang));
        self.column = self.hang;
        self.fresh = true;
    }
}

/// Words, each with the spaces that follow it. Leading spaces are a word of their own.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let word = rest.find(' ').unwrap_or(rest.len());
        let end = rest[word..].find(|at| at != ' ').map_or(rest.len(), |spaces| word + spaces);
        let (head, tail) = rest.split_at(end);
        rest = tail;
        Some(head)
    })
}

/// The first `columns` columns of `text`, with an ellipsis where something is left out.
pub fn shortened(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.into();
    }
    let mut short = String::new();
    let mut width = 0;
    for at in text.chars() {
        let wide = at.width().unwrap_or(0);
        if width + wide + 1 > columns {
            break;
        }
        short.push(at);
        width += wide;
    }
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::look::Detail;

    fn look(width: usize) -> Look {
        Look { colour: false, width, detail: Detail::Brief }
    }

    fn written(line: &Line, width: usize) -> String {
        let mut page = String::new();
        line.write(&look(width), &mut page);
        page
    }

    #[test]
    fn a_short_word_at_the_edge_is_not_glued_to_the_one_before() {
        let line = Line::new().plain("refer to a file");
        assert_eq!(written(&line, 9), "refer to\na file\n");
    }

    #[test]
    fn a_long_line_goes_on_below_its_last_column() {
        let line = Line::new().plain("  + room").to_column(12, 2).hang().plain("one two three four five six");
        assert_eq!(written(&line, 32), "  + room    one two three four\n            five six\n");
    }

    #[test]
    fn a_word_that_is_too_wide_is_split_and_nothing_is_lost() {
        let line = Line::new().plain("a ").hang().plain("abcdefghijklmnopqrstuvwxyz");
        let page = written(&line, 10);
        assert!(page.lines().all(|line| line.width() <= 10), "{page}");
        assert_eq!(page.replace(['\n', ' '], ""), "aabcdefghijklmnopqrstuvwxyz");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(Line::new().plain("日本").width(), 4);
        assert_eq!(shortened("日本語の庭", 6), "日本…");
    }

    #[test]
    fn no_line_ends_in_spaces() {
        let line = Line::new().plain("x").space(5).plain("");
        assert_eq!(written(&line, 80), "x\n");
    }

    #[test]
    fn colours_frame_text_and_never_come_from_it() {
        let mut page = String::new();
        let coloured = Look { colour: true, ..look(80) };
        Line::new().text(Tone::Remove, "a\u{1b}[32mb").write(&coloured, &mut page);
        assert_eq!(page, "\u{1b}[31ma\\u{1b}[32mb\u{1b}[0m\n");
    }
}
