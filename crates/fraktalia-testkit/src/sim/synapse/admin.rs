//! The admin API.

use serde_json::{Value as Json, json};

use super::routes::{Answer, Call, Refusal};
use super::world::{Event, User, World};

impl World {
    pub fn admin(&mut self, me: &str, call: &Call, path: &[&str]) -> Answer {
        match (call.method.as_str(), path) {
            ("GET", ["v1", "users", user, "admin"]) => {
                Ok(json!({"admin": self.users.get(*user).is_some_and(|user| user.admin)}))
            }
            ("GET", ["v2", "users", user]) => match self.users.get(*user) {
                Some(account) => Ok(account_json(user, account)),
                None => Err(Refusal::not_found("User not found")),
            },
            ("PUT", ["v2", "users", user]) => self.put_user(user, &call.body),
            ("POST", ["v1", "deactivate", user]) => self.deactivate(user),
            ("POST", ["v1", "users", user, "login"]) => {
                if self.setup.delegated {
                    return Err(Refusal::unrecognized());
                }
                if !self.users.contains_key(*user) {
                    return Err(Refusal::not_found("User not found"));
                }
                Ok(json!({"access_token": self.mint(user)}))
            }
            (_, ["v1", "users", user, "override_ratelimit"]) => self.rate_limit(call, user),
            ("GET", ["v1", "users", user, "media"]) => {
                let own: Vec<Json> = self
                    .media
                    .iter()
                    .filter(|media| media.owner == *user)
                    .map(|media| json!({"media_id": media.id, "sha256": media.sha256}))
                    .collect();
                Ok(json!({"total": own.len(), "media": own}))
            }
            ("GET", ["v1", "rooms", room, "state"]) => Ok(json!({"state": self.room(room)?.events(room)})),
            ("POST", ["v1", "rooms", room, "make_room_admin"]) => self.make_admin(me, room),
            ("POST", ["v1", "join", room]) => self.force_join(me, room, &call.text("user_id")),
            ("DELETE", ["v2", "rooms", room]) => {
                self.purge(room);
                Ok(json!({"delete_id": format!("delete{}", self.fresh())}))
            }
            ("GET", ["v2", "rooms", _, "delete_status"]) => Ok(json!({"results": [{"status": "complete"}]})),
            _ => Err(Refusal::unrecognized()),
        }
    }

    fn put_user(&mut self, user: &str, body: &Json) -> Answer {
        if self.setup.delegated {
            return Err(Refusal::unrecognized());
        }
        if !self.is_local(user) {
            return Err(Refusal::bad("This endpoint can only be used with local users"));
        }
        if user.chars().any(char::is_uppercase) {
            return Err(Refusal::new(
                400,
                "M_INVALID_USERNAME",
                "User ID can only contain characters a-z, 0-9",
            ));
        }
        let localpart = user.trim_start_matches('@').split(':').next().unwrap_or_default().to_owned();
        let account = self
            .users
            .entry(user.to_owned())
            .or_insert_with(|| User { displayname: Some(localpart), ..User::default() });
        let text = |key: &str| body.get(key).and_then(Json::as_str).map(ToOwned::to_owned);
        if body.get("displayname").is_some() {
            account.displayname = text("displayname").filter(|name| !name.is_empty());
        }
        if body.get("user_type").is_some() {
            account.kind = text("user_type");
        }
        if let Some(password) = text("password") {
            account.password = Some(password);
        }
        if let Some(deactivated) = body.get("deactivated").and_then(Json::as_bool) {
            account.deactivated = deactivated;
        }
        if let Some(ids) = body.get("external_ids").and_then(Json::as_array) {
            account.external_ids.clone_from(ids);
        }
        Ok(account_json(user, &self.users[user]))
    }

    /// Out of use: every token goes, and every membership.
    fn deactivate(&mut self, user: &str) -> Answer {
        let account = self.users.get_mut(user).ok_or_else(|| Refusal::not_found("User not found"))?;
        account.deactivated = true;
        account.password = None;
        for room in self.rooms.values_mut().filter(|room| room.is_joined(user)) {
            let leave = Event::by(user, json!({"membership": "leave"}));
            room.state.insert(("m.room.member".into(), user.to_owned()), leave);
        }
        Ok(json!({"id_server_unbind_result": "success"}))
    }

    fn rate_limit(&mut self, call: &Call, user: &str) -> Answer {
        let account = self.users.get_mut(user).ok_or_else(|| Refusal::not_found("User not found"))?;
        match call.method.as_str() {
            "POST" => account.rate_limit = Some(call.body.clone()),
            "DELETE" => account.rate_limit = None,
            _ => {}
        }
        Ok(account.rate_limit.clone().unwrap_or_else(|| json!({})))
    }

    fn force_join(&mut self, me: &str, room: &str, user: &str) -> Answer {
        let Some(account) = self.users.get(user) else {
            return Err(Refusal::not_found("User not found"));
        };
        let name = account.displayname.clone();
        self.must_be_in(me, room)?;
        let there = self.room_mut(room)?;
        match there.membership(user) {
            Some("join") => Err(Refusal::forbidden(format!("{user} is already in the room."))),
            Some("ban") => Err(Refusal::new(403, "M_BAD_STATE", "Cannot invite user who was banned")),
            _ => {
                there.set("m.room.member", user, user, json!({"membership": "join", "displayname": name}));
                Ok(json!({"room_id": room}))
            }
        }
    }
}

fn account_json(id: &str, user: &User) -> Json {
    json!({
        "name": id,
        "displayname": user.displayname,
        "user_type": user.kind,
        "admin": user.admin,
        "deactivated": user.deactivated,
        "external_ids": user.external_ids,
    })
}
