//! Manifests to start a test from.

use std::collections::BTreeMap;
use std::path::Path;

use fraktalia_model::Manifest;
use fraktalia_model::manifest::Policy;

/// A manifest that asks for nothing, in the directory `base`.
pub fn empty(realm: &str, base: &Path) -> Manifest {
    Manifest {
        path: base.join("fraktalia.yaml"),
        base: base.into(),
        fingerprint: "empty".into(),
        realm: realm.into(),
        matrix: None,
        openclaw: None,
        hosts: BTreeMap::new(),
        users: BTreeMap::new(),
        rooms: BTreeMap::new(),
        networks: BTreeMap::new(),
        sandboxes: BTreeMap::new(),
        fractals: BTreeMap::new(),
        bindings: Vec::new(),
        forwards: Vec::new(),
        admin_room: None,
        api: None,
        policy: Policy {
            max_fractals: None,
            forward_ports: (9000, 9099),
            protect: Vec::new(),
            max_removals: None,
        },
    }
}
