//! What a proposal may say, and what it is told when it may not.

use fraktalia_desk::Policy;
use fraktalia_desk::fragment::check;
use fraktalia_model::Note;

use crate::room::policy_with;

fn codes(text: &str, policy: &Policy) -> Vec<String> {
    let code = |note: &Note| {
        let at = note.at.as_ref().map_or_else(String::new, |at| format!("{}:{} ", at.line, at.column));
        assert!(note.hint.is_some(), "a finding says what to do: {note:?}");
        format!("{at}{}", note.code)
    };
    match check(text, policy) {
        Ok(_) => Vec::new(),
        Err(notes) => notes.iter().map(code).collect(),
    }
}

/// What is found in a fragment that asks for one fractal `cook` with these lines.
fn cook(lines: &str) -> Vec<String> {
    codes(&format!("fractals:\n  cook:\n    {}\n", lines.replace('\n', "\n    ")), &policy_with(&[]))
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_proposal_within_its_limits_is_taken() {
    let all = "\
name: The cook
purpose: Knows what is in the larder.
persona: |
  You are patient.
  You like soups.
model: { primary: anthropic/claude-haiku-4-5 }
members: [ana, '@ben:chat.home']
auto_reply: false
sandbox: standard
forwards: [9001]
room: { name: Kitchen, topic: Soups }
workspace: { files: { AGENTS.md: { content: Cook. }, 'memory/first.md': { content: x } } }";
    assert_eq!(cook(all), NOTHING);
    let taken = check("fractals: { cook: { purpose: x } }", &policy_with(&[])).unwrap();
    assert_eq!((taken.name.as_str(), taken.text.as_str()), ("cook", "fractals: { cook: { purpose: x } }"));
}

#[test]
fn only_fractals_may_be_proposed_and_only_one() {
    let policy = policy_with(&[]);
    for (text, found) in [
        ("users: { eve: }", vec!["1:1 proposal.key", "1:1 proposal.one-fractal"]),
        ("fractals: { cook: }\nadmin_room: { room: x, operators: ['@eve:x'] }", vec!["2:1 proposal.key"]),
        ("fractals: { cook: }\npolicy: { max_fractals: 99 }", vec!["2:1 proposal.key"]),
        ("fractals: { cook: }\ninclude: [/etc/passwd]", vec!["2:1 proposal.key"]),
        ("fractals: { cook: }\nmatrix: { homeserver: x }", vec!["2:1 proposal.key"]),
        ("fractals: { cook: }\nsandboxes: { x: }", vec!["2:1 proposal.key"]),
        ("fractals: { cook: }\nbindings: [{ agent: felix, direct: ana }]", vec!["2:1 proposal.key"]),
        ("fractals: { cook: , baker: }", vec!["1:21 proposal.one-fractal"]),
        ("", vec!["1:1 proposal.one-fractal"]),
        ("just talk", vec!["1:1 manifest.wrong-type"]),
    ] {
        let found_in = codes(text, &policy);
        assert!(found.iter().all(|code| found_in.contains(&(*code).to_owned())), "{text}: {found_in:?}");
    }
}

#[test]
fn keys_that_are_not_harmless_may_not_be_proposed() {
    for lines in [
        "openclaw: { tools: { allow: ['*'] } }",
        "account: own",
        "on_remove: keep",
        "forwards: [{ host_port: 9001, listen: 0.0.0.0 }]",
        "room: { members: [ana] }",
        "room: { alias: kitchen }",
        "room: { avatar: /etc/passwd }",
        "room: { join_rule: public }",
        "room: { history: world_readable }",
        "room: { power_levels: { '@agent:chat.home': 100 } }",
        "room: { in: house }",
        "room: { on_remove: purge }",
        "room: { members_policy: exact }",
        "room: { encrypted: false }",
        "workspace: { path: /etc }",
        "workspace: { owner: '0:0' }",
        "workspace: { on_remove: purge }",
        "workspace: { files: { A.md: { source: /etc/shadow } } }",
        "workspace: { files: { A.md: { content: x, mode: '0777' } } }",
        "workspace: { files: { A.md: { content: x, keep: sync } } }",
    ] {
        let found = cook(lines);
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
        assert!(found[0].ends_with("proposal.key"), "{lines}: {found:?}");
    }
}

#[test]
fn a_key_that_the_manifest_allows_may_be_proposed_and_openclaw_never() {
    let allowing =
        |keys: &str| policy_with(&[("    per_day: 3", &format!("    keys: [{keys}]\n    per_day: 3"))]);
    let text = "fractals: { cook: { account: own, workspace: { files: { A.md: { source: a.md } } } } }";
    assert_eq!(codes(text, &allowing("account, workspace.files.source")), NOTHING);
    assert_eq!(codes(text, &allowing("account")).len(), 1);
    let all = "account, forwards.listen, room.alias, room.encrypted, room.history, room.in, room.join_rule, \
               room.avatar, workspace.files.keep, workspace.files.mode, workspace.files.source, workspace.owner, \
               workspace.path";
    assert_eq!(codes("fractals: { cook: { openclaw: { tools: } } }", &allowing(all)), ["1:21 proposal.key"]);
}

#[test]
fn models_sandboxes_members_and_ports_come_from_lists() {
    assert_eq!(cook("model: anthropic/claude-opus"), ["3:12 proposal.model"]);
    assert_eq!(
        cook("model: { primary: anthropic/claude-haiku-4-5, fallbacks: [evil/model] }"),
        ["3:63 proposal.model"]
    );
    assert_eq!(cook("sandbox: root"), ["3:14 proposal.sandbox"]);
    assert_eq!(
        cook("members: [ana, eve, '@ben:evil.org']"),
        ["3:20 proposal.member", "3:25 proposal.member"]
    );
    assert_eq!(cook("forwards: [9001, 9002]"), ["3:22 proposal.forwards"]);
    assert_eq!(cook("forwards: [22]"), ["3:16 proposal.port-range"]);
    assert_eq!(cook("forwards: [9000]"), ["3:16 proposal.port-taken"]);
}

#[test]
fn what_is_there_cannot_be_overridden() {
    for taken in ["gardener", "lounge", "parlour", "admin", "ana", "agent", "warden", "felix", "net"] {
        let found = codes(&format!("fractals: {{ {taken}: {{ purpose: x }} }}"), &policy_with(&[]));
        assert_eq!(found, ["1:13 proposal.name-taken"], "{taken}");
    }
    let full = policy_with(&[("max_fractals: 5", "max_fractals: 2")]);
    assert_eq!(codes("fractals: { cook: }", &full), ["1:13 proposal.no-room"]);
    assert_eq!(codes("fractals: { Gardener: }", &policy_with(&[])), ["1:13 manifest.bad-agent-id"]);
    assert_eq!(codes("fractals: { '../x': }", &policy_with(&[])), ["1:13 manifest.bad-agent-id"]);
}

#[test]
fn yaml_bombs_do_not_go_off() {
    let policy = policy_with(&[]);
    let laughs = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nfractals: { cook: }\n";
    assert_eq!(codes(laughs, &policy), ["1:7 manifest.yaml"]);
    let merged = "fractals: { cook: { <<: { purpose: x } } }";
    assert_eq!(codes(merged, &policy), ["1:25 manifest.yaml"]);
    let tagged = "fractals: { cook: { purpose: !!binary aGk= } }";
    assert_eq!(codes(tagged, &policy), ["1:39 manifest.yaml"]);
    let two = "fractals: { cook: }\n---\nfractals: { cook: { purpose: y } }\n";
    assert_eq!(codes(two, &policy), ["2:1 manifest.yaml"]);
    assert_eq!(codes(&"[".repeat(10_000), &policy).len(), 1);
    assert_eq!(codes(&format!("fractals: [{}]", "x, ".repeat(5_000)), &policy).len(), 1);
    assert_eq!(codes(&"# x\n".repeat(401), &policy), ["1:1 proposal.too-large"]);
    assert_eq!(codes(&"x".repeat(1 << 20), &policy), ["1:1 proposal.too-large"]);
    let twice = "fractals: { cook: { purpose: seen }, cook: { purpose: meant } }";
    assert_eq!(codes(twice, &policy), ["1:38 manifest.duplicate-key"]);
}

#[test]
fn what_forges_a_display_is_refused_wherever_it_stands() {
    let policy = policy_with(&[]);
    for text in [
        "fractals:\n  cook:\n    purpose: a\u{202e}b\n",
        "fractals:\n  cook:\n    name: a\u{200b}b\n",
        "fractals: # \u{2066}\n  cook:\n",
        "fractals: { cook: { purpose: \"a\u{7}b\" } }",
        "fractals: { cook: { purpose: x } }\u{e0041}",
        "fractals: { cook: { purpose: \"a\rb\" } }",
        "\u{feff}fractals: { cook: }",
    ] {
        let found = codes(text, &policy);
        assert!(found.len() == 1 && found[0].ends_with("proposal.unseen"), "{text:?}: {found:?}");
    }
    // Written with an escape, the text itself shows nothing.
    assert_eq!(cook("purpose: \"a\\u202Eb\""), ["3:14 proposal.unseen"]);
    assert_eq!(cook("name: \"Cook\\n✅ approved\""), ["3:11 proposal.unseen"]);
    assert_eq!(cook("purpose: Soups 🍲 and Käse, 日本語, ❤\u{fe0f}"), NOTHING);
}

#[test]
fn texts_have_a_length_and_hold_no_credentials() {
    assert_eq!(cook(&format!("purpose: {}", "x".repeat(301))), ["3:14 proposal.too-long"]);
    assert_eq!(cook(&format!("name: {}", "x".repeat(65))), ["3:11 proposal.too-long"]);
    assert_eq!(cook(&format!("persona: {}", "x".repeat(4_001))), ["3:14 proposal.too-long"]);
    assert_eq!(cook("persona: use syt_YW5h_abc to log in"), ["3:14 proposal.secret"]);
    for file in ["../x", "/etc/x", ".ssh/authorized_keys", "a//b", "a b", "a/b/c/d/e"] {
        let found = cook(&format!("workspace: {{ files: {{ '{file}': {{ content: x }} }} }}"));
        assert_eq!(found, ["3:27 proposal.file-name"], "{file}");
    }
}

#[test]
fn a_finding_is_made_once_and_names_the_cure() {
    let notes =
        check("fractals: { cook: { persnoa: x, model: anthropic/claude-haiku-4.5 } }", &policy_with(&[]))
            .unwrap_err();
    let hints: Vec<&str> = notes.iter().filter_map(|note| note.hint.as_deref()).collect();
    assert_eq!(hints, ["did you mean `persona`?", "did you mean `anthropic/claude-haiku-4-5`?"]);
}
