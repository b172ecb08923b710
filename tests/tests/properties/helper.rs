//! A helper of the execution plane, in memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use fraktalia_plane::config::Config;
use fraktalia_plane::protocol::{Answer, Carried, Link, LinkError, Request, View, fingerprint};

/// What it holds, and whether its answers get lost.
#[derive(Debug, Default)]
pub struct Helper(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    config: Config,
    mute: bool,
}

impl Helper {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it was told to hold.
    pub fn config(&self) -> Config {
        self.memory().config.clone()
    }

    /// From now on it answers nothing, or it does again.
    pub fn be_mute(&self, mute: bool) {
        self.memory().mute = mute;
    }
}

#[async_trait]
impl Link for Helper {
    async fn ask(&self, request: &Request) -> Result<Answer, LinkError> {
        let mut memory = self.memory();
        if memory.mute {
            return Err(LinkError::Failed { what: "the answer got lost".into(), hint: "ask again".into() });
        }
        if let Request::Set { was, config } = request {
            if *was != fingerprint(&memory.config) {
                return Ok(Answer::Refused { what: "changed meanwhile".into(), hint: None });
            }
            memory.config = config.clone();
        }
        let listening = Carried { listening: true, ..Carried::default() };
        let ports = memory.config.forwards.keys().map(|at| (at.to_string(), listening.clone()));
        let forwards = ports.collect();
        Ok(Answer::Holding(View { config: memory.config.clone(), closed: true, forwards, ..View::default() }))
    }
}
