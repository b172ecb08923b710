//! Reads before-images, and puts them back.

use async_trait::async_trait;
use fraktalia_engine::{Ask, Follow, Landed, ObserveError, Provider, StepCx, StepError, Survey};
use fraktalia_model::{Living, Outputs, RoomId, UserId};
use fraktalia_plan::Observed;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::client::rooms::Key;
use crate::client::users::{AccountChange, RateLimit};
use crate::create::Made;
use crate::error::MatrixError;
use crate::marker::{PROVIDER, marks_user, user_mark};
use crate::op::{MatrixOp, RoomEvent, UserFields};
use crate::perform::{Doing, UNLIMITED, says, unresolved};
use crate::spec::MatrixSpec;
use crate::state::{MatrixState, Membership, RoomView};
use crate::system::Matrix;
use crate::{by_hand, discover, observe, watch};

const POWER: Key<'static> = Key { kind: "m.room.power_levels", state_key: "" };
const CANONICAL: Key<'static> = Key { kind: "m.room.canonical_alias", state_key: "" };
/// What somebody reads who is put out because a change was taken back.
const TAKEN_BACK: &str = "a change was taken back";

/// How it was before a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatrixUndo {
    /// There is no way back, or the way back needs nothing but the step itself.
    Nothing,
    /// The limit that our own user had.
    Limit(Option<RateLimit>),
    /// The fields of a user that the step changes.
    User(UserFields),
    /// The content of an event; `None` when there was none.
    State(Option<Json>),
    /// The content of the canonical alias event.
    Canonical(Option<Json>),
    /// How somebody stood to a room, and the content of their event.
    Member(Option<(Membership, Json)>),
    /// Whether our own user was in a room, and the power levels there.
    Entered {
        /// Whether it was a member.
        joined: bool,
        /// The content of `m.room.power_levels`, where it could be read.
        levels: Option<Json>,
    },
}

