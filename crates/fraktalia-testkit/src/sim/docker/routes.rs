//! The calls of a simulated engine.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};

use super::build::build;
use super::world::{Container, Network, World, subnets};

pub(super) type Answer = Response<Full<Bytes>>;

/// A call with all that came with it.
pub(super) struct Call<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub query: &'a str,
    pub body: &'a Bytes,
}

impl Call<'_> {
    /// A parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let value = self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        let spaced = value.replace('+', " ");
        Some(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
    }

    fn json(&self) -> Json {
        serde_json::from_slice(self.body).unwrap_or_default()
    }
}

pub(super) fn respond(status: u16, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    answer.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    answer
}

fn fine(body: &Json) -> Answer {
    respond(200, body.to_string())
}

pub(super) fn refusal(status: u16, message: &str) -> Answer {
    respond(status, json!({ "message": message }).to_string())
}

fn absent(what: &str, name: &str) -> Answer {
    refusal(404, &format!("No such {what}: {name}"))
}

pub(super) fn route(world: &mut World, call: &Call<'_>) -> Answer {
    let path = percent_decode_str(call.path.trim_start_matches('/')).decode_utf8_lossy().into_owned();
    let (section, rest) = path.split_once('/').unwrap_or((&path, ""));
    // The name of an image may hold slashes, so the action is cut off from the right.
    let (name, action) = rest.rsplit_once('/').unwrap_or((rest, ""));
    match (call.method, section, name, action) {
        (&Method::GET, "version", ..) => {
            fine(&json!({ "ApiVersion": world.api, "Version": "sim", "Arch": world.arch }))
        }
        (&Method::POST, "build", ..) => build(world, call),
        (&Method::GET, "images", "json", "") => images(world),
        (&Method::GET, "images", name, "json") => image(world, name),
        (&Method::POST, "images", name, "tag") => tag(world, name, call),
        (&Method::DELETE, "images", ..) => remove_image(world, rest),
        (&Method::GET, "networks", "", _) => networks(world),
        (&Method::POST, "networks", "create", _) => create_network(world, call),
        (&Method::GET, "networks", name, _) => network(world, name),
        (&Method::DELETE, "networks", name, _) => remove_network(world, name),
        (&Method::GET, "containers", "json", _) => containers(world),
        (&Method::POST, "containers", "create", _) => create_container(world, call),
        (&Method::GET, "containers", name, "json") => container(world, name),
        (&Method::POST, "containers", name, "start") => start(world, name),
        (&Method::DELETE, "containers", name, _) => remove_container(world, name),
        _ => refusal(404, "page not found"),
    }
}

fn images(world: &World) -> Answer {
    let list: Vec<Json> = world
        .images
        .iter()
        .map(|(id, image)| {
            json!({
                "Id": id, "ParentId": "", "RepoTags": image.tags, "RepoDigests": null, "Created": 0, "Size": 1,
                "SharedSize": -1, "VirtualSize": 1, "Labels": image.labels, "Containers": -1,
            })
        })
        .collect();
    fine(&json!(list))
}

fn image(world: &World, name: &str) -> Answer {
    match world.image_id(name) {
        None => absent("image", name),
        Some(id) => {
            let image = &world.images[&id];
            fine(&json!({ "Id": id, "RepoTags": image.tags, "Config": { "Labels": image.labels } }))
        }
    }
}

fn tag(world: &mut World, name: &str, call: &Call<'_>) -> Answer {
    let Some(id) = world.image_id(name) else { return absent("image", name) };
    let (repo, tag) = (call.parameter("repo").unwrap_or_default(), call.parameter("tag"));
    world.tag(&id, &format!("{repo}:{}", tag.unwrap_or_else(|| "latest".into())));
    respond(201, "")
}

fn remove_image(world: &mut World, name: &str) -> Answer {
    let Some(id) = world.image_id(name) else { return absent("image", name) };
    let by_tag = name != id;
    let image = world.images.get_mut(&id).expect("the id is of an image that is there");
    if by_tag && image.tags.len() > 1 {
        image.tags.remove(name);
        return fine(&json!([{ "Untagged": name }]));
    }
    let user = world.containers.iter().find(|(_, container)| container.image == id);
    if let Some((user, _)) = user {
        let text = format!("conflict: unable to delete {name} - container {} is using it", &user[..12]);
        return refusal(409, &text);
    }
    world.images.remove(&id);
    fine(&json!([{ "Untagged": name }, { "Deleted": id }]))
}

fn described(world: &World, id: &str, network: &Network) -> Json {
    let request = &network.request;
    let on_it = world.containers.iter().filter(|(_, one)| one.running && one.network() == network.name);
    let containers: serde_json::Map<String, Json> =
        on_it.map(|(id, one)| (id.clone(), json!({ "Name": one.name }))).collect();
    json!({
        "Name": network.name,
        "Id": id,
        "Scope": "local",
        "Driver": request.get("Driver").filter(|driver| !driver.is_null()).unwrap_or(&json!("bridge")),
        "Internal": request["Internal"].as_bool().unwrap_or(false),
        "Attachable": request["Attachable"].as_bool().unwrap_or(false),
        "EnableIPv6": false,
        "IPAM": { "Driver": "default", "Config": request["IPAM"]["Config"].as_array().cloned().unwrap_or_default() },
        "Options": request["Options"].as_object().cloned().unwrap_or_default(),
        "Labels": request["Labels"].as_object().cloned().unwrap_or_default(),
        "Containers": containers,
    })
}

