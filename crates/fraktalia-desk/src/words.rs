//! What is said in the room, as plain text and as HTML. Much of it was written by agents: it is cleaned when it is
//! taken up, so that it can neither forge what people see nor call them.

use serde::{Deserialize, Serialize};

/// Longest text of one message, in characters. Matrix takes 64 KiB for an event with both of its forms.
const LONGEST: usize = 9_000;
/// Longest line, in characters.
pub(crate) const LONGEST_LINE: usize = 1_000;

/// A message. In lines, what stands between two `` ` `` is shown as code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words(Vec<Block>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Block {
    Line(String),
    Item(String),
    Code(String),
}

impl Words {
    /// A message of one line.
    pub fn line(text: &str) -> Self {
        Self::default().and(text)
    }

    /// With a line more.
    #[must_use]
    pub fn and(mut self, text: &str) -> Self {
        self.0.push(Block::Line(clean_line(text, LONGEST_LINE)));
        self
    }

    /// With an item of a list more.
    #[must_use]
    pub fn item(mut self, text: &str) -> Self {
        self.0.push(Block::Item(clean_line(text, LONGEST_LINE)));
        self
    }

    /// With a block of text that is shown as it is.
    #[must_use]
    pub fn code(mut self, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(|line| clean_line(line, LONGEST_LINE)).collect();
        self.0.push(Block::Code(cut(&lines.join("\n"), LONGEST)));
        self
    }

    /// As plain text.
    pub fn plain(&self) -> String {
        let mut lines = Vec::new();
        for block in &self.0 {
            match block {
                Block::Line(text) => lines.push(text.clone()),
                Block::Item(text) => lines.push(format!("- {text}")),
                Block::Code(text) => lines.extend(text.lines().map(|line| format!("    {line}"))),
            }
        }
        cut(&lines.join("\n"), LONGEST)
    }

    /// As HTML with the few elements that Matrix clients show.
    pub fn html(&self) -> String {
        let mut html = String::new();
        let mut listing = false;
        for block in &self.0 {
            let is_item = matches!(block, Block::Item(_));
            if is_item != listing {
                html.push_str(if is_item { "<ul>" } else { "</ul>" });
                listing = is_item;
            }
            let element = match block {
                Block::Line(text) => format!("<p>{}</p>", inline(text)),
                Block::Item(text) => format!("<li>{}</li>", inline(text)),
                Block::Code(text) => format!("<pre><code>{}</code></pre>", escape(text)),
            };
            html.push_str(&element);
        }
        if listing {
            html.push_str("</ul>");
        }
        html
    }
}

/// Pairs of backticks become code; one that is left over stays.
fn inline(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let mut html = String::new();
    for (index, part) in parts.iter().enumerate() {
        let closed = index + 1 < parts.len();
        let piece = match (index % 2 == 1, closed) {
            (true, true) => format!("<code>{}</code>", escape(part)),
            (true, false) => format!("`{}", escape(part)),
            (false, _) => escape(part),
        };
        html.push_str(&piece);
    }
    html
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Whether a character changes how others are shown, or is not seen itself: controls, changes of direction, joiners,
/// fillers, tags.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A single line in which nothing is unseen and nobody is called, of at most `longest` characters.
pub fn clean_line(text: &str, longest: usize) -> String {
    let mut clean = String::new();
    for c in cut(text, longest).chars() {
        match c {
            '\t' | '\n' | '\r' => clean.push(' '),
            // Shown as what it is, so that an operator sees that somebody tried.
            c if is_unseen(c) && c != '\u{fe0f}' => clean.extend(c.escape_unicode()),
            c => clean.push(c),
        }
    }
    // Some clients and rules of servers go by the text alone.
    uncalled(&clean)
}

/// `@room` in any case, with a space that keeps it from being a call.
fn uncalled(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut result = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _) in lower.match_indices("@room") {
        result.push_str(&text[from..=at]);
        result.push(' ');
        from = at + 1;
    }
    result.push_str(&text[from..]);
    result
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_in_what_an_agent_wrote_is_text() {
        let words = Words::line("purpose: <a href='https://x'>✅ approved</a> & `<b>`")
            .code("</code></pre><h1>Approved</h1>")
            .item("<img src=x>");
        let html = words.html();
        let tags: Vec<&str> = html.split('<').skip(1).filter_map(|tag| tag.split('>').next()).collect();
        let known = ["p", "/p", "code", "/code", "pre", "/pre", "ul", "/ul", "li", "/li"];
        assert!(tags.iter().all(|tag| known.contains(tag)), "{html}");
        assert_eq!(html.matches("<p>").count(), 1);
    }

    #[test]
    fn nobody_is_called_and_nothing_is_hidden() {
        let words = Words::line("@room @Room look\u{202e}evil\u{200b}").code("a @room\u{7}\nb");
        for shown in [words.plain(), words.html()] {
            assert!(!shown.to_lowercase().contains("@room"), "{shown}");
            assert!(!shown.chars().any(|c| is_unseen(c) && c != '\n'), "{shown:?}");
        }
        assert!(words.plain().contains("\\u{202e}"));
    }

    #[test]
    fn a_line_cannot_become_two() {
        assert_eq!(Words::line("a\nPlan approved").plain(), "a Plan approved");
    }

    #[test]
    fn a_long_text_is_cut_where_a_character_ends() {
        let words = Words::default().code(&"ä\n".repeat(20_000));
        assert!(words.plain().chars().count() <= LONGEST + 1);
        assert!(Words::line(&"ä".repeat(5_000)).plain().ends_with('…'));
    }

    #[test]
    fn a_lone_backtick_stays_one() {
        assert_eq!(Words::line("`a` b ` c").html(), "<p><code>a</code> b ` c</p>");
    }
}
