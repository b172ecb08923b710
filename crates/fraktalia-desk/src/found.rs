//! Where in a message a fragment stands.

/// Longest message that is looked into, in bytes: what fits into a Matrix event.
pub const MESSAGE: usize = 64 * 1024;

/// What a message has of fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// None: it is talk.
    Nothing,
    /// One.
    One(String),
    /// More than one, so that nobody could say which is meant.
    Several,
    /// More than is looked into.
    TooLarge,
}

/// The fragment of a message: a fenced block of YAML in its text, or a file that comes with it.
pub fn find(body: &str, attachment: Option<&str>) -> Found {
    if body.len() > MESSAGE || attachment.is_some_and(|text| text.len() > MESSAGE) {
        return Found::TooLarge;
    }
    let mut blocks = fenced(body);
    blocks.extend(attachment.map(String::from));
    match blocks.len() {
        0 => Found::Nothing,
        1 => Found::One(blocks.remove(0)),
        _ => Found::Several,
    }
}

/// The contents of all fenced blocks that say `yaml` or `yml`. One without an end goes on to the end of the message, as
/// clients show it.
fn fenced(body: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, Option<String>)> = None;
    for line in body.lines() {
        match open.take() {
            None => open = opening(line).map(|(fence, yaml)| (fence, yaml.then(String::new))),
            Some((fence, text)) if closes(line, fence) => blocks.extend(text),
            Some((fence, mut text)) => {
                if let Some(text) = &mut text {
                    text.push_str(line);
                    text.push('\n');
                }
                open = Some((fence, text));
            }
        }
    }
    blocks.extend(open.and_then(|(_, text)| text));
    blocks
}

/// The fence that a line begins a block with, and whether the block is said to be YAML.
fn opening(line: &str) -> Option<(&str, bool)> {
    let line = line.trim_start();
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let rest = line.trim_start_matches(mark);
    let fence = &line[..line.len() - rest.len()];
    let language = rest.trim().to_ascii_lowercase();
    (fence.len() >= 3).then_some((fence, matches!(language.as_str(), "yaml" | "yml")))
}

fn closes(line: &str, fence: &str) -> bool {
    let line = line.trim();
    line.starts_with(fence) && line.trim_start_matches(&fence[..1]).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_is_a_fenced_block_that_says_yaml() {
        let one = |body: &str| find(body, None);
        assert_eq!(one("I propose:\n```yaml\na: 1\n```\nplease"), Found::One("a: 1\n".into()));
        assert_eq!(one("~~~ yml\na: 1\n~~~"), Found::One("a: 1\n".into()));
        assert_eq!(one("```yaml\na: 1"), Found::One("a: 1\n".into()));
        assert_eq!(one("````yaml\n```\n````"), Found::One("```\n".into()));
        assert_eq!(find("see the file", Some("a: 1")), Found::One("a: 1".into()));
        for talk in ["", "a: 1", "```sh\nrm\n```", "> ```yaml\n> a: 1\n> ```", "``yaml\nx\n``"] {
            assert_eq!(one(talk), Found::Nothing, "{talk}");
        }
    }

    #[test]
    fn a_block_inside_of_another_is_not_one() {
        assert_eq!(find("````text\n```yaml\na: 1\n```\n````", None), Found::Nothing);
    }

    #[test]
    fn of_two_fragments_neither_is_taken() {
        assert_eq!(find("```yaml\na: 1\n```\n```yaml\nb: 1\n```", None), Found::Several);
        assert_eq!(find("```yaml\na: 1\n```", Some("b: 1")), Found::Several);
    }

    #[test]
    fn a_megabyte_is_not_looked_into() {
        assert_eq!(find(&"x".repeat(1 << 20), None), Found::TooLarge);
        assert_eq!(find("", Some(&"x".repeat(1 << 20))), Found::TooLarge);
    }
}
