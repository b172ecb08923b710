//! What is held: the rules in the kernel, the listeners, and the file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use super::{HelperError, Options, disk};
use crate::config::{Config, Listen};
use crate::engine::Seen;
use crate::forward::{Addresses, Forwarder};
use crate::isolation::{Dnat, Guard, GuardError, Nft, Rules, Table};
use crate::protocol::{Answer, Carried, View, fingerprint};

/// More than this is asked of no helper.
const MOST: usize = 4096;
/// How often it is asked anew whether the kernel can carry.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// All that a helper holds.
#[derive(Debug)]
pub struct Holder {
    dir: PathBuf,
    table: Table,
    forwarder: Mutex<Option<Forwarder>>,
    addresses: watch::Sender<Addresses>,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    config: Config,
    guard: Option<Guard>,
    /// What the kernel carries at the moment.
    by_kernel: Vec<Dnat>,
    seen: Seen,
    /// What went wrong when the containers moved.
    trouble: Option<String>,
}

/// What keeps a config from being held.
struct Refusal {
    what: String,
    hint: Option<String>,
}

impl Refusal {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: Some(hint.into()) }
    }
}

impl From<GuardError> for Refusal {
    /// These errors name their cure themselves.
    fn from(error: GuardError) -> Self {
        Self { what: error.to_string(), hint: None }
    }
}

impl Holder {
    /// Holds what the file says.
    ///
    /// # Errors
    /// When the file cannot be read, or what it says cannot be held.
    pub async fn start(options: &Options, seen: watch::Receiver<Seen>) -> Result<Self, HelperError> {
        let config = disk::read(&options.dir)?;
        let (addresses, listening) = watch::channel(Addresses::default());
        let forwarder = Forwarder::start(listening)
            .map_err(|cause| HelperError::Hold { what: format!("no forwarder: {cause}"), hint: None })?;
        let seen = seen.borrow().clone();
        let held =
            Held { config: Config::default(), guard: None, by_kernel: Vec::new(), seen, trouble: None };
        let holder = Self {
            dir: options.dir.clone(),
            table: Table::of(Some(&options.realm)),
            forwarder: Mutex::new(Some(forwarder)),
            addresses,
            held: Mutex::new(held),
        };
        let mut held = holder.held.lock().await;
        let outcome = holder.hold(&mut held, config).await;
        drop(held);
        outcome.map_err(|Refusal { what, hint }| HelperError::Hold { what, hint })?;
        Ok(holder)
    }

    /// What is held, and how that goes.
    pub async fn look(&self) -> View {
        let held = self.held.lock().await;
        self.view(&held).await
    }

    async fn view(&self, held: &Held) -> View {
        let trouble = match &held.guard {
            Some(guard) => guard.trouble().await,
            None => None,
        };
        let forwarder = self.forwarder.lock().await;
        let listeners = forwarder.as_ref().map(Forwarder::state).unwrap_or_default();
        let forwards = listeners.into_iter().map(|(listen, state)| {
            let carried = Carried {
                listening: true,
                by_kernel: held.by_kernel.iter().any(|dnat| dnat.listen == listen),
                target: state.target,
                open: state.open,
                connections: state.connections,
                refused: state.refused.total(),
                bytes_in: state.bytes_up,
                bytes_out: state.bytes_down,
            };
            (listen.to_string(), carried)
        });
        let problems = [&trouble, &held.seen.trouble, &held.trouble];
        View {
            config: held.config.clone(),
            closed: (held.guard.is_some() || held.config.networks.is_empty()) && trouble.is_none(),
            forwards: forwards.collect(),
            problems: problems.into_iter().flatten().cloned().collect(),
            healed: held.guard.as_ref().map_or(0, Guard::healed),
        }
    }

    /// Holds `config` from now on, if what was held is what the change was worked out from.
    pub async fn set(&self, was: &str, config: Config) -> Answer {
        let mut held = self.held.lock().await;
        if fingerprint(&held.config) != was {
            return Answer::Refused {
                what: "what it holds was changed meanwhile".into(),
                hint: Some("plan again".into()),
            };
        }
        let old = held.config.clone();
        let outcome = match self.hold(&mut held, config.clone()).await {
            Ok(()) => {
                disk::write(&self.dir, &config).map_err(|error| Refusal::new(error.to_string(), error.hint()))
            }
            refused => refused,
        };
        match outcome {
            Ok(()) => Answer::Holding(self.view(&held).await),
            Err(Refusal { what, hint }) => {
                if let Err(Refusal { what, .. }) = self.hold(&mut held, old).await {
                    held.trouble = Some(format!("what was held before cannot be held any more: {what}"));
                }
                Answer::Refused { what, hint }
            }
        }
    }

    /// Puts the rules in force and binds the ports, in this order: nothing is reachable before it is closed. When it
    /// fails, a part of it may be done.
    async fn hold(&self, held: &mut Held, config: Config) -> Result<(), Refusal> {
        if config.networks.len() > MOST || config.forwards.len() > MOST {
            return Err(Refusal::new(
                format!("more than {MOST} networks or forwards cannot be held"),
                "spread them over several hosts",
            ));
        }
        let addresses = addresses(&config, &held.seen);
        let dnat = by_kernel(&config, &addresses).await;
        self.guard(held, &config, dnat).await?;
        {
            let forwarder = self.forwarder.lock().await;
            let forwarder = forwarder.as_ref().ok_or_else(|| Refusal::new("it is ending", "try again"))?;
            forwarder.set(&config.forwards).map_err(|error| Refusal::new(error.to_string(), error.hint()))?;
        }
        self.addresses.send_replace(Arc::new(addresses));
        held.config = config;
        Ok(())
    }

