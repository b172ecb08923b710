//! What is wrong, where, and what to do about it: each rule with its exact places.

use std::fmt::Write as _;
use std::path::Path;

use fraktalia_model::{Loaded, MemoryFiles, Note, Severity, Span, manifest};

/// A manifest in order; cases add sections to it. Its last line is line 10.
const BASE: &str = "\
version: 1
realm: home
matrix:
  homeserver: http://127.0.0.1:8008
  server_name: chat.home
  admin_token: { file: token }
  bot: '@agent:chat.home'
openclaw:
  config: /srv/openclaw.json
users: { ana: , ben: , carla: , }
";

fn load(files: &MemoryFiles) -> Loaded {
    manifest::load(Path::new("fraktalia.yaml"), files)
}

/// All findings about `BASE` and `more`, as a person would see them.
fn found(more: &str) -> String {
    shown(&load(&MemoryFiles::new().with("fraktalia.yaml", format!("{BASE}{more}"))))
}

/// All findings about a text as it stands.
fn found_in(text: impl Into<Vec<u8>>) -> String {
    shown(&load(&MemoryFiles::new().with("fraktalia.yaml", text)))
}

fn shown(loaded: &Loaded) -> String {
    let failed = loaded.notes.iter().any(|note| note.severity == Severity::Error);
    assert_eq!(loaded.manifest.is_none(), failed, "a manifest comes with no error, and with nothing else");
    loaded.notes.iter().map(|note| one(note, loaded)).collect()
}

fn one(note: &Note, loaded: &Loaded) -> String {
    let mut text = format!("{:?} {}: {}\n", note.severity, note.code, note.text).to_lowercase_first();
    for span in note.at.iter().chain(&note.other) {
        place(&mut text, span, loaded);
    }
    if let Some(hint) = &note.hint {
        let _ = writeln!(text, "  hint: {hint}");
    }
    text
}

fn place(text: &mut String, span: &Span, loaded: &Loaded) {
    let _ = writeln!(text, "  {span}");
    if let Some(line) = loaded.sources.line(span) {
        let line = line.get(..200).unwrap_or(line);
        let before = " ".repeat(span.column as usize - 1);
        let carets = "^".repeat((span.length as usize).max(1));
        let _ = writeln!(text, "    | {line}\n    | {before}{carets}");
    }
}

trait LowercaseFirst {
    fn to_lowercase_first(self) -> String;
}

impl LowercaseFirst for String {
    fn to_lowercase_first(mut self) -> String {
        if let Some(first) = self.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        self
    }
}

macro_rules! golden {
    ($($name:ident: $found:expr;)*) => {$(
        #[test]
        fn $name() {
            insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
                insta::assert_snapshot!(stringify!($name), $found);
            });
        }
    )*};
}

