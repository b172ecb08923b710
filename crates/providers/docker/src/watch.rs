//! Hears from an engine that networks, images or containers came or went.

use std::collections::HashMap;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use fraktalia_engine::ObserveError;
use fraktalia_engine::watch::Bell;
use futures_util::StreamExt as _;
use jiff::Timestamp;

use crate::client::Client;
use crate::labels;

/// What is heard of. Asking a helper runs a command in its container, which makes events as well: to hear of those would
/// be to wake ourselves.
const EVENTS: [(&str, &[&str]); 3] = [
    ("network", &["create", "destroy"]),
    ("image", &["tag", "untag", "delete"]),
    ("container", &["create", "start", "die", "destroy"]),
];

/// Rings for each event until the stream ends.
pub(crate) async fn follow(client: &Client, bell: &Bell) -> Result<(), ObserveError> {
    // The engine's own clock: what happens between this answer and the stream is told then.
    let since = client.time().await?;
    bell.listening();
    let mut events =
        std::pin::pin!(client.docker().events(Some(options(since.as_deref().and_then(seconds)).build())));
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| client.lost("tell what happens", &error.to_string()))?;
        if let Some(what) = heard(&event) {
            bell.ring(what);
        }
    }
    Ok(())
}

/// `2026-03-14T15:02:00.25Z` as the engine takes it: `1773500520.250000000`. It gives its time in one form and takes it in
/// another.
fn seconds(time: &str) -> Option<String> {
    let time: Timestamp = time.parse().ok()?;
    Some(format!("{}.{:09}", time.as_second(), time.subsec_nanosecond()))
}

fn options(since: Option<String>) -> EventsOptionsBuilder {
    let kinds = EVENTS.iter().map(|(kind, _)| (*kind).to_owned()).collect();
    let mut actions: Vec<String> =
        EVENTS.iter().flat_map(|(_, actions)| *actions).map(|action| (*action).to_owned()).collect();
    actions.dedup();
    let filters: HashMap<String, Vec<String>> =
        HashMap::from([("type".to_owned(), kinds), ("event".to_owned(), actions)]);
    let options = EventsOptionsBuilder::new().filters(&filters);
    match since {
        Some(since) => options.since(&since),
        None => options,
    }
}

/// What happened, when it may be of interest. The words come from the engine, and are shown to people.
fn heard(event: &EventMessage) -> Option<String> {
    let kind = event.typ.as_ref()?.to_string();
    let action = event.action.as_deref()?;
    let (_, actions) = EVENTS.iter().find(|(known, _)| *known == kind)?;
    if !actions.contains(&action) {
        return None;
    }
    let none = HashMap::new();
    let actor = event.actor.as_ref();
    let attributes = actor.and_then(|actor| actor.attributes.as_ref()).unwrap_or(&none);
    // Anybody's containers come and go on an engine.
    let is_known = attributes.contains_key(labels::SANDBOX) || attributes.contains_key(labels::REALM);
    if kind == "container" && !is_known {
        return None;
    }
    let name = attributes.get("name").map_or("", String::as_str);
    Some(format!("{kind} {} {}", name.escape_debug(), past(action)).replace("  ", " "))
}

fn past(action: &str) -> &'static str {
    match action {
        "create" => "created",
        "destroy" | "delete" => "removed",
        "tag" => "tagged",
        "untag" => "untagged",
        "start" => "started",
        "die" => "ended",
        _ => "changed",
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{EventActor, EventMessageTypeEnum};

    use super::*;

    fn event(kind: EventMessageTypeEnum, action: &str, attributes: &[(&str, &str)]) -> Option<String> {
        let attributes = attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        heard(&EventMessage {
            typ: Some(kind),
            action: Some(action.into()),
            actor: Some(EventActor { id: None, attributes: Some(attributes) }),
            ..Default::default()
        })
    }

    #[test]
    fn networks_and_images_are_heard_of_and_of_containers_those_that_are_known() {
        use EventMessageTypeEnum::{CONTAINER, IMAGE, NETWORK};
        let network = event(NETWORK, "destroy", &[("name", "garden-net")]);
        assert_eq!(network.as_deref(), Some("network garden-net removed"));
        assert_eq!(event(IMAGE, "untag", &[]).as_deref(), Some("image untagged"));
        assert_eq!(event(CONTAINER, "start", &[("name", "somebody's")]), None);
        let sandbox = event(CONTAINER, "create", &[("name", "sbx\n"), (labels::SANDBOX, "1")]);
        assert_eq!(sandbox.as_deref(), Some("container sbx\\n created"));
    }

    #[test]
    fn the_time_is_in_seconds() {
        assert_eq!(seconds("2026-03-14T15:02:00.25Z").as_deref(), Some("1773500520.250000000"));
        assert_eq!(seconds("yesterday"), None);
    }

    #[test]
    fn asking_a_helper_does_not_wake_us() {
        let ours = [("name", "fraktalia-helper-home"), (labels::REALM, "home")];
        for action in ["exec_create: /fraktalia", "exec_start: /fraktalia", "exec_die"] {
            assert_eq!(event(EventMessageTypeEnum::CONTAINER, action, &ours), None);
        }
        assert!(event(EventMessageTypeEnum::CONTAINER, "die", &ours).is_some());
    }
}
