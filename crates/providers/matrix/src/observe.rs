//! Reads what lives: who we are, the users and tokens that matter, the rooms that are asked for or ours.
//!
//! Reading a room whole costs Synapse some 4 ms of its one processor. So only rooms that a wanted alias or our marker
//! points to are read whole, and of those only what changed since the last look; see [`read`].

use std::collections::BTreeMap;

use fraktalia_engine::{Ask, ObserveError};
use fraktalia_model::{Note, Notes, ResourceId, UserId, id};
use fraktalia_plan::{Observed, Owner, Seen};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::client::Client;
use crate::client::users::Account;
use crate::error::{MatrixError, code};
use crate::marker::{PROVIDER, marks_user};
use crate::spec::{MatrixSpec, TokenSpec, UserSpec};
use crate::state::{MatrixState, TokenState, UserState};
use crate::system::Matrix;
use crate::token_file;

mod read;
pub(crate) mod rooms;

/// How many reads run at once; more do not make Synapse faster.
pub(crate) const AT_ONCE: usize = 8;

/// Why a resource is looked at: it is asked for, or our record says that it is ours, or both.
pub(crate) struct Interest<'a> {
    pub(crate) want: Option<&'a MatrixSpec>,
    pub(crate) last: Option<MatrixSpec>,
    pub(crate) owned: bool,
}

impl Interest<'_> {
    /// What is asked, or was asked last.
    fn spec(&self) -> Option<&MatrixSpec> {
        self.want.or(self.last.as_ref())
    }
}

pub(crate) type Interests<'a> = BTreeMap<ResourceId, Interest<'a>>;

fn interests<'a>(ask: &Ask<'a, MatrixSpec>) -> Interests<'a> {
    let mut all = Interests::new();
    for want in ask.wanted {
        all.insert(want.id.clone(), Interest { want: Some(&want.spec), last: None, owned: false });
    }
    for (id, record) in ask.owned.iter() {
        let interest = all.entry(id.clone()).or_insert(Interest { want: None, last: None, owned: true });
        interest.owned = true;
        interest.last = record.spec.read();
    }
    all
}

/// See [`fraktalia_engine::Provider::observe`].
pub(crate) async fn observe(
    matrix: &Matrix,
    ask: &Ask<'_, MatrixSpec>,
) -> Result<Observed<MatrixState>, ObserveError> {
    let client = matrix.connect(ask.secrets).await?;
    if !client.is_admin().await? {
        let me = client.me().await?;
        return Err(ObserveError::new(format!("{me} has no admin rights on {}", matrix.homeserver))
            .with_hint("`matrix.admin_token` has to be the token of a server admin"));
    }
    let interests = interests(ask);
    let (limits, users, tokens, rooms) = tokio::try_join!(
        limits(&client, &interests),
        users(&client, ask.realm, &interests),
        tokens(&client, ask, &interests),
        rooms::rooms(&client, &matrix.homeserver, ask, &interests),
    )?;
    let mut seen = rooms;
    for part in [limits, users, tokens] {
        seen.found.extend(part.found);
        seen.outputs.extend(part.outputs);
        seen.notes.extend(part.notes);
    }
    seen.notes.extend(delegated(&client, &interests, &seen).await?);
    Ok(seen)
}

/// Runs a read for each item, a few at once, and keeps the order of nothing.
pub(crate) async fn each<I, T, F>(items: Vec<I>, read: impl Fn(I) -> F) -> Result<Vec<T>, MatrixError>
where
    F: Future<Output = Result<T, MatrixError>>,
{
    // Made first and polled later: a stream that calls `read` itself could not be sent between threads.
    let reads: Vec<F> = items.into_iter().map(read).collect();
    stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await
}

