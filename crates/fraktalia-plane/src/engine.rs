//! Follows a Docker engine: where is the container of each agent?
//!
//! An event only wakes; the list that is read then decides. So an event that was missed or doubled does no harm, and no
//! connection ever waits for the engine.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{ContainerSummary, EventMessage};
use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::watch;

/// Set to `1` on every container that OpenClaw made as a sandbox.
const SANDBOX: &str = "openclaw.sandbox";
/// `agent:<id>` or `agent:<id>:...`
const SESSION: &str = "openclaw.sessionKey";
/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long after a failure the engine is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Without any event the list is read anew this often: a stream can end without saying so.
const AT_LEAST: Duration = Duration::from_secs(30);
/// After the last event the list is read once more, when the engine is done with what it told of.
const SETTLED: Duration = Duration::from_millis(500);
/// As many events as are answered by one list.
const BURST: usize = 256;
/// More than this is no honest answer.
const MOST_CONTAINERS: usize = 10_000;

/// The running containers of each agent, the one that was made last first, each with its addresses by network. Two realms
/// may have an agent of one name.
pub type Containers = BTreeMap<String, Vec<BTreeMap<String, IpAddr>>>;

/// What is known of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The agents' containers; as they were last seen while the engine does not answer.
    pub containers: Containers,
    /// Why it does not answer, in words.
    pub trouble: Option<String>,
}

/// Tells what is seen, for as long as anybody listens.
pub async fn follow(socket: PathBuf, tell: watch::Sender<Seen>) {
    let mut pause = RETRY.0;
    while !tell.is_closed() {
        let began = std::time::Instant::now();
        let trouble = match follow_once(&socket, &tell).await {
            Ok(()) => "it closed the stream of events".to_owned(),
            Err(error) => error.to_string(),
        };
        tell.send_if_modified(|seen| {
            let text = format!("the Docker engine at {} does not answer: {trouble}", socket.display());
            let new = seen.trouble.as_ref() != Some(&text);
            seen.trouble = Some(text);
            new
        });
        pause = if began.elapsed() > RETRY.1 { RETRY.0 } else { (pause * 2).min(RETRY.1) };
        tokio::time::sleep(pause).await;
    }
}

async fn follow_once(socket: &Path, tell: &watch::Sender<Seen>) -> Result<(), bollard::errors::Error> {
    let docker =
        Docker::connect_with_unix(&socket.to_string_lossy(), DEADLINE.as_secs(), API_DEFAULT_VERSION)?;
    let docker = docker.negotiate_version().await?;
    // Before the list, so that nothing can happen between the two unheard.
    let mut events = std::pin::pin!(events(&docker).ready_chunks(BURST));
    let mut dead = Dead::default();
    let mut pause = AT_LEAST;
    loop {
        let containers = by_agent(list(&docker).await?, &dead);
        let seen = Seen { containers, trouble: None };
        tell.send_if_modified(|known| {
            let new = *known != seen;
            *known = seen;
            new
        });
        tokio::select! {
            // Whatever has come up meanwhile is answered by one list.
            burst = events.next() => match burst {
                Some(burst) => {
                    burst.into_iter().try_for_each(|event| event.map(|event| dead.hear(event)))?;
                    pause = SETTLED;
                }
                None => return Ok(()),
            },
            () = tokio::time::sleep(pause) => {
                // By now the list itself is right.
                dead = Dead::default();
                pause = AT_LEAST;
            }
            () = tell.closed() => return Ok(()),
        }
    }
}

/// Containers that died a moment ago. The engine says so before its own list knows.
#[derive(Debug, Default)]
struct Dead(BTreeSet<String>);

impl Dead {
    fn hear(&mut self, event: EventMessage) {
        let Some(id) = event.actor.and_then(|actor| actor.id) else { return };
        match event.action.as_deref() {
            Some("die") => {
                self.0.insert(id);
            }
            Some("start") => {
                self.0.remove(&id);
            }
            _ => {}
        }
    }
}

