//! The provider: one engine as the planner and the engine see it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fraktalia_engine::{Ask, Follow, Landed, ObserveError, Provider, StepCx, StepError, Survey};
use fraktalia_model::manifest::{Host, OnRemove};
use fraktalia_model::{Living, Manifest, Notes, Outputs, ResourceId, SystemId};
use fraktalia_plan::{Delta, Described, Observed, Resource, Seen, StepDraft, System, Work};
use tokio::sync::OnceCell;

use crate::client::{Client, Endpoint};
use crate::diff::short;
use crate::error::DockerError;
use crate::helper::{self, HelperBuild, NoHelper};
use crate::op::Op;
use crate::spec::{SandboxSpec, Spec};
use crate::state::State;
use crate::undo::Undo;
use crate::{diff, discover, observe, op, perform, spec, undo, watch};

/// The Docker engine of one host of the manifest.
#[derive(Clone, Debug)]
pub struct DockerHost {
    host: String,
    endpoint: Endpoint,
    deadline: Option<Duration>,
    /// Connected once and used for a whole run; after a failed attempt the next one tries again.
    client: Arc<OnceCell<Client>>,
    /// What a helper is made of; without it none is asked for.
    helper: Option<Result<HelperBuild, NoHelper>>,
}

impl DockerHost {
    /// The engine of the host called `host`, at `endpoint`: `unix:///var/run/docker.sock`.
    pub fn new(host: impl Into<String>, endpoint: impl Into<Endpoint>) -> Self {
        Self {
            host: host.into(),
            endpoint: endpoint.into(),
            deadline: None,
            client: Arc::default(),
            helper: None,
        }
    }

    /// One for each host of the manifest. `helper` is only asked when one of them needs a helper.
    pub fn all(manifest: &Manifest, helper: impl Fn() -> Result<HelperBuild, NoHelper>) -> Vec<Self> {
        let host = |(name, host): (&String, &Host)| {
            let this = Self::new(name, Endpoint::of(name, host));
            if helper::is_wanted(manifest, name) { this.with_helper(helper()) } else { this }
        };
        manifest.hosts.iter().map(host).collect()
    }

    /// With a helper where there is something to hold, made of this.
    #[must_use]
    pub fn with_helper(mut self, helper: Result<HelperBuild, NoHelper>) -> Self {
        self.helper = Some(helper);
        self
    }

