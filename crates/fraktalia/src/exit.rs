//! Exit codes: a contract for scripts. The reference page is made from this table.

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Exit {
    /// What the shell sees.
    pub code: u8,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub next: &'static str,
}

macro_rules! exits {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $meaning:literal, $next:literal;)*) => {
        impl Exit {
            $($(#[$doc])* pub const $name: Self = Self { code: $code, meaning: $meaning, next: $next };)*
            /// All of them, by code.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

exits! {
    /// All is well.
    OK = 0, "done, or nothing to do", "";
    /// Anything that has no code of its own, and a question that was answered with no.
    FAILURE = 1, "unexpected failure, or the question was answered with no", "read the message; `-v` says more";
    /// The command line makes no sense.
    USAGE = 2, "wrong usage", "`fraktalia help COMMAND`";
    /// Asked for with `--exit-code`.
    PENDING = 3, "changes pending (`plan --exit-code`, `status --exit-code`)", "`fraktalia apply`";
    /// The manifest has errors.
    MANIFEST = 10, "manifest invalid", "each finding has its place and a hint";
    /// At least one system could not be read.
    OBSERVE = 11, "a system could not be observed", "the message names the system and the cure";
    /// What a saved plan rests on has changed.
    STALE = 12, "the saved plan is stale", "plan again, read it, apply that one";
    /// A run was interrupted, or was left open on request.
    UNFINISHED = 13, "an unfinished run exists", "`fraktalia resume` or `fraktalia rollback`";
    /// One writer for each realm.
    LOCKED = 14, "another run holds the lock", "wait for it, or look at the process that is named";
    /// Nothing was changed.
    BLOCKED = 15, "blocked: something in the way is not ours, or a policy forbids it", "the notes of the plan say what, and what to do";
    /// `doctor` found something that does not work or must not be. Not 11: a plan may be possible all the same.
    UNWELL = 16, "`doctor` found a failure", "each failure names its cure; `fraktalia doctor --fix` mends what is safe";
    /// `history --verify` found what was not written so.
    CHANGED = 17, "`history --verify`: the audit is not as it was written", "what is wrong is listed; put back the file that was there, or find out who changed it";
    /// Everything is as it was.
    ROLLED_BACK = 20, "apply failed, rolled back completely", "cure what failed, apply again";
    /// Something is left.
    INCOMPLETE = 21, "apply failed, rollback incomplete", "what is left is listed, with the commands to finish by hand";
    /// Something else writes too, or a system did not keep what it was told.
    NOT_CONVERGED = 22, "applied, but a second plan is not empty", "`fraktalia plan` shows what is left";
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(Exit::ALL.windows(2).all(|pair| pair[0].code < pair[1].code));
    }
}
