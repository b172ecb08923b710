//! Trees: drawing them, editing them, leaving out parts of them.

use serde_json::{Map, Value as Json};

use super::rng::Rng;
pub(super) use super::wishes::{manifest, world};

/// The tree with one entry, or a field of one, as it is in another drawn tree: changed, added, or gone.
pub(super) fn edited(tree: &Json, rng: &mut Rng) -> Json {
    let other = manifest(rng);
    let mut edited = tree.clone();
    let mut all = paths(tree);
    all.extend(paths(&other));
    // Sections as a whole are too much at once.
    all.retain(|path| (2..=4).contains(&path.len()));
    if all.is_empty() {
        return other;
    }
    let path = rng.pick(&all).clone();
    match at(&other, &path) {
        Some(value) if !rng.percent(15) => put(&mut edited, &path, value.clone()),
        _ => drop(remove(&mut edited, &path)),
    }
    edited
}

/// The way to every entry of every mapping and list.
pub(super) fn paths(tree: &Json) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    collect(tree, &mut Vec::new(), &mut all);
    all
}

fn collect(tree: &Json, way: &mut Vec<String>, all: &mut Vec<Vec<String>>) {
    let entries: Vec<(String, &Json)> = match tree {
        Json::Object(members) => members.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Json::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in entries {
        way.push(key);
        all.push(way.clone());
        collect(value, way, all);
        way.pop();
    }
}

fn at<'a>(tree: &'a Json, path: &[String]) -> Option<&'a Json> {
    path.iter().try_fold(tree, |tree, key| match tree {
        Json::Object(members) => members.get(key),
        Json::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

fn put(tree: &mut Json, path: &[String], value: Json) {
    let Some((key, rest)) = path.split_first() else {
        *tree = value;
        return;
    };
    match tree {
        Json::Array(items) => match key.parse::<usize>().ok().and_then(|at| items.get_mut(at)) {
            Some(item) => put(item, rest, value),
            None if rest.is_empty() => items.push(value),
            None => {}
        },
        Json::Object(members) => {
            put(members.entry(key.clone()).or_insert_with(|| Json::Object(Map::new())), rest, value);
        }
        _ => {}
    }
}

/// Leaves out what is at `path`; false when nothing is there.
pub(super) fn remove(tree: &mut Json, path: &[String]) -> bool {
    let Some((key, rest)) = path.split_first() else { return false };
    if rest.is_empty() {
        return match tree {
            Json::Object(members) => members.remove(key).is_some(),
            Json::Array(items) => match key.parse::<usize>() {
                Ok(at) if at < items.len() => {
                    items.remove(at);
                    true
                }
                _ => false,
            },
            _ => false,
        };
    }
    let inner = match tree {
        Json::Object(members) => members.get_mut(key),
        Json::Array(items) => key.parse::<usize>().ok().and_then(|at| items.get_mut(at)),
        _ => None,
    };
    inner.is_some_and(|inner| remove(inner, rest))
}
