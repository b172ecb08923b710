//! Invitations: registration tokens that say for whom they are.
//!
//! Synapse keeps no note with a token, and a record of ours could be lost, or be on another machine. So the name stands
//! in the token itself: `ana-` and twenty characters that nobody guesses. What does not look so was not made here.

use fraktalia_model::SecretText;

use crate::client::Client;
use crate::client::tokens::RegistrationToken;
use crate::error::MatrixError;

/// Letters and digits that nobody takes for one another when they type them from a screen.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// A hundred bits.
const SECRET: usize = 20;
/// Synapse takes tokens of 64 characters.
const LONGEST_NAME: usize = 64 - 1 - SECRET;

/// The name of somebody who is invited: the beginning of their address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guest(String);

impl Guest {
    /// The name, if it can be the beginning of an address and of a token.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(name: &str) -> Result<Self, String> {
        let plain =
            |at: char| at.is_ascii_lowercase() || at.is_ascii_digit() || matches!(at, '.' | '_' | '-');
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(format!("a name has 1 to {LONGEST_NAME} characters"));
        }
        // Synapse reads a name that begins with `_` as one of an application service.
        if !name.chars().all(plain) || name.starts_with('_') {
            return Err("a name is made of a-z, 0-9 and `.`, `_`, `-`, and does not begin with `_`".into());
        }
        Ok(Self(name.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A token for them that nobody guesses.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn token(&self) -> std::io::Result<SecretText> {
        let mut bytes = [0_u8; SECRET];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        let secret: String = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
        Ok(SecretText::new(format!("{}-{secret}", self.0)))
    }
}

/// For whom a token is, if it was made here.
fn guest_of(token: &SecretText) -> Option<Guest> {
    let (name, secret) = token.expose().rsplit_once('-')?;
    let ours = secret.len() == SECRET && secret.bytes().all(|at| ALPHABET.contains(&at));
    if ours { Guest::parse(name).ok() } else { None }
}

/// How an invitation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It can be used.
    Open,
    /// Somebody is registering with it at this moment, and nobody else can.
    InUse,
    /// It made as many accounts as it may.
    Used,
    /// Its time is over.
    Expired,
}

/// A registration token without what has to stay secret.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// For whom it is; nobody where it was not made here.
    pub guest: Option<Guest>,
    /// How many accounts were made with it.
    pub completed: u64,
    /// How many it is good for; any number when absent.
    pub uses: Option<u64>,
    /// When it ends, in milliseconds since 1970; never when absent.
    pub expires: Option<u64>,
    /// How it stands.
    pub standing: Standing,
    token: SecretText,
}

impl Invitation {
    /// How a token stands at `now`, in milliseconds since 1970.
    pub fn new(found: RegistrationToken, now: u64) -> Self {
        let left = found.uses_allowed.map(|uses| uses.saturating_sub(found.completed));
        let standing = match left {
            Some(0) => Standing::Used,
            _ if found.expiry_time.is_some_and(|end| end <= now) => Standing::Expired,
            Some(left) if left <= found.pending => Standing::InUse,
            _ => Standing::Open,
        };
        Self {
            guest: guest_of(&found.token),
            completed: found.completed,
            uses: found.uses_allowed,
            expires: found.expiry_time,
            standing,
            token: found.token,
        }
    }

    /// Whether this is its token, or the name that it was made for.
    pub fn is(&self, name_or_token: &str) -> bool {
        self.token.expose() == name_or_token
            || self.guest.as_ref().is_some_and(|guest| guest.as_str() == name_or_token)
    }
}

/// All registration tokens; `now` is in milliseconds since 1970.
pub async fn list(client: &Client, now: u64) -> Result<Vec<Invitation>, MatrixError> {
    let found = client.registration_tokens().await?;
    let mut all: Vec<Invitation> = found.into_iter().map(|token| Invitation::new(token, now)).collect();
    all.sort_by(|one, other| (&one.guest, one.expires).cmp(&(&other.guest, other.expires)));
    Ok(all)
}

/// Takes one back. Says whether it was there.
pub async fn revoke(client: &Client, invitation: &Invitation) -> Result<bool, MatrixError> {
    client.delete_registration_token(&invitation.token).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(token: &str, uses: Option<u64>, pending: u64, completed: u64, end: Option<u64>) -> Invitation {
        let token = SecretText::new(token);
        let token = RegistrationToken { token, uses_allowed: uses, pending, completed, expiry_time: end };
        Invitation::new(token, 1_000)
    }

    #[test]
    fn a_token_says_for_whom_it_is_and_never_twice_the_same() {
        let guest = Guest::parse("ana-maria.2").expect("a name");
        let (one, other) = (guest.token().expect("random"), guest.token().expect("random"));
        assert_ne!(one.expose(), other.expose());
        assert_eq!(guest_of(&one), Some(guest));
        assert!(one.expose().len() <= 64);
    }

    #[test]
    fn a_token_that_somebody_made_by_hand_is_for_nobody() {
        for token in [
            "summer-party",
            "abcd",
            "ana-0123456789012345678o",
            "Ana-01234567890123456789",
            "-01234567890123456789",
        ] {
            assert_eq!(guest_of(&SecretText::new(token)), None, "{token}");
        }
    }

    #[test]
    fn what_cannot_begin_an_address_is_no_name() {
        for name in ["", "Ana", "an a", "ana~b", "ana/b", "_ana", "ana\n", "\u{e4}nne", &"a".repeat(44)] {
            assert!(Guest::parse(name).is_err(), "{name}");
        }
        assert!(Guest::parse(&"a".repeat(43)).is_ok());
    }

    #[test]
    fn an_invitation_is_open_in_use_used_or_over() {
        let standing = |uses, pending, completed, end| found("x", uses, pending, completed, end).standing;
        assert_eq!(standing(Some(1), 0, 0, Some(1_001)), Standing::Open);
        assert_eq!(standing(None, 3, 7, None), Standing::Open);
        assert_eq!(standing(Some(1), 1, 0, Some(1_001)), Standing::InUse);
        assert_eq!(standing(Some(1), 0, 1, Some(999)), Standing::Used);
        assert_eq!(standing(Some(1), 0, 0, Some(1_000)), Standing::Expired);
    }

    #[test]
    fn an_invitation_is_named_by_its_guest_or_its_whole_token_and_prints_neither_token_nor_part_of_it() {
        let invitation = found("ana-01234567890123456789", Some(1), 0, 0, None);
        assert!(invitation.is("ana") && invitation.is("ana-01234567890123456789"));
        assert!(!invitation.is("ana-0123") && !invitation.is(""));
        assert!(!format!("{invitation:?}").contains("0123"));
    }
}
