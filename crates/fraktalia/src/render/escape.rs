//! Makes visible what would otherwise move the cursor, change colours, or reorder or hide text.

use std::fmt::Write;

/// `text` on one line, with every character that does not simply print written as `\n`, `\t` or `\u{..}`.
///
/// Backslashes stay as they are: the result is for eyes, not for parsers.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut before = ' ';
    for at in text.chars() {
        match at {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            _ if at.is_control() || deceives(at, before) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(at));
            }
            _ => shown.push(at),
        }
        before = at;
    }
    shown
}

/// Whether a character changes how others look without being seen itself.
fn deceives(at: char, before: char) -> bool {
    // Joiners build emoji and belong into many scripts, but hide within ASCII.
    let joiner = matches!(at, '\u{200c}' | '\u{200d}') && before.is_ascii();
    // Soft hyphen, Arabic letter mark, Mongolian vowel separator, zero-width space, direction marks.
    let mark = matches!(at, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}');
    // Line and paragraph separators, embeddings and overrides, invisible operators, isolates.
    let order = matches!(at, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    // Byte order mark, interlinear annotations, tags.
    let other = matches!(at, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    joiner || mark || order || other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_the_cursor_or_reorders_text_becomes_visible() {
        assert_eq!(
            visible("a\u{1b}[31mred\u{1b}[0m\r\n\tb\u{9b}2J"),
            "a\\u{1b}[31mred\\u{1b}[0m\\r\\n\\tb\\u{9b}2J"
        );
        assert_eq!(visible("exe\u{202e}txt.\u{2066}x\u{200b}"), "exe\\u{202e}txt.\\u{2066}x\\u{200b}");
    }

    #[test]
    fn ordinary_text_of_any_script_stays_as_it_is() {
        for text in ["Grüße, 日本語, עברית", "👩\u{200d}🌾 garden", "back\\slash"] {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn a_joiner_between_letters_cannot_fake_a_name() {
        assert_eq!(visible("gard\u{200d}ener"), "gard\\u{200d}ener");
    }
}
