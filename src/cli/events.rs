//! `--events FILE`: what happens, for programs.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use overnight::event::Event;

use super::logs::json_line;
use super::print_error;

/// Progress is told this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// A file that gets one JSON object a line.
pub struct EventFile {
    path: PathBuf,
    /// `None` once it could not be written to.
    out: Option<BufWriter<File>>,
    /// When progress is told next, in the run's own time.
    due: Duration,
}

impl EventFile {
    /// Opens the file to go on at its end: a job of many nights may have one file for all.
    ///
    /// # Errors
    /// A message for the user.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = File::options().append(true).create(true).open(path);
        let file = file.map_err(|error| format!("cannot write to {}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), out: Some(BufWriter::new(file)), due: Duration::ZERO })
    }

    /// Writes the event. A file that cannot be written to any more is told once, and is no reason to stop a run.
    pub fn show(&mut self, event: &Event) {
        let Some(out) = &mut self.out else { return };
        let (told, flushed) = match event {
            Event::Progress(snapshot) if snapshot.elapsed < self.due => (false, true),
            Event::Progress(snapshot) => {
                self.due = snapshot.elapsed + PROGRESS_EVERY;
                (true, true)
            }
            Event::RunStarted { .. }
            | Event::Note { .. }
            | Event::ModelState { .. }
            | Event::Draining { .. }
            | Event::RunFinished(_) => (true, true),
            // There may be thousands a second: they are written with the next progress.
            Event::RowDone { .. } | Event::AttemptFailed { .. } => (true, false),
        };
        let line = if told { json_line(event) } else { None };
        let written = line.map_or(Ok(()), |line| writeln!(out, "{line}"));
        if let Err(error) = written.and_then(|()| if flushed { out.flush() } else { Ok(()) }) {
            print_error(&format!("cannot write to {}: {error}; no more events are written", self.path.display()));
            self.out = None;
        }
    }
}
