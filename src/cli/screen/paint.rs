//! Colours, where they are wanted.

use std::io::IsTerminal;

use crate::cli::args::ColorMode;

/// Whether to paint; without colour, texts stay as they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paint(bool);

impl Paint {
    /// As `--color` says for this stream; left to itself, a terminal has colours unless `NO_COLOR` holds something.
    pub(super) fn new(mode: ColorMode, stream: &impl IsTerminal) -> Self {
        Self(match mode {
            ColorMode::Always => true,
            ColorMode::Never => false,
            ColorMode::Auto => stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()),
        })
    }

    #[cfg(test)]
    pub(super) fn always() -> Self {
        Self(true)
    }

    /// What went wrong.
    pub(super) fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// What went well.
    pub(super) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// What waits.
    pub(super) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// What moves.
    pub(super) fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_decides_before_the_stream_does() {
        let no_terminal = tempfile::tempfile().unwrap();
        let red = |mode| Paint::new(mode, &no_terminal).red("x");
        assert_eq!(red(ColorMode::Always), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!((red(ColorMode::Auto), red(ColorMode::Never)), ("x".to_owned(), "x".to_owned()));
    }
}