    /// With another deadline for each call to the engine; builds have their own.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Its key in the manifest.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Puts a question to the helper of `realm` on this host; the answer as it came. `Ok(None)`: no helper runs.
    ///
    /// # Errors
    /// When the engine does not answer, or the helper writes more than `limit` bytes or ends in failure.
    pub async fn ask_helper(
        &self,
        realm: &str,
        question: &[u8],
        limit: usize,
    ) -> Result<Option<Vec<u8>>, DockerError> {
        let name = helper::name(realm);
        let client = self.client().await?;
        match client.exec(&name, &helper::settings::ASK, question, limit).await {
            Ok(output) if output.code == 0 => Ok(Some(output.stdout)),
            Ok(output) => Err(client.lost(
                &format!("ask the container {name}"),
                // Whatever runs there may write anything.
                &String::from_utf8_lossy(&output.stderr)
                    .chars()
                    .take(500)
                    .collect::<String>()
                    .escape_debug()
                    .to_string(),
            )),
            // Not there, or not running.
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a helper is made of, where `op` may have to make one. A rollback may have to where the manifest asks for none.
    fn program(&self, op: &Op) -> Option<HelperBuild> {
        match (op, &self.helper) {
            (Op::StartHelper { .. } | Op::RemoveHelper { .. }, None) => HelperBuild::of_this_program().ok(),
            (_, helper) => helper.as_ref()?.as_ref().ok().cloned(),
        }
    }

    /// The version of the helper that this program would bring.
    pub(crate) fn version_of_helper(&self) -> Option<&str> {
        self.helper.as_ref()?.as_ref().ok().map(HelperBuild::version)
    }

    pub(crate) async fn client(&self) -> Result<&Client, DockerError> {
        let connect = async || match self.deadline {
            Some(deadline) => Client::connect_within(&self.endpoint, deadline).await,
            None => Client::connect(&self.endpoint).await,
        };
        self.client.get_or_try_init(connect).await
    }
}

impl DockerHost {
    fn helper_of(&self, version: Option<&String>, what: &str) -> Described {
        let version =
            version.map_or("of unknown version".into(), |version| format!("version {:.6}", short(version)));
        Described { title: format!("helper of {}", self.host), summary: format!("{version}, {what}") }
    }
}

impl System for DockerHost {
    type Spec = Spec;
    type State = State;
    type Op = Op;
    const FORMAT: u16 = 1;

    fn id(&self) -> SystemId {
        SystemId::docker(&self.host)
    }

    fn lower(&self, manifest: &Manifest) -> Result<Vec<Resource<Spec>>, Notes> {
        let mut all = spec::lower(manifest, &self.host)?;
        all.extend(helper::lower(manifest, &self.host, &self.endpoint, self.helper.as_ref())?);
        Ok(all)
    }

    fn describe(&self, spec: &Spec) -> Described {
        match spec {
            Spec::Image(image) => Described {
                title: image.tag.clone(),
                summary: match &image.build {
                    Some(build) => format!("built from {}", build.context.display()),
                    None => "not built by us".into(),
                },
            },
            Spec::Network(network) => {
                let reach = if network.internet { "internet" } else { "no internet" };
                Described {
                    title: network.name.clone(),
                    summary: format!("{}, {}, {reach}", network.bridge, network.subnet),
                }
            }
            Spec::Sandbox(sandbox) => {
                Described { title: format!("containers of {}", sandbox.agent), summary: limits(sandbox) }
            }
            Spec::Helper(helper) => self.helper_of(Some(&helper.version), "holds networks and forwards"),
        }
    }

    fn describe_seen(&self, _id: &ResourceId, have: &State) -> Described {
        match have {
            State::Image(image) => Described {
                title: image.tag.clone(),
                summary: image.id.as_deref().map(short).unwrap_or_default(),
            },
            State::Network(network) => {
                Described { title: network.name.clone(), summary: network.subnets.join(", ") }
            }
            State::Sandbox(sandbox) => {
                let names: Vec<&str> = sandbox.containers.iter().map(|one| one.name.as_str()).collect();
                Described { title: format!("containers of {}", sandbox.agent), summary: names.join(", ") }
            }
            State::Helper(helper) => {
                self.helper_of(helper.version.as_ref(), if helper.running { "runs" } else { "does not run" })
            }
        }
    }

    fn diff(&self, want: &Resource<Spec>, have: &Seen<State>, last: Option<&Spec>) -> Delta {
        diff::diff(&want.spec, &have.state, last)
    }

    fn steps(&self, work: &[Work<'_, Self>]) -> Vec<StepDraft<Op>> {
        op::steps(work)
    }

    fn lint(&self, desired: &[Resource<Spec>]) -> Notes {
        spec::lint(desired, &self.endpoint)
    }

    fn default_on_remove(&self, id: &ResourceId) -> OnRemove {
        // A container carries OpenClaw's mark, not ours.
        if id.kind == "sandbox" { OnRemove::Keep } else { OnRemove::Delete }
    }
}

fn limits(sandbox: &SandboxSpec) -> String {
    let network = sandbox.network.as_ref().map(|name| format!("on {name}"));
    let user = sandbox.user.as_ref().map(|user| format!("as {user}"));
    [network, user].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[async_trait]
impl Provider for DockerHost {
    type Undo = Undo;

    async fn observe(&self, ask: &Ask<'_, Spec>) -> Result<Observed<State>, ObserveError> {
        // A host without Docker is fine as long as nothing is asked of it.
        if ask.wanted.is_empty() && ask.owned.is_empty() {
            return Ok(Observed { how: "not asked".into(), ..Observed::default() });
        }
        let client = self.client().await?;
        observe::observe(client, &self.host, ask).await
    }

    async fn discover(&self, survey: Survey<'_>) -> Result<Living, ObserveError> {
        let found = match self.client().await {
            Ok(client) => discover::discover(client, &self.host, &survey.manifest.realm).await,
            Err(error) => Err(error),
        };
        Ok(found.unwrap_or_else(|error| discover::silent(&self.host, &error)))
    }

    async fn prepare(&self, op: &Op, cx: &StepCx<'_>) -> Result<Undo, StepError> {
        undo::prepare(self.client().await?, op, cx).await
    }

    async fn perform(&self, op: &Op, cx: &StepCx<'_>) -> Result<Outputs, StepError> {
        perform::perform(self.client().await?, self.program(op).as_ref(), op, cx).await
    }

    async fn landed(&self, op: &Op, _undo: &Undo, cx: &StepCx<'_>) -> Result<Landed, StepError> {
        perform::landed(self.client().await?, op, cx).await
    }

    async fn revert(&self, op: &Op, undo: &Undo, cx: &StepCx<'_>) -> Result<(), StepError> {
        undo::revert(self.client().await?, self.program(op).as_ref(), op, undo, cx).await
    }

    async fn watch(&self, follow: &Follow<'_, Spec>) -> Result<(), ObserveError> {
        if follow.wanted.is_empty() {
            return std::future::pending().await;
        }
        watch::follow(self.client().await?, follow.bell).await
    }

    fn by_hand(&self, op: &Op, undo: &Undo) -> Vec<String> {
        undo::by_hand(op, undo)
    }
}
