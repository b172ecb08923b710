//! Builds of a simulated engine: a Dockerfile is read line by line, and `RUN false` fails.

use std::collections::BTreeMap;
use std::io::Read as _;

use hyper::body::Bytes;
use serde_json::{Value as Json, json};

use super::routes::{Answer, Call, refusal};
use super::world::World;

/// `POST /build`: a tar in, one JSON object a line out.
pub(super) fn build(world: &mut World, call: &Call<'_>) -> Answer {
    let Some(dockerfile) = dockerfile(call.body) else {
        return refusal(400, "Cannot locate specified Dockerfile: Dockerfile");
    };
    let labels: BTreeMap<String, String> =
        call.parameter("labels").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let steps: Vec<&str> =
        dockerfile.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let mut output = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        output.push(json!({ "stream": format!("Step {}/{} : {step}\n", number + 1, steps.len()) }));
        if let Some(words) = step.strip_prefix("RUN echo ") {
            output.push(json!({ "stream": format!("{words}\n") }));
        }
        if step.strip_prefix("FROM ").is_some_and(|base| base != "scratch" && world.image_id(base).is_none())
        {
            let message = format!("pull access denied for {}, repository does not exist", &step[5..]);
            return lines(output, Some(message));
        }
        if *step == "RUN false" {
            let message = "The command '/bin/sh -c false' returned a non-zero code: 1";
            return lines(output, Some(message.into()));
        }
    }
    let args = call.parameter("buildargs").unwrap_or_default();
    let content = [call.body.as_ref(), args.as_bytes()].concat();
    let tag = call.parameter("t").unwrap_or_default();
    let id = world.add_image(&tag, &content, labels);
    if let Some(image) = world.images.get_mut(&id) {
        image.built_from = dockerfile;
    }
    output.push(json!({ "aux": { "ID": id } }));
    output.push(json!({ "stream": format!("Successfully tagged {tag}\n") }));
    lines(output, None)
}

fn lines(mut output: Vec<Json>, failure: Option<String>) -> Answer {
    if let Some(message) = failure {
        output.push(json!({ "errorDetail": { "code": 1, "message": message }, "error": message }));
    }
    let lines: Vec<String> = output.iter().map(Json::to_string).collect();
    super::routes::respond(200, Bytes::from(lines.join("\r\n") + "\r\n"))
}

fn dockerfile(context: &Bytes) -> Option<String> {
    let mut archive = tar::Archive::new(context.as_ref());
    for entry in archive.entries().ok()? {
        let mut entry = entry.ok()?;
        if entry.path().ok()?.as_os_str() == "Dockerfile" {
            let mut text = String::new();
            entry.read_to_string(&mut text).ok()?;
            return Some(text);
        }
    }
    None
}
