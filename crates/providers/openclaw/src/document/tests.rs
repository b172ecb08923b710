use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

const FILE: &str = r#"// head
{
  // the agents
  agents: {
    entries: {
      cook: { name: 'Cook', model: "a/b" }, // one line
      /* felix */
      "felix": {
        name: "Felix", // the first
        sandbox: { docker: { memory: "8g" } },
      },
    },
  },
  bindings: [
    { agentId: "cook", match: { channel: "matrix" } },
    // everything else
    { agentId: "felix", match: { channel: "matrix" } } // last
  ],
  empty: {}, list: [],
  n: +0x1F, inf: -Infinity, dot: .5, "ключ": 'it\'s \
long',
}
// tail
"#;

fn edited(text: &str, edit: impl FnOnce(&mut Document<'_>)) -> String {
    let mut document = Document::parse(text).expect("reads");
    edit(&mut document);
    document.render().expect("writes")
}

fn set(text: &str, path: &[Step<'_>], value: &Json) -> String {
    edited(text, |d| d.set(path, value).expect("can be set"))
}

fn k(path: &str) -> Vec<Step<'_>> {
    path.split('.').map(Step::Key).collect()
}

#[test]
fn an_untouched_file_comes_back_byte_for_byte() {
    for text in [FILE.to_owned(), FILE.replace('\n', "\r\n"), format!("\u{feff}{FILE}"), "{}".into()] {
        assert_eq!(edited(&text, |_| ()), text);
    }
}

#[test]
fn setting_a_field_changes_that_field_alone() {
    let text = set(FILE, &k("agents.entries.felix.sandbox.docker.memory"), &json!("4g"));
    assert_eq!(text, FILE.replace("\"8g\"", "\"4g\""));
}

#[test]
fn a_new_field_of_a_one_line_object_stays_on_its_line() {
    let text = set(FILE, &k("agents.entries.cook.workspace"), &json!("/srv/cook"));
    let want = "cook: { name: 'Cook', model: \"a/b\", workspace: \"/srv/cook\" }, // one line";
    assert_eq!(text, FILE.replace("cook: { name: 'Cook', model: \"a/b\" }, // one line", want));
}

#[test]
fn a_new_entry_looks_like_its_neighbours_and_leaves_their_comments() {
    let text = set(FILE, &k("agents.entries.lab"), &json!({"workspace": "/srv/lab", "name": "Lab"}));
    let want = "      },\n      lab: {\n        name: \"Lab\",\n        workspace: \"/srv/lab\"\n      },\n    },\n  },\n  bindings";
    assert_eq!(text, FILE.replace("      },\n    },\n  },\n  bindings", want));
}

#[test]
fn a_binding_goes_before_the_catch_all_and_below_its_comment_nothing_moves() {
    let binding =
        json!({"agentId": "lab", "match": {"channel": "matrix", "peer": {"kind": "channel", "id": "!r"}}});
    let text = edited(FILE, |d| d.insert(&k("bindings"), 1, &binding).expect("an array"));
    let line = "\n    { agentId: \"lab\", match: { channel: \"matrix\", peer: { kind: \"channel\", id: \"!r\" } } },";
    assert_eq!(text, FILE.replace("\n    // everything else", &format!("{line}\n    // everything else")));
}

#[test]
fn an_element_after_a_comment_without_a_comma_keeps_the_comment_on_its_line() {
    let text = edited(FILE, |d| d.insert(&k("bindings"), 9, &json!({"agentId": "x"})).expect("an array"));
    let want = "} }, // last\n    { agentId: \"x\" }\n  ],";
    assert_eq!(text, FILE.replace("} } // last\n  ],", want));
}

#[test]
fn empty_containers_open_up_and_close_again() {
    let text = set(FILE, &k("empty.a.b"), &json!(1));
    assert!(text.contains("  empty: {\n    a: {\n      b: 1\n    }\n  }, list: [],"), "{text}");
    assert_eq!(edited(&text, |d| assert!(d.remove(&k("empty.a")))), FILE);
    assert_eq!(set("{}", &k("a.b"), &json!([1, 2])), "{\n  \"a\": {\n    \"b\": [1, 2]\n  }\n}");
}

#[test]
fn a_removed_entry_takes_no_comment_with_it() {
    let text = edited(FILE, |d| assert!(d.remove(&k("agents.entries.felix"))));
    assert!(text.contains("/* felix */") && text.contains("// one line"), "{text}");
    let text = edited("{\n  // a\n  a: 1, b: 2 }", |d| assert!(d.remove(&k("a"))));
    assert!(text.contains("// a\n"), "{text}");
}

#[test]
fn line_ends_and_indentation_are_those_of_the_file() {
    let text = set("{\r\n\t'a': 1\r\n}\r\n", &k("b"), &json!({"c": "x"}));
    assert_eq!(text, "{\r\n\t'a': 1,\r\n\t'b': {\r\n\t\t'c': 'x'\r\n\t}\r\n}\r\n");
}

#[test]
fn replacing_an_array_keeps_the_elements_that_stay() {
    let text = "{ a: [\n  'x', // keep\n  'y', // also\n  'z',\n] }";
    let changed = set(text, &[Step::Key("a")], &json!(["x", "y", "w", "v"]));
    assert_eq!(changed, "{ a: [\n  'x', // keep\n  'y', // also\n  'w',\n  'v',\n] }");
}

#[test]
fn a_key_that_is_there_twice_is_refused_with_both_places() {
    let error = Document::parse("{\n a: 1,\n  'a': 2 }").expect_err("twice");
    assert_eq!(error.to_string(), "line 3, column 3: the key `a` is there twice, first at line 2, column 2");
}

#[test]
fn what_is_not_json5_is_refused_with_its_place() {
    for (text, at) in [
        ("{ a: 1 b: 2 }", "line 1, column 8"),
        ("{ a: 'x\ny' }", "line 1, column 8"),
        ("{ a: 1", "line 1, column 1"),
        ("{\n a: tru }", "line 2, column 5"),
        ("{ a: 1 } x", "line 1, column 10"),
        ("{ /* a: 1 }", "line 1, column 3"),
        ("[1, 2]", "line 1, column 1"),
        ("{ a: 01 }", "line 1, column 6"),
        ("{ ,a: 1 }", "line 1, column 3"),
        ("{ a: [1,,2] }", "line 1, column 9"),
        ("", "line 1, column 1"),
    ] {
        let error = Document::parse(text).expect_err(text).to_string();
        assert!(error.starts_with(at), "{text:?}: {error}");
    }
    assert!(Document::parse(&"[".repeat(100_000)).is_err());
}

#[test]
fn a_path_through_something_else_is_refused() {
    let mut document = Document::parse(FILE).expect("reads");
    let error = document.set(&k("bindings.x"), &json!(1)).expect_err("an array");
    assert_eq!(error.to_string(), "line 14, column 3: `bindings` is an array, not an object");
    let error = document.insert(&k("agents"), 0, &json!(1)).expect_err("an object");
    assert!(error.to_string().contains("`agents` is an object, not an array"), "{error}");
}

// ---- properties ---------------------------------------------------------------------------------

fn key() -> impl Strategy<Value = String> {
    prop_oneof!["[a-d]", "[a-z_$][a-z0-9_$]{0,6}", "[ -~äé]{0,8}"]
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        "[ -~äé\\n\\t\u{2028}'\"\\\\/*]{0,10}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map(key(), inner, 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// White space and comments; `true` when a line end has to follow.
fn gap() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just(" ".to_owned()),
        3 => Just("\n  ".to_owned()),
        1 => Just("\r\n\t".to_owned()),
        1 => Just("/* c\n */".to_owned()),
        1 => Just("// it's \"\n".to_owned()),
        1 => Just(" // c, {\r\n    ".to_owned()),
    ];
    prop::collection::vec(piece, 0..3).prop_map(|pieces| pieces.concat())
}

