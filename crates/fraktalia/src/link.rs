//! The way to the helper of a host: a command in its container, or a socket of this machine.

use std::sync::Arc;

use async_trait::async_trait;
use fraktalia_docker::DockerHost;
use fraktalia_model::Manifest;
use fraktalia_model::manifest::HelperKind;
use fraktalia_plane::protocol::{Answer, LONGEST, Link, LinkError, Request, Socket, read_answer};

use crate::command::forward::socket_of;

/// The way to the helper beside `docker`.
pub fn to_helper(manifest: &Manifest, docker: &DockerHost) -> Arc<dyn Link> {
    match manifest.hosts.get(docker.host()).map(|host| host.helper) {
        Some(HelperKind::Service) => Arc::new(Socket(socket_of(&manifest.realm))),
        _ => Arc::new(InContainer { docker: docker.clone(), realm: manifest.realm.clone() }),
    }
}

/// A helper in a container of ours, asked through its engine: no port has to be open for it, and nobody but who may use
/// the engine can ask.
#[derive(Debug)]
struct InContainer {
    docker: DockerHost,
    realm: String,
}

#[async_trait]
impl Link for InContainer {
    async fn ask(&self, request: &Request) -> Result<Answer, LinkError> {
        let question = serde_json::to_vec(request).unwrap_or_default();
        let limit = usize::try_from(LONGEST).unwrap_or(usize::MAX);
        match self.docker.ask_helper(&self.realm, &question, limit).await {
            Ok(Some(answer)) => read_answer(&answer),
            Ok(None) => {
                Err(LinkError::Absent { what: format!("no helper runs on `{}`", self.docker.host()) })
            }
            Err(error) => Err(LinkError::Failed {
                hint: error.hint().unwrap_or_else(|| {
                    let name = fraktalia_docker::helper::name(&self.realm);
                    format!("look at its log: `docker logs {name}` on that host")
                }),
                what: error.to_string(),
            }),
        }
    }
}
