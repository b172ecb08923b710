//! What differs between wanted and seen.

use fraktalia_plan::diff::compare;
use fraktalia_plan::{Delta, FieldChange};
use fraktalia_plane::config::{NetworkRules, Opening, Protocol};

use crate::spec::Spec;
use crate::state::State;

/// Compares. `last` is what was asked for last time.
pub fn diff(want: &Spec, have: &State, last: Option<&Spec>) -> Delta {
    let fields = match (want, have) {
        (Spec::Isolation { rules, .. }, State::Isolation { rules: seen, closed }) => {
            let last = match last {
                Some(Spec::Isolation { rules, .. }) => Some(rules),
                _ => None,
            };
            isolation(rules, seen, last).chain(in_force("in force", *closed)).collect()
        }
        (Spec::Forward { to, .. }, State::Forward { to: seen, listening, .. }) => {
            let last = match last {
                Some(Spec::Forward { to, .. }) => Some(to),
                _ => None,
            };
            let agent = compare("agent", &to.agent, &seen.agent, last.map(|last| &last.agent), |agent| {
                Some(agent.clone())
            });
            let port = compare("port", &to.port, &seen.port, last.map(|last| &last.port), |port| {
                Some(port.to_string())
            });
            agent.into_iter().chain(port).chain(in_force("listening", *listening)).collect()
        }
        // An id names its kind, so the two sides of one id are of one kind.
        _ => Vec::new(),
    };
    Delta { fields, ..Delta::default() }
}

fn in_force(field: &str, is: bool) -> Option<FieldChange> {
    compare(field, &true, &is, Some(&true), |yes| Some(if *yes { "yes" } else { "no" }.into()))
}

fn isolation<'a>(
    want: &'a NetworkRules,
    have: &'a NetworkRules,
    last: Option<&'a NetworkRules>,
) -> impl Iterator<Item = FieldChange> {
    let text = |text: &String| Some(text.clone());
    let bridge = compare("bridge", &want.bridge, &have.bridge, last.map(|last| &last.bridge), text);
    let subnet = compare("subnet", &want.subnet, &have.subnet, last.map(|last| &last.subnet), |subnet| {
        Some(subnet.to_string())
    });
    let internet =
        compare("internet", &want.internet, &have.internet, last.map(|last| &last.internet), |on| {
            Some(on.to_string())
        });
    let openings =
        compare("allow", &want.openings, &have.openings, last.map(|last| &last.openings), |openings| {
            Some(if openings.is_empty() { "nothing".into() } else { listed(openings) })
        });
    [bridge, subnet, internet, openings].into_iter().flatten()
}

/// As the manifest writes them.
fn listed(openings: &[Opening]) -> String {
    let one = |opening: &Opening| {
        let protocol = match opening.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        format!("{}:{}/{protocol}", opening.address, opening.port)
    };
    openings.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// `internet, 2 openings`
pub fn reach(rules: &NetworkRules) -> String {
    let internet = if rules.internet { "internet" } else { "no internet" };
    match rules.openings.as_slice() {
        [] => format!("{internet}, nothing else"),
        few if few.len() <= 2 => format!("{internet}, {}", listed(few)),
        many => format!("{internet}, {} openings", many.len()),
    }
}