/// A text that means `value`, written in any way that a person could find.
fn written(value: &Json, gaps: &mut dyn Iterator<Item = String>) -> String {
    match value {
        Json::Array(items) => {
            let mut text = "[".to_owned();
            for (index, item) in items.iter().enumerate() {
                let before = next(gaps);
                let after = next(gaps);
                let comma = index + 1 < items.len() || after.len().is_multiple_of(2);
                text.extend([&*before, &written(item, gaps), &after, if comma { "," } else { "" }]);
            }
            text + &next(gaps) + "]"
        }
        Json::Object(members) => {
            let mut text = "{".to_owned();
            for (index, (key, item)) in members.iter().enumerate() {
                let (before, around, after) = (next(gaps), next(gaps), next(gaps));
                let comma = index + 1 < members.len() || after.len().is_multiple_of(2);
                let plain = key.len().is_multiple_of(2)
                    && key.starts_with(|c: char| c.is_ascii_alphabetic())
                    && key.chars().all(|c| c.is_ascii_alphanumeric());
                let key = if plain { key.clone() } else { json!(key).to_string() };
                let item = written(item, gaps);
                let comma = if comma { "," } else { "" };
                text.extend([&*before, &key, &around, ":", &around, &item, &after, comma]);
            }
            text + &next(gaps) + "}"
        }
        Json::String(text)
            if text.len().is_multiple_of(3) && !text.contains(['\'', '"', '\\', '\n', '\t']) =>
        {
            format!("'{text}'")
        }
        scalar => scalar.to_string(),
    }
}

