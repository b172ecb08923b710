//! Hears when what the manifest names in a workspace changes. What else an agent writes there is the agent's own, and there is
//! much of it.

use std::collections::BTreeSet;

use fraktalia_engine::watch::files::{self, Target};
use fraktalia_engine::{Follow, ObserveError};
use fraktalia_plan::Resource;

use crate::spec::Spec;

/// Rings for each change until files cannot be followed any more.
pub(crate) async fn follow(follow: &Follow<'_, Spec>) -> Result<(), ObserveError> {
    let targets = targets(follow.wanted);
    if targets.is_empty() {
        return std::future::pending().await;
    }
    files::follow(targets, follow.bell).await
}

fn targets(wanted: &[Resource<Spec>]) -> BTreeSet<Target> {
    let path = |want: &Resource<Spec>| match &want.spec {
        Spec::Tree(tree) => tree.path.clone(),
        Spec::File(file) => file.tree.join(file.path.as_str()),
    };
    wanted.iter().map(|want| Target::Path(path(want))).collect()
}
