//! Which screen a user gets.

use std::io::{self, Stderr, Write};

use indicatif::MultiProgress;
use overnight::event::Event;

use super::bars::Bars;
use super::paint::Paint;
use super::plain::Plain;
use crate::cli::args::ColorMode;

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressMode {
    /// Bars on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// Bars; plain lines where stderr is no terminal
    Bar,
    /// A line every few seconds, later every minute
    Plain,
    /// Nothing
    None,
}

/// Shows events on standard error.
pub struct Screen(Kind);

enum Kind {
    Bars(Bars, MultiProgress),
    Plain(Plain<Stderr>),
    Quiet,
}

impl Screen {
    /// The screen for this mode; `quiet` wins over it.
    pub fn open(mode: ProgressMode, quiet: bool, color: ColorMode) -> Self {
        let plain = || Kind::Plain(Plain::new(io::stderr()));
        Self(match mode {
            ProgressMode::Auto | ProgressMode::Bar | ProgressMode::Plain if quiet => Kind::Quiet,
            ProgressMode::None => Kind::Quiet,
            ProgressMode::Plain => plain(),
            ProgressMode::Auto | ProgressMode::Bar => {
                let screen = MultiProgress::new();
                // Hidden where stderr is no terminal, or a dumb one.
                if screen.is_hidden() {
                    return Self(plain());
                }
                let paint = Paint::new(color, &io::stderr());
                Kind::Bars(Bars::new(screen.clone(), paint), screen)
            }
        })
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Event) {
        match &mut self.0 {
            Kind::Bars(bars, _) => bars.show(event),
            Kind::Plain(plain) => plain.show(event),
            Kind::Quiet => {}
        }
    }

    /// Where log lines go, so that they and the bars do not tear one another.
    pub fn log_writer(&self) -> LogWriter {
        let screen = match &self.0 {
            Kind::Bars(_, screen) => Some(screen.clone()),
            Kind::Plain(_) | Kind::Quiet => None,
        };
        LogWriter { screen, line: Vec::new() }
    }
}

/// Writes whole lines to standard error, above the bars where there are any.
pub struct LogWriter {
    screen: Option<MultiProgress>,
    /// What has no line break yet: bars drawn behind half a line would tear it.
    line: Vec<u8>,
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if bytes.ends_with(b"\n") {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        match &self.screen {
            Some(screen) => screen.suspend(|| io::stderr().write_all(&line)),
            None => io::stderr().write_all(&line),
        }
    }
}
