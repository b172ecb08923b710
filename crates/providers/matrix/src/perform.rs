//! Has the effects, and finds out afterwards whether one was had.

use fraktalia_engine::{Landed, StepCx, StepError};
use fraktalia_model::output::Unresolved;
use fraktalia_model::{Outputs, ResourceId, RoomId, UserId, Value, id};
use serde_json::{Value as Json, json};
use tokio::time::{Duration, Instant, sleep};

use crate::client::Client;
use crate::client::rooms::Key;
use crate::client::users::{AccountChange, ExternalId, RateLimit};
use crate::error::{MatrixError, code};
use crate::marker::{MARKER, Marker, PROVIDER, localpart, stamp, user_mark};
use crate::op::{MatrixOp, PICTURE_SHA, RoomEvent, UserFields, power_levels};
use crate::picture;
use crate::spec::{RoomSpec, TokenSpec};
use crate::state::{Membership, RoomView, creators_rule};
use crate::system::Matrix;
use crate::token_file;

/// No limit at all, in Synapse's way of saying it.
pub(crate) const UNLIMITED: RateLimit = RateLimit { messages_per_second: 0, burst_count: 0 };

/// A step with what it takes to do it.
pub(crate) struct Doing<'a> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) client: &'a Client,
    pub(crate) cx: &'a StepCx<'a>,
}

/// A plan that lacks an edge is an error of ours, found before anything is sent.
pub(crate) fn unresolved(error: Unresolved) -> StepError {
    StepError::refused(error.to_string()).because(error)
}