fn next(gaps: &mut dyn Iterator<Item = String>) -> String {
    gaps.next().unwrap_or_default()
}

fn file() -> impl Strategy<Value = (Json, String)> {
    let root = prop::collection::btree_map(key(), value(), 0..5);
    (root, prop::collection::vec(gap(), 64)).prop_map(|(members, gaps)| {
        let value = Json::Object(members.into_iter().collect());
        let mut gaps = gaps.into_iter();
        let head = gaps.next().unwrap_or_default();
        let text = head + &written(&value, &mut gaps) + &gaps.next().unwrap_or_default();
        (value, text)
    })
}

/// Every path of a value that can be edited.
fn paths(value: &Json, here: &mut Vec<Json>, found: &mut Vec<Vec<Json>>) {
    match value {
        Json::Object(members) => {
            for (key, value) in members {
                here.push(json!(key));
                found.push(here.clone());
                paths(value, here, found);
                here.pop();
            }
        }
        Json::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                here.push(json!(index));
                found.push(here.clone());
                paths(value, here, found);
                here.pop();
            }
        }
        _ => {}
    }
}

fn steps(path: &[Json]) -> Vec<Step<'_>> {
    path.iter()
        .map(|step| match step {
            Json::String(key) => Step::Key(key),
            other => Step::At(usize::try_from(other.as_u64().unwrap_or(0)).unwrap_or(0)),
        })
        .collect()
}

fn at<'j>(value: &'j mut Json, path: &[Json]) -> &'j mut Json {
    path.iter().fold(value, |value, step| match step {
        Json::String(key) => &mut value[key.as_str()],
        other => &mut value[usize::try_from(other.as_u64().unwrap_or(0)).unwrap_or(0)],
    })
}