async fn limits(client: &Client, interests: &Interests<'_>) -> Result<Observed<MatrixState>, MatrixError> {
    let mut seen = Observed::default();
    let id = id::rate_limit();
    if !interests.contains_key(&id) {
        return Ok(seen);
    }
    let me = client.me().await?;
    let there = match client.rate_limit(me).await {
        Ok(limit) => limit.is_some(),
        // A homeserver that cannot do this has to be lived with; refusals for the rate are waited out.
        Err(error) if error.is(code::UNRECOGNIZED) || error.is(code::NOT_FOUND) => {
            seen.notes.push(
                Note::info("matrix-rate-limits", "the homeserver lets nobody lift rate limits")
                    .hint("large changes will take their time"),
            );
            true
        }
        Err(error) => return Err(error),
    };
    if there {
        let state = MatrixState::Override;
        seen.found.insert(id, Seen { state, owner: Owner::Ours });
    }
    Ok(seen)
}

async fn users(
    client: &Client,
    realm: &str,
    interests: &Interests<'_>,
) -> Result<Observed<MatrixState>, MatrixError> {
    let asked: Vec<_> = interests
        .iter()
        .filter_map(|(id, interest)| match interest.spec() {
            Some(MatrixSpec::User(spec)) => Some((id.clone(), spec.clone(), interest.owned)),
            _ => None,
        })
        .collect();
    let read = |(id, spec, owned): (ResourceId, UserSpec, bool)| async move {
        let account = client.account(&spec.user).await?;
        Ok((id, spec.user, owned, account))
    };
    let mut seen = Observed::default();
    for (id, user, owned, account) in each(asked, read).await? {
        let Some(account) = account else { continue };
        let marked = marked(&account, realm);
        // Taken out of use by us, in a rollback or by `on_remove`, and not ours since: as good as not there.
        if account.deactivated && marked && !owned {
            continue;
        }
        let owner = if owned || marked { Owner::Ours } else { Owner::Unmarked };
        seen.outputs.set(&id, &user);
        let state = MatrixState::User(user_state(user, account));
        seen.found.insert(id, Seen { state, owner });
    }
    Ok(seen)
}

fn marked(account: &Account, realm: &str) -> bool {
    account.external_ids.iter().any(|id| id.auth_provider == PROVIDER && marks_user(&id.external_id, realm))
}

fn user_state(user: UserId, account: Account) -> UserState {
    UserState {
        user,
        display_name: account.displayname,
        bot: account.user_type.as_deref() == Some("bot"),
        deactivated: account.deactivated,
    }
}

async fn tokens(
    client: &Client,
    ask: &Ask<'_, MatrixSpec>,
    interests: &Interests<'_>,
) -> Result<Observed<MatrixState>, MatrixError> {
    let asked: Vec<_> = interests
        .iter()
        .filter_map(|(id, interest)| match interest.spec() {
            Some(MatrixSpec::Token(spec)) => Some((id.clone(), spec.clone())),
            _ => None,
        })
        .collect();
    let paths = ask.paths;
    let read = |(id, spec): (ResourceId, TokenSpec)| async move {
        let path = paths.account_token(&spec.fractal);
        let valid = match token_file::read(&path) {
            None => None,
            Some(token) => Some(token_file::speaks_for(client, &token, &spec.user).await?),
        };
        Ok((id, spec, valid))
    };
    let mut seen = Observed::default();
    for (id, spec, valid) in each(asked, read).await? {
        let Some(valid) = valid else { continue };
        token_file::outputs(&mut seen.outputs, &id, &spec);
        let state = MatrixState::Token(TokenState { user: spec.user, valid });
        seen.found.insert(id, Seen { state, owner: Owner::Ours });
    }
    Ok(seen)
}

/// With accounts in a service of their own, nothing of what makes users and tokens works here.
async fn delegated(
    client: &Client,
    interests: &Interests<'_>,
    seen: &Observed<MatrixState>,
) -> Result<Notes, MatrixError> {
    let missing = interests.iter().find(|(id, interest)| {
        matches!(interest.want, Some(MatrixSpec::User(_) | MatrixSpec::Token(_)))
            && !seen.found.contains_key(id)
    });
    let Some((id, _)) = missing else {
        return Ok(Notes::new());
    };
    if !client.delegates_accounts().await? {
        return Ok(Notes::new());
    }
    let text = "accounts of this homeserver live in an authentication service, where we can make neither users nor tokens";
    Ok(vec![Note::error("matrix-delegated-accounts", text).about(id).hint(
        "make the user there (mas-cli manage register-user), then plan again; `account: own` is not possible",
    )])
}
