//! Where the bindings lead: to agents that are there, each heard, with somebody for every other room.

use std::collections::BTreeMap;

use fraktalia_engine::health::{BoundRoom, Checklist, Cure, Standing};
use fraktalia_model::manifest::Dialect;
use fraktalia_model::{RoomId, UserId};
use serde_json::Value as Json;

use crate::dialect::{self, Config, Key, Peer, Route};

/// What comes of a room that looks like a direct chat, by what stands in the file.
const DEAF: (Standing, &str) =
    (Standing::Failure, "releases before 2026.8 take it for a direct chat, and the binding never matches");
const DIRECT: (Standing, &str) =
    (Standing::Warning, "OpenClaw takes it for a direct chat, and its rules for those hold");
const ROOM: (Standing, &str) = (Standing::Ok, "its own settings make it a room");

pub(super) fn examine(list: &Checklist, config: &Config<'_>) {
    strangers(list, config);
    let order = order(list, config);
    let heard = unheard(list, config);
    if order && heard && !config.routes.is_empty() {
        list.ok("openclaw.order", "bindings", "none stands in the way of another");
    }
    catch_all(list, config);
}

/// Bindings to agents that are not there make the whole file invalid.
fn strangers(list: &Checklist, config: &Config<'_>) {
    let of = dialect::bindings(config.value).iter().filter_map(|binding| binding["agentId"].as_str());
    let mut missing: Vec<&str> =
        of.filter(|id| !config.agents.contains_key(&id.to_ascii_lowercase())).collect();
    missing.sort_unstable();
    missing.dedup();
    for id in missing {
        let text = format!(
            "a binding names the agent `{id}`, which is not there: a gateway does not start on this file"
        );
        let cure = Cure::edit(format!("add the agent `{id}`, or take its bindings out"));
        list.note(list.failure("openclaw.unknown-agent", "bindings", text).cure(cure));
    }
}

/// Whether what is more special stands before the catch-all of its account.
fn order(list: &Checklist, config: &Config<'_>) -> bool {
    let behind = config.routes.iter().enumerate().filter_map(|(at, key)| {
        let key = key.as_ref().filter(|key| !key.is_catch_all())?;
        let before =
            config.routes[..at].iter().flatten().find(|other| other.is_catch_all() && covers(other, key))?;
        Some((key, before))
    });
    let behind: Vec<_> = behind.collect();
    let Some((key, before)) = behind.first() else { return true };
    let more = behind.len() - 1;
    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    let (standing, comes) = if is_list(config) {
        (Standing::Failure, "older releases take the first that matches, so it is never heard")
    } else {
        (Standing::Warning, "this release takes the most special one, older ones the first")
    };
    let text = format!(
        "the binding of `{}` to {}{more} stands behind the catch-all of `{}`: {comes}",
        key.agent,
        shown(&key.route),
        before.agent
    );
    let cure = Cure::edit("move the catch-all to the end of `bindings`");
    list.note(list.check(standing, "openclaw.order", "bindings", text).cure(cure));
    false
}

/// Whether a catch-all hears the account of another binding.
fn covers(catch_all: &Key, other: &Key) -> bool {
    catch_all.route.account == other.route.account || catch_all.route.account.as_deref() == Some("*")
}

/// Whether no two agents are bound to the same: the second of them never hears it.
fn unheard(list: &Checklist, config: &Config<'_>) -> bool {
    let mut first: BTreeMap<String, &Key> = BTreeMap::new();
    let mut fine = true;
    for key in config.routes.iter().flatten() {
        let route = format!("{:?} {}", key.route.account, shown(&key.route));
        match first.get(&route) {
            None => {
                first.insert(route, key);
            }
            Some(winner) if winner.agent == key.agent => {}
            Some(winner) => {
                let text = format!(
                    "`{}` and `{}` are both bound to {}: only the first hears it",
                    winner.agent,
                    key.agent,
                    shown(&key.route)
                );
                let cure = Cure::edit("take one of the two bindings out");
                list.note(list.warning("openclaw.order", "bindings", text).cure(cure));
                fine = false;
            }
        }
    }
    fine
}

fn catch_all(list: &Checklist, config: &Config<'_>) {
    let (code, title) = ("openclaw.catch-all", "catch-all");
    if let Some(Some(key)) = config.catch_all.map(|at| &config.routes[at]) {
        return list.ok(code, title, format!("`{}` answers wherever nobody else does", key.agent));
    }
    match config.agents.len() {
        0 => {}
        1 => list.ok(code, title, "none is needed: there is one agent"),
        _ if is_list(config) => list.ok(code, title, "none; the default agent answers in other rooms"),
        _ => {
            let text = "none: in a room without a binding nobody answers, and nothing says why";
            let cure = Cure::edit("name an agent as `openclaw.catch_all` in the manifest, and apply");
            list.note(list.warning(code, title, text).cure(cure));
        }
    }
}

fn is_list(config: &Config<'_>) -> bool {
    dialect::detect(config.value).dialect() == Some(Dialect::List)
}

