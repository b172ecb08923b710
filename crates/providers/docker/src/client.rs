//! The engine's HTTP API: the few calls that we need, each with a deadline and with errors that say what was asked.

mod build;
mod containers;
mod endpoint;
mod exec;
mod transport;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as Bollard;
use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ImageInspect, ImageSummary, Network, NetworkCreateRequest,
    NetworkInspect,
};
use bollard::query_parameters::{
    InspectNetworkOptions, ListContainersOptionsBuilder, ListImagesOptions, ListNetworksOptions,
    RemoveContainerOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};

use self::transport::Transport;
use crate::error::{DockerError, bounded};

pub use build::{BuildError, BuildRequest};
pub use endpoint::{Address, Endpoint, SshTarget};
pub use exec::ExecOutput;
pub(crate) use transport::{Silent, SshFailed, TooMuch, Unreached};

/// The option of a network that names its bridge interface.
pub const BRIDGE_NAME: &str = "com.docker.network.bridge.name";

/// How long a call may take. A busy engine answers a list in seconds; removing a container that has to be killed
/// takes ten.
const DEADLINE: Duration = Duration::from_mins(1);
/// How long a connection may take to come about.
const CONNECTING: Duration = Duration::from_secs(15);

/// The oldest API that we work with: Docker Engine 20.10.
const OLDEST: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };

/// An engine that answers. Cheap to clone; all clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    docker: Docker,
    endpoint: Endpoint,
    deadline: Duration,
    arch: String,
}

impl Client {
    /// Connects to the engine at `endpoint` and looks at its version.
    ///
    /// # Errors
    /// When it does not answer, may not be used, is not who it should be, or is too old.
    pub async fn connect(endpoint: impl Into<Endpoint>) -> Result<Self, DockerError> {
        Self::connect_within(endpoint, DEADLINE).await
    }

    /// As [`Client::connect`], with another deadline for each call.
    pub async fn connect_within(
        endpoint: impl Into<Endpoint>,
        deadline: Duration,
    ) -> Result<Self, DockerError> {
        let endpoint = endpoint.into();
        let transport = Arc::new(Transport::new(&endpoint, deadline.min(CONNECTING))?);
        let send = move |request| Arc::clone(&transport).request(request);
        let seconds = deadline.as_secs().max(1);
        // The name only fills the place of one: the transport knows where it goes.
        let docker =
            Docker::connect_with_custom_transport(send, Some("http://docker"), seconds, API_DEFAULT_VERSION)
                .map_err(|error| DockerError::of(&error, &endpoint, "be asked", deadline))?;
        let mut client = Self { docker, endpoint, deadline, arch: String::new() };
        let found = client.call("say its version", client.docker.version()).await?;
        let api = found.api_version.unwrap_or_default();
        if !api_of(&api).is_some_and(|api| api >= OLDEST) {
            return Err(DockerError::TooOld {
                endpoint: client.endpoint.to_string(),
                found: bounded(&api, 40),
                needed: OLDEST.to_string(),
            });
        }
        client.arch = bounded(&found.arch.unwrap_or_default(), 40);
        Ok(client)
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the engine's machine is, in the engine's words: `amd64`.
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// The whole API, for what has no method here.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    async fn call<T>(
        &self,
        what: &str,
        answer: impl Future<Output = Result<T, Bollard>>,
    ) -> Result<T, DockerError> {
        match tokio::time::timeout(self.deadline, answer).await {
            Ok(answer) => answer.map_err(|error| self.failed(&error, what)),
            Err(_) => Err(self.late(what, self.deadline)),
        }
    }

    fn late(&self, what: &str, after: Duration) -> DockerError {
        DockerError::Late { endpoint: self.endpoint.to_string(), what: what.into(), after }
    }

    fn failed(&self, error: &Bollard, what: &str) -> DockerError {
        DockerError::of(error, &self.endpoint, what, self.deadline)
    }

    /// What time it is there, RFC 3339.
    pub async fn time(&self) -> Result<Option<String>, DockerError> {
        Ok(self.call("say its time", self.docker.info()).await?.system_time)
    }

