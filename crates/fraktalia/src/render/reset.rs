//! What a room holds that will be gone.

use std::time::{SystemTime, UNIX_EPOCH};

use fraktalia_matrix::reset::{Count, Media, Stays};
use fraktalia_openclaw::Session;

use super::line::Line;
use super::look::{Look, Tone};
use super::plan::number;
use super::quantity::{age, bytes};

/// What will be gone of a room; `None` for what was not asked for.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The room.
    pub shown: String,
    /// The media that were sent in it.
    pub media: Option<Media>,
    /// What was written in it.
    pub events: Option<Count>,
    /// What agents remember of it.
    pub sessions: Option<Vec<Session>>,
}

impl Contents {
    /// Whether there is nothing to be done.
    pub fn is_empty(&self) -> bool {
        self.media.as_ref().is_none_or(|media| media.going.is_empty())
            && self.events.is_none_or(|count| count.events == 0)
            && self.sessions.as_ref().is_none_or(Vec::is_empty)
    }
}

/// All of it, in the order in which it goes.
pub fn contents(of: &Contents, look: &Look) -> String {
    let mut page = String::new();
    if of.is_empty() {
        Line::new().text(Tone::Strong, &of.shown).plain(" is empty.").write(look, &mut page);
    } else {
        Line::new().text(Tone::Strong, &of.shown).plain(" will lose").write(look, &mut page);
    }
    if let Some(media) = &of.media {
        let (count, size) = (media.going.len(), bytes(media.bytes()));
        going(count > 0, "media", &format!("{} ({size})", number(count, "file")), look, &mut page);
        staying(media, look, &mut page);
    }
    if let Some(count) = of.events {
        let more = if count.more { "more than " } else { "" };
        let text = format!("{more}{}", number(count.events, "event"));
        going(count.events > 0, "history", &text, look, &mut page);
    }
    for session in of.sessions.iter().flatten() {
        going(true, "session", &remembered(session), look, &mut page);
    }
    if of.sessions.as_ref().is_some_and(Vec::is_empty) {
        going(false, "session", "no agent remembers it", look, &mut page);
    }
    page
}

fn going(is: bool, what: &str, text: &str, look: &Look, page: &mut String) {
    let (tone, symbol) = if is { (Tone::Remove, "-") } else { (Tone::Faint, "=") };
    let line = Line::indented(2).text(tone, symbol).space(1).text(Tone::Plain, what).to_column(13, 2).hang();
    line.text(if is { Tone::Plain } else { Tone::Faint }, text).write(look, page);
}

fn staying(media: &Media, look: &Look, page: &mut String) {
    let mut line = |count: usize, why: &str| {
        let text =
            format!("{} {why}", if count == 1 { "1 stays:".to_owned() } else { format!("{count} stay:") });
        Line::indented(13).text(Tone::Faint, &text).write(look, page);
    };
    for (why, count) in &media.staying {
        line(
            *count,
            match why {
                Stays::State => "part of the room itself, like its picture",
                Stays::OtherRoom => "used in another room too",
                Stays::Profile => "the picture of a user",
                Stays::Later => "sent meanwhile",
                Stays::Stranger => "sent by somebody who was never in this room",
            },
        );
    }
    if media.remote > 0 {
        line(media.remote, "of other homeservers; ours drops its copies by its own rule");
    }
}

fn remembered(session: &Session) -> String {
    let agent = session.agent().unwrap_or("an agent");
    let size = session
        .total_tokens
        .map(|tokens| format!(", {}", number(usize::try_from(tokens).unwrap_or(usize::MAX), "token")));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let idle = session.updated_at.map(|at| now.as_secs().saturating_sub(at / 1000));
    let idle = idle.map(|idle| format!(", last used {} ago", age(idle)));
    format!("{agent}{}{}", size.unwrap_or_default(), idle.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::render::testing::plain;
    use fraktalia_matrix::reset::Medium;

    #[test]
    fn what_will_be_gone_is_said_with_counts_and_what_stays_with_reasons() {
        let medium = |id: &str, bytes| Medium { id: id.into(), bytes };
        let session =
            serde_json::json!({"key": "agent:gar\u{1b}[2Jdener:matrix:channel:!x", "totalTokens": 12_403});
        let mut of = Contents {
            shown: "#lounge:chat.home".into(),
            media: Some(Media {
                going: vec![medium("a", 1_200_000), medium("b", 2_100_000)],
                staying: BTreeMap::from([(Stays::State, 1), (Stays::OtherRoom, 2)]),
                remote: 3,
            }),
            events: Some(Count { events: 50_000, more: true }),
            sessions: Some(vec![serde_json::from_value(session).expect("a session")]),
        };
        let full = contents(&of, &plain(80));
        of.media = Some(Media::default());
        of.events = Some(Count { events: 1, more: false });
        of.sessions = Some(Vec::new());
        let little = contents(&of, &plain(80));
        of.events = Some(Count::default());
        insta::assert_snapshot!(format!("{full}\n{little}\n{}", contents(&of, &plain(80))));
    }
}
