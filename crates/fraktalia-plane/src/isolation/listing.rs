//! What the kernel says it holds, and whether that is what was given to it.
//!
//! A table carries two maps that only we read: which text it was made from, and a seal over what the kernel listed
//! right after it was made. Whoever looks later needs no memory: the text is the right one if its hash is, and nobody
//! changed it since if the seal still fits.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::rules::{Ruleset, Table, check_bridge, hex};
use super::text::{BRIDGES, MADE_FROM, SEAL};

/// Other realms on one host that are listened to; a host has one or two.
const MOST_TABLES: usize = 64;
const MOST_BRIDGES: usize = 4096;

/// What stands in the kernel under the name of our table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The hash of the text that it was made from, as it says.
    pub rules: Option<String>,
    /// The digest of what it held when it was made, as it says.
    pub seal: Option<String>,
    /// The digest of what it holds now. Counters and handles do not count.
    pub digest: String,
}

/// Whether the table is what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// It is.
    None,
    /// There is no such table.
    Missing,
    /// It was made from other rules.
    OtherRules,
    /// Somebody changed it after it was made.
    Changed,
}

/// What `nft` printed was not a listing.
#[derive(Debug, thiserror::Error)]
#[error("nft listed something that cannot be read ({0}); is it version 1.0 or later, built with JSON?")]
pub struct BadListing(String);

impl Loaded {
    /// Whether nobody changed it since it was made.
    pub fn is_intact(&self) -> bool {
        self.seal.as_deref() == Some(&*self.digest)
    }
}

/// Compares what should be there with what is.
pub fn drift(expected: &Ruleset, loaded: Option<&Loaded>) -> Drift {
    match loaded {
        None => Drift::Missing,
        Some(loaded) if loaded.rules.as_deref() != Some(expected.hash()) => Drift::OtherRules,
        Some(loaded) if !loaded.is_intact() => Drift::Changed,
        Some(_) => Drift::None,
    }
}

/// Reads `nft -j list table`.
pub(super) fn read_table(json: &[u8]) -> Result<Loaded, BadListing> {
    let mut items = items(json)?;
    items.retain(|item| item.get("metainfo").is_none());
    let (rules, seal) = (words(&items, MADE_FROM), words(&items, SEAL));
    items.retain(|item| name_of_map(item) != Some(SEAL));
    for item in &mut items {
        settle(item);
    }
    let text = serde_json::to_vec(&items).map_err(|error| BadListing(error.to_string()))?;
    Ok(Loaded { rules, seal, digest: hex(&text)[..32].to_owned() })
}

/// Reads `nft -j list tables`: the tables in the family `inet` that could be ours, in any realm.
pub(super) fn read_tables(json: &[u8]) -> Result<Vec<Table>, BadListing> {
    let items = items(json)?;
    let tables = items.iter().filter_map(|item| item.get("table"));
    let inet = tables.filter(|table| table.get("family").and_then(Value::as_str) == Some("inet"));
    let names = inet.filter_map(|table| table.get("name")?.as_str());
    Ok(names.filter_map(Table::named).take(MOST_TABLES).collect())
}

/// Reads the bridges in a listing of the set [`BRIDGES`] of another realm. Names that cannot be ours are left out.
pub(super) fn read_bridges(json: &[u8]) -> Result<BTreeSet<String>, BadListing> {
    let items = items(json)?;
    let sets = items.iter().filter_map(|item| item.get("set"));
    let ours = sets.filter(|set| set.get("name").and_then(Value::as_str) == Some(BRIDGES));
    let elements = ours.filter_map(|set| set.get("elem")?.as_array()).flatten();
    let names = elements.filter_map(Value::as_str).filter(|name| check_bridge(name).is_ok());
    Ok(names.take(MOST_BRIDGES).map(str::to_owned).collect())
}

fn name_of_map(item: &Value) -> Option<&str> {
    item.pointer("/map/name")?.as_str()
}

/// The hash in a map of four words; `None` if it is not exactly that.
fn words(items: &[Value], name: &str) -> Option<String> {
    let map = items.iter().find(|item| name_of_map(item) == Some(name))?;
    let mut found = BTreeMap::new();
    for pair in map.pointer("/map/elem")?.as_array()? {
        found.insert(pair.get(0)?.as_u64()?, u32::try_from(pair.get(1)?.as_u64()?).ok()?);
    }
    let whole = found.keys().copied().eq(0..4);
    let words: Vec<String> = found.values().map(|word| format!("{word:08x}")).collect();
    whole.then(|| words.concat())
}