    /// All images, without intermediate layers.
    pub async fn images(&self) -> Result<Vec<ImageSummary>, DockerError> {
        self.call("list images", self.docker.list_images(None::<ListImagesOptions>)).await
    }

    /// One image, by tag or id.
    pub async fn image(&self, name: &str) -> Result<Option<ImageInspect>, DockerError> {
        let what = format!("describe the image {name}");
        there(self.call(&what, self.docker.inspect_image(name)).await)
    }

    /// All networks, without what is on them.
    pub async fn networks(&self) -> Result<Vec<Network>, DockerError> {
        self.call("list networks", self.docker.list_networks(None::<ListNetworksOptions>)).await
    }

    /// One network with what is on it, by name or id.
    pub async fn network(&self, name: &str) -> Result<Option<NetworkInspect>, DockerError> {
        let what = format!("describe the network {name}");
        there(self.call(&what, self.docker.inspect_network(name, None::<InspectNetworkOptions>)).await)
    }

    /// All containers, running or not.
    pub async fn containers(&self) -> Result<Vec<ContainerSummary>, DockerError> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        self.call("list containers", self.docker.list_containers(Some(options))).await
    }

    /// One container, by name or id.
    pub async fn container(&self, id: &str) -> Result<Option<ContainerInspectResponse>, DockerError> {
        let what = format!("describe the container {id}");
        there(self.call(&what, self.docker.inspect_container(id, None)).await)
    }

    /// Makes a network.
    pub async fn create_network(&self, request: NetworkCreateRequest) -> Result<(), DockerError> {
        let what = format!("make the network {}", request.name);
        self.call(&what, self.docker.create_network(request)).await.map(|_| ())
    }

    /// Removes a network; one that is gone already is no error.
    pub async fn remove_network(&self, id: &str, name: &str) -> Result<(), DockerError> {
        let what = format!("remove the network {name}");
        gone(self.call(&what, self.docker.remove_network(id)).await)
    }

    /// Removes a container, running or not; one that is gone already is no error.
    pub async fn remove_container(&self, id: &str, name: &str) -> Result<(), DockerError> {
        let what = format!("remove the container {name}");
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match gone(self.call(&what, self.docker.remove_container(id, Some(options))).await) {
            // Somebody else is removing it at this moment.
            Err(DockerError::Refused { status: 409, message, .. })
                if message.contains("already in progress") =>
            {
                Ok(())
            }
            other => other,
        }
    }

    /// Takes a tag away, and with the last one the image; what is gone already is no error.
    pub async fn remove_image(&self, tag: &str) -> Result<(), DockerError> {
        let what = format!("remove the image {tag}");
        let removed = self.call(&what, self.docker.remove_image(tag, None::<RemoveImageOptions>, None)).await;
        gone(removed.map(|_| ()))
    }

    /// Gives an image a tag, taking it from whichever had it.
    pub async fn tag_image(&self, id: &str, tag: &str) -> Result<(), DockerError> {
        let what = format!("tag the image {tag}");
        let (name, version) = split_tag(tag);
        let options = TagImageOptionsBuilder::new().repo(name).tag(version).build();
        self.call(&what, self.docker.tag_image(id, Some(options))).await
    }
}

/// `1.41`
fn api_of(text: &str) -> Option<ClientVersion> {
    let (major, minor) = text.split_once('.')?;
    Some(ClientVersion { major_version: major.parse().ok()?, minor_version: minor.parse().ok()? })
}

/// `name:tag` in two.
fn split_tag(tag: &str) -> (&str, &str) {
    match tag.rsplit_once(':') {
        Some((name, version)) if !version.contains('/') => (name, version),
        _ => (tag, "latest"),
    }
}

fn there<T>(answer: Result<T, DockerError>) -> Result<Option<T>, DockerError> {
    match answer {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(Some),
    }
}

fn gone(answer: Result<(), DockerError>) -> Result<(), DockerError> {
    there(answer).map(|_| ())
}
