//! What operators ask for in the room.

use fraktalia_model::manifest::nearest;
use serde::{Deserialize, Serialize};

/// Most runs that `!history` shows.
const HISTORY: u32 = 50;

/// A question that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// In sync or not.
    Status,
    /// What would change.
    Plan,
    /// What drifted.
    Drift,
    /// The last runs, so many.
    History(u32),
}

/// What an operator wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A question.
    Ask(Question),
    /// Take the last run back, after a look and a yes.
    Rollback,
    /// Remove the fractal of that key, after a look and a yes.
    Remove(String),
    /// What can be asked.
    Help,
    /// None that is known, and what to say about it.
    Unknown(String),
}

/// The words, and what they do.
pub const WORDS: [(&str, &str); 7] = [
    ("!status", "in sync or not, resource by resource"),
    ("!plan", "what an apply would change"),
    ("!drift", "what was changed by hand"),
    ("!history", "the last runs; `!history 20` shows more"),
    ("!remove", "`!remove NAME` shows what removing a fractal would do, and asks"),
    ("!rollback", "shows what taking back the last run would do, and asks"),
    ("!help", "this list"),
];

/// The command of a message; `None` for talk. A command is the whole message, of one line.
pub fn parse(body: &str) -> Option<Command> {
    let body = body.trim();
    if !body.starts_with('!') || body.len() > 200 || body.contains('\n') {
        return None;
    }
    let mut words = body.split_whitespace();
    let word = words.next()?.to_ascii_lowercase();
    // `!` and `!!!` are talk.
    if !word[1..].starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let rest: Vec<&str> = words.collect();
    Some(match (word.as_str(), &rest[..]) {
        ("!status", []) => Command::Ask(Question::Status),
        ("!plan", []) => Command::Ask(Question::Plan),
        ("!drift", []) => Command::Ask(Question::Drift),
        ("!history", []) => Command::Ask(Question::History(10)),
        ("!history", [number]) => match number.parse() {
            Ok(number @ 1..=HISTORY) => Command::Ask(Question::History(number)),
            _ => Command::Unknown(format!("`!history` takes a number from 1 to {HISTORY}")),
        },
        ("!remove", [name]) => Command::Remove((*name).into()),
        ("!remove", _) => Command::Unknown("`!remove` takes the key of one fractal".into()),
        ("!rollback", []) => Command::Rollback,
        ("!help", _) => Command::Help,
        (known, _) if WORDS.iter().any(|(word, _)| *word == known) => {
            Command::Unknown(format!("`{known}` stands alone"))
        }
        (other, _) => Command::Unknown(match nearest(other, WORDS.map(|(word, _)| word)) {
            Some(meant) => format!("`{other}` is not known; did you mean `{meant}`?"),
            None => format!("`{other}` is not known; `!help` lists what is"),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_questions_are_read() {
        for (body, command) in [
            ("!status", Command::Ask(Question::Status)),
            (" !PLAN ", Command::Ask(Question::Plan)),
            ("!drift", Command::Ask(Question::Drift)),
            ("!history", Command::Ask(Question::History(10))),
            ("!history 3", Command::Ask(Question::History(3))),
            ("!rollback", Command::Rollback),
            ("!remove cook", Command::Remove("cook".into())),
            ("!help me", Command::Help),
        ] {
            assert_eq!(parse(body), Some(command), "{body}");
        }
    }

    #[test]
    fn talk_is_no_command() {
        for talk in ["", "status", "!", "!!!", "! status", "!1", "please !rollback", "!rollback\nnot", "!äh"]
        {
            assert_eq!(parse(talk), None, "{talk}");
        }
        assert_eq!(parse(&format!("!{}", "a".repeat(300))), None);
    }

    #[test]
    fn a_slip_is_not_guessed_but_asked_about() {
        let said = |body| match parse(body) {
            Some(Command::Unknown(text)) => text,
            other => panic!("{body}: {other:?}"),
        };
        assert_eq!(said("!stauts"), "`!stauts` is not known; did you mean `!status`?");
        assert_eq!(said("!rollback 20251126"), "`!rollback` stands alone");
        assert_eq!(said("!remove a b"), "`!remove` takes the key of one fractal");
        assert_eq!(said("!history 0"), "`!history` takes a number from 1 to 50");
        assert_eq!(said("!dance"), "`!dance` is not known; `!help` lists what is");
    }
}
