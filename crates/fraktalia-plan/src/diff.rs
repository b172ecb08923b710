//! The three-way comparison of one value: what is wanted, what lives, what we last asked for.

use std::fmt::Display;

use crate::change::{Cause, FieldChange};

/// Why `have` differs from `want`, given what was asked last time.
pub fn cause<T: PartialEq + ?Sized>(want: &T, have: &T, last: Option<&T>) -> Cause {
    match last {
        None => Cause::New,
        Some(last) if last == have => Cause::Manifest,
        Some(last) if last == want => Cause::Drift,
        Some(_) => Cause::Both,
    }
}

/// The change of a field that is managed, `None` when it is as wanted.
///
/// `show` gives what people read; an absent value is shown by `None`.
pub fn compare<T: PartialEq + ?Sized>(
    field: &str,
    want: &T,
    have: &T,
    last: Option<&T>,
    show: impl Fn(&T) -> Option<String>,
) -> Option<FieldChange> {
    (want != have).then(|| FieldChange {
        field: field.into(),
        from: show(have),
        to: show(want),
        cause: cause(want, have, last),
    })
}

/// The change of an optional field: a `want` of `None` is not managed.
pub fn optional<T: PartialEq + Display>(
    field: &str,
    want: Option<&T>,
    have: Option<&T>,
    last: Option<&T>,
) -> Option<FieldChange> {
    let want = want?;
    if have == Some(want) {
        return None;
    }
    let cause = match (have, last) {
        (_, None) => Cause::New,
        (Some(have), Some(last)) => cause(want, have, Some(last)),
        (None, Some(last)) if last == want => Cause::Drift,
        (None, Some(_)) => Cause::Both,
    };
    Some(FieldChange {
        field: field.into(),
        from: have.map(ToString::to_string),
        to: Some(want.to_string()),
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_three_sides_can_have_moved() {
        assert_eq!(cause("new", "old", Some("old")), Cause::Manifest);
        assert_eq!(cause("new", "hand", Some("new")), Cause::Drift);
        assert_eq!(cause("new", "hand", Some("old")), Cause::Both);
        assert_eq!(cause("new", "hand", None), Cause::New);
    }

    #[test]
    fn a_field_that_nobody_asks_for_never_differs() {
        assert_eq!(optional::<String>("topic", None, Some(&"x".to_owned()), None), None);
    }

    #[test]
    fn a_field_that_somebody_took_away_is_drift() {
        let topic = "Soups".to_owned();
        let change = optional("topic", Some(&topic), None, Some(&topic)).unwrap();
        assert_eq!((change.from, change.cause), (None, Cause::Drift));
    }
}
