use super::*;

const FILE: &str = "\
# ours
version: 1   # of the words
realm: home

users:
  ana: {}   # the first
  ben: { display_name: Ben }
  # carla comes in spring

fractals: {} # none yet
bindings:
  - { agent: felix, direct: ana } # by hand
lists: [one, two]
flow: { a: 1, b: { c: x } }
text: |
  two
  lines

empty:
# the end
";

fn text(value: &str) -> Value {
    value.into()
}

fn edited(from: &str, edit: impl FnOnce(&mut Text) -> Result<(), EditError>) -> String {
    let mut text = Text::new(from).unwrap();
    edit(&mut text).unwrap();
    text.text()
}

#[test]
fn a_new_entry_comes_after_the_comments_of_its_section() {
    let got = edited(FILE, |file| file.insert(&["users"], &[("dora".into(), Value::Map(Vec::new()))]));
    assert_eq!(got, FILE.replace("in spring\n", "in spring\n  dora: {}\n"));
}

#[test]
fn an_empty_section_is_opened_and_keeps_its_comment() {
    let gardener = Value::Map(vec![("room".into(), Value::Map(vec![("id".into(), text("!a:b"))]))]);
    let got = edited(FILE, |file| file.insert(&["fractals"], &[("gardener".into(), gardener)]));
    let want = "fractals: # none yet\n  gardener:\n    room: { id: \"!a:b\" }\n";
    assert_eq!(got, FILE.replace("fractals: {} # none yet\n", want));
}

#[test]
fn a_section_that_is_missing_comes_at_the_end() {
    let rooms = [("lounge".to_owned(), Value::Map(vec![("id".into(), text("!a"))]))];
    let got = edited(FILE, |file| file.insert(&["rooms"], &rooms));
    assert_eq!(got, format!("{FILE}\nrooms:\n  lounge: {{ id: \"!a\" }}\n"));
}

#[test]
fn lists_grow_in_the_style_that_they_have() {
    let item = [Value::Map(vec![("agent".into(), text("mox")), ("room".into(), text("lounge"))])];
    let got = edited(FILE, |file| file.push(&["bindings"], &item));
    assert_eq!(got, FILE.replace("# by hand\n", "# by hand\n  - { agent: mox, room: lounge }\n"));
    let got = edited(FILE, |file| file.push(&["lists"], &[text("three")]));
    assert_eq!(got, FILE.replace("two]", "two, three]"));
    let got = edited(FILE, |file| file.push(&["empty"], &[text("three")]));
    assert_eq!(got, FILE.replace("empty:\n", "empty:\n  - three\n"));
    let got = edited(FILE, |file| file.take(&["lists"], 0));
    assert_eq!(got, FILE.replace("[one, two]", "[two]"));
    let got = edited(FILE, |file| file.take(&["lists"], 1));
    assert_eq!(got, FILE.replace("[one, two]", "[one]"));
}

#[test]
fn a_value_is_replaced_and_its_comment_stays() {
    let got = edited(FILE, |file| file.set(&["version"], &Value::Int(2)));
    assert_eq!(got, FILE.replace("version: 1 ", "version: 2 "));
    let got = edited(FILE, |file| file.set(&["flow", "b", "c"], &text("a: b")));
    assert_eq!(got, FILE.replace("c: x", "c: \"a: b\""));
    let got = edited(FILE, |file| file.set(&["users", "ana", "display_name"], &text("Ana")));
    assert_eq!(got, FILE.replace("ana: {}   # the first\n", "ana:   # the first\n    display_name: Ana\n"));
    let got = edited(FILE, |file| file.set(&["text"], &text("one")));
    assert_eq!(got, FILE.replace("text: |\n  two\n  lines\n", "text: one\n"));
    let got = edited(FILE, |file| file.set(&["empty"], &Value::Bool(true)));
    assert_eq!(got, FILE.replace("empty:\n", "empty: true\n"));
}

#[test]
fn an_entry_goes_with_its_own_lines_and_no_others() {
    let got = edited(FILE, |file| file.remove(&["users", "ana"]));
    assert_eq!(got, FILE.replace("  ana: {}   # the first\n", ""));
    let got = edited(FILE, |file| file.remove(&["flow", "a"]));
    assert_eq!(got, FILE.replace("a: 1, ", ""));
    let got = edited(FILE, |file| file.remove(&["text"]));
    assert_eq!(got, FILE.replace("text: |\n  two\n  lines\n", ""));
}

