//! The answers of an OpenAI-compatible server, in one piece or as server-sent events.

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What the model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Plain text.
    Text(String),
    /// A call of a tool.
    Tool {
        /// Its name.
        name: String,
        /// What it is called with.
        arguments: Value,
    },
}

/// Answers in the form that the request asks for.
pub fn respond(reply: &Reply, request: &Value) -> Response {
    let model = &request["model"];
    // A gateway takes a call with an id that it knows for one that it has made already.
    let call = format!("call_{}", request["messages"].as_array().map_or(0, Vec::len));
    if request["stream"] == Value::Bool(true) {
        ([(CONTENT_TYPE, "text/event-stream")], events(reply, model, &call)).into_response()
    } else {
        Json(whole(reply, model, &call)).into_response()
    }
}

fn whole(reply: &Reply, model: &Value, id: &str) -> Value {
    let (message, reason) = match reply {
        Reply::Text(text) => (json!({ "role": "assistant", "content": text }), "stop"),
        Reply::Tool { name, arguments } => {
            let call = tool_call(id, name, arguments);
            (json!({ "role": "assistant", "content": null, "tool_calls": [call] }), "tool_calls")
        }
    };
    json!({
        "id": "chatcmpl-standin", "object": "chat.completion", "created": 0, "model": model, "usage": usage(),
        "choices": [{ "index": 0, "message": message, "finish_reason": reason }],
    })
}

fn events(reply: &Reply, model: &Value, id: &str) -> String {
    let (delta, reason) = match reply {
        Reply::Text(text) => (json!({ "role": "assistant", "content": text }), "stop"),
        Reply::Tool { name, arguments } => {
            let mut call = tool_call(id, name, arguments);
            call["index"] = json!(0);
            (json!({ "role": "assistant", "tool_calls": [call] }), "tool_calls")
        }
    };
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({
            "id": "chatcmpl-standin", "object": "chat.completion.chunk", "created": 0, "model": model,
            "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let choice =
        |delta: Value, reason: Value| json!([{ "index": 0, "delta": delta, "finish_reason": reason }]);
    [
        chunk(choice(delta, Value::Null), Value::Null),
        chunk(choice(json!({}), json!(reason)), Value::Null),
        chunk(json!([]), usage()),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat()
}

/// The arguments travel as a text of JSON.
fn tool_call(id: &str, name: &str, arguments: &Value) -> Value {
    let arguments = arguments.to_string();
    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

fn usage() -> Value {
    json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 })
}
