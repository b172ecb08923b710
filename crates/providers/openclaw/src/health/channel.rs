//! The Matrix channel: whether it is the homeserver and the user that the manifest means.

use fraktalia_engine::health::{Checklist, Cure};
use serde_json::Value as Json;

use super::Exam;

pub(super) fn examine(list: &Checklist, config: &Json, exam: &Exam<'_>) {
    let (code, title) = ("openclaw.channel", "Matrix channel");
    let matrix = &config["channels"]["matrix"];
    if matrix.is_null() {
        let text = "there is none: no agent hears anything";
        let cure = Cure::run("openclaw channels add");
        return list.note(list.failure(code, title, text).cure(cure));
    }
    if matrix["enabled"] == false {
        let text = "it is switched off: no agent hears anything";
        let cure = Cure::edit("set `channels.matrix.enabled: true`");
        return list.note(list.failure(code, title, text).cure(cure));
    }
    let said = |key: &str| matrix[key].as_str().filter(|text| !text.starts_with('$'));
    let mut fine = true;
    if let Some(user) = said("userId").filter(|user| *user != exam.bot.0) {
        let text = format!("the gateway is logged in as {user}, and the manifest's `bot` is {}", exam.bot);
        let cure = Cure::edit(format!(
            "set `matrix.bot` to \"{user}\": what it joins to rooms is not who listens there"
        ));
        list.note(list.failure(code, title, text).cure(cure));
        fine = false;
    }
    if let Some(url) = said("homeserver")
        && is_private(url)
        && matrix["network"]["dangerouslyAllowPrivateNetwork"] != true
    {
        let text = format!(
            "its homeserver {url} has a private address, which the channel does not connect to by itself"
        );
        let cure = Cure::edit("set `channels.matrix.network.dangerouslyAllowPrivateNetwork: true`");
        list.note(list.warning(code, title, text).cure(cure));
        fine = false;
    }
    if fine {
        list.ok(
            code,
            title,
            format!("as {}, at {}", exam.bot, said("homeserver").unwrap_or(exam.homeserver)),
        );
    }
}

/// Whether a URL leads to this machine or this network, as far as its text says so.
fn is_private(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(v4)) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        Ok(std::net::IpAddr::V6(v6)) => v6.is_loopback() || v6.is_unique_local(),
        Err(_) => host == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_address_is_known_by_its_text() {
        for url in ["http://127.0.0.1:8008", "http://localhost", "http://[::1]:8008/", "https://10.0.0.5"] {
            assert!(is_private(url), "{url}");
        }
        for url in ["https://matrix.example.org", "https://8.8.8.8:443", "https://10.example.org"] {
            assert!(!is_private(url), "{url}");
        }
    }
}