impl Doing<'_> {
    pub(crate) fn room(&self, room: &Value<RoomId>) -> Result<RoomId, StepError> {
        self.cx.outputs.resolve(room).map_err(unresolved)
    }

    /// Has the effect.
    pub(crate) async fn perform(&self, op: &MatrixOp) -> Result<Outputs, StepError> {
        let none = Outputs::new();
        match op {
            MatrixOp::LiftLimits => {
                let me = self.client.me().await?;
                self.client.set_rate_limit(me, Some(UNLIMITED)).await?;
                Ok(none)
            }
            MatrixOp::CreateUser { .. } => self.create_user(op).await,
            MatrixOp::UpdateUser { user, set } => {
                self.client.put_account(user, &change(set)).await?;
                Ok(none)
            }
            MatrixOp::DeactivateUser { user } => {
                self.not_ourselves(user).await?;
                self.client.deactivate(user).await?;
                Ok(none)
            }
            MatrixOp::MintToken { fractal, user } => self.mint(fractal, user).await,
            MatrixOp::DropToken { fractal, .. } => {
                let path = self.cx.paths.account_token(fractal);
                if let Some(token) = token_file::read(&path) {
                    self.client.logout(&token).await?;
                }
                token_file::remove(&path)?;
                Ok(none)
            }
            MatrixOp::CreateRoom { resource, spec } => self.create_room(resource, spec).await,
            MatrixOp::SetState { room, event } => {
                let room = self.room(room)?;
                let state_key = event.state_key(self.cx.outputs).map_err(unresolved)?;
                let content = self.content(event).await?;
                self.client.put_state(&room, event.key(&state_key), content).await?;
                Ok(none)
            }
            MatrixOp::AddAlias { room, alias } => {
                self.client.put_alias(alias, &self.room(room)?).await?;
                Ok(none)
            }
            MatrixOp::FreeAlias { alias, .. } => {
                self.client.delete_alias(alias).await?;
                Ok(none)
            }
            MatrixOp::Enter { room } => {
                self.client.enter(room).await?;
                Ok(none)
            }
            MatrixOp::Join { .. }
            | MatrixOp::Invite { .. }
            | MatrixOp::Kick { .. }
            | MatrixOp::NameInRoom { .. } => {
                self.membership(op).await?;
                Ok(none)
            }
            MatrixOp::PurgeRoom { room } => {
                self.client.purge_room(room).await?;
                Ok(none)
            }
        }
    }

    pub(crate) async fn not_ourselves(&self, user: &UserId) -> Result<(), StepError> {
        if self.client.me().await? == user {
            return Err(StepError::refused(format!(
                "{user} is our own user: deactivating it would lock us out"
            ))
            .with_hint("use the token of another admin, or take `on_remove: deactivate` away"));
        }
        Ok(())
    }

    async fn create_user(&self, op: &MatrixOp) -> Result<Outputs, StepError> {
        let MatrixOp::CreateUser { user, display_name, bot, password } = op else {
            return Ok(Outputs::new());
        };
        let password = match password {
            Some(source) => Some(self.cx.secrets.resolve(source).await.map_err(MatrixError::from)?),
            None => None,
        };
        let account = self.client.account(user).await?;
        let kept = account.into_iter().flat_map(|account| account.external_ids);
        let ours = ExternalId {
            auth_provider: PROVIDER.into(),
            external_id: user_mark(self.cx.realm, self.cx.run, self.cx.step, user),
        };
        let change = AccountChange {
            displayname: display_name.clone(),
            user_type: bot.then(|| Some("bot".into())),
            deactivated: Some(false),
            password,
            external_ids: Some(kept.filter(|id| id.auth_provider != PROVIDER).chain([ours]).collect()),
        };
        self.client.put_account(user, &change).await?;
        Ok(Outputs::of(&id::user(localpart(user)), user))
    }

    async fn mint(&self, fractal: &str, user: &UserId) -> Result<Outputs, StepError> {
        let path = self.cx.paths.account_token(fractal);
        let there = match token_file::read(&path) {
            Some(token) => token_file::speaks_for(self.client, &token, user).await?,
            None => false,
        };
        if !there {
            let token = self.client.login_as(user).await?;
            if let Err(error) = token_file::write(&path, &token) {
                // A token that nobody holds must not stay valid.
                self.client.logout(&token).await?;
                return Err(error);
            }
        }
        Ok(token_outputs(fractal, user))
    }

    async fn membership(&self, op: &MatrixOp) -> Result<(), StepError> {
        match op {
            MatrixOp::Join { room, user } => self.join(&self.room(room)?, user).await,
            MatrixOp::Invite { room, user } => {
                let room = self.room(room)?;
                self.unless(
                    &room,
                    user,
                    &[Membership::Invited, Membership::Joined],
                    self.client.invite(&room, user),
                )
                .await
            }
            MatrixOp::Kick { room, user } => {
                let reason = "no longer in the manifest";
                let out = [Membership::Kicked, Membership::Left, Membership::Banned];
                self.unless(room, user, &out, self.client.kick(room, user, reason)).await
            }
            MatrixOp::NameInRoom { room, user, display_name } => {
                self.name(&self.room(room)?, user, display_name).await
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn join(&self, room: &RoomId, user: &UserId) -> Result<(), StepError> {
        self.unless(room, user, &[Membership::Joined], self.client.force_join(room, user)).await
    }

    /// Does it; a refusal is fine where all is as it was to become.
    async fn unless(
        &self,
        room: &RoomId,
        user: &UserId,
        done: &[Membership],
        doing: impl Future<Output = Result<(), MatrixError>>,
    ) -> Result<(), StepError> {
        match doing.await {
            Err(error) if error.is(code::FORBIDDEN) => {
                let now = self.member(room, user).await?;
                match now {
                    Some((membership, _)) if done.contains(&membership) => Ok(()),
                    _ => Err(error.into()),
                }
            }
            other => Ok(other?),
        }
    }

    /// How a user stands to a room, and the content of their event.
    pub(crate) async fn member(
        &self,
        room: &RoomId,
        user: &UserId,
    ) -> Result<Option<(Membership, Json)>, MatrixError> {
        let key = Key { kind: "m.room.member", state_key: &user.0 };
        let Some(event) = self.client.state_event(room, key).await? else {
            return Ok(None);
        };
        let content = event.content.clone();
        let view = RoomView::new(room.clone(), vec![event]);
        Ok(view.member(user).map(|member| (member.membership, content)))
    }

    async fn name(&self, room: &RoomId, user: &UserId, display_name: &str) -> Result<(), StepError> {
        let content = match self.member(room, user).await? {
            Some((Membership::Joined, content)) => content,
            _ => {
                return Err(StepError::refused(format!(
                    "{user} is not in {room}, so it can have no name there"
                )));
            }
        };
        let named = renamed(&content, display_name);
        Ok(self.client.put_own_member(room, user, named).await?)
    }

    /// The content of an event, with stamp and upload.
    pub(crate) async fn content(&self, event: &RoomEvent) -> Result<Json, StepError> {
        let plain = event.plain(self.cx.outputs, &self.matrix.server_name).map_err(unresolved)?;
        if let Some(content) = plain {
            return Ok(content);
        }
        match event {
            RoomEvent::Avatar(file) => picture::content(self.client, &self.matrix.server_name, file).await,
            RoomEvent::Owned(resource) => Ok(self.marker(resource, false).content()),
            RoomEvent::Retired(resource) => Ok(self.marker(resource, true).content()),
            _ => Ok(json!({})),
        }
    }

    fn marker(&self, resource: &ResourceId, retired: bool) -> Marker {
        Marker {
            realm: self.cx.realm.to_owned(),
            resource: resource.clone(),
            run: self.cx.run.to_owned(),
            step: self.cx.step,
            retired,
        }
    }

    async fn create_room(&self, resource: &ResourceId, spec: &RoomSpec) -> Result<Outputs, StepError> {
        let request = self.creation(resource, spec).await?;
        let error = match self.client.create_room(&spec.alias, request).await {
            Ok(room) => return Ok(Outputs::of(resource, &room)),
            Err(error) => error,
        };
        if error.is(code::ROOM_IN_USE) {
            return match self.made(resource, spec).await? {
                Made::Whole(room) => Ok(Outputs::of(resource, &room)),
                _ => Err(StepError::from(error)
                    .with_hint(format!("{} was taken since the plan was made: plan again", spec.alias))),
            };
        }
        // Also a plain refusal can leave a part of a room behind, which then holds the alias.
        if !error.in_doubt()
            && matches!(error, MatrixError::Refused { .. })
            && self.made(resource, spec).await? != Made::Nothing
        {
            return Err(StepError::in_doubt(error.to_string()).because(error));
        }
        Err(error.into())
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
        self.made_as(room, resource).await
    }

    /// Whether this very step made the room.
    pub(crate) async fn made_as(&self, room: RoomId, resource: &ResourceId) -> Result<Made, MatrixError> {
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
            let creator = view.creator().map_or_else(|| "somebody".into(), ToString::to_string);
            return Ok(Made::Strange(room, format!("a room that {creator} made, not this step")));
        }
        // The marker is among the last events of a creation: with it, everything is there.
        let whole = view.get(MARKER, "").is_some() && view.get("m.room.power_levels", "").is_some();
        Ok(if whole { Made::Whole(room) } else { Made::Part(room) })
    }

    /// Finds out whether the effect was had.
    pub(crate) async fn landed(&self, op: &MatrixOp) -> Result<Landed, StepError> {
        let yes = |done: bool| {
            if done { Landed::Yes(Outputs::new()) } else { Landed::No }
        };
        Ok(match op {
            MatrixOp::LiftLimits => {
                let me = self.client.me().await?;
                yes(self.client.rate_limit(me).await? == Some(UNLIMITED))
            }
            MatrixOp::CreateUser { user, .. } => self.user_landed(user).await?,
            MatrixOp::UpdateUser { user, set } => {
                let account = self.client.account(user).await?;
                yes(account.is_some_and(|account| holds(&account, set)))
            }
            MatrixOp::DeactivateUser { user } => {
                let account = self.client.account(user).await?;
                yes(account.is_none_or(|account| account.deactivated))
            }
            MatrixOp::MintToken { fractal, user } => {
                let path = self.cx.paths.account_token(fractal);
                match token_file::read(&path) {
                    Some(token) if token_file::speaks_for(self.client, &token, user).await? => {
                        Landed::Yes(token_outputs(fractal, user))
                    }
                    _ => Landed::No,
                }
            }
            MatrixOp::DropToken { fractal, .. } => yes(!self.cx.paths.account_token(fractal).exists()),
            MatrixOp::CreateRoom { resource, spec } => self.room_landed(resource, spec).await?,
            MatrixOp::SetState { room, event } => yes(self.state_landed(&self.room(room)?, event).await?),
            MatrixOp::AddAlias { room, alias } => {
                yes(self.client.resolve(alias).await? == Some(self.room(room)?))
            }
            MatrixOp::FreeAlias { room, alias } => {
                yes(self.client.resolve(alias).await?.as_ref() != Some(room))
            }
            MatrixOp::Enter { room } => {
                let me = self.client.me().await?;
                yes(matches!(self.member(room, me).await?, Some((Membership::Joined, _))))
            }
            MatrixOp::Join { room, user } => {
                let now = self.member(&self.room(room)?, user).await?;
                yes(matches!(now, Some((Membership::Joined, _))))
            }
            MatrixOp::Invite { room, user } => {
                let now = self.member(&self.room(room)?, user).await?;
                yes(matches!(now, Some((Membership::Joined | Membership::Invited, _))))
            }
            MatrixOp::Kick { room, user } => {
                let now = self.member(room, user).await?;
                yes(!matches!(now, Some((Membership::Joined | Membership::Invited, _))))
            }
            MatrixOp::NameInRoom { room, user, display_name } => {
                let now = self.member(&self.room(room)?, user).await?;
                yes(now.is_some_and(|(_, content)| content["displayname"] == **display_name))
            }
            MatrixOp::PurgeRoom { room } => yes(self.client.room_state(room).await?.is_none()),
        })
    }

    async fn user_landed(&self, user: &UserId) -> Result<Landed, MatrixError> {
        let mark = user_mark(self.cx.realm, self.cx.run, self.cx.step, user);
        let account = self.client.account(user).await?;
        let by_this_step = |id: &ExternalId| id.auth_provider == PROVIDER && id.external_id == mark;
        Ok(match account {
            // Synapse writes the identity before it puts a user back into use, which can fail on its own.
            Some(account) if account.external_ids.iter().any(by_this_step) && !account.deactivated => {
                Landed::Yes(Outputs::of(&id::user(localpart(user)), user))
            }
            // Of a new account the identity comes last.
            Some(account) if !account.deactivated && account.external_ids.is_empty() => {
                Landed::Torn { why: format!("{user} is there now, without the mark of this step") }
            }
            _ => Landed::No,
        })
    }

    /// A client that was cut off gets its room all the same, a moment later: so a missing one is waited for.
    async fn room_landed(&self, resource: &ResourceId, spec: &RoomSpec) -> Result<Landed, MatrixError> {
        let deadline = Instant::now() + self.client.limits().settle;
        let mut pause = Duration::from_millis(50);
        loop {
            let made = self.made(resource, spec).await?;
            match made {
                Made::Whole(room) => return Ok(Landed::Yes(Outputs::of(resource, &room))),
                Made::Strange(room, what) if Instant::now() >= deadline => {
                    return Ok(Landed::Torn { why: format!("{} leads to {room}, {what}", spec.alias) });
                }
                Made::Part(room) if Instant::now() >= deadline => {
                    return Ok(Landed::Torn { why: format!("{room} was made in part only") });
                }
                Made::Nothing if Instant::now() >= deadline => return Ok(Landed::No),
                _ => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    pub(crate) async fn state_landed(&self, room: &RoomId, event: &RoomEvent) -> Result<bool, StepError> {
        let state_key = event.state_key(self.cx.outputs).map_err(unresolved)?;
        let Some(now) = self.client.state_event(room, event.key(&state_key)).await? else {
            return Ok(false);
        };
        let plain = event.plain(self.cx.outputs, &self.matrix.server_name).map_err(unresolved)?;
        Ok(match (event, plain) {
            (RoomEvent::Avatar(file), _) => now.content[PICTURE_SHA] == *file.sha256,
            (RoomEvent::Owned(resource), _) => now.content == self.marker(resource, false).content(),
            (RoomEvent::Retired(resource), _) => now.content == self.marker(resource, true).content(),
            (_, Some(content)) => says(&now.content, &content),
            (_, None) => false,
        })
    }
}

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

/// Whether an event says all that it was to say. Synapse adds to some, for instance to a topic.
pub(crate) fn says(now: &Json, asked: &Json) -> bool {
    match (now, asked) {
        (Json::Object(now), Json::Object(asked)) if asked.is_empty() => now.is_empty(),
        (Json::Object(now), Json::Object(asked)) => {
            asked.iter().all(|(key, value)| now.get(key) == Some(value))
        }
        _ => now == asked,
    }
}

fn token_outputs(fractal: &str, user: &UserId) -> Outputs {
    let mut outputs = Outputs::new();
    let spec = TokenSpec { fractal: fractal.to_owned(), user: user.clone() };
    token_file::outputs(&mut outputs, &id::token(fractal), &spec);
    outputs
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

fn change(set: &UserFields) -> AccountChange {
    AccountChange {
        displayname: set.display_name.clone(),
        user_type: set.bot.map(|bot| bot.then(|| "bot".into())),
        deactivated: set.deactivated,
        ..AccountChange::default()
    }
}

fn holds(account: &crate::client::users::Account, set: &UserFields) -> bool {
    set.display_name.as_ref().is_none_or(|name| account.displayname.as_ref() == Some(name))
        && set.bot.is_none_or(|bot| (account.user_type.as_deref() == Some("bot")) == bot)
        && set.deactivated.is_none_or(|deactivated| account.deactivated == deactivated)
}

/// A member event with another name; the picture stays.
pub(crate) fn renamed(content: &Json, display_name: &str) -> Json {
    let mut named = json!({"membership": "join", "displayname": display_name});
    if let Some(avatar) = content.get("avatar_url").filter(|avatar| !avatar.is_null()) {
        named["avatar_url"] = avatar.clone();
    }
    named
}
