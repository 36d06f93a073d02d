//! Log lines on stderr, for those who ask for them.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use overnight::event::Event;
use serde::Serialize;

use super::args::{Global, LogFormat};
use super::screen::{LogWriter, ProgressMode, one_line};

/// Writes events as lines.
pub struct Log {
    writer: LogWriter,
    format: LogFormat,
    quiet: bool,
    /// No screen tells anything.
    alone: bool,
    verbose: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    /// Milliseconds since 1970.
    ts: u64,
    #[serde(flatten)]
    event: &'a Event,
}

impl Log {
    /// Lines as the global flags ask for.
    pub fn new(writer: LogWriter, global: &Global) -> Self {
        let alone = global.quiet || global.progress == ProgressMode::None;
        Self { writer, format: global.log_format, quiet: global.quiet, alone, verbose: global.verbose }
    }

    /// Writes the event, if it is one to log.
    pub fn show(&mut self, event: &Event) {
        if self.quiet && !matches!(event, Event::Note { warning: true, .. }) {
            return;
        }
        let line = match self.format {
            LogFormat::Text => self.text(event),
            LogFormat::Json => self.json(event),
        };
        if let Some(line) = line {
            // There is nobody left to tell.
            let _ = writeln!(self.writer, "{line}");
        }
    }

    /// What the screen does not tell: failed attempts, and where it is off, what a user must know: a change that sends rows
    /// again, or damage that was mended.
    fn text(&self, event: &Event) -> Option<String> {
        match event {
            Event::Note { message, .. } if self.alone => Some(one_line(message)),
            Event::AttemptFailed { row, provider, model, kind, status, message } if self.verbose => {
                let kind = kind.map_or("cut", |kind| kind.name());
                let status = status.map_or_else(String::new, |status| format!(" {status}"));
                Some(format!("row {row}: {provider}/{model}: {kind}{status}: {}", one_line(message)))
            }
            _ => None,
        }
    }

    fn json(&self, event: &Event) -> Option<String> {
        let told = match event {
            Event::RunStarted { .. }
            | Event::Note { .. }
            | Event::ModelState { .. }
            | Event::Draining { .. }
            | Event::RunFinished(_) => true,
            Event::AttemptFailed { .. } | Event::RowDone { .. } => self.verbose,
            Event::Progress(_) => false,
        };
        if !told {
            return None;
        }
        json_line(event)
    }
}

/// The event as one JSON object, with its time.
pub fn json_line(event: &Event) -> Option<String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ts = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    serde_json::to_string(&Line { ts, event }).ok()
}
