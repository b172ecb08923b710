//! Whole manifests and worlds, drawn from a seed: what is there before, what is wanted first, and what after.
//!
//! A manifest is drawn as a tree and written as YAML, so that what is tested includes reading it. Trees also make a
//! failing [`Case`] easy to make smaller: a part is left out, and what no longer makes sense is not tried.

mod draw;
mod rng;
mod wishes;
mod yaml;

use std::fmt;

use serde_json::{Value as Json, json};

pub use rng::Rng;
pub use yaml::yaml;

/// The part of the ids after the colon.
pub const SERVER: &str = "chat.test";
/// Who makes all that is there before and nobody asked us for.
pub const SOMEBODY: &str = "zoe";
/// How often a manifest is drawn anew until it makes sense.
const TRIES: usize = 200;

/// What is there, what is wanted first, and what is wanted then.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it was drawn from; also decides what goes wrong, and when.
    pub seed: u64,
    /// What somebody made by hand: `users`, `rooms`, `agents`, `files`, `networks` and so on.
    pub world: Json,
    /// A manifest, without the sections that say where the systems are.
    pub first: Json,
    /// The same after some edits.
    pub second: Json,
}

impl Case {
    /// The case of this seed; `valid` says whether a manifest makes sense, which is the parser's to say.
    ///
    /// # Panics
    /// When nothing that is drawn makes sense.
    pub fn draw(seed: u64, valid: &dyn Fn(&Json) -> bool) -> Self {
        let mut rng = Rng::new(seed);
        let world = draw::world(&mut rng);
        let first = (0..TRIES).map(|_| draw::manifest(&mut rng)).find(valid);
        let first = first.expect("one of many manifests makes sense");
        let mut second = first.clone();
        let edits = 1 + rng.below(5);
        for _ in 0..edits {
            let edited = (0..TRIES)
                .map(|_| draw::edited(&second, &mut rng))
                .find(|next| *next != second && valid(next));
            second = edited.unwrap_or(second);
        }
        Self { seed, world, first, second }
    }

    /// The same with one part less, the smallest of all first.
    pub fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        if self.second != self.first {
            all.push(Self { second: self.first.clone(), ..self.clone() });
        }
        for path in draw::paths(&json!({ "first": self.first, "second": self.second, "world": self.world })) {
            let mut next = self.clone();
            let tree = match path[0].as_str() {
                "first" => &mut next.first,
                "second" => &mut next.second,
                _ => &mut next.world,
            };
            if path.len() > 1 && draw::remove(tree, &path[1..]) {
                all.push(next);
            }
            // What is in both manifests is mostly needed in neither.
            let mut next = self.clone();
            if path.len() > 1
                && path[0] == "first"
                && draw::remove(&mut next.first, &path[1..])
                && draw::remove(&mut next.second, &path[1..])
            {
                all.push(next);
            }
        }
        all.sort_by_key(Self::size);
        all
    }

    /// How much there is to read.
    pub fn size(&self) -> usize {
        [&self.world, &self.first, &self.second].iter().map(|part| part.to_string().len()).sum()
    }
}

impl fmt::Display for Case {
    /// Everything that it takes to try again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# seed {}\n# --- there by hand\n{}", self.seed, yaml(&self.world))?;
        writeln!(f, "# --- wanted first\n{}", yaml(&self.first))?;
        write!(f, "# --- wanted then\n{}", yaml(&self.second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_case_and_another_one_another() {
        let all = |_: &Json| true;
        assert_eq!(Case::draw(7, &all), Case::draw(7, &all));
        assert_ne!(Case::draw(7, &all), Case::draw(8, &all));
    }

    #[test]
    fn every_smaller_case_is_smaller() {
        let case = Case::draw(3, &|_| true);
        let smaller = case.smaller();
        assert!(smaller.len() > 10, "{case}");
        for other in smaller.iter().filter(|other| other.second != other.first) {
            assert!(other.size() < case.size(), "{other}");
        }
    }
}
