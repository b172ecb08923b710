//! `cargo xtask check-layers`: which crate may know which. The table is the architecture; see `ARCHITECTURE.md`.

use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::error::TaskError;
use crate::say;

const CORE: &[&str] = &["fraktalia-model", "fraktalia-plan", "fraktalia-engine"];
const PROVIDERS: &[&str] = &[
    "fraktalia-matrix",
    "fraktalia-openclaw",
    "fraktalia-docker",
    "fraktalia-workspace",
    "fraktalia-plane-provider",
];
/// The desk has a file of its own, and talks to nobody.
const TALK: &[&str] = &["tokio", "hyper", "reqwest", "axum", "bollard", "matrix-sdk", "getrandom"];
/// What the two pure crates must not even be able to call.
const EFFECTS: &[&str] = &["tokio", "hyper", "reqwest", "bollard", "rustix", "tempfile", "getrandom"];

struct Layer {
    /// Crates of ours that it may use.
    may_use: Vec<&'static str>,
    /// And these in tests and examples only.
    in_tests: Vec<&'static str>,
    /// Crates of others that it must not use.
    never: &'static [&'static str],
}

fn layer(name: &str) -> Option<Layer> {
    let testkit = || vec!["fraktalia-testkit"];
    let program = || [CORE, PROVIDERS, &["fraktalia-plane", "fraktalia-desk"]].concat();
    let (may_use, in_tests, never) = match name {
        "fraktalia-model" => (vec![], vec![], EFFECTS),
        "fraktalia-plan" => (vec!["fraktalia-model"], testkit(), EFFECTS),
        "fraktalia-desk" => (vec!["fraktalia-model"], vec![], TALK),
        "fraktalia-room" => {
            (vec!["fraktalia-desk", "fraktalia-model"], testkit(), &["reqwest", "axum"] as &[&str])
        }
        "fraktalia-door" => {
            (vec!["fraktalia-desk", "fraktalia-model"], testkit(), &["reqwest", "matrix-sdk"] as &[&str])
        }
        "fraktalia-hands" => (
            [CORE, &["fraktalia-desk"]].concat(),
            testkit(),
            &["reqwest", "axum", "bollard", "matrix-sdk"] as &[&str],
        ),
        "fraktalia-admin" => (
            [CORE, &["fraktalia-desk", "fraktalia-room", "fraktalia-door", "fraktalia-hands"]].concat(),
            vec!["fraktalia-testkit", "fraktalia-tests"],
            &["matrix-sdk", "axum"] as &[&str],
        ),
        "fraktalia-engine" => (vec!["fraktalia-model", "fraktalia-plan"], testkit(), &[] as &[&str]),
        "fraktalia-plane" => (vec![], testkit(), &[] as &[&str]),
        "fraktalia-plane-provider" => ([CORE, &["fraktalia-plane"]].concat(), testkit(), &[] as &[&str]),
        name if PROVIDERS.contains(&name) => (CORE.to_vec(), testkit(), &[] as &[&str]),
        "fraktalia" => (program(), testkit(), &[] as &[&str]),
        "fraktalia-testkit" => (CORE.to_vec(), vec![], &[] as &[&str]),
        "xtask" => (testkit(), vec![], &[] as &[&str]),
        "fraktalia-tests" => {
            ([program(), testkit(), vec!["fraktalia", "fraktalia-hands"]].concat(), vec![], &[] as &[&str])
        }
        _ => return None,
    };
    Some(Layer { may_use, in_tests, never })
}

/// Reads `cargo metadata` and fails on every edge that is not in the table.
pub fn run() -> Result<(), TaskError> {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let edges: Vec<Edge> = metadata
        .packages
        .iter()
        .flat_map(|package| {
            package.dependencies.iter().map(|dependency| Edge {
                from: package.name.to_string(),
                to: dependency.name.clone(),
                ours: dependency.path.is_some(),
                in_tests: dependency.kind == DependencyKind::Development,
            })
        })
        .collect();
    let names: Vec<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let found = findings(&names, &edges);
    if found.is_empty() {
        let ours = edges.iter().filter(|edge| edge.ours).count();
        say::plain(&format!(
            "{} crates, {ours} dependencies between them: all as the table has it.",
            names.len()
        ));
        return Ok(());
    }
    Err(TaskError::Found(format!("{}\nhint: the table is in crates/xtask/src/layers.rs", found.join("\n"))))
}

struct Edge {
    from: String,
    to: String,
    /// Whether `to` is a crate of this workspace.
    ours: bool,
    in_tests: bool,
}

fn findings(names: &[&str], edges: &[Edge]) -> Vec<String> {
    let unknown = names.iter().filter(|name| layer(name).is_none());
    let unknown = unknown.map(|name| format!("{name} is not in the table of layers"));
    let wrong = edges.iter().filter(|edge| !is_allowed(edge));
    let wrong = wrong.map(|edge| format!("{} must not depend on {}", edge.from, edge.to));
    unknown.chain(wrong).collect()
}

fn is_allowed(edge: &Edge) -> bool {
    let Some(layer) = layer(&edge.from) else {
        return true; // reported by its name already
    };
    let to = edge.to.as_str();
    if edge.from == edge.to {
        return edge.in_tests; // with a feature that only its own tests turn on
    }
    if edge.ours {
        return layer.may_use.contains(&to) || (edge.in_tests && layer.in_tests.contains(&to));
    }
    edge.in_tests || !layer.never.contains(&to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str) -> Edge {
        Edge { from: from.to_owned(), to: to.to_owned(), ours: to.starts_with("fraktalia"), in_tests: false }
    }

    #[test]
    fn this_workspace_keeps_to_the_table() {
        run().expect("no edge that is not in the table");
    }

    #[test]
    fn a_provider_that_knows_another_is_found() {
        let found = findings(&[], &[edge("fraktalia-matrix", "fraktalia-docker")]);
        assert_eq!(found, ["fraktalia-matrix must not depend on fraktalia-docker"]);
    }

    #[test]
    fn a_pure_crate_with_a_runtime_is_found() {
        assert_eq!(findings(&[], &[edge("fraktalia-plan", "tokio")]).len(), 1);
        assert_eq!(findings(&[], &[edge("fraktalia-engine", "tokio")]).len(), 0);
    }

    #[test]
    fn the_test_kit_is_for_tests_only() {
        let in_tests = Edge { in_tests: true, ..edge("fraktalia-matrix", "fraktalia-testkit") };
        assert!(findings(&[], &[in_tests]).is_empty());
        assert_eq!(findings(&[], &[edge("fraktalia-matrix", "fraktalia-testkit")]).len(), 1);
    }

    #[test]
    fn a_crate_that_nobody_placed_is_found() {
        assert_eq!(findings(&["fraktalia-new"], &[]), ["fraktalia-new is not in the table of layers"]);
    }
}