fn shown(route: &Route) -> String {
    match &route.peer {
        Peer::Room(room) => room.clone(),
        Peer::Direct(user) => format!("direct messages of {user}"),
        Peer::Any => "all rooms".into(),
    }
}

/// The rooms that agents are bound to, with what comes of one that looks like a direct chat.
pub(super) fn rooms(config: &Config<'_>) -> Vec<BoundRoom> {
    let matrix = &config.value["channels"]["matrix"];
    let listener = |account: Option<&str>| {
        let user = match account {
            None | Some("*") => &matrix["userId"],
            Some(name) => &matrix["accounts"][name]["userId"],
        };
        user.as_str().filter(|user| user.starts_with('@')).map(|user| UserId(user.to_owned()))
    };
    let bound = config.routes.iter().flatten().filter_map(|key| {
        let Peer::Room(room) = &key.route.peer else { return None };
        // An alias is left to OpenClaw.
        let room = room.starts_with('!').then(|| RoomId(room.clone()))?;
        let if_direct = match config.group(&room.0) {
            _ if is_list(config) => DEAF,
            Some(Json::Object(_)) => ROOM,
            _ => DIRECT,
        };
        let listener = listener(key.route.account.as_deref());
        Some(BoundRoom { room, agent: key.agent.clone(), listener, if_direct })
    });
    bound.collect()
}

#[cfg(test)]
mod tests {
    use fraktalia_engine::health::{Check, PATIENCE, within};
    use serde_json::json;

    use super::*;

    async fn checks(config: Json) -> Vec<(String, Standing)> {
        let work = |list: Checklist| async move { examine(&list, &Config::read(&config)) };
        let (all, _) = within("openclaw", PATIENCE, work).await;
        all.into_iter().map(|Check { code, standing, .. }| (code, standing)).collect()
    }

    fn room(agent: &str) -> Json {
        json!({"agentId": agent, "match": {"channel": "matrix", "peer": {"kind": "channel", "id": "!lounge"}}})
    }

    fn all(agent: &str, account: Option<&str>) -> Json {
        match account {
            None => json!({"agentId": agent, "match": {"channel": "matrix"}}),
            Some(account) => json!({"agentId": agent, "match": {"channel": "matrix", "accountId": account}}),
        }
    }

    #[tokio::test]
    async fn a_catch_all_before_a_room_is_worse_where_the_first_match_wins() {
        let entries = json!({"felix": {}, "cook": {}});
        let list = json!([{"id": "felix"}, {"id": "cook"}]);
        let bindings = json!([all("felix", Some("*")), room("cook")]);
        let of = |agents: &str, table: &Json| json!({"agents": {agents: table}, "bindings": bindings});
        let standing = |checks: Vec<(String, Standing)>| {
            checks.into_iter().find(|(code, _)| code == "openclaw.order").map(|(_, standing)| standing)
        };
        assert_eq!(standing(checks(of("entries", &entries)).await), Some(Standing::Warning));
        assert_eq!(standing(checks(of("list", &list)).await), Some(Standing::Failure));
        let right = json!({"agents": {"list": list}, "bindings": [room("cook"), all("felix", None)]});
        assert_eq!(standing(checks(right).await), Some(Standing::Ok));
        let other =
            json!({"agents": {"list": list}, "bindings": [all("felix", Some("second")), room("cook")]});
        assert_eq!(standing(checks(other).await), Some(Standing::Ok), "of another account");
    }

    #[tokio::test]
    async fn nobody_for_other_rooms_an_unknown_agent_and_a_room_of_two_are_each_said() {
        let config = json!({
            "agents": {"entries": {"felix": {}, "cook": {}}},
            "bindings": [room("cook"), room("felix"), room("nobody")],
        });
        let found = checks(config).await;
        let has = |code: &str, standing| found.contains(&(code.to_owned(), standing));
        assert!(has("openclaw.catch-all", Standing::Warning), "{found:?}");
        assert!(has("openclaw.unknown-agent", Standing::Failure), "{found:?}");
        assert!(has("openclaw.order", Standing::Warning), "{found:?}");
    }

    #[test]
    fn an_account_of_its_own_listens_for_its_agent() {
        let config = json!({
            "agents": {"entries": {"cook": {}}},
            "bindings": [{"agentId": "cook", "match": {"channel": "matrix", "accountId": "cook",
                "peer": {"kind": "channel", "id": "!kitchen"}}}, room("cook")],
            "channels": {"matrix": {"userId": "@agent:chat.home", "groups": {"!kitchen": {}},
                "accounts": {"cook": {"userId": "@cook:chat.home"}}}},
        });
        let found = rooms(&Config::read(&config));
        let listeners: Vec<_> = found
            .iter()
            .map(|bound| (bound.listener.as_ref().map(|user| &*user.0), bound.if_direct.0))
            .collect();
        assert_eq!(
            listeners,
            [(Some("@cook:chat.home"), Standing::Ok), (Some("@agent:chat.home"), Standing::Warning)]
        );
    }
}
