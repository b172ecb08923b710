//! What becomes of an event. All of it is hostile: what does not have the shape that it should have is skipped.

use std::ffi::OsStr;
use std::path::Path;

use fraktalia_desk::{EventId, Moment};
use fraktalia_model::UserId;
use serde_json::Value;

/// Longest key of a reaction, in bytes. Those of clients are an emoji, or a short word.
const LONGEST_KEY: usize = 255;

/// An event that may mean something to the desk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: EventId,
    pub(crate) by: UserId,
    pub(crate) at: Moment,
    pub(crate) content: Content,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    Message { answers: Option<EventId>, body: String, file: Option<File> },
    Edited { of: EventId },
    Redacted { of: EventId },
    Reaction { on: EventId, key: String },
    Left { who: UserId },
}

/// A file that came with a message, as the message describes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct File {
    /// The `url` of one in clear, or what is needed to decrypt it.
    pub(crate) source: Source,
    /// How large it is said to be.
    pub(crate) size: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    Plain(String),
    Encrypted(Value),
}

/// Where an event stood, which decides what it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// It was encrypted. Then it can neither change the room nor redact anything.
    pub(crate) encrypted: bool,
    /// In this version of rooms a redaction names its target in its content.
    pub(crate) redacts_in_content: bool,
}

/// Reads an event.
pub(crate) fn read(json: &str, envelope: Envelope) -> Option<Event> {
    let event: Value = serde_json::from_str(json).ok()?;
    let by = user(&event["sender"])?;
    let content = &event["content"];
    let content = match event["type"].as_str()? {
        "m.room.message" => message(content)?,
        "m.reaction" => reaction(content)?,
        "m.room.redaction" if !envelope.encrypted => {
            let of = if envelope.redacts_in_content { &content["redacts"] } else { &event["redacts"] };
            Content::Redacted { of: id(of)? }
        }
        "m.room.member" if !envelope.encrypted => {
            let gone = matches!(content["membership"].as_str(), Some("leave" | "ban"));
            Content::Left { who: user(&event["state_key"]).filter(|_| gone)? }
        }
        _ => return None,
    };
    let at = Moment(event["origin_server_ts"].as_u64()?);
    Some(Event { id: id(&event["event_id"])?, by, at, content })
}

/// Whether the homeserver says that the event was replaced by its sender.
pub(crate) fn is_edited(json: &str) -> bool {
    let event: Value = serde_json::from_str(json).unwrap_or_default();
    event.pointer("/unsigned/m.relations/m.replace").is_some()
}

fn message(content: &Value) -> Option<Content> {
    let relation = &content["m.relates_to"];
    if relation["rel_type"] == "m.replace" {
        return Some(Content::Edited { of: id(&relation["event_id"])? });
    }
    let replied = id(&relation["m.in_reply_to"]["event_id"]);
    let answers =
        if relation["rel_type"] == "m.thread" { id(&relation["event_id"]) } else { replied.clone() };
    let body = content["body"].as_str()?;
    match content["msgtype"].as_str()? {
        "m.text" | "m.notice" => {
            let body = if replied.is_some() { without_quote(body) } else { body };
            Some(Content::Message { answers, body: body.into(), file: None })
        }
        "m.file" => {
            // Beside a name of the file, the body is what its sender says to it.
            let name = content["filename"].as_str().unwrap_or(body);
            let body = if name == body { "" } else { body };
            let file = is_text(name, &content["info"]["mimetype"]).then(|| file(content)).flatten();
            Some(Content::Message { answers, body: body.into(), file })
        }
        _ => None,
    }
}

fn file(content: &Value) -> Option<File> {
    let source = match &content["file"] {
        Value::Null => Source::Plain(content["url"].as_str()?.to_owned()),
        file => Source::Encrypted(file.clone()),
    };
    Some(File { source, size: content["info"]["size"].as_u64() })
}

