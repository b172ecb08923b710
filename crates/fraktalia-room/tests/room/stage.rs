//! A Synapse with an encrypted room: an operator and an agent are in it, and we come.

use std::path::PathBuf;
use std::time::Duration;

use fraktalia_desk::{EventId, Key, Sent, What, Words};
use fraktalia_model::{SecretText, UserId};
use fraktalia_room::testing::Device;
use fraktalia_room::{Batch, Listening, Room, Settings};
use fraktalia_testkit::real::{Cache, Synapse, SynapseOptions};
use serde_json::json;
use tempfile::TempDir;

pub const OURS: &str = "@clerk:chat.test";
/// How long something is waited for before a test fails.
const LIMIT: Duration = Duration::from_mins(2);

pub struct Stage {
    pub synapse: Synapse,
    pub dir: TempDir,
    pub operator: Device,
    pub agent: Device,
    pub room: String,
}

impl Stage {
    /// The operator and the agent have identities; we are invited.
    pub async fn set(name: &str) -> Option<Self> {
        Self::set_with(name, true).await
    }

    pub async fn set_with(name: &str, encrypted: bool) -> Option<Self> {
        let cache = Cache::for_test()?;
        let dir = tempfile::Builder::new().prefix(name).tempdir().unwrap();
        let options = SynapseOptions { without_rate_limits: true, ..SynapseOptions::default() };
        let synapse = Synapse::start_with(&cache, &dir.path().join("synapse"), options).await.unwrap();
        let mut people = Vec::new();
        for name in ["operator", "agent"] {
            synapse.register(name, "a password", false).await.unwrap();
            let device = Device::log_in(&synapse.base_url(), name, "a password").await.unwrap();
            device.bootstrap_cross_signing().await.unwrap();
            people.push(device);
        }
        let mut agent = people.pop().unwrap();
        let mut operator = people.pop().unwrap();
        let invited = [agent.user_id(), OURS];
        let room = operator.create_room(&invited, encrypted).await.unwrap();
        agent.join(&room).await.unwrap();
        Some(Self { synapse, dir, operator, agent, room })
    }

    pub fn settings(&self) -> Settings {
        Settings {
            homeserver: self.synapse.base_url(),
            user: UserId(OURS.into()),
            room: self.room.clone(),
            dir: self.ours(),
            admin_token: SecretText::new(self.synapse.admin_token()),
            keys_within: Settings::KEYS_WITHIN,
        }
    }

    /// The folder of ours.
    pub fn ours(&self) -> PathBuf {
        self.dir.path().join("ours")
    }

    pub async fn enter(&self) -> Room {
        Room::enter(&self.settings()).await.unwrap()
    }

    /// The ids of our devices.
    pub async fn our_devices(&self) -> Vec<String> {
        let path = format!("/_synapse/admin/v2/users/{OURS}/devices");
        let answer = self.synapse.admin().get(&path).await.unwrap();
        let devices = answer["devices"].as_array().unwrap();
        devices.iter().map(|device| device["device_id"].as_str().unwrap().to_owned()).collect()
    }
}

/// Hears until what came, all together, is enough.
pub async fn hear(listening: &mut Listening, enough: impl Fn(&Batch) -> bool) -> Batch {
    let mut all = Batch::default();
    let heard = async {
        while !enough(&all) {
            let batch = listening.next().await.unwrap();
            all.events.extend(batch.events);
            all.unread.extend(batch.unread);
            all.position = batch.position;
        }
    };
    let heard = tokio::time::timeout(LIMIT, heard).await;
    assert!(heard.is_ok(), "waited in vain; heard: {all:#?}");
    all
}

/// Hears until an event comes, and yields it.
pub async fn hear_event(listening: &mut Listening, event: &str) -> What {
    let batch = hear(listening, |batch| find(batch, event).is_some()).await;
    find(&batch, event).unwrap().clone()
}

pub fn find<'a>(batch: &'a Batch, event: &str) -> Option<&'a What> {
    batch.events.iter().find(|what| sent(what).is_some_and(|sent| sent.event.as_str() == event))
}

pub fn sent(what: &What) -> Option<&Sent> {
    match what {
        What::Message { sent, .. }
        | What::Edited { sent, .. }
        | What::Redacted { sent, .. }
        | What::Reaction { sent, .. } => Some(sent),
        _ => None,
    }
}

pub fn is_vouched(what: &What) -> bool {
    sent(what).unwrap().vouched
}

pub fn bodies(batch: &Batch) -> Vec<&str> {
    let bodies = batch.events.iter().filter_map(|what| match what {
        What::Message { body, .. } => Some(body.as_str()),
        _ => None,
    });
    bodies.collect()
}

pub fn id(text: &str) -> EventId {
    EventId::new(text).unwrap()
}

/// Keys are made by the desk alone; as stored they can be read.
pub fn key(text: &str) -> Key {
    serde_json::from_value(json!(text)).unwrap()
}

pub fn words(text: &str) -> Words {
    Words::line(text)
}
