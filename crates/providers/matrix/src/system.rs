//! The pure half of the provider, and what it is made of.

use std::sync::Arc;

use fraktalia_model::manifest::{self, Manifest, OnRemove};
use fraktalia_model::{Notes, ResourceId, SecretSource, SystemId};
use fraktalia_plan::{Delta, Described, Resource, Seen, StepDraft, System, Work};
use tokio::sync::RwLock;

use fraktalia_engine::Secrets;

use crate::client::{Client, Limits};
use crate::error::MatrixError;
use crate::lower::names;
use crate::op::MatrixOp;
use crate::spec::{MatrixSpec, RoomSpec};
use crate::state::MatrixState;
use crate::{diff, lower, steps};

/// Users, tokens, rooms, spaces and members on one Synapse homeserver.
#[derive(Debug)]
pub struct Matrix {
    pub(crate) homeserver: String,
    pub(crate) server_name: String,
    pub(crate) admin_token: SecretSource,
    limits: Limits,
    client: RwLock<Option<Arc<Client>>>,
}

impl Matrix {
    /// The homeserver of the manifest's `matrix` section.
    pub fn new(section: &manifest::Matrix) -> Self {
        Self {
            homeserver: section.homeserver.clone(),
            server_name: section.server_name.clone(),
            admin_token: section.admin_token.clone(),
            limits: Limits::default(),
            client: RwLock::new(None),
        }
    }

    /// With other limits of time and size.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// A client with the token as it stands now. An observation begins with this, so that a token that was
    /// replaced meanwhile is taken up.
    pub(crate) async fn connect(&self, secrets: &Secrets) -> Result<Arc<Client>, MatrixError> {
        let token = secrets.resolve(&self.admin_token).await?;
        let client = Arc::new(Client::new(&self.homeserver, token, self.limits)?);
        *self.client.write().await = Some(Arc::clone(&client));
        Ok(client)
    }

    /// The client of the last observation: a secret source may be slow, and steps are many.
    pub(crate) async fn client(&self, secrets: &Secrets) -> Result<Arc<Client>, MatrixError> {
        if let Some(client) = self.client.read().await.as_ref() {
            return Ok(Arc::clone(client));
        }
        self.connect(secrets).await
    }
}

impl System for Matrix {
    type Spec = MatrixSpec;
    type State = MatrixState;
    type Op = MatrixOp;
    const FORMAT: u16 = 1;

    fn id(&self) -> SystemId {
        SystemId::matrix()
    }

    fn lower(&self, manifest: &Manifest) -> Result<Vec<Resource<MatrixSpec>>, Notes> {
        Ok(lower::lower(manifest))
    }

    fn describe(&self, spec: &MatrixSpec) -> Described {
        let (title, summary) = match spec {
            MatrixSpec::Override => ("our own user".to_owned(), "rate limits lifted".to_owned()),
            MatrixSpec::User(user) => (
                user.user.to_string(),
                match (&user.display_name, user.bot) {
                    (Some(name), true) => format!("{name}, a bot"),
                    (Some(name), false) => name.clone(),
                    (None, true) => "a bot".into(),
                    (None, false) => String::new(),
                },
            ),
            MatrixSpec::Token(token) => (token.user.to_string(), "access token in a file of ours".into()),
            MatrixSpec::Room(room) => (room.alias.clone(), room_summary(room)),
            MatrixSpec::Child(child) => (child.room_alias.clone(), format!("in {}", child.space_alias)),
            MatrixSpec::Member(member) => (
                member.user.to_string(),
                if member.local {
                    format!("in {}", member.alias)
                } else {
                    format!("invited to {}", member.alias)
                },
            ),
            MatrixSpec::Name(name) => {
                (format!("{} in {}", name.user, name.alias), format!("as {}", name.display_name))
            }
        };
        Described { title, summary }
    }

    fn describe_seen(&self, id: &ResourceId, have: &MatrixState) -> Described {
        let (title, summary) = match have {
            MatrixState::Override => ("our own user".to_owned(), "rate limits lifted".to_owned()),
            MatrixState::User(user) => (user.user.to_string(), String::new()),
            MatrixState::Token(token) => (token.user.to_string(), "access token".into()),
            MatrixState::Room(room) => {
                (room.alias.clone().unwrap_or_else(|| room.room.to_string()), steps::summary(room))
            }
            MatrixState::Child(_) => (id.name.to_string(), "in its space".into()),
            MatrixState::Member(member) => (member.user.to_string(), member.membership.text().into()),
            MatrixState::Name(name) => {
                (name.user.to_string(), format!("as {}", name.display_name.as_deref().unwrap_or_default()))
            }
        };
        Described { title, summary }
    }

    fn diff(
        &self,
        want: &Resource<MatrixSpec>,
        have: &Seen<MatrixState>,
        last: Option<&MatrixSpec>,
    ) -> Delta {
        diff::diff(want, have, last)
    }

    fn steps(&self, work: &[Work<'_, Self>]) -> Vec<StepDraft<MatrixOp>> {
        steps::steps(work)
    }

    fn lint(&self, desired: &[Resource<MatrixSpec>]) -> Notes {
        lower::lint(desired)
    }

    fn default_on_remove(&self, id: &ResourceId) -> OnRemove {
        match id.kind.as_str() {
            "room" => OnRemove::Retire,
            "token" | "child" => OnRemove::Delete,
            _ => OnRemove::Keep,
        }
    }

    /// Writing a room takes Synapse a quarter of a second of its one processor; more than 8 at once only queue.
    fn parallel(&self) -> usize {
        8
    }
}

fn room_summary(room: &RoomSpec) -> String {
    use fraktalia_model::manifest::JoinRule;
    let mut parts = Vec::new();
    if room.space {
        parts.push("a space".to_owned());
    }
    parts.push(match room.join_rule {
        Some(JoinRule::Public) => "open to anybody".into(),
        Some(JoinRule::Knock) => "by asking".into(),
        Some(JoinRule::Restricted) => "for members of its space".into(),
        Some(JoinRule::Invite) | None => "invite only".into(),
    });
    if room.encrypted == Some(true) {
        parts.push("encrypted".into());
    }
    let access = parts.join(", ");
    if room.members.is_empty() { access } else { format!("{access}; {}", names(&room.members)) }
}
