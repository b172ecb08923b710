//! A homeserver to test against: simulated or real, with the same handles.

use fraktalia_testkit::real::{Cache, Person, Synapse, SynapseOptions};
use fraktalia_testkit::sim::synapse::{Setup, SimSynapse};

/// A homeserver.
pub struct Home {
    pub base: String,
    pub admin: Person,
    pub server: Server,
}

pub enum Server {
    Simulated(SimSynapse),
    Real(
        Box<Synapse>,
        #[expect(dead_code, reason = "goes with the server that lives in it")] tempfile::TempDir,
    ),
}

impl Home {
    pub async fn simulated() -> Self {
        Self::simulated_as(Setup::default()).await
    }

    pub async fn simulated_as(setup: Setup) -> Self {
        let sim = SimSynapse::start(setup).await;
        Self { base: sim.base_url(), admin: sim.admin(), server: Server::Simulated(sim) }
    }

    /// A real one, or `None` where none is installed; the reason is printed then.
    pub async fn real() -> Option<Self> {
        Self::real_as(SynapseOptions::default()).await
    }

    /// A real one that takes as much as anybody asks.
    pub async fn real_without_limits() -> Option<Self> {
        Self::real_as(SynapseOptions { without_rate_limits: true, ..SynapseOptions::default() }).await
    }

    async fn real_as(options: SynapseOptions) -> Option<Self> {
        let cache = Cache::for_test()?;
        let dir = tempfile::tempdir().expect("a folder");
        // Until it has built all its indices, a minute after its first start, a Synapse on SQLite answers 500 when a
        // user is to be put back into use.
        let extra_yaml = "background_updates: { sleep_enabled: false }".into();
        let options = SynapseOptions { extra_yaml, ..options };
        let synapse = Synapse::start_with(&cache, dir.path(), options).await.expect("Synapse starts");
        let admin = synapse.admin().clone();
        let path = "/_synapse/admin/v1/background_updates/status";
        while admin.get(path).await.expect("a status")["current_updates"] != serde_json::json!({}) {
            tokio::task::yield_now().await;
        }
        Some(Self { base: synapse.base_url(), admin, server: Server::Real(Box::new(synapse), dir) })
    }

    /// The real one, for what only that can do.
    pub fn synapse(&mut self) -> &mut Synapse {
        match &mut self.server {
            Server::Real(synapse, _) => synapse,
            Server::Simulated(_) => panic!("only a real homeserver has a database"),
        }
    }

    pub fn sim(&self) -> &SimSynapse {
        match &self.server {
            Server::Simulated(sim) => sim,
            Server::Real(..) => panic!("a test of faults runs on the simulator"),
        }
    }

    /// A user who was there before us.
    pub async fn register(&self, localpart: &str) -> Person {
        match &self.server {
            Server::Simulated(sim) => sim.register(localpart),
            Server::Real(synapse, _) => {
                synapse.register(localpart, "a password", false).await.expect("registers")
            }
        }
    }

    pub fn id(localpart: &str) -> String {
        format!("@{localpart}:chat.test")
    }
}
