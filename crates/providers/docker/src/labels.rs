//! The labels that tell what is ours, and those by which OpenClaw's containers are known.

use std::collections::HashMap;

use fraktalia_plan::Owner;

/// The realm that a thing belongs to.
pub const REALM: &str = "io.fraktalia.realm";
/// The resource that it is.
pub const RESOURCE: &str = "io.fraktalia.resource";
/// What it was made from: the content hash of an image, the fingerprint of a network's definition.
pub const SPEC: &str = "io.fraktalia.spec";
/// The run that made it, so that only that run takes it back.
pub const RUN: &str = "io.fraktalia.run";

/// Set to `1` on every container that OpenClaw made as a sandbox.
pub const SANDBOX: &str = "openclaw.sandbox";
/// `agent:<id>` or `agent:<id>:...`
pub const SESSION: &str = "openclaw.sessionKey";

/// Labels as the engine gives them.
pub type Labels = HashMap<String, String>;

/// Whose a labelled thing is; `what` is its kind, with an article.
pub fn owner(labels: &Labels, realm: &str, what: &str) -> Owner {
    match labels.get(REALM).map(String::as_str) {
        None => Owner::Unmarked,
        Some(found) if found == realm => Owner::Ours,
        Some(other) => Owner::Foreign(format!("{what} of the realm `{other}`")),
    }
}

/// The agent that OpenClaw made a container for.
pub fn agent(labels: &Labels) -> Option<&str> {
    if labels.get(SANDBOX).map(String::as_str) != Some("1") {
        return None;
    }
    labels.get(SESSION)?.strip_prefix("agent:")?.split(':').next().filter(|agent| !agent.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_agent_of_a_container_is_read_from_its_session() {
        let of = |session| labels(&[(SANDBOX, "1"), (SESSION, session)]);
        assert_eq!(agent(&of("agent:gardener:main")), Some("gardener"));
        assert_eq!(agent(&of("agent:gardener")), Some("gardener"));
        assert_eq!(agent(&of("shared")), None);
        assert_eq!(agent(&labels(&[(SESSION, "agent:gardener")])), None, "not a sandbox of OpenClaw");
    }

    #[test]
    fn a_thing_of_another_realm_is_somebody_elses() {
        assert_eq!(owner(&labels(&[(REALM, "home")]), "home", "a network"), Owner::Ours);
        assert_eq!(owner(&labels(&[]), "home", "a network"), Owner::Unmarked);
        let other = owner(&labels(&[(REALM, "work")]), "home", "a network");
        assert_eq!(other, Owner::Foreign("a network of the realm `work`".into()));
    }
}
