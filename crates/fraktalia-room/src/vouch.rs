//! The table of the crate's first page: whose word an event is.

use matrix_sdk::deserialized_responses::{VerificationLevel, VerificationState};

/// How an event reached us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// As anybody can read it.
    InClear,
    /// Encrypted, and by whom as far as the keys tell.
    Encrypted(VerificationState),
}

/// What kind of event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message, or an edit of one: clients encrypt them.
    Words,
    /// A reaction or a redaction: clients send them in clear.
    Sign,
}

/// What we know of the identity of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// There is none.
    Missing,
    /// It is the one that was first seen, or one that is verified or trusted.
    Steady,
    /// It changed since.
    Changed,
}

/// Whether an event was sent by who is named as its sender.
pub(crate) fn vouches(room_is_encrypted: bool, written: &Written, kind: Kind, identity: Identity) -> bool {
    use VerificationLevel as Level;
    let state = match written {
        Written::InClear if !room_is_encrypted => return true,
        Written::InClear => return kind == Kind::Sign && identity != Identity::Changed,
        Written::Encrypted(state) => state,
    };
    match state {
        _ if identity == Identity::Changed => false,
        VerificationState::Verified => true,
        VerificationState::Unverified(level) => match level {
            Level::UnverifiedIdentity => identity == Identity::Steady,
            Level::UnsignedDevice => identity == Identity::Missing,
            Level::VerificationViolation | Level::None(_) | Level::MismatchedSender => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use matrix_sdk::deserialized_responses::DeviceLinkProblem;

    use super::*;

    const KINDS: [Kind; 2] = [Kind::Words, Kind::Sign];
    const IDENTITIES: [Identity; 3] = [Identity::Missing, Identity::Steady, Identity::Changed];

    /// For which identities an event of each kind is vouched for.
    fn whose(encrypted: bool, written: &Written, kind: Kind) -> Vec<Identity> {
        IDENTITIES.into_iter().filter(|identity| vouches(encrypted, written, kind, *identity)).collect()
    }

    fn unverified(level: VerificationLevel) -> Written {
        Written::Encrypted(VerificationState::Unverified(level))
    }

    #[test]
    fn in_a_room_without_encryption_the_homeserver_is_believed() {
        for kind in KINDS {
            assert_eq!(whose(false, &Written::InClear, kind), IDENTITIES);
        }
    }

    #[test]
    fn a_message_in_clear_in_an_encrypted_room_is_nobodys() {
        assert_eq!(whose(true, &Written::InClear, Kind::Words), []);
    }

    #[test]
    fn a_reaction_in_clear_counts_until_the_identity_changes() {
        let steady = [Identity::Missing, Identity::Steady];
        assert_eq!(whose(true, &Written::InClear, Kind::Sign), steady);
    }

    #[test]
    fn what_is_encrypted_counts_by_its_device_and_in_every_room_alike() {
        use VerificationLevel as Level;
        let table = [
            (Written::Encrypted(VerificationState::Verified), vec![Identity::Missing, Identity::Steady]),
            (unverified(Level::UnverifiedIdentity), vec![Identity::Steady]),
            (unverified(Level::UnsignedDevice), vec![Identity::Missing]),
            (unverified(Level::VerificationViolation), vec![]),
            (unverified(Level::None(DeviceLinkProblem::MissingDevice)), vec![]),
            (unverified(Level::None(DeviceLinkProblem::InsecureSource)), vec![]),
            (unverified(Level::MismatchedSender), vec![]),
        ];
        for (written, expected) in table {
            for (encrypted, kind) in
                [(true, KINDS[0]), (true, KINDS[1]), (false, KINDS[0]), (false, KINDS[1])]
            {
                assert_eq!(whose(encrypted, &written, kind), expected, "{written:?} {encrypted} {kind:?}");
            }
        }
    }
}
