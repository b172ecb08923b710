//! What the terminal itself prints while lines move.

use std::io::IsTerminal as _;

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// Keeps the terminal from printing `^C` at Ctrl-C: it would push the moving lines one down, and one of them would stay
/// behind.
#[derive(Debug, Default)]
pub struct Echo {
    before: Option<Termios>,
}

impl Echo {
    /// Without `^C`, where there is a terminal and it is ours: a background process that touches it is stopped.
    pub fn without_controls() -> Self {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() || tcgetpgrp(&stdin).ok() != Some(getpgrp()) {
            return Self::default();
        }
        let before = tcgetattr(&stdin).ok().filter(|before| {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHOCTL);
            tcsetattr(&stdin, OptionalActions::Now, &quiet).is_ok()
        });
        Self { before }
    }

    /// As it was before.
    pub fn restore(&mut self) {
        if let Some(before) = self.before.take() {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.restore();
    }
}
