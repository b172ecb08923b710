//! Who else has a say about packets that are forwarded.
//!
//! What our table accepts, others may still drop: an engine that switched forwarding on has set the policy of iptables'
//! chain FORWARD to drop, and newer ones drop by a rule what they have not published. A forward that the kernel would
//! lead into that would be dead, and nobody would be told; user space carries it instead.

use serde_json::Value;

use super::listing::{BadListing, items};
use super::rules::BRIDGE_PREFIX;
use super::text::TABLE;

/// The chain that Docker asks first and leaves to administrators.
const USER_CHAIN: &str = "DOCKER-USER";
/// Of iptables, in the family `ip`.
const IPTABLES: &str = "filter";
/// Docker's own table, where it does without iptables. It drops what is not published.
const DOCKER_TABLE: &str = "docker-bridges";

/// What other tables do with a new connection from elsewhere into the network of a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// Chains that drop all that nobody accepted.
    by_policy: Vec<Place>,
    /// Bridges into which a rule drops what comes from another one.
    by_rule: Vec<(Place, String)>,
    /// Bridges, or `fkt-*`, into which [`USER_CHAIN`] accepts everything.
    accepted: Vec<String>,
    /// There is a rule set that cannot be read from here.
    hidden: bool,
}

/// A table of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    family: String,
    table: String,
}

impl Passage {
    /// Whether a new connection that our table accepts arrives at a container on `bridge`. What is not known for sure
    /// counts as no.
    pub fn is_open(&self, bridge: &str) -> bool {
        let any = format!("{BRIDGE_PREFIX}*");
        let accepted = self.accepted.iter().any(|to| to == bridge || *to == any);
        let excused = |place: &Place| accepted && place.family == "ip" && place.table == IPTABLES;
        let policies = self.by_policy.iter().any(|place| !excused(place));
        let rules = self.by_rule.iter().any(|(place, to)| to == bridge && !excused(place));
        !self.hidden && !policies && !rules
    }

    /// Reads `nft -j list ruleset`; `legacy` is what the kernel says of tables that nft does not see.
    pub(super) fn read(json: &[u8], legacy: &str) -> Result<Self, BadListing> {
        let mut passage = Self { hidden: legacy.lines().any(|table| table == IPTABLES), ..Self::default() };
        for item in items(json)? {
            if let Some(chain) = item.get("chain") {
                passage.chain(chain);
            } else if let Some(rule) = item.get("rule") {
                passage.rule(rule);
            }
        }
        Ok(passage)
    }

    fn chain(&mut self, chain: &Value) {
        let Some(place) = Place::of(chain) else { return };
        let is = |key: &str, value: &str| text(chain, key) == Some(value);
        if is("hook", "forward") && (is("policy", "drop") || place.table == DOCKER_TABLE) {
            self.by_policy.push(place);
        }
    }

    fn rule(&mut self, rule: &Value) {
        let (Some(place), Some(expressions)) = (Place::of(rule), rule.get("expr").and_then(Value::as_array))
        else {
            return;
        };
        let expressions: Vec<&Value> =
            expressions.iter().filter(|expression| expression.get("counter").is_none()).collect();
        match expressions[..] {
            [from, to, verdict] if verdict.get("drop").is_some() => {
                if let (Some(from), Some(to)) =
                    (interface(from, "iifname", "!="), interface(to, "oifname", "=="))
                    && from == to
                {
                    self.by_rule.push((place, to.to_owned()));
                }
            }
            [to, verdict] if verdict.get("accept").is_some() && text(rule, "chain") == Some(USER_CHAIN) => {
                self.accepted.extend(interface(to, "oifname", "==").map(str::to_owned));
            }
            _ => {}
        }
    }
}

impl Place {
    /// Where a chain or a rule is, if it is about IPv4 and not ours.
    fn of(item: &Value) -> Option<Self> {
        let (family, table) = (text(item, "family")?.to_owned(), text(item, "table")?.to_owned());
        let ours = table == TABLE || table.starts_with(&format!("{TABLE}_"));
        (!ours && matches!(&*family, "ip" | "inet")).then_some(Self { family, table })
    }
}

fn text<'a>(item: &'a Value, key: &str) -> Option<&'a str> {
    item.get(key)?.as_str()
}

/// The name in `iifname != "fkt-garden"`.
fn interface<'a>(expression: &'a Value, key: &str, operator: &str) -> Option<&'a str> {
    let is = |pointer: &str, value: &str| expression.pointer(pointer).and_then(Value::as_str) == Some(value);
    let fits = is("/match/op", operator) && is("/match/left/meta/key", key);
    expression.pointer("/match/right").and_then(Value::as_str).filter(|_| fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_nft_does_not_see_close() {
        let nothing = br#"{"nftables": [{"metainfo": {"version": "1.0.6"}}]}"#;
        assert!(Passage::read(nothing, "").unwrap().is_open("fkt-a"));
        assert!(Passage::read(nothing, "nat\nmangle\n").unwrap().is_open("fkt-a"));
        assert!(!Passage::read(nothing, "nat\nfilter\n").unwrap().is_open("fkt-a"));
        assert!(Passage::read(b"[]", "").is_err());
    }

    #[test]
    fn an_engine_with_a_table_of_its_own_closes() {
        let listing =
            br#"{"nftables": [{"chain": {"family": "ip", "table": "docker-bridges", "name": "filter-FORWARD",
            "type": "filter", "hook": "forward", "prio": 0, "policy": "accept"}}]}"#;
        assert!(!Passage::read(listing, "").unwrap().is_open("fkt-a"));
    }
}