impl Doing<'_> {
    async fn prepare(&self, op: &MatrixOp) -> Result<MatrixUndo, StepError> {
        Ok(match op {
            MatrixOp::LiftLimits => MatrixUndo::Limit(self.client.rate_limit(self.client.me().await?).await?),
            MatrixOp::CreateUser { user, password, .. } => {
                if let Some(source) = password {
                    // Found missing before anything was done, not after.
                    self.cx.secrets.resolve(source).await.map_err(MatrixError::from)?;
                }
                self.may_create(user).await?;
                MatrixUndo::Nothing
            }
            MatrixOp::UpdateUser { user, set } => MatrixUndo::User(self.fields(user, set).await?),
            MatrixOp::DeactivateUser { user } => {
                self.not_ourselves(user).await?;
                MatrixUndo::Nothing
            }
            MatrixOp::CreateRoom { resource, spec } => match self.made(resource, spec).await? {
                Made::Nothing | Made::Whole(_) | Made::Part(_) => MatrixUndo::Nothing,
                Made::Strange(room, what) => {
                    return Err(StepError::refused(format!("{} leads to {room}, {what}", spec.alias))
                        .with_hint("it was taken since the plan was made: plan again"));
                }
            },
            MatrixOp::SetState { room, event } => {
                let state_key = event.state_key(self.cx.outputs).map_err(unresolved)?;
                let now = self.client.state_event(&self.room(room)?, event.key(&state_key)).await?;
                MatrixUndo::State(now.map(|event| event.content))
            }
            MatrixOp::FreeAlias { room, .. } => MatrixUndo::Canonical(self.canonical(room).await?),
            MatrixOp::Enter { room, .. } => self.before_entering(room).await?,
            MatrixOp::Join { room, user }
            | MatrixOp::Invite { room, user }
            | MatrixOp::NameInRoom { room, user, .. } => {
                MatrixUndo::Member(self.member(&self.room(room)?, user).await?)
            }
            MatrixOp::Kick { room, user } => MatrixUndo::Member(self.member(room, user).await?),
            MatrixOp::MintToken { .. }
            | MatrixOp::DropToken { .. }
            | MatrixOp::AddAlias { .. }
            | MatrixOp::PurgeRoom { .. } => MatrixUndo::Nothing,
        })
    }

    /// A user may be made where there is none, where this very step made it, or where we had put one out of use.
    async fn may_create(&self, user: &UserId) -> Result<(), StepError> {
        let Some(account) = self.client.account(user).await? else {
            return Ok(());
        };
        let mark = user_mark(self.cx.realm, self.cx.run, self.cx.step, user);
        let mut ours =
            account.external_ids.iter().filter(|id| id.auth_provider == PROVIDER).map(|id| &id.external_id);
        let fine = ours.any(|id| *id == mark || (account.deactivated && marks_user(id, self.cx.realm)));
        if fine {
            Ok(())
        } else {
            Err(StepError::refused(format!("{user} was made by somebody else since the plan was made"))
                .with_hint("plan again"))
        }
    }

    async fn fields(&self, user: &UserId, set: &UserFields) -> Result<UserFields, StepError> {
        let account = self.client.account(user).await?;
        let account =
            account.ok_or_else(|| StepError::refused(format!("{user} is gone")).with_hint("plan again"))?;
        Ok(UserFields {
            display_name: set.display_name.as_ref().map(|_| account.displayname.unwrap_or_default()),
            bot: set.bot.map(|_| account.user_type.as_deref() == Some("bot")),
            deactivated: set.deactivated.map(|_| account.deactivated),
        })
    }

    async fn canonical(&self, room: &RoomId) -> Result<Option<Json>, MatrixError> {
        Ok(self.client.state_event(room, CANONICAL).await?.map(|event| event.content))
    }

    async fn revert(&self, op: &MatrixOp, undo: &MatrixUndo) -> Result<(), StepError> {
        match (op, undo) {
            (MatrixOp::LiftLimits, MatrixUndo::Limit(before)) if *before != Some(UNLIMITED) => {
                let me = self.client.me().await?;
                Ok(self.client.set_rate_limit(me, *before).await?)
            }
            (MatrixOp::CreateUser { user, .. }, _) => self.uncreate_user(user).await,
            (MatrixOp::UpdateUser { user, .. }, MatrixUndo::User(before)) => {
                self.restore_user(user, before).await
            }
            (MatrixOp::MintToken { fractal, .. }, _) => self.drop_token(fractal).await,
            (MatrixOp::DropToken { fractal, user }, _) => {
                let mint = MatrixOp::MintToken { fractal: fractal.clone(), user: user.clone() };
                self.perform(&mint).await.map(drop)
            }
            (MatrixOp::CreateRoom { resource, spec }, _) => {
                let known = self.cx.outputs.get::<RoomId>(resource);
                let made = match known {
                    Some(room) => self.made_as(room, resource, spec).await?,
                    None => self.made(resource, spec).await?,
                };
                match made {
                    Made::Whole(room) | Made::Part(room) => Ok(self.client.purge_room(&room).await?),
                    Made::Nothing | Made::Strange(..) => Ok(()),
                }
            }
            (MatrixOp::SetState { room, event }, MatrixUndo::State(before)) => {
                self.restore_state(&self.room(room)?, event, before.as_ref()).await
            }
            (MatrixOp::AddAlias { room, alias }, _) => {
                if self.client.resolve(alias).await? == Some(self.room(room)?) {
                    self.client.delete_alias(alias).await?;
                }
                Ok(())
            }
            (MatrixOp::FreeAlias { room, alias }, MatrixUndo::Canonical(before)) => {
                self.client.put_alias(alias, room).await?;
                if let Some(content) = before
                    && self.canonical(room).await?.as_ref() != Some(content)
                {
                    self.client.put_state(room, CANONICAL, content.clone()).await?;
                }
                Ok(())
            }
            (MatrixOp::Enter { room, .. }, MatrixUndo::Entered { joined, levels }) => {
                self.go_back_out(room, *joined, levels.as_ref()).await
            }
            (_, MatrixUndo::Member(before)) => self.restore_member(op, before.as_ref()).await,
            // Irreversible ones are never reverted; the rest needs nothing.
            _ => Ok(()),
        }
    }

    /// Matrix lets no user be removed. One that we made is put out of use; our mark on it tells the next plan that
    /// the name is free to be used again.
    async fn uncreate_user(&self, user: &UserId) -> Result<(), StepError> {
        let mark = user_mark(self.cx.realm, self.cx.run, self.cx.step, user);
        let Some(account) = self.client.account(user).await? else {
            return Ok(());
        };
        let ours =
            account.external_ids.iter().any(|id| id.auth_provider == PROVIDER && id.external_id == mark);
        if ours && !account.deactivated {
            self.client.deactivate(user).await?;
        }
        Ok(())
    }

    async fn restore_user(&self, user: &UserId, before: &UserFields) -> Result<(), StepError> {
        if before.deactivated == Some(true) {
            self.client.deactivate(user).await?;
        }
        let change = AccountChange {
            displayname: before.display_name.clone(),
            user_type: before.bot.map(|bot| bot.then(|| "bot".into())),
            ..AccountChange::default()
        };
        Ok(self.client.put_account(user, &change).await?)
    }

    async fn restore_state(
        &self,
        room: &RoomId,
        event: &RoomEvent,
        before: Option<&Json>,
    ) -> Result<(), StepError> {
        let state_key = event.state_key(self.cx.outputs).map_err(unresolved)?;
        let key = event.key(&state_key);
        let Some(now) = self.client.state_event(room, key).await? else {
            return Ok(());
        };
        let blank = RoomEvent::blank(event.kind());
        let before = before.unwrap_or(&blank);
        if says(before, &now.content) && says(&now.content, before) {
            return Ok(());
        }
        if !self.state_landed(room, event).await? {
            return Err(StepError::refused(format!(
                "{} of {room} was changed by somebody else since, and is left as it is",
                event.kind()
            )));
        }
        Ok(self.client.put_state(room, key, before.clone()).await?)
    }

    async fn restore_member(
        &self,
        op: &MatrixOp,
        before: Option<&(Membership, Json)>,
    ) -> Result<(), StepError> {
        let (room, user) = match op {
            MatrixOp::Join { room, user }
            | MatrixOp::Invite { room, user }
            | MatrixOp::NameInRoom { room, user, .. } => (self.room(room)?, user.clone()),
            MatrixOp::Kick { room, user } => (room.clone(), user.clone()),
            _ => return Ok(()),
        };
        let was = before.map(|(membership, _)| *membership);
        let now = self.member(&room, &user).await?;
        let is = now.as_ref().map(|(membership, _)| *membership);
        match (was, is) {
            (Some(was), Some(is)) if was == is => {}
            (Some(Membership::Joined), _) => self.bring_back(&room, &user).await?,
            (Some(Membership::Invited), is) => {
                if is == Some(Membership::Joined) {
                    self.client.kick(&room, &user, TAKEN_BACK).await?;
                }
                self.client.invite(&room, &user).await?;
            }
            (_, Some(Membership::Joined | Membership::Invited)) => {
                self.client.kick(&room, &user, TAKEN_BACK).await?;
            }
            _ => {}
        }
        if let Some((Membership::Joined, content)) = before {
            self.restore_name(&room, &user, content).await?;
        }
        Ok(())
    }

    async fn bring_back(&self, room: &RoomId, user: &UserId) -> Result<(), StepError> {
        if user.0.ends_with(&format!(":{}", self.matrix.server_name)) {
            self.join(room, user).await
        } else {
            Ok(self.client.invite(room, user).await?)
        }
    }

    async fn before_entering(&self, room: &RoomId) -> Result<MatrixUndo, StepError> {
        let me = self.client.me().await?;
        let events = self.client.room_state(room).await?.unwrap_or_default();
        let view = RoomView::new(room.clone(), events);
        Ok(MatrixUndo::Entered {
            joined: view.member(me).is_some_and(|member| member.membership == Membership::Joined),
            levels: view.get(POWER.kind, POWER.state_key).map(|event| event.content.clone()),
        })
    }

    async fn go_back_out(&self, room: &RoomId, joined: bool, levels: Option<&Json>) -> Result<(), StepError> {
        let me = self.client.me().await?;
        if !matches!(self.member(room, me).await?, Some((Membership::Joined, _))) {
            return Ok(());
        }
        if let Some(levels) = levels
            && self.client.state_event(room, POWER).await?.is_some_and(|now| now.content != *levels)
        {
            self.client.put_state(room, POWER, levels.clone()).await?;
        }
        if !joined {
            self.client.leave(room).await?;
        }
        Ok(())
    }

    async fn restore_name(&self, room: &RoomId, user: &UserId, before: &Json) -> Result<(), StepError> {
        let Some((Membership::Joined, now)) = self.member(room, user).await? else {
            return Ok(());
        };
        if now.get("displayname") == before.get("displayname") {
            return Ok(());
        }
        Ok(self.client.put_own_member(room, user, before.clone()).await?)
    }
}

