//! The gateway: whether it answers, and runs on what is on disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fraktalia_engine::Secrets;
use fraktalia_engine::health::{Check, Checklist, Cure, chain};
use serde_json::Value as Json;
use tokio::time::{Instant, sleep};

use crate::dialect::Config;
use crate::gateway::{Applied, Gateway, GatewayError};
use crate::system::OpenClaw;
use crate::validate;

/// The release that all tests run against, as (year, month), and as people write it.
const TESTED: ((u32, u32), &str) = ((2026, 9), "2026.9.6");
/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(8);
/// A gateway notices a new file within half a second to three seconds; somebody may just have saved it.
const NOTICE: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_millis(500);
/// What stands in the place of a secret.
const REDACTED: &str = "__OPENCLAW_REDACTED__";
/// A call of the program starts Node, which takes seconds.
const PROGRAM: Duration = Duration::from_secs(18);

pub(super) async fn examine(openclaw: &OpenClaw, list: &Checklist, file: Option<&Json>, secrets: &Secrets) {
    let there = program(openclaw, list);
    let Some(section) = &openclaw.gateway else {
        let text = "the manifest names none: whether it runs on the file is not known";
        let cure = "add `gateway: { url: \"ws://127.0.0.1:18789\", token: { env: OPENCLAW_GATEWAY_TOKEN } }` to `openclaw`";
        list.note(list.unknown("openclaw.gateway", "gateway", text).cure(Cure::edit(cure)));
        return valid(openclaw, list, there, file).await;
    };
    let token = match &section.token {
        None => None,
        Some(source) => match secrets.resolve(source).await {
            Ok(token) => Some(token),
            Err(error) => {
                let check = list.failure(
                    "openclaw.gateway",
                    "gateway",
                    format!("no token for it: {}", chain(&error)),
                );
                list.note(check.cure(Cure::edit("see `secrets` above")));
                return valid(openclaw, list, there, file).await;
            }
        },
    };
    let gateway = Gateway { url: section.url.clone(), token };
    match settled(&gateway, file).await {
        Ok(seen) => judge(list, &gateway.url, &seen, file),
        Err(error) => {
            list.note(away(list, &gateway.url, error));
            valid(openclaw, list, there, file).await;
        }
    }
}

/// What the gateway says, once it has had the time to notice a file that was just saved: until then it tells of the one
/// before.
async fn settled(gateway: &Gateway, file: Option<&Json>) -> Result<Applied, GatewayError> {
    let until = Instant::now() + NOTICE;
    loop {
        let seen = gateway.config(Instant::now() + ANSWER).await?;
        let noticed = file.is_none_or(|file| same(file, &seen.parsed));
        // It never comes to run on a file that it does not accept.
        let settled = noticed && (!seen.valid || seen.runs_on_it != Some(false));
        if settled || Instant::now() >= until {
            return Ok(seen);
        }
        sleep(INTERVAL).await;
    }
}

/// Whether a text may be the one that the gateway tells of: secrets in that are made unreadable, and references may be
/// filled in.
fn same(ours: &Json, theirs: &Json) -> bool {
    match (ours, theirs) {
        (Json::Object(ours), Json::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, ours)| theirs.get(key).is_some_and(|theirs| same(ours, theirs)))
        }
        (Json::Array(ours), Json::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (_, Json::String(theirs)) if theirs == REDACTED => true,
        (Json::String(ours), _) if ours.contains("${") => true,
        _ => ours == theirs,
    }
}

fn away(list: &Checklist, url: &str, error: GatewayError) -> Check {
    let (code, title) = ("openclaw.gateway", "gateway");
    match error {
        GatewayError::Away(why) => {
            let cure = Cure::run("systemctl --user status openclaw-gateway");
            list.failure(code, title, why)
                .cure(cure)
                .cure(Cure::edit(format!("start it, or correct `openclaw.gateway.url` ({url})")))
        }
        GatewayError::Refused(why) => {
            let cure =
                Cure::edit("is the token behind `openclaw.gateway.token` that of `gateway.auth.token`?");
            list.failure(code, title, why).cure(cure)
        }
    }
}

fn judge(list: &Checklist, url: &str, seen: &Applied, file: Option<&Json>) {
    list.ok("openclaw.gateway", "gateway", url);
    version(list, seen.version.as_deref());
    let (code, title) = ("openclaw.live", "live file");
    if !seen.valid {
        let issues = validate::issues(&seen.issues).join("; ");
        let text = format!(
            "the gateway finds the file invalid and keeps the old one; it does not start again: {issues}"
        );
        return list.note(list.failure(code, title, text).cure(Cure::run("openclaw config validate")));
    }
    if let Some(what) = file.and_then(|file| other(file, &seen.parsed)) {
        let its = seen.path.as_ref().map(|path| format!(" ({})", path.display())).unwrap_or_default();
        let text = format!("the gateway reads another file{its}: {what}");
        let cure = Cure::edit(
            "set `openclaw.config` to the file that the gateway runs on, or `openclaw.gateway` to its gateway",
        );
        return list.note(list.failure(code, title, text).cure(cure));
    }
    match seen.runs_on_it {
        Some(true) => list.ok(code, title, "the gateway runs on what is on disk"),
        Some(false) => {
            let text = "the gateway has read the file, and still runs on an older one";
            list.note(list.failure(code, title, text).cure(Cure::run("openclaw gateway restart")));
        }
        None => list.note(list.unknown(code, title, "this release does not say what it runs on")),
    }
}

