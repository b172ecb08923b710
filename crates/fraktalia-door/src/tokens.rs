//! Bearer tokens: who asks, and what they may.

use std::collections::BTreeSet;

use fraktalia_desk::Moment;
use fraktalia_model::SecretText;
use fraktalia_model::manifest::ApiScope;
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

/// Fewer characters can be guessed.
const SHORTEST: usize = 20;
/// No token is longer than this, and no longer one is looked at.
const LONGEST: usize = 1024;

type Digest = [u8; 32];

/// A token of the API.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its name in the manifest.
    pub name: String,
    /// The token itself.
    pub secret: SecretText,
    /// What it may do.
    pub scopes: BTreeSet<ApiScope>,
    /// Until when it counts.
    pub expires: Moment,
    /// Requests in a minute.
    pub per_minute: u32,
}

/// Why a token cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It can be guessed, or is none.
    #[error(
        "the API's token `{0}` is not {SHORTEST} to {LONGEST} visible characters; make one with `openssl rand -hex 32`"
    )]
    Weak(String),
    /// Nobody could say whose it is.
    #[error("the API's tokens `{0}` and `{1}` are the same; give each its own")]
    Same(String, String),
}

/// Who asks: a token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub name: String,
    pub scopes: BTreeSet<ApiScope>,
    pub expires: Moment,
    pub per_minute: u32,
}

impl Holder {
    /// Whether it may do something.
    pub(crate) fn may(&self, scope: ApiScope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// All tokens, as hashes.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<(Digest, Holder)>);

impl Tokens {
    /// Takes them in. What is kept of a secret is its SHA-256.
    ///
    /// # Errors
    /// When one is short, or two are the same.
    pub fn new(tokens: Vec<Token>) -> Result<Self, TokenError> {
        let mut known: Vec<(Digest, Holder)> = Vec::with_capacity(tokens.len());
        for token in tokens {
            let text = token.secret.expose();
            let fits =
                (SHORTEST..=LONGEST).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic());
            if !fits {
                return Err(TokenError::Weak(token.name));
            }
            let digest = Sha256::digest(text.as_bytes()).into();
            if let Some((_, other)) = known.iter().find(|(this, _)| *this == digest) {
                return Err(TokenError::Same(other.name.clone(), token.name));
            }
            let Token { name, scopes, expires, per_minute, .. } = token;
            known.push((digest, Holder { name, scopes, expires, per_minute }));
        }
        Ok(Self(known))
    }

    /// Whose a shown token is.
    pub(crate) fn find(&self, shown: &str) -> Option<&Holder> {
        if shown.len() > LONGEST {
            return None;
        }
        let place = choose(self.0.iter().map(|(digest, _)| digest), &Sha256::digest(shown.as_bytes()).into());
        place.and_then(|place| self.0.get(place)).map(|(_, holder)| holder)
    }
}

/// The place of a digest. All are looked at, in the same time wherever it stands and whether it does.
fn choose<'a>(digests: impl Iterator<Item = &'a Digest>, shown: &Digest) -> Option<usize> {
    let mut found = u64::MAX;
    for (place, digest) in (0_u64..).zip(digests) {
        found.conditional_assign(&place, digest.ct_eq(shown));
    }
    usize::try_from(found).ok().filter(|_| found != u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, secret: &str) -> Token {
        Token {
            name: name.into(),
            secret: SecretText::new(secret),
            scopes: BTreeSet::new(),
            expires: Moment(1),
            per_minute: 1,
        }
    }

    #[test]
    fn all_tokens_are_looked_at_wherever_the_right_one_stands() {
        let digests: Vec<Digest> = (0_u8..5).map(|n| [n; 32]).collect();
        for (shown, place) in [([0; 32], Some(0)), ([2; 32], Some(2)), ([4; 32], Some(4)), ([9; 32], None)] {
            let mut looked = 0;
            assert_eq!(choose(digests.iter().inspect(|_| looked += 1), &shown), place);
            assert_eq!(looked, 5);
        }
    }

    #[test]
    fn a_token_is_found_by_all_of_its_text() {
        let (a, b) = ("a".repeat(20), "a".repeat(21));
        let tokens = Tokens::new(vec![token("a", &a), token("b", &b)]).unwrap();
        assert_eq!(tokens.find(&a).map(|holder| holder.name.as_str()), Some("a"));
        assert_eq!(tokens.find(&b).map(|holder| holder.name.as_str()), Some("b"));
        for wrong in ["", &a[..19], &format!("{b}a"), &"a".repeat(5000)] {
            assert_eq!(tokens.find(wrong), None);
        }
    }

    #[test]
    fn a_token_that_can_be_guessed_or_is_used_twice_is_refused() {
        for weak in ["", "hunter2", "nineteen characters", "with a space in the midst of it"] {
            assert_eq!(Tokens::new(vec![token("a", weak)]).unwrap_err(), TokenError::Weak("a".into()));
        }
        let long = "x".repeat(30);
        let same = Tokens::new(vec![token("a", &long), token("b", &long)]).unwrap_err();
        assert_eq!(same, TokenError::Same("a".into(), "b".into()));
        assert!(!format!("{:?}", token("a", &long)).contains(&long));
    }
}
