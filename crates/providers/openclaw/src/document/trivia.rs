//! What stands between two tokens: white space and comments.

/// White space of JSON5, line ends included.
pub(super) fn is_space(c: char) -> bool {
    matches!(
        c,
        '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{a0}' | '\u{feff}' | '\u{2028}' | '\u{2029}'
    ) || matches!(c, '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// A character that ends a `//` comment.
pub(super) fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

/// Whether there is no comment in it.
pub(super) fn is_blank(trivia: &str) -> bool {
    trivia.chars().all(is_space)
}

/// A piece of trivia that is no white space.
enum Comment {
    None,
    Line,
    Block,
}

/// Walks over trivia and calls `at` for each character that is outside of block comments, with its offset and
/// whether a `//` comment is open there. Stops when `at` says so.
fn walk(trivia: &str, mut at: impl FnMut(usize, char, bool) -> bool) -> bool {
    let mut inside = Comment::None;
    let mut chars = trivia.char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        match inside {
            Comment::Block => {
                if c == '*' && next == Some('/') {
                    chars.next();
                    inside = Comment::None;
                }
                continue;
            }
            Comment::Line if is_line_end(c) => inside = Comment::None,
            Comment::None if c == '/' && next == Some('*') => {
                chars.next();
                inside = Comment::Block;
                continue;
            }
            Comment::None if c == '/' && next == Some('/') => inside = Comment::Line,
            _ => {}
        }
        if at(offset, c, matches!(inside, Comment::Line)) {
            return true;
        }
    }
    matches!(inside, Comment::Line)
}

/// Splits before the first line end that is not inside a comment: what belongs to the line above, and the rest.
/// `None` when everything is on one line.
pub(super) fn split_line(trivia: &str) -> Option<(&str, &str)> {
    let mut found = None;
    walk(trivia, |offset, c, _| {
        if c == '\n' {
            found = Some(offset);
        }
        found.is_some()
    });
    let mut at = found?;
    if trivia[..at].ends_with('\r') {
        at -= 1;
    }
    Some(trivia.split_at(at))
}

/// Whether it ends inside a `//` comment, so that what follows has to begin with a line end.
pub(super) fn ends_in_line_comment(trivia: &str) -> bool {
    walk(trivia, |_, _, _| false)
}

/// Splits into everything up to the last comment, and the white space after it.
pub(super) fn split_trailing_space(trivia: &str) -> (&str, &str) {
    // A line end that closes a `//` comment counts as white space: the caller asks `ends_in_line_comment`.
    let kept = trivia.trim_end_matches(is_space);
    trivia.split_at(kept.len())
}

/// What stays when the element after it goes: all but the line end and the indentation that led to the element.
pub(super) fn without_lead(trivia: &str) -> &str {
    let (kept, space) = split_trailing_space(trivia);
    match space.find('\n') {
        Some(at) => trivia[..kept.len() + at].strip_suffix('\r').unwrap_or(&trivia[..kept.len() + at]),
        None => kept,
    }
}

/// The white space at its begin, when the whole of it stands on one line.
pub(super) fn leading_space(trivia: &str) -> &str {
    let rest = trivia.trim_start_matches(is_space);
    &trivia[..trivia.len() - rest.len()]
}

/// The indentation of what follows: the white space after the last line end. `None` when it stands on the same
/// line as what came before.
pub(super) fn indent_after(trivia: &str) -> Option<&str> {
    let (_, rest) = split_line(trivia)?;
    let line = rest.rfind('\n').map_or(rest, |at| &rest[at + 1..]);
    Some(leading_space(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_end_inside_a_block_comment_does_not_end_the_line() {
        assert_eq!(split_line(" /* a\n b */ "), None);
        assert_eq!(split_line(" /* a\n */ // c\n  x"), Some((" /* a\n */ // c", "\n  x")));
        assert_eq!(split_line(" \r\n  "), Some((" ", "\r\n  ")));
    }

    #[test]
    fn an_open_line_comment_is_seen() {
        assert!(ends_in_line_comment(" // c"));
        assert!(!ends_in_line_comment(" // c\n"));
        assert!(!ends_in_line_comment(" /* // c */ "));
        assert!(ends_in_line_comment("/* a */ // */"));
    }

    #[test]
    fn the_indentation_is_that_of_the_last_line() {
        assert_eq!(indent_after("\n\t\t"), Some("\t\t"));
        assert_eq!(indent_after(" // c\n    "), Some("    "));
        assert_eq!(indent_after(" "), None);
    }
}
