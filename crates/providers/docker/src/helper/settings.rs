//! How a helper is confined. What is asked and what is found are read by one function, so that they can be compared.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, HostConfigLogConfig, RestartPolicy,
    RestartPolicyNameEnum,
};

use super::HelperSpec;
use crate::labels::Labels;

/// The program in its image.
const PROGRAM: &str = "/fraktalia";
/// The command that puts the question on its stdin to the helper, run in the helper's container.
pub const ASK: [&str; 5] = [PROGRAM, "forward", "--ask", "--control", CONTROL];
/// Where the helper keeps what it was told.
const DIR: &str = "/var/lib/fraktalia";
/// Where the helper is told things, by a command that is run in it.
pub const CONTROL: &str = "/run/fraktalia.sock";
/// The engine's socket within the container.
const SOCKET: &str = "/var/run/docker.sock";
/// The environment of the image, said once more so that an altered one is seen.
pub const ENVIRONMENT: [&str; 2] = ["LD_LIBRARY_PATH=/lib/fraktalia", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"];

const MEMORY: i64 = 256 << 20;
/// Threads of the forwarder, `nft`, and commands that are run in it.
const PIDS: i64 = 128;

/// What the engine is asked for.
pub fn body(helper: &HelperSpec, labels: Labels) -> ContainerCreateBody {
    let text = |text: &str| text.to_owned();
    let host = HostConfig {
        // Rules and ports are the host's own.
        network_mode: Some("host".into()),
        cap_drop: Some(vec!["ALL".into()]),
        // For rules only. It binds no port below 1024, reads no packets, changes no owner.
        cap_add: Some(vec!["NET_ADMIN".into()]),
        security_opt: Some(vec!["no-new-privileges".into()]),
        readonly_rootfs: Some(true),
        tmpfs: Some(HashMap::from([(text("/run"), text("rw,noexec,nosuid,nodev,size=4m,mode=0755"))])),
        binds: Some(vec![
            // It follows events to learn the addresses of containers. `ro` keeps the socket itself from being replaced
            // and nothing else: whoever controls the helper controls the engine, and with it the host. That is why it
            // reads nothing but Docker's answers and its own file, and never looks into what it forwards.
            format!("{}:{SOCKET}:ro", helper.socket.display()),
            format!("{}:{DIR}", helper.name()),
        ]),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
            maximum_retry_count: None,
        }),
        pids_limit: Some(PIDS),
        memory: Some(MEMORY),
        memory_swap: Some(MEMORY),
        // No limit of open files: an engine whose own is lower refuses to start a container that asks for more.
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".into()),
            config: Some(HashMap::from([(text("max-size"), text("1m")), (text("max-file"), text("2"))])),
        }),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(helper.tag()),
        cmd: Some(
            [PROGRAM, "forward", "--realm", &helper.realm, "--dir", DIR, "--control", CONTROL]
                .map(text)
                .to_vec(),
        ),
        env: Some(ENVIRONMENT.map(text).to_vec()),
        labels: Some(labels),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

/// The settings that are asked for.
pub fn wanted(helper: &HelperSpec) -> BTreeMap<String, String> {
    let body = body(helper, Labels::new());
    let host = body.host_config.unwrap_or_default();
    read(&host, body.user, body.entrypoint, body.cmd, body.env)
}

/// The settings of a container as the engine describes it.
pub fn found(container: &ContainerInspectResponse) -> BTreeMap<String, String> {
    let config = container.config.clone().unwrap_or_default();
    let host = container.host_config.clone().unwrap_or_default();
    read(&host, config.user, config.entrypoint, config.cmd, config.env)
}

fn read(
    host: &HostConfig,
    user: Option<String>,
    entrypoint: Option<Vec<String>>,
    command: Option<Vec<String>>,
    environment: Option<Vec<String>>,
) -> BTreeMap<String, String> {
    let capability = |name: &String| name.trim_start_matches("CAP_").to_owned();
    let number = |number: Option<i64>| number.unwrap_or_default().to_string();
    let restart = host.restart_policy.as_ref().and_then(|policy| policy.name);
    let tmpfs = host.tmpfs.iter().flatten().map(|(at, options)| format!("{at} {options}")).collect();
    let devices = host.devices.iter().flatten().filter_map(|device| device.path_on_host.clone());
    let mounts = host.mounts.iter().flatten().filter_map(|mount| mount.target.clone());
    [
        ("network", host.network_mode.clone().unwrap_or_default()),
        ("privileged", host.privileged.unwrap_or_default().to_string()),
        ("capabilities", sorted(host.cap_add.iter().flatten().map(capability).collect())),
        ("dropped capabilities", sorted(host.cap_drop.iter().flatten().map(capability).collect())),
        (
            "security",
            sorted(host.security_opt.iter().flatten().map(|option| option.replace(":true", "")).collect()),
        ),
        ("read-only root", host.readonly_rootfs.unwrap_or_default().to_string()),
        ("process namespace", host.pid_mode.clone().unwrap_or_default()),
        ("tmpfs", sorted(tmpfs)),
        ("binds", sorted(host.binds.clone().unwrap_or_default())),
        ("mounts", sorted(mounts.collect())),
        ("devices", sorted(devices.collect())),
        ("restart", restart.map(|name| name.to_string()).unwrap_or_default()),
        ("processes", number(host.pids_limit)),
        ("memory", number(host.memory)),
        ("user", user.unwrap_or_default()),
        ("entrypoint", entrypoint.unwrap_or_default().join(" ")),
        ("command", command.unwrap_or_default().join(" ")),
        ("environment", sorted(environment.unwrap_or_default())),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn sorted(mut list: Vec<String>) -> String {
    list.sort();
    list.join(", ")
}