/// How the file that the gateway reads differs from ours in what leads people to agents.
fn other(ours: &Json, theirs: &Json) -> Option<String> {
    let (ours, theirs) = (Config::read(ours), Config::of_gateway(theirs));
    let mut missing: Vec<&String> =
        ours.agents.keys().filter(|id| !theirs.agents.contains_key(*id)).collect();
    missing.sort();
    if let Some(id) = missing.first() {
        return Some(format!("the agent `{id}` is not in it"));
    }
    let mut strange: Vec<&String> =
        theirs.agents.keys().filter(|id| !ours.agents.contains_key(*id)).collect();
    strange.sort();
    if let Some(id) = strange.first() {
        return Some(format!("it has an agent `{id}`"));
    }
    (ours.routes != theirs.routes).then(|| "its bindings are others".into())
}

fn version(list: &Checklist, found: Option<&str>) {
    let (code, title) = ("openclaw.version", "version");
    let Some(found) = found else { return };
    let mut numbers = found.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().ok());
    let version = numbers.next().flatten().zip(numbers.next().flatten());
    let (known, tested) = TESTED;
    match version {
        Some(version) if version == known => list.ok(code, title, format!("OpenClaw {found}")),
        Some(version) if version > known => {
            let text = format!("OpenClaw {found} is newer than {tested}, which all is tested with");
            let cure = Cure::edit(
                "plan after an update, and look at the file before you apply: its shape changes over time",
            );
            list.note(list.warning(code, title, text).cure(cure));
        }
        Some(_) => list.ok(code, title, format!("OpenClaw {found}, older than {tested}")),
        None => list.note(list.unknown(code, title, format!("`{found}` is no version that we can read"))),
    }
}

/// Where the program is that validates a file before it is written.
fn program(openclaw: &OpenClaw, list: &Checklist) -> Option<PathBuf> {
    let name = openclaw.cli.as_deref()?;
    let found = find(name);
    match &found {
        Some(path) => list.ok("openclaw.cli", "program", path.display().to_string()),
        None => {
            let text = format!(
                "there is no program {}: no change can be validated, so none is made",
                name.display()
            );
            let cure = Cure::edit("correct `openclaw.cli`, or leave it out");
            list.note(list.failure("openclaw.cli", "program", text).cure(cure));
        }
    }
    found
}

/// A program as a shell would find it.
fn find(name: &Path) -> Option<PathBuf> {
    let runs =
        |path: &PathBuf| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    if name.components().count() > 1 {
        return Some(name.to_owned()).filter(runs);
    }
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(runs)
}

/// Without a gateway to ask, the program is asked what it makes of the file.
async fn valid(openclaw: &OpenClaw, list: &Checklist, program: Option<PathBuf>, file: Option<&Json>) {
    let (Some(program), Some(_)) = (program, file) else { return };
    let (code, title) = ("openclaw.valid", "validity");
    match validate::validate(&program, &openclaw.config, PROGRAM).await {
        Ok(()) => list.ok(code, title, "OpenClaw accepts the file"),
        Err(crate::error::FileError::Invalid { issues }) => {
            let text = format!("a gateway does not start on this file: {}", issues.join("; "));
            list.note(list.failure(code, title, text).cure(Cure::run("openclaw config validate")));
        }
        Err(error) => list.note(list.unknown(code, title, chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_that_the_gateway_has_not_noticed_yet_is_told_from_one_with_its_secrets_hidden() {
        let ours = json!({"gateway": {"auth": {"token": "secret"}}, "channels": {"matrix": {"accessToken": "${TOKEN}"}}});
        let hidden = json!({"gateway": {"auth": {"token": REDACTED}}, "channels": {"matrix": {"accessToken": "filled in"}}});
        assert!(same(&ours, &hidden));
        let before = json!({"gateway": {"auth": {"token": REDACTED}}, "channels": {"matrix": {}}});
        assert!(!same(&ours, &before));
    }

    #[test]
    fn another_file_is_known_by_its_agents_and_bindings() {
        let ours = json!({"agents": {"entries": {"cook": {"name": "Cook"}}}, "bindings": []});
        let same = json!({"agents": {"entries": {"cook": {"name": "__OPENCLAW_REDACTED__"}}}});
        assert_eq!(other(&ours, &same), None);
        let more = json!({"agents": {"entries": {"cook": {}, "felix": {}}}});
        assert_eq!(other(&ours, &more).as_deref(), Some("it has an agent `felix`"));
        assert_eq!(other(&more, &ours).as_deref(), Some("the agent `felix` is not in it"));
        let bound = json!({"agents": {"entries": {"cook": {}}}, "bindings": [{"agentId": "cook", "match": {"channel": "matrix"}}]});
        assert_eq!(other(&ours, &bound).as_deref(), Some("its bindings are others"));
    }
}
