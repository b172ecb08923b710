//! Finds out whether an effect was had.

use fraktalia_engine::{Landed, StepError};
use fraktalia_model::{Outputs, ResourceId, RoomId, UserId, id};
use tokio::time::{Duration, Instant, sleep};

use crate::client::users::{Account, ExternalId};
use crate::create::Made;
use crate::error::MatrixError;
use crate::marker::{PROVIDER, localpart, user_mark};
use crate::op::{MatrixOp, PICTURE_SHA, RoomEvent, UserFields};
use crate::perform::{Doing, UNLIMITED, says, token_outputs, unresolved};
use crate::spec::RoomSpec;
use crate::state::{Membership, RoomView};
use crate::token_file;

impl Doing<'_> {
    /// Finds out whether the effect was had.
    pub(crate) async fn landed(&self, op: &MatrixOp) -> Result<Landed, StepError> {
        match op {
            MatrixOp::CreateUser { user, .. } => Ok(self.user_landed(user).await?),
            MatrixOp::MintToken { fractal, user } => {
                let there = self.holds_token(fractal, user).await?;
                Ok(if there { Landed::Yes(token_outputs(fractal, user)) } else { Landed::No })
            }
            MatrixOp::CreateRoom { resource, spec } => Ok(self.room_landed(resource, spec).await?),
            _ => {
                let done = self.is_done(op).await?;
                Ok(if done { Landed::Yes(Outputs::new()) } else { Landed::No })
            }
        }
    }

    /// Whether an effect that yields nothing was had.
    async fn is_done(&self, op: &MatrixOp) -> Result<bool, StepError> {
        Ok(match op {
            MatrixOp::LiftLimits => {
                let me = self.client.me().await?;
                self.client.rate_limit(me).await? == Some(UNLIMITED)
            }
            MatrixOp::UpdateUser { user, set } => {
                self.client.account(user).await?.is_some_and(|account| holds(&account, set))
            }
            MatrixOp::DeactivateUser { user } => {
                self.client.account(user).await?.is_none_or(|account| account.deactivated)
            }
            MatrixOp::DropToken { fractal, .. } => !self.cx.paths.account_token(fractal).exists(),
            MatrixOp::SetState { room, event } => self.state_landed(&self.room(room)?, event).await?,
            MatrixOp::AddAlias { room, alias } => self.client.resolve(alias).await? == Some(self.room(room)?),
            MatrixOp::FreeAlias { room, alias } => self.client.resolve(alias).await?.as_ref() != Some(room),
            MatrixOp::PurgeRoom { room } => self.client.room_state(room).await?.is_none(),
            MatrixOp::Enter { room, .. } => {
                let me = self.client.me().await?;
                matches!(self.member(room, me).await?, Some((Membership::Joined, _)))
                    && self.has_power(room).await?
            }
            MatrixOp::Join { .. }
            | MatrixOp::Invite { .. }
            | MatrixOp::Kick { .. }
            | MatrixOp::NameInRoom { .. } => self.membership_done(op).await?,
            MatrixOp::CreateUser { .. } | MatrixOp::MintToken { .. } | MatrixOp::CreateRoom { .. } => false,
        })
    }

    async fn membership_done(&self, op: &MatrixOp) -> Result<bool, StepError> {
        let (room, user) = match op {
            MatrixOp::Join { room, user }
            | MatrixOp::Invite { room, user }
            | MatrixOp::NameInRoom { room, user, .. } => (self.room(room)?, user),
            MatrixOp::Kick { room, user } => (room.clone(), user),
            _ => return Ok(false),
        };
        let now = self.member(&room, user).await?;
        let is = now.as_ref().map(|(membership, _)| *membership);
        Ok(match op {
            MatrixOp::Join { .. } => is == Some(Membership::Joined),
            MatrixOp::Invite { .. } => matches!(is, Some(Membership::Joined | Membership::Invited)),
            MatrixOp::Kick { .. } => !matches!(is, Some(Membership::Joined | Membership::Invited)),
            MatrixOp::NameInRoom { display_name, .. } => {
                now.is_some_and(|(_, content)| content["displayname"] == **display_name)
            }
            _ => false,
        })
    }

    /// Whether our own user may do everything in a room.
    async fn has_power(&self, room: &RoomId) -> Result<bool, StepError> {
        let me = self.client.me().await?;
        let events = self.client.room_state(room).await?;
        Ok(events.is_some_and(|events| RoomView::new(room.clone(), events).state(me, true).entered))
    }

    async fn holds_token(&self, fractal: &str, user: &UserId) -> Result<bool, StepError> {
        match token_file::read(&self.cx.paths.account_token(fractal)) {
            Some(token) => Ok(token_file::speaks_for(self.client, &token, user).await?),
            None => Ok(false),
        }
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

fn holds(account: &Account, set: &UserFields) -> bool {
    set.display_name.as_ref().is_none_or(|name| account.displayname.as_ref() == Some(name))
        && set.bot.is_none_or(|bot| (account.user_type.as_deref() == Some("bot")) == bot)
        && set.deactivated.is_none_or(|deactivated| account.deactivated == deactivated)
}
