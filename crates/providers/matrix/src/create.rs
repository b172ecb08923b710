//! Makes a room in one call, and finds out what became of that call.

use fraktalia_engine::StepError;
use fraktalia_model::{Outputs, ResourceId, RoomId};
use serde_json::{Value as Json, json};

use crate::error::{MatrixError, code};
use crate::marker::{MARKER, Marker, stamp};
use crate::op::{RoomEvent, power_levels};
use crate::perform::Doing;
use crate::spec::RoomSpec;
use crate::state::{RoomView, creators_rule};

/// What a creation left behind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Made {
    /// Nothing: the alias is free.
    Nothing,
    /// The whole room.
    Whole(RoomId),
    /// A part of it.
    Part(RoomId),
    /// Something that this step did not make, and what it is.
    Strange(RoomId, String),
}

impl Doing<'_> {
    pub(crate) async fn create_room(
        &self,
        resource: &ResourceId,
        spec: &RoomSpec,
    ) -> Result<Outputs, StepError> {
        let request = self.creation(resource, spec).await?;
        let error = match self.client.create_room(&spec.alias, request).await {
            Ok(room) => return Ok(Outputs::of(resource, &room)),
            Err(error) => error,
        };
        if !matches!(error, MatrixError::Refused { .. }) {
            return Err(error.into());
        }
        // Also a plain refusal can leave a part of a room behind, which then holds the alias; and an alias that is
        // in use may be so by an earlier try of this very step.
        match self.made(resource, spec).await? {
            Made::Whole(room) => Ok(Outputs::of(resource, &room)),
            Made::Strange(..) if error.is(code::ROOM_IN_USE) => Err(StepError::from(error)
                .with_hint(format!("{} was taken since the plan was made: plan again", spec.alias))),
            Made::Part(_) | Made::Strange(..) => Err(StepError::in_doubt(error.to_string()).because(error)),
            Made::Nothing => Err(error.into()),
        }
    }

    /// The body of `createRoom`: everything about the room in one call, so that it is there as a whole.
    async fn creation(&self, resource: &ResourceId, spec: &RoomSpec) -> Result<Json, StepError> {
        let me = self.client.me().await?;
        let version = self.client.default_room_version().await?;
        let creator = (!creators_rule(version)).then_some(me);
        let mut levels = spec.power_levels.clone();
        if creator.is_none() {
            levels.remove(me);
        }
        let marker = self.marker(resource, false).content();
        let mut creation = json!({MARKER: marker});
        if spec.space {
            creation["type"] = json!("m.space");
        }
        let mut state = vec![json!({"type": MARKER, "state_key": "", "content": marker})];
        for event in initial(spec) {
            let content = self.content(&event).await?;
            state.push(json!({"type": event.kind(), "state_key": "", "content": content}));
        }
        let mut request = json!({
            "preset": "private_chat",
            "visibility": "private",
            "room_version": version,
            "room_alias_name": alias_localpart(&spec.alias),
            "creation_content": creation,
            "power_level_content_override": power_levels(&levels, creator),
            "initial_state": state,
        });
        for (field, text) in [("name", &spec.name), ("topic", &spec.topic)] {
            if let Some(text) = text {
                request[field] = json!(text);
            }
        }
        Ok(request)
    }

    /// What there is under the alias that this very step asked for.
    pub(crate) async fn made(&self, resource: &ResourceId, spec: &RoomSpec) -> Result<Made, MatrixError> {
        let Some(room) = self.client.resolve(&spec.alias).await? else {
            return Ok(Made::Nothing);
        };
        self.made_as(room, resource, spec).await
    }

    /// Whether this very step made the room.
    pub(crate) async fn made_as(
        &self,
        room: RoomId,
        resource: &ResourceId,
        spec: &RoomSpec,
    ) -> Result<Made, MatrixError> {
        let me = self.client.me().await?;
        let Some(events) = self.client.room_state(&room).await? else {
            return Ok(Made::Strange(room, "a room without any state".into()));
        };
        let view = RoomView::new(room.clone(), events);
        let ours = |marker: &Marker| {
            marker.realm == self.cx.realm
                && marker.resource == *resource
                && marker.run == self.cx.run
                && marker.step == self.cx.step
        };
        if !stamp(&view, me).is_some_and(|marker| ours(&marker)) {
            let creator = view.creator().map_or_else(|| "somebody".into(), |user| user.to_string());
            return Ok(Made::Strange(room, format!("a room that {creator} made, not this step")));
        }
        // Name and topic are the last events of a creation.
        let there = |kind: &str, asked: bool| !asked || view.get(kind, "").is_some();
        let whole = there(MARKER, true)
            && there("m.room.power_levels", true)
            && there("m.room.name", spec.name.is_some())
            && there("m.room.topic", spec.topic.is_some());
        Ok(if whole { Made::Whole(room) } else { Made::Part(room) })
    }
}

/// What a new room says of itself besides name, topic and alias, which `createRoom` has fields for.
fn initial(spec: &RoomSpec) -> Vec<RoomEvent> {
    let rule = spec.join_rule.map(|rule| RoomEvent::JoinRule { rule, allow: spec.allow.clone() });
    let encryption = (spec.encrypted == Some(true)).then_some(RoomEvent::Encryption);
    let avatar = spec.avatar.clone().map(RoomEvent::Avatar);
    let history = spec.history.map(RoomEvent::History);
    rule.into_iter().chain(history).chain(encryption).chain(avatar).collect()
}

/// `lab` for `#lab:chat.home`.
fn alias_localpart(alias: &str) -> &str {
    let name = alias.strip_prefix('#').unwrap_or(alias);
    name.split(':').next().unwrap_or(name)
}