#[async_trait]
impl Provider for Matrix {
    type Undo = MatrixUndo;

    async fn observe(&self, ask: &Ask<'_, MatrixSpec>) -> Result<Observed<MatrixState>, ObserveError> {
        observe::observe(self, ask).await
    }

    async fn discover(&self, survey: Survey<'_>) -> Result<Living, ObserveError> {
        discover::discover(self, survey).await
    }

    async fn prepare(&self, op: &MatrixOp, cx: &StepCx<'_>) -> Result<MatrixUndo, StepError> {
        let client = self.client(cx.secrets).await?;
        let undo = Doing { matrix: self, client: &client, cx }.prepare(op).await;
        // Reads only: whatever went wrong, nothing changed.
        undo.map_err(certain)
    }

    async fn perform(&self, op: &MatrixOp, cx: &StepCx<'_>) -> Result<Outputs, StepError> {
        let client = self.client(cx.secrets).await?;
        Doing { matrix: self, client: &client, cx }.perform(op).await
    }

    async fn landed(&self, op: &MatrixOp, _undo: &MatrixUndo, cx: &StepCx<'_>) -> Result<Landed, StepError> {
        let client = self.client(cx.secrets).await?;
        Doing { matrix: self, client: &client, cx }.landed(op).await
    }

    async fn revert(&self, op: &MatrixOp, undo: &MatrixUndo, cx: &StepCx<'_>) -> Result<(), StepError> {
        let client = self.client(cx.secrets).await?;
        Doing { matrix: self, client: &client, cx }.revert(op, undo).await
    }

    async fn watch(&self, follow: &Follow<'_, MatrixSpec>) -> Result<(), ObserveError> {
        let client = self.connect(follow.secrets).await?;
        watch::follow(&client, follow.bell).await
    }

    fn by_hand(&self, op: &MatrixOp, undo: &MatrixUndo) -> Vec<String> {
        by_hand::by_hand(self, op, undo)
    }
}

fn certain(error: StepError) -> StepError {
    match error {
        StepError::InDoubt { what, source } => StepError::Refused { what, hint: None, source },
        refused @ StepError::Refused { .. } => refused,
    }
}
