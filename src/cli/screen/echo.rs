//! Keeps the terminal from echoing `^C` into the bars, which would wrap and leave a stale line there for good.

use std::io;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The echo of control characters is off as long as this lives.
pub(super) struct QuietControls(Option<Termios>);

impl QuietControls {
    /// Turns it off, where standard input is a terminal.
    pub(super) fn new() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHOCTL);
            set(&quiet);
        }
        Self(before)
    }
}

impl Drop for QuietControls {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            set(before);
        }
    }
}

fn set(modes: &Termios) {
    // A terminal that does not take it shows a stale line, no more.
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
}
