//! Result lines to whoever reads along, such as the next program of a pipe.

use std::io::{self, ErrorKind, Write};

use super::RunError;
use super::feed::Matching;
use super::output::{each, with_row};
use super::plan::Plan;
use super::prepare::prepare;
use super::selection::Selection;
use super::shutdown::Stop;
use crate::event::StopReason;
use crate::sink::{SinkError, result_line, stream_error};
use crate::source::Input;
use crate::store::LogReader;

/// Lines are written in pieces of at least this many bytes, where many are at hand.
const BUFFER: usize = 64 << 10;

/// Where result lines go as rows end, in place of the results file.
pub type ResultStream = Box<dyn Write + Send>;

/// Lines on their way out. A reader that goes away stops the run; a slow one holds it up, as in any pipe.
pub(super) struct Stream {
    out: ResultStream,
    pending: Vec<u8>,
    stop: Stop,
    error: Option<SinkError>,
    ended: bool,
}

impl Stream {
    pub fn new(out: ResultStream, stop: Stop) -> Self {
        Self { out, pending: Vec::new(), stop, error: None, ended: false }
    }

    /// Why, where it was not the reader's wish.
    pub fn into_error(self) -> Option<SinkError> {
        self.error
    }

    /// Puts a line in, to go out with the next [`Self::write`].
    pub fn add(&mut self, line: Result<Vec<u8>, SinkError>) {
        match line {
            Ok(line) if !self.ended => self.pending.extend(line),
            Ok(_) => {}
            Err(error) => self.end(StopReason::Failed, Some(error)),
        }
    }

    /// Writes all lines that were put in.
    pub fn write(&mut self) {
        if self.pending.is_empty() || self.ended {
            return;
        }
        let written = self.out.write_all(&self.pending).and_then(|()| self.out.flush());
        self.pending.clear();
        if let Err(error) = written {
            self.failed(error);
        }
    }

    fn failed(&mut self, error: io::Error) {
        match error.kind() {
            ErrorKind::BrokenPipe => self.end(StopReason::OutputClosed, None),
            _ => self.end(StopReason::Failed, Some(stream_error(error))),
        }
    }

    fn end(&mut self, reason: StopReason, error: Option<SinkError>) {
        self.ended = true;
        self.error = self.error.take().or(error);
        if self.stop.reason().is_none() {
            self.stop.request(reason);
        }
    }
}

/// Writes the rows that were done before, in the order of the input: whoever reads along gets all of them.
pub(super) fn write_done(
    stream: &mut Stream,
    plan: &Plan,
    input: &Input,
    selection: &Selection,
    mut matching: Matching,
    mut log: LogReader,
) -> Result<(), RunError> {
    each(plan, input, selection, |record| {
        if stream.ended {
            return Ok(());
        }
        let end = match &mut matching {
            Matching::ByNumber(order) => order.get(record.number)?,
            Matching::ByKey(index) => index.take(prepare(plan, record).key),
        };
        let Some(end) = end.filter(|end| end.failure.is_none()) else { return Ok(()) };
        let outcome = log.outcome_at(end.offset)?;
        stream.add(with_row(plan, record, &outcome, |row| result_line(row, &plan.job.output)));
        if stream.pending.len() >= BUFFER {
            stream.write();
        }
        Ok(())
    })?;
    stream.write();
    Ok(())
}
