//! Has the effects, and finds out afterwards whether one was had.

use fraktalia_engine::{StepCx, StepError};
use fraktalia_model::output::Unresolved;
use fraktalia_model::{Outputs, ResourceId, RoomId, UserId, Value, id};
use serde_json::{Value as Json, json};

use crate::client::Client;
use crate::client::rooms::Key;
use crate::client::users::{AccountChange, ExternalId, RateLimit};
use crate::error::{MatrixError, code};
use crate::marker::{Marker, PROVIDER, localpart, user_mark};
use crate::op::{MatrixOp, RoomEvent, UserFields};
use crate::picture;
use crate::spec::TokenSpec;
use crate::state::{Membership, RoomView};
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
        match op {
            MatrixOp::CreateUser { .. } => self.create_user(op).await,
            MatrixOp::MintToken { fractal, user } => self.mint(fractal, user).await,
            MatrixOp::CreateRoom { resource, spec } => self.create_room(resource, spec).await,
            MatrixOp::Join { .. }
            | MatrixOp::Invite { .. }
            | MatrixOp::Kick { .. }
            | MatrixOp::NameInRoom { .. } => self.membership(op).await.map(|()| Outputs::new()),
            _ => self.effect(op).await.map(|()| Outputs::new()),
        }
    }

    /// Has an effect that yields nothing.
    async fn effect(&self, op: &MatrixOp) -> Result<(), StepError> {
        match op {
            MatrixOp::LiftLimits => {
                let me = self.client.me().await?;
                self.client.set_rate_limit(me, Some(UNLIMITED)).await?;
            }
            MatrixOp::UpdateUser { user, set } => self.client.put_account(user, &change(set)).await?,
            MatrixOp::DeactivateUser { user } => {
                self.not_ourselves(user).await?;
                self.client.deactivate(user).await?;
            }
            MatrixOp::DropToken { fractal, .. } => self.drop_token(fractal).await?,
            MatrixOp::SetState { room, event } => {
                let room = self.room(room)?;
                let state_key = event.state_key(self.cx.outputs).map_err(unresolved)?;
                let content = self.content(event).await?;
                self.client.put_state(&room, event.key(&state_key), content).await?;
            }
            MatrixOp::AddAlias { room, alias } => self.client.put_alias(alias, &self.room(room)?).await?,
            MatrixOp::FreeAlias { room, alias } => {
                // Moved to another room meanwhile, it is not ours to free.
                if self.client.resolve(alias).await?.as_ref() == Some(room) {
                    self.client.delete_alias(alias).await?;
                }
            }
            MatrixOp::Enter { room, host } => self.client.enter(room, host.as_ref()).await?,
            MatrixOp::PurgeRoom { room } => self.client.purge_room(room).await?,
            MatrixOp::CreateUser { .. }
            | MatrixOp::MintToken { .. }
            | MatrixOp::CreateRoom { .. }
            | MatrixOp::Join { .. }
            | MatrixOp::Invite { .. }
            | MatrixOp::Kick { .. }
            | MatrixOp::NameInRoom { .. } => {}
        }
        Ok(())
    }

    /// Makes a token invalid, and removes its file.
    pub(crate) async fn drop_token(&self, fractal: &str) -> Result<(), StepError> {
        let path = self.cx.paths.account_token(fractal);
        if let Some(token) = token_file::read(&path) {
            self.client.logout(&token).await?;
        }
        token_file::remove(&path)
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
        let Some((Membership::Joined, content)) = self.member(room, user).await? else {
            return Err(StepError::refused(format!("{user} is not in {room}, so it can have no name there")));
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

    pub(crate) fn marker(&self, resource: &ResourceId, retired: bool) -> Marker {
        Marker {
            realm: self.cx.realm.to_owned(),
            resource: resource.clone(),
            run: self.cx.run.to_owned(),
            step: self.cx.step,
            retired,
        }
    }
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

pub(crate) fn token_outputs(fractal: &str, user: &UserId) -> Outputs {
    let mut outputs = Outputs::new();
    let spec = TokenSpec { fractal: fractal.to_owned(), user: user.clone() };
    token_file::outputs(&mut outputs, &id::token(fractal), &spec);
    outputs
}

fn change(set: &UserFields) -> AccountChange {
    AccountChange {
        displayname: set.display_name.clone(),
        user_type: set.bot.map(|bot| bot.then(|| "bot".into())),
        deactivated: set.deactivated,
        ..AccountChange::default()
    }
}

/// A member event with another name; the picture stays.
pub(crate) fn renamed(content: &Json, display_name: &str) -> Json {
    let mut named = json!({"membership": "join", "displayname": display_name});
    if let Some(avatar) = content.get("avatar_url").filter(|avatar| !avatar.is_null()) {
        named["avatar_url"] = avatar.clone();
    }
    named
}
