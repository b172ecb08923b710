//! Forgets the types of a provider, so that the engine can hold several.

use std::sync::Arc;

use async_trait::async_trait;
use fraktalia_model::{Data, Living, Outputs, SystemId};
use fraktalia_plan::erase::{AnyDesired, AnyObserved, DynSystem};
use fraktalia_plan::{Sealed, System};

use crate::paths::StatePaths;
use crate::provider::{Ask, Follow, Landed, ObserveError, Owned, Provider, StepCx, StepError, Survey};
use crate::secrets::Secrets;
use crate::watch::wake::Bell;

/// An [`Ask`] of any system.
pub struct AnyAsk<'a> {
    /// See [`Ask`], as for all fields here.
    pub realm: &'a str,
    /// What the manifest asks for.
    pub wanted: &'a AnyDesired,
    /// What our record says is ours in this system.
    pub owned: Owned<'a>,
    /// What systems yielded that were observed before.
    pub known: &'a Outputs,
    /// Believe no cache.
    pub refresh: bool,
    /// Where our own files live.
    pub paths: &'a StatePaths,
    /// Finds the text of a secret.
    pub secrets: &'a Secrets,
}

/// A [`Follow`] of any system.
pub struct AnyFollow<'a> {
    /// See [`Follow`], as for all fields here.
    pub realm: &'a str,
    /// What the manifest asks for, where the system can be asked for it.
    pub wanted: Option<&'a AnyDesired>,
    /// Where our own files live.
    pub paths: &'a StatePaths,
    /// Finds the text of a secret.
    pub secrets: &'a Secrets,
    /// To be rung when something may have changed.
    pub bell: &'a Bell,
}

/// A [`Provider`] whose types are forgotten. See there for what each call means.
#[async_trait]
pub trait Executor: DynSystem {
    /// See [`Provider::looks_last`].
    fn looks_last(&self) -> bool;
    /// See [`Provider::protects`].
    fn protects(&self) -> bool;
    /// See [`Provider::observe`].
    async fn observe(&self, ask: &AnyAsk<'_>) -> Result<AnyObserved, ObserveError>;
    /// See [`Provider::discover`].
    async fn discover(&self, survey: Survey<'_>) -> Result<Living, ObserveError>;
    /// See [`Provider::prepare`].
    async fn prepare(&self, op: &Sealed, cx: &StepCx<'_>) -> Result<Sealed, StepError>;
    /// See [`Provider::perform`].
    async fn perform(&self, op: &Sealed, cx: &StepCx<'_>) -> Result<Outputs, StepError>;
    /// See [`Provider::landed`].
    async fn landed(&self, op: &Sealed, undo: &Sealed, cx: &StepCx<'_>) -> Result<Landed, StepError>;
    /// See [`Provider::revert`].
    async fn revert(&self, op: &Sealed, undo: &Sealed, cx: &StepCx<'_>) -> Result<(), StepError>;
    /// See [`Provider::watch`].
    async fn watch(&self, follow: &AnyFollow<'_>) -> Result<(), ObserveError>;
    /// See [`Provider::by_hand`].
    fn by_hand(&self, op: &Sealed, undo: &Sealed) -> Vec<String>;
}

#[async_trait]
impl<P: Provider> Executor for P {
    fn looks_last(&self) -> bool {
        Provider::looks_last(self)
    }
    fn protects(&self) -> bool {
        Provider::protects(self)
    }
    async fn observe(&self, ask: &AnyAsk<'_>) -> Result<AnyObserved, ObserveError> {
        let ask = Ask {
            realm: ask.realm,
            wanted: ask.wanted.typed().unwrap_or_default(),
            owned: ask.owned,
            known: ask.known,
            refresh: ask.refresh,
            paths: ask.paths,
            secrets: ask.secrets,
        };
        Ok(Provider::observe(self, &ask).await?.into())
    }
    async fn discover(&self, survey: Survey<'_>) -> Result<Living, ObserveError> {
        Provider::discover(self, survey).await
    }
    async fn prepare(&self, op: &Sealed, cx: &StepCx<'_>) -> Result<Sealed, StepError> {
        let undo = Provider::prepare(self, &open::<P, _>(self, op)?, cx).await?;
        seal(self, &undo)
    }
    async fn perform(&self, op: &Sealed, cx: &StepCx<'_>) -> Result<Outputs, StepError> {
        Provider::perform(self, &open::<P, _>(self, op)?, cx).await
    }
    async fn landed(&self, op: &Sealed, undo: &Sealed, cx: &StepCx<'_>) -> Result<Landed, StepError> {
        Provider::landed(self, &open::<P, _>(self, op)?, &open::<P, _>(self, undo)?, cx).await
    }
    async fn revert(&self, op: &Sealed, undo: &Sealed, cx: &StepCx<'_>) -> Result<(), StepError> {
        Provider::revert(self, &open::<P, _>(self, op)?, &open::<P, _>(self, undo)?, cx).await
    }
    async fn watch(&self, follow: &AnyFollow<'_>) -> Result<(), ObserveError> {
        let wanted = follow.wanted.and_then(AnyDesired::typed).unwrap_or_default();
        let AnyFollow { realm, paths, secrets, bell, .. } = *follow;
        Provider::watch(self, &Follow { realm, wanted, paths, secrets, bell }).await
    }
    fn by_hand(&self, op: &Sealed, undo: &Sealed) -> Vec<String> {
        match (open::<P, _>(self, op), open::<P, _>(self, undo)) {
            (Ok(op), Ok(undo)) => Provider::by_hand(self, &op, &undo),
            _ => Vec::new(),
        }
    }
}

fn open<P: System, T: Data>(system: &P, sealed: &Sealed) -> Result<T, StepError> {
    if sealed.system != System::id(system) || sealed.format != P::FORMAT {
        return Err(StepError::refused(format!(
            "this was written for {} in format {}, and {} reads format {}",
            sealed.system,
            sealed.format,
            System::id(system),
            P::FORMAT
        ))
        .with_hint("finish the run with the version of fraktalia that started it"));
    }
    serde::Deserialize::deserialize(&sealed.body).map_err(|error| {
        StepError::refused(format!("what was written for {} cannot be read", sealed.system)).because(error)
    })
}

fn seal<P: System, T: Data>(system: &P, data: &T) -> Result<Sealed, StepError> {
    let body = serde_json::to_value(data)
        .map_err(|error| StepError::refused("the way back cannot be written down").because(error))?;
    Ok(Sealed { system: System::id(system), format: P::FORMAT, body })
}

/// The systems that a manifest is about.
#[derive(Clone, Default)]
pub struct Registry {
    systems: Vec<Arc<dyn Executor>>,
}

impl Registry {
    /// No system yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, provider: impl Provider) -> Self {
        self.systems.push(Arc::new(provider));
        self
    }

    /// With several more of one kind.
    #[must_use]
    pub fn with_each<P: Provider>(self, providers: impl IntoIterator<Item = P>) -> Self {
        providers.into_iter().fold(self, Self::with)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Executor>> {
        self.systems.iter()
    }

    /// The one of this name.
    pub fn get(&self, id: &SystemId) -> Option<&dyn Executor> {
        self.systems.iter().find(|system| &system.id() == id).map(AsRef::as_ref)
    }
}
