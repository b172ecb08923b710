//! Texts of programs, as they may be said to people.

/// Most characters of an answer.
const LONGEST: usize = 9_000;

/// Without what a terminal would obey.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}

/// Cut at a line's end where it is too long, with a word on how to see the rest.
pub fn bounded(text: &str, more: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let mut kept = String::new();
    let (mut used, mut lines) = (0, text.lines());
    for line in lines.by_ref() {
        let length = line.chars().count() + 1;
        if used + length > LONGEST - 200 {
            break;
        }
        kept.push_str(line);
        kept.push('\n');
        used += length;
    }
    if kept.is_empty() {
        // One line that is longer than everything may be.
        kept = text.chars().take(LONGEST - 200).collect::<String>() + "\n";
    }
    let left = lines.count() + 1;
    let hint = format!("… {left} more lines; at a terminal: `{more}`\n");
    kept + &hint
}

/// The end of what a program said, in one paragraph: its errors and their cures.
pub fn reason(said: &str) -> String {
    let said = plain(said);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let first = lines.iter().position(|line| line.starts_with("error: ")).unwrap_or(0);
    let text = lines[first..].join(" ");
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    match text.char_indices().nth(1_500) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The same, where there is an error in what was said.
pub fn error(said: &str) -> Option<String> {
    said.lines().any(|line| line.starts_with("error: ")).then(|| reason(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_ends_with_a_whole_line_and_says_how_to_see_more() {
        let long = "a line that ends with ü\n".repeat(2_000);
        let cut = bounded(&long, "fraktalia status");
        assert!(cut.chars().count() <= LONGEST);
        let mut lines: Vec<&str> = cut.lines().collect();
        let hint = lines.pop().unwrap();
        let left = 2_000 - lines.len();
        assert_eq!(hint, format!("… {left} more lines; at a terminal: `fraktalia status`"));
        assert!(lines.iter().all(|line| line.ends_with('ü')));
        assert!(bounded(&"x".repeat(20_000), "y").chars().count() <= LONGEST);
        assert_eq!(bounded("short\n", "y"), "short\n");
    }

    #[test]
    fn a_reason_begins_with_the_error_and_holds_nothing_that_a_terminal_obeys() {
        let said = "warning: no\nerror: the \u{1b}[31mroom is gone\n  hint: make it\n";
        assert_eq!(reason(said), "the [31mroom is gone hint: make it");
        assert_eq!(reason(&"ü".repeat(3_000)).chars().count(), 1_501);
        assert_eq!(reason(""), "");
    }
}