/// What may move a container to another address.
fn events(docker: &Docker) -> impl Stream<Item = Result<EventMessage, bollard::errors::Error>> + use<> {
    let which = ["start", "die", "connect", "disconnect"].map(String::from).to_vec();
    let filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned(), "network".to_owned()]),
        ("event".to_owned(), which),
    ]);
    docker.events(Some(EventsOptionsBuilder::new().filters(&filters).build()))
}

async fn list(docker: &Docker) -> Result<Vec<ContainerSummary>, bollard::errors::Error> {
    let filters = HashMap::from([
        ("label".to_owned(), vec![format!("{SANDBOX}=1")]),
        ("status".to_owned(), vec!["running".to_owned()]),
    ]);
    let options = ListContainersOptionsBuilder::new().filters(&filters).build();
    docker.list_containers(Some(options)).await
}

/// By agent, the youngest first.
fn by_agent(mut list: Vec<ContainerSummary>, dead: &Dead) -> Containers {
    list.truncate(MOST_CONTAINERS);
    list.retain(|one| one.id.as_ref().is_none_or(|id| !dead.0.contains(id)));
    list.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
    let mut containers = Containers::new();
    for one in list {
        if let Some(agent) = agent(&one) {
            containers.entry(agent).or_default().push(addresses(one));
        }
    }
    containers
}

/// The agent whose label a container carries, if that can be one.
fn agent(container: &ContainerSummary) -> Option<String> {
    let labels = container.labels.as_ref()?;
    let agent = labels.get(SESSION)?.strip_prefix("agent:")?.split(':').next()?;
    let known = agent.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    (known && (1..=64).contains(&agent.len())).then(|| agent.to_owned())
}

fn addresses(container: ContainerSummary) -> BTreeMap<String, IpAddr> {
    let networks = container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    networks
        .into_iter()
        .filter_map(|(name, endpoint)| Some((name, endpoint.ip_address?.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::{ContainerSummaryNetworkSettings, EndpointSettings, EventActor};

    fn container(id: &str, session: &str, created: i64, address: &str) -> ContainerSummary {
        let endpoint = EndpointSettings { ip_address: Some(address.into()), ..Default::default() };
        ContainerSummary {
            id: Some(id.into()),
            created: Some(created),
            labels: Some(HashMap::from([(SESSION.into(), session.into()), (SANDBOX.into(), "1".into())])),
            network_settings: Some(ContainerSummaryNetworkSettings {
                networks: Some(HashMap::from([("garden".into(), endpoint)])),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn of_two_containers_of_an_agent_the_younger_one_counts() {
        let list = vec![
            container("b", "agent:gardener:main", 20, "10.0.0.2"),
            container("a", "agent:gardener", 10, "10.0.0.1"),
        ];
        let found = by_agent(list, &Dead::default());
        assert_eq!(found["gardener"][0]["garden"].to_string(), "10.0.0.2");
    }

    #[test]
    fn who_died_is_gone_before_the_list_knows_and_back_once_it_started_again() {
        let told = |action: &str| EventMessage {
            action: Some(action.into()),
            actor: Some(EventActor { id: Some("b".into()), ..Default::default() }),
            ..Default::default()
        };
        let list = || {
            vec![
                container("a", "agent:gardener", 1, "10.0.0.1"),
                container("b", "agent:gardener", 2, "10.0.0.2"),
            ]
        };
        let mut dead = Dead::default();
        dead.hear(told("die"));
        assert_eq!(by_agent(list(), &dead)["gardener"][0]["garden"].to_string(), "10.0.0.1");
        dead.hear(told("start"));
        assert_eq!(by_agent(list(), &dead)["gardener"][0]["garden"].to_string(), "10.0.0.2");
    }

    #[test]
    fn a_label_that_can_be_no_agent_is_passed_over() {
        let long = format!("agent:{}", "x".repeat(65));
        for session in ["gardener", "agent:", "agent:../x", "agent:Gardener", "agent:a b", &long] {
            assert!(
                by_agent(vec![container("a", session, 1, "10.0.0.1")], &Dead::default()).is_empty(),
                "{session}"
            );
        }
        let nowhere = by_agent(vec![container("a", "agent:gardener", 1, "")], &Dead::default());
        assert!(nowhere["gardener"][0].is_empty(), "no address while it is on no network");
    }
}
