//! Which keys a proposal may write down, and what may stand behind them.

use fraktalia_model::manifest::{Proposable, Quoted, Written};

use super::{Judge, short};

/// Texts by which a credential is known at once. A proposal is posted in a room and kept in git.
const CREDENTIALS: [&str; 9] =
    ["-----BEGIN", "syt_", "mct_", "ghp_", "github_pat_", "xoxb-", "sk-ant-", "sk-proj-", "AKIA"];

/// What the manifest says about a key of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Every proposal may have it.
    Always,
    /// Those may that the manifest allows it.
    Where(Proposable, &'static str),
    /// None may.
    Never,
}

impl Judge<'_> {
    /// Judges one key or item, and the text behind it.
    pub(super) fn written(&mut self, written: &Written) {
        let path: Vec<&str> = written.path.iter().map(String::as_str).collect();
        let shown = short(&written.path.join(".").replace(".[", "["));
        match standing(&path) {
            Standing::Always => {}
            Standing::Where(key, _) if self.policy.allow.keys.contains(&key) => {}
            Standing::Where(_, word) => {
                let text = format!("`{shown}` may not be proposed here");
                let hint =
                    format!("leave it away; an operator can allow it: `admin_room.allow.keys: [{word}]`");
                self.refuse("proposal.key", &written.at, text, &hint);
            }
            // Only the first of several levels: what is below goes with it.
            Standing::Never if parent_is_never(&path) => {}
            Standing::Never => {
                let text = format!("`{shown}` may never be proposed");
                self.refuse(
                    "proposal.key",
                    &written.at,
                    text,
                    "leave it away; operators write it themselves",
                );
            }
        }
        if let ["fractals", _, "workspace", "files", file] = path[..]
            && !is_plain_file(file)
        {
            let text = format!("`{}` is no plain name of a file", short(file));
            let hint = "use letters, digits, `.`, `_`, `-`, and `/` between up to four parts; no part begins with a dot";
            self.refuse("proposal.file-name", &written.at, text, hint);
        }
        if let Some(text) = &written.text {
            self.text(&path, text);
        }
    }

    fn text(&mut self, path: &[&str], text: &Quoted<String>) {
        let longest = longest(path);
        let length = text.value.chars().count();
        if length > longest {
            let message = format!("this text has {length} characters, and may have {longest}");
            self.refuse("proposal.too-long", &text.at, message, "shorten it");
        }
        if let Some(c) = text.value.chars().find(|c| is_forging(*c, path)) {
            let message = format!("this text holds the unseen character {}", c.escape_unicode());
            self.refuse("proposal.unseen", &text.at, message, "leave it away");
        }
        if let Some(mark) = CREDENTIALS.iter().find(|mark| text.value.contains(**mark)) {
            let message = format!("this text looks like it holds a credential (`{mark}`)");
            let hint = "leave it away, and have it changed: it stands in this room now";
            self.refuse("proposal.secret", &text.at, message, hint);
        }
    }
}

/// An escape in a quoted text can make what the text itself may not hold. Names have one line.
fn is_forging(c: char, path: &[&str]) -> bool {
    let several_lines = matches!(path, [.., "persona" | "content"]);
    match c {
        '\n' | '\t' => !several_lines,
        '\u{fe0f}' => false,
        c => crate::words::is_unseen(c),
    }
}

/// Most characters of a text.
fn longest(path: &[&str]) -> usize {
    match path {
        [.., "persona"] => 4_000,
        [.., "files", _, "content"] => 8_000,
        [.., "purpose" | "topic"] => 300,
        [.., "name"] => 64,
        _ => 200,
    }
}

/// What every proposal may write down at its fractal. `*` is any name or item.
const ALWAYS: [&[&str]; 23] = [
    &[],
    &["name"],
    &["purpose"],
    &["persona"],
    &["auto_reply"],
    &["sandbox"],
    &["model"],
    &["model", "primary"],
    &["model", "fallbacks"],
    &["model", "fallbacks", "*"],
    &["members"],
    &["members", "*"],
    &["room"],
    &["room", "name"],
    &["room", "topic"],
    &["forwards"],
    &["forwards", "*"],
    &["workspace"],
    &["workspace", "files"],
    &["forwards", "*", "host_port"],
    &["forwards", "*", "port"],
    &["workspace", "files", "*"],
    &["workspace", "files", "*", "content"],
];

/// What it may where the manifest says so, and how the manifest says it.
const WHERE: [(&[&str], Proposable, &str); 13] = [
    (&["account"], Proposable::Account, "account"),
    (&["forwards", "*", "listen"], Proposable::Listen, "forwards.listen"),
    (&["room", "alias"], Proposable::RoomAlias, "room.alias"),
    (&["room", "avatar"], Proposable::RoomAvatar, "room.avatar"),
    (&["room", "encrypted"], Proposable::RoomEncrypted, "room.encrypted"),
    (&["room", "history"], Proposable::RoomHistory, "room.history"),
    (&["room", "in"], Proposable::RoomIn, "room.in"),
    (&["room", "join_rule"], Proposable::RoomJoinRule, "room.join_rule"),
    (&["workspace", "files", "*", "keep"], Proposable::FileKeep, "workspace.files.keep"),
    (&["workspace", "files", "*", "mode"], Proposable::FileMode, "workspace.files.mode"),
    (&["workspace", "files", "*", "source"], Proposable::FileSource, "workspace.files.source"),
    (&["workspace", "owner"], Proposable::WorkspaceOwner, "workspace.owner"),
    (&["workspace", "path"], Proposable::WorkspacePath, "workspace.path"),
];

fn standing(path: &[&str]) -> Standing {
    let rest = match path {
        ["version" | "fractals"] => return Standing::Always,
        ["fractals", _, rest @ ..] => rest,
        _ => return Standing::Never,
    };
    let fits = |pattern: &[&str]| {
        pattern.len() == rest.len() && pattern.iter().zip(rest).all(|(part, key)| *part == "*" || part == key)
    };
    if ALWAYS.iter().any(|pattern| fits(pattern)) {
        return Standing::Always;
    }
    let allowed = WHERE.iter().find(|(pattern, ..)| fits(pattern));
    allowed.map_or(Standing::Never, |(_, key, word)| Standing::Where(*key, word))
}

fn parent_is_never(path: &[&str]) -> bool {
    path.split_last().is_some_and(|(_, parent)| !parent.is_empty() && standing(parent) == Standing::Never)
}

/// Whether a file's name stays in the workspace and is none that programs look for unasked.
fn is_plain_file(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    parts.len() <= 4
        && name.len() <= 100
        && parts.iter().all(|part| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && part.bytes().all(|c| matches!(c, b'.' | b'_' | b'-') || c.is_ascii_alphanumeric())
        })
}
