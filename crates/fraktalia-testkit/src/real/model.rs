//! A stand-in for a language model: an OpenAI-compatible server that answers by rules instead of by thought.
//!
//! It answers in the name of the agent that asks. Who that is, it learns the way a real model would: from the
//! workspace files that OpenClaw puts into the system prompt. An answer in the right name therefore shows that the
//! room is bound to the right agent, and the agent to the right workspace.

mod prompt;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use prompt::Asked;

use super::error::{Context, Result};
use wire::Reply;

/// The provider's name in `openclaw.json`.
pub const PROVIDER: &str = "standin";
/// The model as an agent's `model` names it.
pub const MODEL: &str = "standin/echo";

/// A running stand-in. Dropping it ends the server.
#[derive(Debug)]
pub struct ModelStandIn {
    base_url: String,
    shared: Arc<Mutex<Shared>>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Vec<ToolRule>,
    asked: Vec<Asked>,
}

#[derive(Clone, Debug)]
struct ToolRule {
    trigger: String,
    tool: String,
    arguments: Value,
}

impl ModelStandIn {
    /// Starts it on a free port of loopback.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context(|| "listen on loopback".to_owned())?;
        let address = listener.local_addr().context(|| "listen on loopback".to_owned())?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let router =
            Router::new().route("/v1/chat/completions", post(complete)).with_state(Arc::clone(&shared));
        // The only way for `serve` to end is that the task is aborted.
        let server = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { base_url: format!("http://{address}/v1"), shared, server })
    }

    /// What `models.providers.*.baseUrl` has to be.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// From now on, a message that contains `trigger` makes the model call the tool `exec` with `command`, and then
    /// tell what the command printed.
    pub fn run_command_on(&self, trigger: &str, command: &str) {
        self.call_tool_on(trigger, "exec", json!({ "command": command }));
    }

    /// The same with any tool of the gateway, as `write` with `path` and `content`. Where several triggers are met, the
    /// last rule holds: what was said before stands in a message, too.
    pub fn call_tool_on(&self, trigger: &str, tool: &str, arguments: Value) {
        let rule = ToolRule { trigger: trigger.to_owned(), tool: tool.to_owned(), arguments };
        lock(&self.shared).rules.push(rule);
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared).asked.clone()
    }
}

impl Drop for ModelStandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn complete(State(shared): State<Arc<Mutex<Shared>>>, Json(request): Json<Value>) -> Response {
    let asked = prompt::read(&request);
    let reply = {
        let mut shared = lock(&shared);
        let reply = reply_to(&asked, &shared.rules);
        shared.asked.push(asked);
        reply
    };
    wire::respond(&reply, &request)
}

fn reply_to(asked: &Asked, rules: &[ToolRule]) -> Reply {
    let introduction = introduction(asked);
    let rule = rules.iter().rev().find(|rule| asked.text.contains(&rule.trigger));
    match (rule, &asked.tool_result) {
        (Some(rule), Some(result)) => {
            let what = rule.arguments["command"].as_str().unwrap_or(&rule.tool);
            Reply::Text(format!("{introduction} I ran `{what}`:\n{}", result.trim()))
        }
        (Some(rule), None) => Reply::Tool { name: rule.tool.clone(), arguments: rule.arguments.clone() },
        (None, _) => Reply::Text(introduction),
    }
}

fn introduction(asked: &Asked) -> String {
    let name = asked.name.as_deref().or(asked.agent.as_deref()).unwrap_or("an agent without a name");
    match &asked.purpose {
        Some(purpose) => format!("I am {name}. {purpose}"),
        None => format!("I am {name}."),
    }
}

/// A panic in another request must not make this one fail.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(model: &ModelStandIn, stream: bool, messages: Value) -> String {
        let body = json!({ "model": "echo", "stream": stream, "messages": messages });
        let url = format!("{}/chat/completions", model.base_url());
        let answer = reqwest::Client::new().post(url).json(&body).send().await.expect("answers");
        answer.text().await.expect("has a body")
    }

    fn system() -> Value {
        json!({ "role": "system", "content": "# Project Context\n\
            ## /w/gardener/SOUL.md\n# Soul\nLooks after the garden plan.\n\
            ## /w/gardener/IDENTITY.md\n# Identity\n- **Name:** Gardener\n<!-- end -->\n## Other" })
    }

    #[tokio::test]
    async fn it_answers_in_the_name_that_the_workspace_gives() {
        let model = ModelStandIn::start().await.expect("starts");
        let answer =
            ask(&model, false, json!([system(), { "role": "user", "content": "Who are you?" }])).await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["choices"][0]["message"]["content"], "I am Gardener. Looks after the garden plan.");
        assert_eq!(model.asked()[0].text, "Who are you?");
    }

    #[tokio::test]
    async fn a_trigger_makes_a_tool_call_and_its_result_is_told() {
        let model = ModelStandIn::start().await.expect("starts");
        model.run_command_on("the date", "date");
        let question = json!({ "role": "user", "content": "Tell me the date, please." });
        let call = ask(&model, true, json!([system(), question])).await;
        assert!(call.contains("tool_calls") && call.contains("\\\"command\\\":\\\"date\\\""), "{call}");
        let result = json!({ "role": "tool", "tool_call_id": "call_1", "content": "Monday" });
        let told = ask(&model, true, json!([system(), question, result])).await;
        assert!(told.contains("I ran `date`:\\nMonday") && told.ends_with("data: [DONE]\n\n"), "{told}");
    }
}
