//! The state of all listeners in the text format of Prometheus.

use std::collections::BTreeMap;

use super::counters::ListenerState;
use crate::config::Listen;
use crate::pages::Exposition;

/// A label that tells the values of a family apart, where there are several, and the value.
type Value = (Option<(&'static str, &'static str)>, u64);
type Series = fn(&ListenerState) -> Vec<Value>;

const FAMILIES: [(&str, &str, &str, Series); 6] = [
    ("target_up", "gauge", "Whether a container runs that connections lead to.", |state| {
        vec![(None, u64::from(state.target.is_some()))]
    }),
    ("connections_open", "gauge", "Connections that are open.", |state| vec![(None, state.open)]),
    ("connections_total", "counter", "Connections that came, the refused ones included.", |state| {
        vec![(None, state.connections)]
    }),
    ("refused_total", "counter", "Connections that were reset at once, by why.", |state| {
        vec![
            (Some(("reason", "absent")), state.refused.absent),
            (Some(("reason", "unreachable")), state.refused.unreachable),
            (Some(("reason", "full")), state.refused.full),
        ]
    }),
    ("accept_errors_total", "counter", "Connections that the kernel could not hand over.", |state| {
        vec![(None, state.accept_errors)]
    }),
    ("bytes_total", "counter", "Bytes carried to the container and from it.", |state| {
        vec![(Some(("direction", "up")), state.bytes_up), (Some(("direction", "down")), state.bytes_down)]
    }),
];

/// One family after the other, each with its help and type.
pub(super) fn render(states: &BTreeMap<Listen, ListenerState>) -> String {
    let mut metrics = Exposition::default();
    for (name, kind, help, series) in FAMILIES {
        let name = format!("fraktalia_forward_{name}");
        metrics.family(&name, kind, help);
        for (listen, state) in states {
            let listen = listen.to_string();
            for (label, value) in series(state) {
                let mut labels = vec![("listen", listen.as_str()), ("agent", state.agent.as_str())];
                labels.extend(label);
                metrics.value(&name, &labels, value);
            }
        }
    }
    metrics.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::counters::Refused;

    #[test]
    fn each_listener_has_a_line_in_each_family_and_no_name_breaks_out_of_its_label() {
        let state = ListenerState {
            bound: "127.0.0.1:9000".parse().unwrap(),
            agent: "a\"b\\c\nd".into(),
            target: None,
            open: 1,
            connections: 7,
            refused: Refused { absent: 2, unreachable: 3, full: 4 },
            accept_errors: 5,
            bytes_up: 10,
            bytes_down: 20,
        };
        let text = render(&BTreeMap::from([("127.0.0.1:9000".parse().unwrap(), state)]));
        let labels = r#"{listen="127.0.0.1:9000",agent="a\"b\\c\nd""#;
        for line in [
            format!("fraktalia_forward_target_up{labels}}} 0"),
            format!("fraktalia_forward_connections_total{labels}}} 7"),
            format!("fraktalia_forward_refused_total{labels},reason=\"unreachable\"}} 3"),
            format!("fraktalia_forward_bytes_total{labels},direction=\"down\"}} 20"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 9);
    }
}