    /// Closes the networks of `config`, and lets the kernel carry what it can.
    async fn guard(&self, held: &mut Held, config: &Config, dnat: Vec<Dnat>) -> Result<(), Refusal> {
        let rules = Rules { networks: config.networks.clone(), forwards: dnat.clone(), ..Rules::default() };
        if rules.networks.is_empty() && rules.forwards.is_empty() {
            if let Some(guard) = held.guard.take() {
                guard.remove().await?;
            }
            held.by_kernel.clear();
            return Ok(());
        }
        match &held.guard {
            Some(guard) => guard.set(rules).await?,
            None => {
                let nft = Nft::find().map_err(GuardError::from)?;
                held.guard = Some(Guard::start(nft, self.table.clone(), rules).await?);
            }
        }
        held.by_kernel = dnat;
        Ok(())
    }

    /// Leads forwards to where the containers are, for as long as somebody says where that is.
    pub async fn follow(self: Arc<Self>, mut seen: watch::Receiver<Seen>) {
        loop {
            let now = seen.borrow_and_update().clone();
            let mut held = self.held.lock().await;
            held.seen = now;
            let addresses = addresses(&held.config, &held.seen);
            let dnat = by_kernel(&held.config, &addresses).await;
            // User space follows first: it carries on while the kernel does not know yet.
            self.addresses.send_replace(Arc::new(addresses));
            if dnat != held.by_kernel {
                let config = held.config.clone();
                let outcome = self.guard(&mut held, &config, dnat).await;
                held.trouble = outcome.err().map(|refusal| refusal.what);
            }
            drop(held);
            // Others may change their rules at any time.
            if let Ok(Err(_)) = tokio::time::timeout(LOOK_AGAIN, seen.changed()).await {
                return;
            }
        }
    }

    /// The metrics of all that is held.
    pub async fn metrics(&self) -> String {
        let held = self.held.lock().await;
        let forwarder = self.forwarder.lock().await;
        let mut page = forwarder.as_ref().map(Forwarder::metrics).unwrap_or_default();
        let healed = held.guard.as_ref().map_or(0, Guard::healed);
        page.push_str("# HELP fraktalia_isolation_healed_total Times the rules were put back.\n");
        page.push_str("# TYPE fraktalia_isolation_healed_total counter\n");
        let _ = writeln!(page, "fraktalia_isolation_healed_total {healed}");
        page
    }

    /// Ends the listeners; the rules stay in force. How many connections were cut.
    pub async fn end(&self, grace: Duration) -> usize {
        let forwarder = self.forwarder.lock().await.take();
        match forwarder {
            Some(forwarder) => forwarder.shutdown(grace).await,
            None => 0,
        }
    }
}

/// Where each agent's container is: its address in one of the networks that are held. What the engine says of other
/// addresses counts only for a helper that holds no network at all, for want of the right to close one.
fn addresses(config: &Config, seen: &Seen) -> BTreeMap<String, IpAddr> {
    let held = |address: &&IpAddr| match address {
        _ if config.networks.is_empty() => true,
        IpAddr::V4(address) => config.networks.values().any(|network| network.subnet.contains(*address)),
        IpAddr::V6(_) => false,
    };
    let of = |all: &[BTreeMap<String, IpAddr>]| all.iter().flat_map(BTreeMap::values).find(held).copied();
    seen.containers.iter().filter_map(|(agent, all)| Some((agent.clone(), of(all)?))).collect()
}

/// What the kernel carries: what it can lead into a container and nobody else drops on the way. What it does not carry,
/// user space does.
async fn by_kernel(config: &Config, addresses: &BTreeMap<String, IpAddr>) -> Vec<Dnat> {
    let mut dnat = led_by_kernel(config, addresses);
    if dnat.is_empty() {
        return dnat;
    }
    let passage = match Nft::find() {
        Ok(nft) => nft.passage().await,
        Err(error) => Err(error),
    };
    match passage {
        Ok(passage) => dnat.retain(|dnat| passage.is_open(&dnat.bridge)),
        Err(error) => {
            tracing::warn!(%error, "nobody knows what others drop, so user space carries the forwards");
            dnat.clear();
        }
    }
    dnat
}

/// What can be led: from an address of this host that is not on its loopback into a network that is held.
fn led_by_kernel(config: &Config, addresses: &BTreeMap<String, IpAddr>) -> Vec<Dnat> {
    // Without a network there is no table, and perhaps no right to have one.
    let carry = |(listen, forward): (&Listen, &crate::config::Forward)| {
        let IpAddr::V4(address) = *addresses.get(&forward.agent)? else { return None };
        let network = config.networks.values().find(|network| network.subnet.contains(address))?;
        let outside = matches!(listen.address, IpAddr::V4(own) if !own.is_loopback());
        let to = SocketAddrV4::new(address, forward.port);
        outside.then(|| Dnat { listen: *listen, to, bridge: network.bridge.clone() })
    };
    config.forwards.iter().filter_map(carry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_of_the_same_name_on_a_network_of_somebody_else_does_not_count() {
        let text =
            r#"{"networks":{"garden":{"bridge":"fkt-garden","subnet":"10.208.0.0/27","internet":true}}}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        let on =
            |network: &str, address: &str| BTreeMap::from([(network.to_owned(), address.parse().unwrap())]);
        let theirs = on("meadow", "10.209.0.2");
        let ours = on("garden", "10.208.0.2");
        let containers = BTreeMap::from([("gardener".to_owned(), vec![theirs, ours])]);
        let seen = Seen { containers, trouble: None };
        assert_eq!(addresses(&config, &seen)["gardener"].to_string(), "10.208.0.2");
    }
}