golden! {
    a_manifest_in_order_gives_no_finding: found("");

    every_unknown_key_is_found_with_what_was_meant: found("\
fractals:
  gardener:
    memebers: [ana, ben]
    purpose: Looks after beds.
    quarkiness: high
    worksapce: { onwer: '1:1' }
    workspace: { onwer: '1:1' }
polcy: {}
");

    wrong_types_say_what_is_expected: found("\
rooms:
  lounge:
    name: 42
    topic: [a]
    members: ana
    encrypted: yes
    space: 'true'
    power_levels: { ana: high }
    join_rule: invited
    history: yes
  hall: text
sandboxes:
  small: { cpus: '4', user: 1000 }
forwards:
  - { host_port: 70000, fractal: x }
  - 9000
");

    missing_keys_are_named_once: found_in("\
version: 1
matrix: { server_name: chat.home }
rooms: { lounge: }
");

    an_empty_file_lacks_version_and_realm: found_in("# nothing yet\n");

    a_key_without_a_value_is_as_good_as_none: found_in("version:\nrealm:\nmatrix:\n");

    sections_that_others_need_are_asked_for: found_in("\
version: 1
realm: home
fractals: { gardener: { members: [ana] } }
");

    only_version_1_is_known: found_in("version: 2\nrealm: home\n");

    a_duplicate_key_shows_both_places: found("\
rooms:
  lounge: { topic: One }
  hall: { topic: One, name: Hall, topic: Two }
  lounge: { topic: Two }
realm: other
");

    a_duplicate_port_shows_both_places: found("\
fractals:
  gardener: { members: [ana, ben], forwards: [9000, { host_port: 9001, port: 80 }], sandbox: s }
  cook: { members: [ana, ben], forwards: [9001], sandbox: s }
sandboxes: { s: }
forwards: [{ host_port: 9000, fractal: cook, port: 0 }]
");

    a_port_outside_of_the_range_is_refused: found("\
fractals: { gardener: { members: [ana, ben], forwards: [8080, 9010], sandbox: s } }
sandboxes: { s: }
policy: { forward_ports: 9000-9009 }
");

    a_range_of_ports_has_a_first_and_a_last: found("policy: { forward_ports: 9099-9000 }\n");

    unknown_references_come_with_suggestions: found("\
hosts: { mox: { docker: 'tcp://10.0.0.5:2376' } }
networks: { garden: { host: moks } }
sandboxes: { standard: { network: gardn, host: elsewhere } }
rooms:
  lounge: { members: [anna, ben, '@guest:other.org'], in: huose, power_levels: { bne: 50 } }
  house: { space: true }
fractals: { gardener: { members: [ana, ben], sandbox: standart } }
bindings:
  - { agent: felix, room: loung }
  - { agent: felix, direct: dora }
forwards: [{ host_port: 9000, fractal: gardner }]
admin_room: { room: admin, operators: [bne], proposers: ['@agent'], allow: { sandboxes: [small] } }
");

    names_have_to_be_ones_that_the_systems_take: found("\
rooms:
  'The hall': { alias: the hall, members: [ana] }
  lounge: { alias: 'lounge:chat.home' }
networks: { 'a b': , host: }
sandboxes: { 'x/y': }
fractals: { 'Garden Bot': { members: [ana, ben] } }
bindings: [{ agent: 'Felix!', direct: ana }]
");

    a_realm_a_server_and_a_user_have_names_too: found_in("\
version: 1
realm: my realm
matrix:
  homeserver: chat.home
  server_name: 'http://chat.home'
  admin_token: { env: T }
  bot: '@agent:other.org'
users: { Ana: }
");

    a_bot_of_another_server_is_refused: found_in("\
version: 1
realm: home
matrix:
  homeserver: https://chat.home
  server_name: chat.home
  admin_token: { env: T }
  bot: '@agent:other.org'
  padding: ['@']
");

    a_room_of_an_agent_needs_three: found("\
fractals:
  gardener: { members: [ana] }
  cook: { members: [ana, '@guest:other.org'] }
  smith: { members: [ana, ben], account: own }
rooms:
  lounge: { members: [ben] }
  quiet: { members: [ana] }
bindings: [{ agent: felix, room: lounge }]
");

    an_unknown_member_is_not_said_to_be_missing_as_well: found("\
fractals: { gardener: { members: [ana, benn] } }
");

    an_agent_is_not_bound_to_a_space: found("\
rooms: { house: { space: true } }
fractals: { gardener: { members: [ana, ben], room: { space: true } } }
bindings: [{ agent: felix, room: house }]
");

    a_literal_secret_is_refused_and_not_shown: found_in("\
version: 1
realm: home
matrix:
  homeserver: http://127.0.0.1:8008
  server_name: chat.home
  admin_token: syt_s3cr3t_ünd_more  # oops
  bot: '@agent:chat.home'
users:
  ana: { password: [hunter2] }
  ben: { password: { env: A, file: b } }
  carla: { password: { value: hunter3 } }
  dora: { passwort: hunter4, password: { env: D }, password: hunter5 }
");

    a_writable_root_needs_a_network: found("\
sandboxes:
  open: { read_only_root: false }
  closed: { read_only_root: true }
");

    values_in_texts_are_checked: found("\
hosts: { mox: { docker: '10.0.0.5', tls: { ca: a, cert: b, key: c }, workspaces: { here: /mnt, there: srv } } }
networks: { garden: { subnet: 10.0.0.1/24, allow: ['nas:22'], dns: [nowhere] } }
sandboxes:
  s: { user: agent, memory: 8 GB, cpus: 0, image: { tag: 'Agent Sandbox' } }
fractals:
  gardener:
    members: [ana, ben]
    workspace: { owner: '996', files: { '../x': { content: x }, a: { content: x, mode: '999' } } }
admin_room: { room: 'a b', expires: 1 day }
policy: { protect: [lounge] }
");

    an_agent_does_not_approve_and_only_a_commit_is_pushed: found("\
fractals:
  gardener: { members: [ana, ben], account: own }
admin_room:
  room: admin
  operators: [ana, '@agent:chat.home', agent, gardener, '@gardener:chat.home', '@gardener:elsewhere.org']
  push: true
  allow: { keys: [openclaw] }
");

    what_is_approved_is_written_where_it_is_read_from: shown(&load(&MemoryFiles::new()
        .with("fraktalia.yaml", format!("{BASE}include: ['a*/*.yaml', 'fractals/team-*.yaml', more.yaml]
admin_room: {{ room: admin, operators: [ana], write_to: fractals/, commit: true }}
"))
        .with("more.yaml", "include: [other/*.yaml]\n")));

    what_is_approved_is_written_below_the_manifest: found("\
include: ['*.yaml']
admin_room: { room: admin, operators: [ana], write_to: ../fractals }
");

    what_is_approved_is_written_into_a_directory: shown(&load(&MemoryFiles::new()
        .with("fraktalia.yaml", format!("{BASE}include: ['fractals/*.yaml']
admin_room: {{ room: admin, operators: [ana], write_to: fractals }}
"))
        .with("fractals", "I am a file")));

    a_commit_needs_something_written: found("\
admin_room: { room: admin, operators: [ana], commit: true }
");

    a_pattern_for_what_will_be_approved_may_match_nothing_yet: shown(&load(&MemoryFiles::new()
        .with("fraktalia.yaml", format!("{BASE}include: [more.yaml]
admin_room: {{ room: admin, operators: [ana], write_to: ./fractals/, commit: true }}
"))
        .with("more.yaml", "include: ['fractals/*.yaml', 'nowhere/*.yaml']\n")));

    the_user_of_the_admin_room_is_nobody_elses: found("\
admin_room: { room: admin, user: ana, operators: [ana] }
");

    the_user_of_the_admin_room_is_nobodys_account: found("\
admin_room: { room: admin, user: ben, operators: [ana] }
");

    no_agent_is_the_user_of_the_admin_room: found("\
fractals:
  fraktalia: { members: [ana, ben], account: own }
admin_room: { room: admin, operators: [ana] }
");

    an_api_needs_a_room_tokens_and_a_plain_address: found("\
api: { listen: 8787, tokens: { 'a b': { token: { env: A }, scopes: [], expires: someday, per_minute: 0 } } }
");

    an_api_without_tokens_is_reported_and_one_for_the_network_is_noted: found("\
admin_room: { room: admin, operators: [ana] }
api: { listen: '0.0.0.0:8787' }
");

    a_file_has_its_text_here_or_elsewhere: found("\
fractals:
  gardener:
    members: [ana, ben]
    workspace:
      files:
        A.md: { source: absent.md }
        B.md: { source: absent.md, content: x }
        C.md: {}
    room: { avatar: '~friend/a.png' }
sandboxes: { s: { image: { tag: 'a:1', build: { context: nowhere } } } }
");

    an_alias_is_used_once: found("\
rooms:
  lounge: { members: [ana] }
  hall: { alias: lounge }
fractals:
  gardener: { members: [ana, ben], room: { alias: hall-2 } }
  cook: { members: [ana, ben], room: { alias: hall-2 } }
");

    a_key_is_a_room_or_a_fractal: found("\
rooms: { gardener: { topic: Mine } }
fractals: { gardener: { members: [ana, ben] } }
");

    bridges_and_subnets_do_not_clash: found("\
hosts: { mox: { docker: 'tcp://10.0.0.5:2376' } }
networks:
  a: { subnet: 10.1.0.0/16 }
  b: { subnet: 10.1.2.0/24 }
  c: { host: mox, subnet: 10.1.2.0/24 }
  d: { subnet: 10.1.3.0/24 }
");

    networks_of_single_fractals_do_not_clash: found("\
networks:
  own: { each_fractal: true, subnet: 10.1.0.0/16 }
  own-cook: {}
sandboxes: { s: { network: own } }
fractals:
  cook: { members: [ana, ben], sandbox: s }
");

    a_sandbox_and_its_network_are_on_one_host: found("\
hosts: { mox: { docker: 'tcp://10.0.0.5:2376' } }
networks: { garden: }
sandboxes: { s: { host: mox, network: garden } }
");

    spaces_are_not_in_each_other: found("\
rooms:
  a: { space: true, in: b }
  b: { space: true, in: c }
  c: { space: true, in: a }
  d: { space: true, in: d }
  e: { in: f }
  f: {}
");

    a_power_level_is_for_a_member: found("\
rooms: { lounge: { members: [ana], power_levels: { ana: 100, ben: 50 } } }
");

    a_member_counts_once: found("\
rooms: { lounge: { members: [ana, '@ana:chat.home', ben] } }
");

    members_of_a_fractal_stand_in_one_place: found("\
fractals: { gardener: { members: [ana, ben], room: { members: [ana, ben, carla] } } }
");

    a_user_of_its_own_does_not_take_a_name: found("\
fractals:
  ana: { members: [ben, carla], account: own }
  agent: { members: [ben, carla], account: own }
");

    a_binding_is_used_once_and_routes_one_thing: found("\
fractals:
  gardener: { members: [ana, ben] }
  smith: { members: [ana, ben], account: own }
bindings:
  - { agent: felix, direct: ana }
  - { agent: gardener, direct: ana }
  - { agent: smith, direct: ana }
  - { agent: felix, room: gardener }
  - { agent: felix, room: smith }
  - { agent: felix }
  - { agent: felix, room: smith, direct: ben }
");

    keys_that_we_set_are_not_passed_on: found("\
fractals:
  gardener: { members: [ana, ben], openclaw: { tools: { name: x }, sandbox: { mode: off }, id: x } }
");

    a_policy_limits_the_number_of_fractals: found("\
policy: { max_fractals: 1 }
fractals: { a: { members: [ana, ben] }, b: { members: [ana, ben] } }
");

    forwards_without_a_sandbox_lead_nowhere: found("\
fractals: { gardener: { members: [ana, ben], forwards: [9000] } }
");

    a_workspace_and_the_shell_in_it_of_two_users_is_warned_of: found("\
sandboxes: { shell: { image: { tag: a }, user: \"996:1100\" }, same: { image: { tag: a }, user: \"1000:1000\" },
  off: { image: { tag: a }, user: \"996:1100\", mode: off } }
fractals:
  a: { members: [ana, ben], sandbox: shell, workspace: { owner: \"1000:1000\" } }
  b: { members: [ana, ben], sandbox: same, workspace: { owner: \"1000:1000\" } }
  c: { members: [ana, ben], sandbox: off, workspace: { owner: \"1000:1000\" } }
  d: { members: [ana, ben], sandbox: shell }
");
}

golden! {
    a_tab_is_not_indentation: found("rooms:\n\tlounge:\n");
    an_open_bracket_is_found: found("rooms: { lounge: [ana\nhosts: }\n");
    an_open_quote_is_found: found("rooms: { lounge: { topic: \"x } }\n");
    a_second_document_is_refused: found("---\nversion: 1\n");
    a_tag_is_refused: found("rooms: { lounge: !fancy { topic: x } }\n");
    an_unknown_alias_is_refused: found("rooms: { lounge: *hall }\n");
    an_alias_of_itself_is_refused: found("rooms: &r { lounge: *r }\n");
    a_key_is_a_text: found("? [a, b]\n: c\n");
    a_list_is_no_manifest: found_in("- version: 1\n");
    bytes_that_are_no_text_are_found: found_in(b"version: 1\nrealm: \xff\xfe\n".to_vec());
    utf_16_is_named: found_in(b"\xff\xfev\0e\0".to_vec());
    a_bomb_does_not_go_off: found_in(bomb());
    a_deep_nest_is_refused: found_in(format!("rooms: {}\n", "[".repeat(5000)));
}

/// Nine levels of nine aliases each: some 400 million values if written out.
fn bomb() -> String {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let items = vec![format!("*a{}", level - 1); 9].join(", ");
        let _ = writeln!(text, "a{level}: &a{level} [{items}]");
    }
    text
}

#[test]
fn a_secret_in_a_file_that_is_not_yaml_is_not_shown_either() {
    let text = "matrix:\n  admin_token: syt_x [\n  bot: [\n  gateway: { token: { env: T } }\n";
    let loaded = load(&MemoryFiles::new().with("fraktalia.yaml", text));
    let shown = loaded.sources.text(Path::new("fraktalia.yaml")).unwrap();
    assert_eq!(shown, "matrix:\n  admin_token: ***** *\n  bot: [\n  gateway: { token: { env: T } }\n");
}

#[test]
fn line_ends_of_windows_and_a_mark_at_the_start_change_nothing() {
    let text = format!("{BASE}rooms: {{ lounge: {{ topik: x }} }}\n");
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(found_in(windows), found_in(text));
}

#[test]
fn anchors_and_merge_keys_are_understood() {
    let text = format!("{BASE}rooms:\n  a: &a {{ topic: One, name: A }}\n  b: {{ <<: *a, name: B }}\n");
    let manifest = load(&MemoryFiles::new().with("fraktalia.yaml", text)).manifest.unwrap();
    let b = &manifest.rooms["b"];
    assert_eq!((b.topic.as_deref(), b.name.as_deref()), (Some("One"), Some("B")));
}

#[test]
fn a_missing_manifest_is_said_with_a_hint() {
    let loaded = load(&MemoryFiles::new());
    let note = &loaded.notes[0];
    assert_eq!(note.code, "manifest.file");
    assert_eq!(note.text, "the manifest `fraktalia.yaml` does not exist");
    assert!(note.hint.as_ref().unwrap().contains("fraktalia init"));
}

#[test]
fn a_file_above_the_limit_is_not_parsed() {
    let text = vec![b'#'; usize::try_from(manifest::FILE_LIMIT).unwrap() + 1];
    let loaded = load(&MemoryFiles::new().with("fraktalia.yaml", text));
    assert_eq!(loaded.notes[0].text, "the manifest `fraktalia.yaml` is larger than 16 MiB");
}

#[test]
fn a_flood_of_findings_is_cut_and_counted() {
    let mut text = format!("{BASE}rooms:\n");
    for n in 0..3000 {
        let _ = writeln!(text, "  r{n}: {{ topik: x }}");
    }
    let loaded = load(&MemoryFiles::new().with("fraktalia.yaml", text));
    assert_eq!(loaded.notes.len(), 1001);
    assert!(loaded.notes[1000].text.contains("2000 more"), "{}", loaded.notes[1000].text);
}

mod include {
    use super::*;

    /// `BASE` that includes `pattern`, among files that each name a room.
    fn with(pattern: &str, files: &[(&str, &str)]) -> Loaded {
        let start = MemoryFiles::new().with("fraktalia.yaml", format!("{BASE}include: [{pattern}]\n"));
        load(&files.iter().fold(start, |all, (path, text)| all.with(path, *text)))
    }

    #[test]
    fn a_pattern_takes_files_in_order_and_not_hidden_ones() {
        let files = [
            ("parts/b.yaml", "rooms: { b: }\n"),
            ("parts/a.yaml", "rooms: { a: }\n"),
            ("parts/.c.yaml", "rooms: { c: }\n"),
            ("parts/deep/d.yaml", "rooms: { d: }\n"),
        ];
        let rooms = |pattern| {
            let loaded = with(pattern, &files);
            assert_eq!(loaded.notes, []);
            loaded.manifest.unwrap().rooms.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(rooms("parts/*.yaml"), ["a", "b"]);
        assert_eq!(rooms("'**/?.yaml'"), ["a", "b", "d"]);
        assert_eq!(rooms("parts/deep/d.yaml"), ["d"]);
    }

    #[test]
    fn every_file_counts_for_the_fingerprint() {
        let print = |text| with("a.yaml", &[("a.yaml", text)]).manifest.unwrap().fingerprint;
        assert_eq!(print("rooms: { a: }\n"), print("rooms: { a: }\n"));
        assert_ne!(print("rooms: { a: }\n"), print("rooms: { a: } # \n"));
    }

    golden! {
        a_key_in_two_files_shows_both_places: shown(&with("parts/*.yaml", &[
            ("parts/a.yaml", "rooms:\n  lounge: { topic: One }\npolicy: { max_removals: 1 }\n"),
            ("parts/b.yaml", "rooms:\n  lounge: { topic: Two }\npolicy: { max_removals: 2 }\nrealm: other\n"),
        ]));
        a_broken_file_does_not_hide_the_findings_in_others: shown(&with("parts/*.yaml", &[
            ("parts/a.yaml", "users: { dora: }\nrooms: [\n"),
            ("parts/b.yaml", "rooms: { hall: { members: [dora], topik: x } }\n"),
            ("parts/c.yaml", "forwards: [{ host_port: 80, fractal: x }]\n"),
        ]));
        a_pattern_without_a_match_is_a_warning: shown(&with("nowhere/*.yaml", &[]));
        a_named_file_has_to_be_there: shown(&with("absent.yaml", &[]));
        a_file_does_not_include_itself: shown(&with("a.yaml", &[
            ("a.yaml", "include: [b.yaml]\n"),
            ("b.yaml", "include: [a.yaml]\n"),
        ]));
        a_file_is_read_once: shown(&with("a.yaml, a.yaml, '*.yaml'", &[("a.yaml", "rooms: { a: }\n")]));
        an_include_stays_below_the_manifest: shown(&with("../a.yaml, /etc/passwd, ~/x.yaml", &[]));
    }
}
