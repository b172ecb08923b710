//! Reading a chat request: who asks, and what.

use serde_json::Value;

/// What one request of OpenClaw to the model was about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The id of the agent, when the request names it.
    pub agent: Option<String>,
    /// The agent's name, from its `IDENTITY.md`.
    pub name: Option<String>,
    /// What the agent is for: the `Theme` in its `IDENTITY.md`, else the first line of prose in its `SOUL.md`.
    pub purpose: Option<String>,
    /// The person's last message, without what OpenClaw adds around it.
    pub text: String,
    /// What the tool printed, if the request brings the result of a tool call.
    pub tool_result: Option<String>,
    /// The whole system prompt.
    pub system: String,
}

/// Reads the body of a `chat/completions` request.
pub fn read(request: &Value) -> Asked {
    let messages: Vec<(&str, String)> = request["messages"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|message| (message["role"].as_str().unwrap_or_default(), text_of(&message["content"])))
        .collect();
    let system: Vec<&str> = messages
        .iter()
        .filter(|(role, _)| matches!(*role, "system" | "developer"))
        .map(|(_, text)| text.as_str())
        .collect();
    let system = system.join("\n");
    let mut spoken = messages.iter().filter(|(role, text)| *role != "user" || !is_internal(text));
    let last = spoken.next_back();
    let identity = file(&system, "IDENTITY.md");
    let theme = identity.and_then(|text| field(text, "Theme"));
    let person = messages.iter().rfind(|(role, text)| *role == "user" && !is_internal(text));
    Asked {
        agent: messages.iter().find_map(|(_, text)| agent_id(text)),
        name: identity.and_then(name_in),
        purpose: theme.or_else(|| file(&system, "SOUL.md").and_then(first_prose)),
        text: person.map(|(_, text)| message_in(text)).unwrap_or_default(),
        tool_result: last.filter(|(role, _)| *role == "tool").map(|(_, text)| text.clone()),
        system,
    }
}

/// Content is a string, or a list of parts of which some hold text.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

/// OpenClaw adds a message of its own to each turn, in the role of the user.
fn is_internal(text: &str) -> bool {
    text.trim_start().starts_with("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>")
}

fn agent_id(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("Runtime: agent=")?;
    let end = rest.find([' ', '|', '\n']).unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}

/// The text of a workspace file in the system prompt, which stands under a heading with the file's full path.
fn file<'a>(system: &'a str, name: &str) -> Option<&'a str> {
    let heading = format!("/{name}\n");
    let start = system.match_indices(&heading).find(|(at, _)| {
        let line = system[..*at].rsplit('\n').next().unwrap_or_default();
        line.starts_with("## ")
    });
    let rest = &system[start?.0 + heading.len()..];
    let end = ["\n## /", "\n<!--"].iter().filter_map(|stop| rest.find(stop)).min().unwrap_or(rest.len());
    Some(&rest[..end])
}

fn name_in(identity: &str) -> Option<String> {
    let heading =
        || identity.lines().find_map(|line| line.strip_prefix("# ")).map(|line| line.trim().to_owned());
    field(identity, "Name").or_else(heading)
}

/// The value of a line like `- **Name:** Gardener` or `Name: Gardener`.
fn field(text: &str, label: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let plain = line.replace('*', "");
        let value =
            plain.trim_start_matches(['-', ' ']).strip_prefix(label)?.strip_prefix(':')?.trim().to_owned();
        (!value.is_empty()).then_some(value)
    })
}

/// A line that begins with a bracket is OpenClaw's word for a file that is not there.
fn first_prose(text: &str) -> Option<String> {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with(['#', '-', '*', '<', '`', '[']))
        .map(str::to_owned)
}

/// Takes off the envelope: `[time] Conversation info: ... ```json ... ``` `, then the message, then a line `Runtime:`.
fn message_in(text: &str) -> String {
    let after_fence = match text.find("```json") {
        Some(start) if text.contains("openclaw:ctx") => {
            let inside = &text[start + 3..];
            inside.find("```").map_or(text, |end| &inside[end + 3..])
        }
        _ => text,
    };
    let message = after_fence.split("\n\nRuntime: agent=").next().unwrap_or(after_fence);
    message.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_envelope_around_a_message_is_taken_off() {
        let user = "[Sun 2026-11-22 11:37 UTC] Conversation info: ⟦openclaw:ctx⟧\n```json\n{\"sender\":{}}\n```\n\n\
                    Who are you?\n\nRuntime: agent=gardener | session=x";
        let internal = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nnothing\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>";
        let asked = read(&json!({ "messages": [
            { "role": "user", "content": user },
            { "role": "user", "content": [{ "type": "text", "text": internal }] },
        ]}));
        assert_eq!(asked.text, "Who are you?");
        assert_eq!(asked.agent.as_deref(), Some("gardener"));
        assert_eq!(asked.tool_result, None);
    }

    #[test]
    fn a_tool_result_counts_only_until_the_person_speaks_again() {
        let tool = json!({ "role": "tool", "content": "42" });
        let user = |text: &str| json!({ "role": "user", "content": text });
        let asked = |messages: Value| read(&json!({ "messages": messages }));
        assert_eq!(asked(json!([user("a"), tool])).tool_result.as_deref(), Some("42"));
        assert_eq!(asked(json!([user("a"), tool, user("b")])).tool_result, None);
    }
}