#[test]
fn what_an_alias_repeats_is_not_changed_behind_its_back() {
    let file = "a: &a { x: 1 }\nb: *a\nc:\n  <<: *a\n  y: 2\n";
    let mut text = Text::new(file).unwrap();
    assert!(matches!(text.set(&["b", "x"], &Value::Int(2)), Err(EditError::Layout { .. })));
    assert_eq!(text.text(), file);
    text.set(&["c", "x"], &Value::Int(3)).unwrap();
    assert_eq!(text.text(), format!("{file}  x: 3\n"), "what is written out wins over what is merged");
    assert!(text.set(&["a", "x"], &Value::Int(4)).is_err(), "the other two would change as well");
}

#[test]
fn a_layout_that_is_not_understood_is_refused_and_left_as_it_is() {
    for file in ["users: {\n}\n", "users:\n  {}\n", "users: !!map {}\n", "? users\n: {}\n"] {
        let mut text = Text::new(file).unwrap();
        if text.insert(&["users"], &[("ana".into(), Value::Null)]).is_err() {
            assert_eq!(text.text(), file);
        } else {
            assert!(text.get(&["users", "ana"]).is_some(), "{}", text.text());
        }
    }
}

#[test]
fn line_ends_a_mark_at_the_start_and_a_missing_last_line_end_stay() {
    let file = "\u{feff}users:\r\n  ana: {}\r\n";
    let got = edited(file, |file| file.insert(&["users"], &[("ben".into(), Value::Map(Vec::new()))]));
    assert_eq!(got, "\u{feff}users:\r\n  ana: {}\r\n  ben: {}\r\n");
    let got = edited("users:\n  ana: {}", |file| file.insert(&["users"], &[("ben".into(), Value::Null)]));
    assert_eq!(got, "users:\n  ana: {}\n  ben: null\n");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn words() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z]{1,6}",
            prop_oneof![
                Just("yes"),
                Just("null"),
                Just("0664"),
                Just("1e3"),
                Just(""),
                Just(" x "),
                Just("a: b"),
                Just("# c"),
                Just("- d"),
                Just("it's"),
                Just("\"q\""),
                Just("two\nlines\n"),
                Just("*a"),
                Just("&a"),
                Just("!x:y"),
                Just("@ana:chat.home"),
                Just("{"),
                Just("]"),
                Just("ends:"),
                Just("\u{202e}turn"),
                Just("~"),
                Just("..."),
                Just("---"),
                Just("2026-01-01"),
                Just("tab\there"),
                Just("ü 日本"),
                Just("\u{85}\u{2028}"),
            ]
            .prop_map(String::from),
            any::<String>(),
        ]
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e6..1e6_f64).prop_map(Value::Float),
            words().prop_map(Value::Text),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                proptest::collection::btree_map("[a-z]{1,5}|[A-Z!@][a-z:. ]{1,4}", inner, 0..4)
                    .prop_map(|map| Value::Map(map.into_iter().collect())),
            ]
        })
    }

    fn line(out: &mut String, text: &str) {
        out.push_str(text);
        out.push('\n');
    }

    /// A text that says `value`, in a layout that a person might choose: `choices` decide.
    fn written(value: &Value, indent: usize, choices: &mut impl Iterator<Item = u8>) -> String {
        let mut out = String::new();
        let Value::Map(entries) = value else { unreachable!("sections are mappings") };
        for (key, value) in entries {
            let key = Value::Text(key.clone()).flow();
            let mut choose = |of: u8| choices.next().unwrap_or(0) % of;
            let comment = ["", "", " # why", "   # c: { d", " # it's"][usize::from(choose(5))];
            if choose(6) == 0 {
                line(&mut out, &format!("{:indent$}# about {key}", ""));
            }
            if choose(5) == 0 {
                out.push('\n');
            }
            let style = choose(3);
            match value {
                Value::Map(inner) if !inner.is_empty() && style > 0 => {
                    line(&mut out, &format!("{:indent$}{key}:{comment}", ""));
                    let deeper = indent + [2, 3, 4][usize::from(choose(3))];
                    out.push_str(&written(value, deeper, choices));
                }
                Value::List(items) if !items.is_empty() && style > 0 => {
                    line(&mut out, &format!("{:indent$}{key}:{comment}", ""));
                    let deeper = indent + usize::from(style - 1) * 2;
                    for item in items {
                        line(&mut out, &format!("{:deeper$}- {}{comment}", "", item.flow()));
                    }
                }
                Value::Text(text) if style == 1 && plain_lines(text) => {
                    let deeper = indent + 2;
                    line(&mut out, &format!("{:indent$}{key}: |-{comment}", ""));
                    for row in text.lines() {
                        line(&mut out, &format!("{:deeper$}{row}", ""));
                    }
                }
                Value::Null if style > 0 => line(&mut out, &format!("{:indent$}{key}:{comment}", "")),
                _ => line(&mut out, &format!("{:indent$}{key}: {}{comment}", "", value.flow())),
            }
        }
        out
    }

    fn plain_lines(text: &str) -> bool {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase())
    }

    fn documents() -> impl Strategy<Value = (Value, String)> {
        let maps = proptest::collection::btree_map("[a-z]{1,5}", values(), 1..6)
            .prop_map(|map| Value::Map(map.into_iter().collect()));
        (maps, proptest::collection::vec(any::<u8>(), 200), any::<bool>()).prop_map(
            |(value, choices, cut)| {
                let mut text = written(&value, 0, &mut choices.into_iter());
                if cut {
                    text.pop();
                }
                (value, text)
            },
        )
    }

    /// All paths of mappings and of what is in them.
    fn paths(value: &Value, above: &[String], found: &mut Vec<Vec<String>>) {
        if let Value::Map(entries) = value {
            for (key, value) in entries {
                let path: Vec<String> = above.iter().cloned().chain([key.clone()]).collect();
                paths(value, &path, found);
                found.push(path);
            }
        }
    }

    /// How many bytes are the same at the start and at the end.
    fn kept(before: &str, after: &str) -> (usize, usize) {
        let start = before.bytes().zip(after.bytes()).take_while(|(one, two)| one == two).count();
        let rest = before.len().min(after.len()) - start;
        let end =
            before.bytes().rev().zip(after.bytes().rev()).take(rest).take_while(|(a, b)| a == b).count();
        (start, end)
    }

    proptest! {
        #[test]
        fn a_value_is_read_back_as_it_was_written(value in values()) {
            let map = Value::Map(vec![("k".into(), value)]);
            for text in [format!("{}\n", map.flow()), super::super::value::entry("top", &map, 0, 2)] {
                let read = Text::new(&text).unwrap();
                let got = if text.starts_with("top") { read.get(&["top"]) } else { read.get(&[]) };
                prop_assert!(got.as_ref().is_some_and(|got| got.means(&map)), "{text:?}: {got:?}");
            }
        }

        #[test]
        fn an_edit_has_its_effect_in_any_layout_and_leaves_the_rest(
            (value, text) in documents(), new in values(), pick in any::<prop::sample::Index>(), what in 0..4_u8,
        ) {
            let mut found = Vec::new();
            paths(&value, &[], &mut found);
            let path = &found[pick.index(found.len())];
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let mut file = Text::new(&text).unwrap();
            prop_assert!(file.get(&[]).is_some_and(|got| got.means(&value)), "{text}");
            let before = file.get(&path).unwrap();
            let done = match (what, &before) {
                (0, _) => file.set(&path, &new),
                (1, _) => file.remove(&path),
                (2, Value::Map(_) | Value::Null) => file.insert(&path, &[("New".into(), new.clone())]),
                (_, Value::List(_) | Value::Null) => file.push(&path, std::slice::from_ref(&new)),
                _ => file.set(&path, &new),
            };
            // That the effect is the right one, and nothing else changed its meaning, every edit finds out itself.
            prop_assert!(done.is_ok(), "{what} {}: {done:?} at {path:?} in\n{text}", new.flow());
            let after = file.text();
            let (start, end) = kept(&text, &after);
            // Two characters may begin or end with the same bytes.
            let touched = String::from_utf8_lossy(&text.as_bytes()[start..text.len() - end]);
            let adds = what == 2 && !matches!(before, Value::List(_)) || what > 1 && matches!(before, Value::List(_));
            let is_empty = before.means(&Value::Null);
            if what == 1 {
                prop_assert_eq!(start + end, after.len(), "something new came with a removal:\n{}\n->\n{}", text, after);
            } else if is_empty || !matches!(before, Value::Map(_) | Value::List(_)) {
                let one_line = !matches!(&before, Value::Text(text) if plain_lines(text));
                prop_assert!(!one_line || !touched.trim_end().contains('\n'), "{text}\n->\n{after}");
            } else if adds {
                prop_assert_eq!(touched, "", "adding took something away:\n{}\n->\n{}", text, after);
            }
            // A comment of a line that is not the entry's own is never lost.
            let comments = |text: &str| text.lines().filter(|line| line.starts_with("# about")).count();
            if is_empty || adds {
                prop_assert_eq!(comments(&text), comments(&after));
            }
        }
    }
}
