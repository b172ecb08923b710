//! Names the networks that are there and not ours: a manifest has no words for them.

use fraktalia_model::Note;
use fraktalia_model::living::{Living, Other};

use crate::client::{BRIDGE_NAME, Client};
use crate::error::DockerError;
use crate::labels::REALM;
use crate::observe::BUILT_IN;

/// Longer names are cut: they are only shown.
const LONGEST: usize = 100;

/// The networks of an engine that carry no mark of the realm.
pub async fn discover(client: &Client, host: &str, realm: &str) -> Result<Living, DockerError> {
    let mut living = Living::default();
    for network in client.networks().await? {
        let name = network.name.as_deref().unwrap_or_default();
        let of = network.labels.as_ref().and_then(|labels| labels.get(REALM));
        if BUILT_IN.contains(&name) || of.is_some_and(|of| of == realm) {
            continue;
        }
        let bridge = network.options.as_ref().and_then(|options| options.get(BRIDGE_NAME));
        let why = match (of, bridge) {
            (Some(of), _) => format!("it belongs to the realm `{of}`"),
            (None, Some(bridge)) => {
                format!("its bridge is `{bridge}`: a network of a manifest is made, and closed, anew")
            }
            (None, None) => {
                "its bridge has no name of its own: a network of a manifest is made, and closed, anew".into()
            }
        };
        let name = shown(&format!("{name} on {host}"));
        living.others.push(Other { kind: "network", name, why: shown(&why) });
    }
    Ok(living)
}

/// Without a host that answers there is nothing to tell of it.
pub fn silent(host: &str, error: &DockerError) -> Living {
    let text = format!("the Docker engine of `{host}` was not looked at: {error}");
    Living { notes: vec![Note::info("docker.not-looked-at", text)], ..Living::default() }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}