fn networks(world: &World) -> Answer {
    let list = world.networks.iter().map(|(id, network)| described(world, id, network)).collect::<Vec<_>>();
    fine(&json!(list))
}

fn network(world: &World, name: &str) -> Answer {
    match world.network_id(name) {
        None => refusal(404, &format!("network {name} not found")),
        Some(id) => fine(&described(world, &id, &world.networks[&id])),
    }
}

fn create_network(world: &mut World, call: &Call<'_>) -> Answer {
    let mut request = call.json();
    let name = request["Name"].as_str().unwrap_or_default().to_owned();
    let bridge =
        |request: &Json| request["Options"]["com.docker.network.bridge.name"].as_str().map(String::from);
    let taken = bridge(&request).and_then(|bridge_name| {
        world.networks.values().find(|other| bridge(&other.request).as_ref() == Some(&bridge_name))
    });
    if let Some(other) = taken {
        return refusal(
            403,
            &format!(
                "cannot create network {name}: conflicts with network {}: networks have same bridge name",
                other.name
            ),
        );
    }
    if subnets(&request).iter().any(|subnet| world.overlaps(subnet)) {
        return refusal(403, "Pool overlaps with other one on this address space");
    }
    if subnets(&request).is_empty() {
        let free = (17..32).map(|n| format!("172.{n}.0.0/16")).find(|subnet| !world.overlaps(subnet));
        request["IPAM"] = json!({ "Config": [{ "Subnet": free }] });
    }
    let id = world.add_network(request);
    respond(201, json!({ "Id": id, "Warning": "" }).to_string())
}

fn remove_network(world: &mut World, name: &str) -> Answer {
    let Some(id) = world.network_id(name) else { return refusal(404, &format!("network {name} not found")) };
    let name = world.networks[&id].name.clone();
    if world.containers.values().any(|one| one.running && one.network() == name) {
        return refusal(
            403,
            &format!("error while removing network: network {name} id {id} has active endpoints"),
        );
    }
    world.networks.remove(&id);
    respond(204, "")
}

fn containers(world: &World) -> Answer {
    let list: Vec<Json> = world
        .containers
        .iter()
        .map(|(id, one)| {
            let mut networks = serde_json::Map::new();
            networks.insert(one.network().to_owned(), json!({}));
            json!({
                "Id": id, "Names": [format!("/{}", one.name)], "Image": one.request["Image"], "ImageID": one.image,
                "Labels": one.request["Labels"].as_object().cloned().unwrap_or_default(),
                "State": if one.running { "running" } else { "created" },
                "NetworkSettings": { "Networks": networks },
            })
        })
        .collect();
    fine(&json!(list))
}

fn container(world: &World, name: &str) -> Answer {
    match world.container_id(name) {
        None => absent("container", name),
        Some(id) => fine(&inspected(&id, &world.containers[&id])),
    }
}

fn inspected(id: &str, one: &Container) -> Json {
    let host = &one.request["HostConfig"];
    let binds = host["Binds"].as_array().cloned().unwrap_or_default();
    let mounts: Vec<Json> = binds
        .iter()
        .filter_map(Json::as_str)
        .map(|bind| {
            let parts: Vec<&str> = bind.split(':').collect();
            json!({
                "Type": "bind", "Source": parts[0], "Destination": parts.get(1),
                "RW": parts.get(2) != Some(&"ro"), "Mode": parts.get(2).unwrap_or(&""), "Propagation": "rprivate",
            })
        })
        .collect();
    json!({
        "Id": id,
        "Name": format!("/{}", one.name),
        "Image": one.image,
        "Config": { "User": one.request["User"].as_str().unwrap_or(""), "Labels": one.request["Labels"] },
        "HostConfig": {
            "NetworkMode": one.network(),
            "Memory": host["Memory"].as_i64().unwrap_or(0),
            "NanoCpus": host["NanoCpus"].as_i64().unwrap_or(0),
            "ReadonlyRootfs": host["ReadonlyRootfs"].as_bool().unwrap_or(false),
        },
        "Mounts": mounts,
    })
}

fn create_container(world: &mut World, call: &Call<'_>) -> Answer {
    let request = call.json();
    let wanted = request["Image"].as_str().unwrap_or_default();
    let Some(image) = world.image_id(wanted) else { return absent("image", wanted) };
    let id = world.fresh_id();
    let name = call.parameter("name").unwrap_or_else(|| id[..12].to_owned());
    if world.container_id(&name).is_some() {
        return refusal(409, &format!("Conflict. The container name \"/{name}\" is already in use"));
    }
    world.containers.insert(id.clone(), Container { name, image, running: false, request });
    respond(201, json!({ "Id": id, "Warnings": [] }).to_string())
}

fn start(world: &mut World, name: &str) -> Answer {
    let Some(id) = world.container_id(name) else { return absent("container", name) };
    let network = world.containers[&id].network().to_owned();
    if world.network_id(&network).is_none() {
        return refusal(404, &format!("network {network} not found"));
    }
    if let Some(container) = world.containers.get_mut(&id) {
        container.running = true;
    }
    respond(204, "")
}

fn remove_container(world: &mut World, name: &str) -> Answer {
    match world.container_id(name) {
        None => absent("container", name),
        Some(id) => {
            world.containers.remove(&id);
            respond(204, "")
        }
    }
}