fn is_text(name: &str, mime: &Value) -> bool {
    let mime = mime.as_str().unwrap_or_default().to_ascii_lowercase();
    let named = Path::new(name).extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    mime.starts_with("text/") || mime.contains("yaml") || matches!(named.as_deref(), Some("yaml" | "yml"))
}

fn reaction(content: &Value) -> Option<Content> {
    let relation = &content["m.relates_to"];
    let key = relation["key"].as_str().filter(|key| key.len() <= LONGEST_KEY)?.to_owned();
    let on = id(&relation["event_id"]).filter(|_| relation["rel_type"] == "m.annotation")?;
    Some(Content::Reaction { on, key })
}

/// What stands below the quote that older clients put above an answer.
fn without_quote(body: &str) -> &str {
    if !(body.starts_with("> <@") || body.starts_with("> * <@")) {
        return body;
    }
    let mut rest = body;
    while rest.starts_with('>') {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    rest.strip_prefix('\n').unwrap_or(rest)
}

fn id(value: &Value) -> Option<EventId> {
    EventId::new(value.as_str().filter(|text| text.starts_with('$'))?)
}

fn user(value: &Value) -> Option<UserId> {
    let user = matrix_sdk::ruma::UserId::parse(value.as_str()?).ok()?;
    Some(UserId(user.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CLEAR: Envelope = Envelope { encrypted: false, redacts_in_content: true };

    fn event(kind: &str, content: &Value) -> Value {
        json!({ "type": kind, "event_id": "$e", "sender": "@ana:chat.test", "origin_server_ts": 5, "content": content })
    }

    fn content(kind: &str, content: &Value) -> Option<Content> {
        read(&event(kind, content).to_string(), CLEAR).map(|event| event.content)
    }

    fn said(body: &str, relation: &Value) -> Option<Content> {
        content("m.room.message", &json!({ "msgtype": "m.text", "body": body, "m.relates_to": relation }))
    }

    fn at(text: &str) -> EventId {
        EventId::new(text).unwrap()
    }

    #[test]
    fn a_message_answers_its_thread_or_what_it_replies_to() {
        let message = |answers: Option<&str>, body: &str| {
            Some(Content::Message { answers: answers.map(at), body: body.into(), file: None })
        };
        assert_eq!(said("hi", &Value::Null), message(None, "hi"));
        let reply = json!({ "m.in_reply_to": { "event_id": "$r" } });
        assert_eq!(said("> <@b:c> a\n> b\n\nhi", &reply), message(Some("$r"), "hi"));
        assert_eq!(said("> a quote\nhi", &reply), message(Some("$r"), "> a quote\nhi"));
        assert_eq!(said("> <@b:c> a\n\nhi", &Value::Null), message(None, "> <@b:c> a\n\nhi"));
        let thread =
            json!({ "rel_type": "m.thread", "event_id": "$t", "m.in_reply_to": { "event_id": "$r" } });
        assert_eq!(said("hi", &thread), message(Some("$t"), "hi"));
    }

    #[test]
    fn an_edit_says_what_it_edits_and_not_what_it_makes_of_it() {
        let relation = json!({ "rel_type": "m.replace", "event_id": "$m" });
        assert_eq!(said("* new", &relation), Some(Content::Edited { of: at("$m") }));
    }

    #[test]
    fn a_bundled_edit_does_not_replace_what_was_said() {
        let mut sent = event("m.room.message", &json!({ "msgtype": "m.text", "body": "first" }));
        sent["unsigned"] = json!({ "m.relations": { "m.replace": {
            "content": { "m.new_content": { "body": "second", "msgtype": "m.text" } } } } });
        let read = read(&sent.to_string(), CLEAR).unwrap();
        assert_eq!(read.content, Content::Message { answers: None, body: "first".into(), file: None });
        assert!(is_edited(&sent.to_string()));
    }

    #[test]
    fn a_redaction_names_its_target_where_the_version_of_the_room_says() {
        let mut sent = event("m.room.redaction", &json!({ "redacts": "$new" }));
        sent["redacts"] = json!("$old");
        let of = |redacts_in_content| {
            read(&sent.to_string(), Envelope { encrypted: false, redacts_in_content })
                .map(|event| event.content)
        };
        assert_eq!(of(true), Some(Content::Redacted { of: at("$new") }));
        assert_eq!(of(false), Some(Content::Redacted { of: at("$old") }));
    }

    #[test]
    fn who_is_gone_is_said_by_the_rooms_state_only() {
        let mut sent = event("m.room.member", &json!({ "membership": "ban" }));
        assert_eq!(read(&sent.to_string(), CLEAR), None, "no state");
        sent["state_key"] = json!("@bob:chat.test");
        let left = Content::Left { who: UserId("@bob:chat.test".into()) };
        assert_eq!(read(&sent.to_string(), CLEAR).unwrap().content, left);
        let encrypted = Envelope { encrypted: true, ..CLEAR };
        assert_eq!(read(&sent.to_string(), encrypted), None);
        let redaction = event("m.room.redaction", &json!({ "redacts": "$x" }));
        assert_eq!(read(&redaction.to_string(), encrypted), None);
        sent["content"]["membership"] = json!("join");
        assert_eq!(read(&sent.to_string(), CLEAR), None);
    }

    #[test]
    fn a_file_counts_when_it_is_text_by_its_kind_or_name() {
        let sent = |name: &str, mime: &str| {
            let info = json!({ "mimetype": mime, "size": 7 });
            let message =
                json!({ "msgtype": "m.file", "body": name, "info": info, "url": "mxc://chat.test/x" });
            match content("m.room.message", &message) {
                Some(Content::Message { body, file, .. }) if body.is_empty() => file.is_some(),
                other => panic!("{other:?}"),
            }
        };
        for (name, mime) in
            [("a", "text/plain"), ("a", "application/x-yaml"), ("A.YML", ""), ("a.yaml", "image/png")]
        {
            assert!(sent(name, mime), "{name} {mime}");
        }
        assert!(!sent("a.png", "image/png"));
        let named = json!({ "msgtype": "m.file", "body": "please", "filename": "a.yaml", "url": "mxc://chat.test/x" });
        assert!(matches!(content("m.room.message", &named),
            Some(Content::Message { body, file: Some(_), .. }) if body == "please"));
    }

    #[test]
    fn what_has_not_the_right_shape_is_skipped() {
        let on = |relation: Value| content("m.reaction", &json!({ "m.relates_to": relation }));
        assert!(on(json!({ "rel_type": "m.annotation", "event_id": "$m", "key": "✅" })).is_some());
        for bad in [
            Value::Null,
            json!([]),
            json!({ "rel_type": "m.thread", "event_id": "$m", "key": "✅" }),
            json!({ "rel_type": "m.annotation", "event_id": 7, "key": "✅" }),
            json!({ "rel_type": "m.annotation", "event_id": "$m x", "key": "✅" }),
            json!({ "rel_type": "m.annotation", "event_id": "$m", "key": "x".repeat(1000) }),
        ] {
            assert_eq!(on(bad.clone()), None, "{bad}");
        }
        assert_eq!(said("x", &json!({ "rel_type": "m.replace", "event_id": {} })), None);
        assert_eq!(content("m.room.message", &json!({ "msgtype": "m.text", "body": ["x"] })), None);
        assert_eq!(content("m.room.message", &json!({ "msgtype": "m.image", "body": "x" })), None);
        let mut foreign = event("m.room.message", &json!({ "msgtype": "m.text", "body": "x" }));
        foreign["sender"] = json!("ana");
        assert_eq!(read(&foreign.to_string(), CLEAR), None);
        assert_eq!(read(&"[".repeat(100_000), CLEAR), None);
    }
}