pub(super) fn items(json: &[u8]) -> Result<Vec<Value>, BadListing> {
    let mut listing: Value = serde_json::from_slice(json).map_err(|error| BadListing(error.to_string()))?;
    match listing.get_mut("nftables").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        _ => Err(BadListing("no list `nftables`".to_owned())),
    }
}

/// Takes away what changes by itself: handles, what counters have counted, and the order of elements, which the kernel
/// keeps in hash tables that it may grow at any time.
fn settle(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("handle");
            if let Some(Value::Object(counter)) = fields.get_mut("counter") {
                counter.clear();
            }
            for field in fields.values_mut() {
                settle(field);
            }
            if let Some(Value::Array(elements)) = fields.get_mut("elem") {
                elements.sort_by_cached_key(ToString::to_string);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(settle),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::{Rules, ruleset};

    fn listing(extra: &str) -> Vec<u8> {
        format!(
            r#"{{"nftables":[{{"metainfo":{{"version":"1"}}}},{{"table":{{"family":"inet","name":"fraktalia","handle":7}}}},
            {{"set":{{"name":"closed","handle":2,"elem":["b","a"]}}}}{extra}]}}"#
        )
        .into_bytes()
    }

    fn digest(extra: &str) -> String {
        read_table(&listing(extra)).unwrap().digest
    }

    #[test]
    fn counters_handles_and_the_order_of_elements_are_no_drift() {
        let rule = |handle: u8, packets: u8, elements: &str| {
            digest(&format!(
                r#",{{"rule":{{"handle":{handle},"expr":[{{"counter":{{"packets":{packets}}}}},{{"drop":null}}]}}}},
                {{"set":{{"name":"s","elem":{elements}}}}}"#
            ))
        };
        assert_eq!(rule(1, 0, r#"["a","b"]"#), rule(9, 200, r#"["b","a"]"#));
        assert_ne!(rule(1, 0, r#"["a","b"]"#), rule(1, 0, r#"["a"]"#));
    }

    #[test]
    fn hash_and_seal_are_read_when_they_are_whole_and_the_seal_does_not_seal_itself() {
        let map = |name: &str, elements: &str| {
            format!(r#",{{"map":{{"name":"{name}","handle":3,"elem":{elements}}}}}"#)
        };
        let whole = "[[1,2],[0,1],[2,3],[3,4294967295]]";
        let read = |extra: &str| read_table(&listing(extra)).unwrap();
        let words = "000000010000000200000003ffffffff";
        assert_eq!(read(&map("made_from", whole)).rules.as_deref(), Some(words));
        let sealed = read(&map("seal", whole));
        assert_eq!((sealed.seal.as_deref(), &sealed.digest), (Some(words), &digest("")));
        for broken in [
            "[]",
            "[[0,1],[1,2],[2,3]]",
            "[[0,1],[1,2],[2,3],[3,4],[4,5]]",
            "[[0,1],[1,2],[2,3],[3,4294967296]]",
            "7",
        ] {
            assert_eq!(read(&map("seal", broken)).seal, None, "{broken}");
        }
    }

    #[test]
    fn each_sort_of_drift_has_its_name() {
        let expected = ruleset(&Table::of(None), &Rules::default()).unwrap();
        let fine = Loaded { rules: Some(expected.hash().into()), seal: Some("d".into()), digest: "d".into() };
        assert_eq!(drift(&expected, Some(&fine)), Drift::None);
        assert_eq!(drift(&expected, None), Drift::Missing);
        assert_eq!(drift(&expected, Some(&Loaded { rules: None, ..fine.clone() })), Drift::OtherRules);
        assert_eq!(drift(&expected, Some(&Loaded { seal: None, ..fine.clone() })), Drift::Changed);
        assert_eq!(drift(&expected, Some(&Loaded { digest: "e".into(), ..fine })), Drift::Changed);
    }

    #[test]
    fn of_other_tables_only_what_can_be_a_realm_and_a_bridge_is_read() {
        let tables = br#"{"nftables":[{"table":{"family":"inet","name":"fraktalia_a_1"}},
            {"table":{"family":"ip","name":"fraktalia_b_1"}},{"table":{"family":"inet","name":"filter"}},
            {"table":{"family":"inet","name":"fraktalia\u0022 x"}}]}"#;
        let names: Vec<String> =
            read_tables(tables).unwrap().iter().map(|table| table.name().into()).collect();
        assert_eq!(names, ["fraktalia_a_1"]);
        let set = br#"{"nftables":[{"set":{"name":"bridges","elem":["fkt-a","docker0",7,"fkt-x y"]}}]}"#;
        assert_eq!(read_bridges(set).unwrap(), ["fkt-a".to_owned()].into());
        assert!(read_table(b"nonsense").is_err() && read_table(b"{}").is_err());
    }
}
