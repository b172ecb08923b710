//! `fraktalia.yaml.example` and the manifests under `examples/` stay true.

use std::collections::BTreeSet;
use std::path::Path;

use fraktalia_model::{MemoryFiles, manifest};
use serde_json::Value as Json;

pub const EXAMPLE: &str = include_str!("../../../../fraktalia.yaml.example");
const SINGLE_HOST: &str = include_str!("../../../../examples/single-host/fraktalia.yaml");
const TWO_HOSTS: &str = include_str!("../../../../examples/two-host/fraktalia.yaml");
const GITOPS: &str = include_str!("../../../../examples/gitops/fraktalia.yaml");
const GARDENER: &str = include_str!("../../../../examples/gitops/fractals/gardener.yaml");
const PERSONA: &str = include_str!("../../../../examples/personas/gardener.md");

/// The files that the example refers to.
pub fn beside(example: &str) -> MemoryFiles {
    MemoryFiles::new()
        .with("fraktalia.yaml", example)
        .with("fractals/cook.yaml", "fractals:\n  cook: { members: [ana, ben] }\n")
        .with("docker/sandbox/Dockerfile", "FROM debian:12\n")
        .with("pictures/lounge.png", [0x89, b'P', b'N', b'G'])
        .with("examples/personas/gardener.md", PERSONA)
        .with("personas/gardener.md", PERSONA)
        .with("personas/librarian.md", PERSONA)
}

#[test]
fn the_examples_pass_the_check() {
    let gitops = MemoryFiles::new().with("fraktalia.yaml", GITOPS).with("fractals/gardener.yaml", GARDENER);
    for files in [beside(EXAMPLE), beside(SINGLE_HOST), beside(TWO_HOSTS), gitops] {
        let loaded = manifest::load(Path::new("fraktalia.yaml"), &files);
        assert_eq!(loaded.notes, []);
        assert!(loaded.manifest.is_some());
    }
}

#[test]
fn the_example_has_every_key_of_the_schema() {
    let schema = manifest::schema();
    let mut wanted = BTreeSet::new();
    walk(&schema, &schema, "", &mut wanted);
    assert!(wanted.contains("fractals.*.workspace.files.*.keep"), "{wanted:?}");
    let found = keys(EXAMPLE);
    let absent: Vec<_> = wanted.iter().filter(|path| !found.contains(*path)).collect();
    // A fractal's room has the keys of a room, a secret one source of three: each is shown once.
    let absent: Vec<_> = absent
        .into_iter()
        .filter(|path| {
            !path.starts_with("fractals.*.room.")
                || !found.contains(&path.replace("fractals.*.room", "rooms.*"))
        })
        .filter(|path| {
            let source = path.rsplit('.').next().unwrap();
            !["file", "env", "command"].contains(&source)
                || !found.iter().any(|other| other.ends_with(source))
        })
        .collect();
    assert_eq!(absent, Vec::<&String>::new(), "missing in fraktalia.yaml.example");
}

/// Collects the path of every property, with `*` for names that people choose.
fn walk(schema: &Json, node: &Json, path: &str, found: &mut BTreeSet<String>) {
    if let Some(target) = node["$ref"].as_str() {
        let target = schema.pointer(target.trim_start_matches('#')).expect("a definition");
        walk(schema, target, path, found);
    }
    for part in ["allOf", "anyOf"] {
        for inner in node[part].as_array().into_iter().flatten() {
            walk(schema, inner, path, found);
        }
    }
    for (key, value) in node["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        found.insert(path.clone());
        walk(schema, value, &path, found);
    }
    if node["additionalProperties"].is_object() {
        walk(schema, &node["additionalProperties"], &format!("{path}.*"), found);
    }
    if node["items"].is_object() {
        walk(schema, &node["items"], path, found);
    }
}

/// The path of every key in a YAML text, with `*` below what maps names. Read by another library than ours.
fn keys(text: &str) -> BTreeSet<String> {
    let tree: Json = serde_saphyr::from_str(text).expect("the example is YAML");
    let mut found = BTreeSet::new();
    collect(&tree, "", &mut found);
    found
}

fn collect(node: &Json, path: &str, found: &mut BTreeSet<String>) {
    const NAMED: [&str; 10] = [
        "hosts",
        "users",
        "rooms",
        "networks",
        "sandboxes",
        "fractals",
        "power_levels",
        "args",
        "files",
        "tokens",
    ];
    match node {
        Json::Object(map) => {
            let named = NAMED.contains(&path.rsplit('.').next().unwrap_or_default());
            for (key, value) in map {
                let key = if named { "*" } else { key };
                let path = if path.is_empty() { key.into() } else { format!("{path}.{key}") };
                found.insert(path.clone());
                collect(value, &path, found);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| collect(item, path, found)),
        _ => {}
    }
}

#[test]
fn every_key_of_the_schema_is_explained() {
    fn bare(node: &Json, path: &str, found: &mut Vec<String>) {
        if let Some(properties) = node["properties"].as_object() {
            for (key, value) in properties {
                if value["description"].as_str().is_none_or(str::is_empty) {
                    found.push(format!("{path}.{key}"));
                }
            }
        }
        match node {
            Json::Object(map) => {
                map.iter().for_each(|(key, value)| bare(value, &format!("{path}/{key}"), found));
            }
            Json::Array(items) => items.iter().for_each(|item| bare(item, path, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    bare(&manifest::schema(), "", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

/// What is passed on to OpenClaw is what another YAML library reads.
#[test]
fn two_yaml_libraries_come_to_the_same_values() {
    let passed = r#"
      text: [a b, "a: b", 'it''s', "tab\t\u00fc", yes, off, 9000-9099, 996:1100, 9.9.9.9, 1_000, .5.]
      numbers: [0, -7, 12, 1.5, 2e3, 1.25e-2]
      truth: [true, false, ~, null]
      folded: >
        one
        two

        three
      kept: |+
        line

      stripped: |-
        line
      flow: { a: [1, {b: c}], "d e": f, }
      anchored: &x { y: 1 }
      alias: *x
      multi: plain text
        that goes on
      "quoted key": '#no comment' # a comment
      empty:
      list:
      - 1
      -
        - 2
"#;
    let text = format!("{EXAMPLE}\n")
        .replace("openclaw: { tools: { deny: [browser] } }", &format!("openclaw:{passed}"));
    let loaded = manifest::load(Path::new("fraktalia.yaml"), &beside(&text));
    assert_eq!(loaded.notes, []);
    let ours = Json::Object(loaded.manifest.unwrap().fractals["gardener"].openclaw.clone());
    let yaml_1_2 = serde_saphyr::options! { strict_booleans: true, underscored_numbers_as_strings: true };
    let theirs: Json = serde_saphyr::from_str_with_options(passed, yaml_1_2).expect("YAML");
    assert_eq!(ours, theirs);
}