/// Lines with anything but white space, commas and brackets, in order: what an edit elsewhere may not change.
fn is_subsequence(of: &[&str], text: &str) -> bool {
    let mut rest = text;
    of.iter().all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// All comments of a text, in order.
fn comments(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = 0;
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'\'') => {
                at += 1;
                while bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'/' if bytes[at + 1] == b'/' => {
                let end =
                    text[at..].find(['\n', '\r', '\u{2028}', '\u{2029}']).map_or(text.len(), |e| at + e);
                found.push(&text[at..end]);
                at = end;
            }
            b'/' => {
                let end = at + text[at..].find("*/").expect("closed") + 2;
                found.push(&text[at..end]);
                at = end;
            }
            _ => at += 1,
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_reads_as_the_strict_reader_reads_it((value, text) in file()) {
        let document = Document::parse(&text).unwrap();
        prop_assert_eq!(document.value(), value);
        prop_assert_eq!(document.render().unwrap(), text);
    }

    #[test]
    fn what_one_reader_refuses_the_other_refuses_too(text in "[\\[\\]{}:,'\"ab01 .+\\-/*\n\\\\]{0,14}") {
        let ours = Document::parse(&text);
        let strict = json5::from_str::<Json>(&text);
        if ours.is_ok() {
            prop_assert!(strict.is_ok());
        } else if strict.as_ref().is_ok_and(Json::is_object) {
            // Only a duplicate key is refused by us alone.
            let twice = matches!(ours, Err(DocumentError::DuplicateKey { .. }));
            prop_assert!(twice, "{:?}", ours);
        }
    }

    #[test]
    fn setting_means_the_same_in_the_text_and_in_the_value((value, text) in file(), new in value(), pick in any::<prop::sample::Index>(), name in key()) {
        let mut found = Vec::new();
        paths(&value, &mut Vec::new(), &mut found);
        found.push(vec![json!(name)]);
        let path = pick.get(&found);
        let mut want = value.clone();
        *at(&mut want, path) = new.clone();
        let changed = set(&text, &steps(path), &new);
        prop_assert_eq!(Document::parse(&changed).unwrap().value(), want);
    }

    #[test]
    fn a_scalar_set_in_place_changes_no_other_byte((value, text) in file(), pick in any::<prop::sample::Index>()) {
        let mut found = Vec::new();
        paths(&value, &mut Vec::new(), &mut found);
        found.retain(|path| { let mut v = value.clone(); let at = at(&mut v, path); !at.is_object() && !at.is_array() });
        prop_assume!(!found.is_empty());
        let path = pick.get(&found);
        let marker = "\u{1}marker\u{1}";
        let changed = set(&text, &steps(path), &json!(marker));
        let raw = changed.split("marker").collect::<Vec<_>>();
        prop_assert_eq!(raw.len(), 2);
        // What stands left and right of the new scalar stands in the old text in the same places.
        let head = raw[0].trim_end_matches("\\u0001").trim_end_matches(['"', '\'']);
        let tail = raw[1].trim_start_matches("\\u0001");
        let tail = &tail[1..];
        prop_assert!(text.starts_with(head) && text.ends_with(tail), "{} | {}", text, changed);
    }

    #[test]
    fn removing_means_the_same_and_loses_no_comment_outside((value, text) in file(), pick in any::<prop::sample::Index>()) {
        let mut found = Vec::new();
        paths(&value, &mut Vec::new(), &mut found);
        prop_assume!(!found.is_empty());
        let path = pick.get(&found);
        let (last, parent) = path.split_last().unwrap();
        let mut want = value.clone();
        match at(&mut want, parent) {
            Json::Object(members) => { members.remove(last.as_str().unwrap()); }
            Json::Array(items) => { items.remove(usize::try_from(last.as_u64().unwrap()).unwrap()); }
            _ => unreachable!(),
        }
        let gone = { let mut v = value.clone(); at(&mut v, path).clone() };
        let changed = edited(&text, |d| assert!(d.remove(&steps(path))));
        prop_assert_eq!(Document::parse(&changed).unwrap().value(), want);
        if !gone.is_object() && !gone.is_array() {
            // Comments between a key and its value go with it.
            let outside: Vec<&str> = comments(&changed);
            prop_assert!(is_subsequence(&outside, &text), "{} | {}", text, changed);
            if last.is_u64() {
                prop_assert_eq!(outside, comments(&text), "{} | {}", text, changed);
            }
        }
    }

    #[test]
    fn inserting_and_removing_gives_the_first_bytes_back((value, text) in file(), new in value(), pick in any::<prop::sample::Index>(), index in 0_usize..5) {
        let mut found = vec![Vec::new()];
        paths(&value, &mut Vec::new(), &mut found);
        found.retain(|path| { let mut v = value.clone(); let at = at(&mut v, path); at.is_object() || at.is_array() });
        let path = pick.get(&found);
        let document = Document::parse(&text).unwrap();
        let mut element: Vec<Json> = path.clone();
        let container = { let mut v = value.clone(); at(&mut v, path).clone() };
        let changed = if let Json::Array(items) = &container {
            let index = index.min(items.len());
            element.push(json!(index));
            edited(&text, |d| d.insert(&steps(path), index, &new).unwrap())
        } else {
            prop_assume!(container.get("fresh_key").is_none());
            element.push(json!("fresh_key"));
            set(&text, &steps(&element), &new)
        };
        let back = edited(&changed, |d| assert!(d.remove(&steps(&element))));
        if back != text {
            // A container of nothing but white space with a line end in it is closed up.
            let empty = container.as_object().is_some_and(serde_json::Map::is_empty) || container.as_array().is_some_and(Vec::is_empty);
            prop_assert!(empty, "\n{}\n|\n{}\n|\n{}", text, changed, back);
            prop_assert_eq!(comments(&back), comments(&text));
            prop_assert_eq!(Document::parse(&back).unwrap().value(), document.value());
        }
    }
}
