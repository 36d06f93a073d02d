//! Result lines to whoever reads along, such as the next program of a pipe.
//!
//! Lines are written by a thread of their own, so that a reader who does not read holds up neither a stop nor a deadline:
//! when the run aborts, the thread is left where it stands.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::RunError;
use super::matching::Matching;
use super::output::with_row;
use super::plan::Plan;
use super::selection::Selection;
use super::shutdown::{Phase, Stop};
use crate::event::StopReason;
use crate::sink::{SinkError, result_line, stream_error};
use crate::source::{Input, Record};
use crate::store::LogReader;

/// Where this many bytes wait for the reader, the run waits with them: in a piece of this size or a little more each is one
/// write.
const BUFFER: usize = 64 << 10;
/// Pieces between the run and the thread: one is enough to keep it busy, and each more would only hold memory.
const PIECES: usize = 1;

/// Where result lines go as rows end, in place of the results file.
pub type ResultStream = Box<dyn Write + Send>;

/// Lines on their way out. A reader that goes away stops the run; a slow one holds it up, as in any pipe.
pub(super) struct Stream {
    /// Lines of rows that may not be in the log yet.
    fresh: Vec<u8>,
    /// Lines that may go out.
    pending: Vec<u8>,
    /// `None` once nothing more is written.
    pieces: Option<mpsc::Sender<Vec<u8>>>,
    /// How the thread ended.
    written: Option<oneshot::Receiver<io::Result<()>>>,
    stop: Stop,
    error: Option<SinkError>,
    delivered: bool,
}

impl Stream {
    pub fn start(out: ResultStream, stop: Stop) -> Result<Self, RunError> {
        let (pieces, receiver) = mpsc::channel(PIECES);
        let (tell, written) = oneshot::channel();
        let write = move || {
            // Nobody asks any more where the run was aborted.
            let _ = tell.send(write_all(out, receiver));
        };
        let name = "results".to_owned();
        thread::Builder::new().name(name).spawn(write).map_err(|error| RunError::Thread(error.to_string()))?;
        Ok(Self {
            fresh: Vec::new(),
            pending: Vec::new(),
            pieces: Some(pieces),
            written: Some(written),
            stop,
            error: None,
            delivered: true,
        })
    }

    /// Why, where it was not the reader's wish.
    pub fn take_error(&mut self) -> Option<SinkError> {
        self.error.take()
    }

    /// Whether every line has gone out, or nobody wants them any more.
    pub fn is_delivered(&self) -> bool {
        self.delivered
    }

    /// Puts a line in, to go out once it is [`Self::logged`].
    pub fn add(&mut self, line: Result<Vec<u8>, SinkError>) {
        match line {
            Ok(line) if self.pieces.is_some() => self.fresh.extend(line),
            Ok(_) => {}
            Err(error) => self.end(StopReason::Failed, Some(error)),
        }
    }

    /// What was put in may go out.
    pub fn logged(&mut self) {
        self.pending.append(&mut self.fresh);
    }

    /// Whether the reader keeps up. While the run drains it goes on without: what has arrived is to be on record.
    pub fn has_room(&self) -> bool {
        self.pending.len() < BUFFER || self.stop.phase() != Phase::Running
    }

    /// Hands on a piece of what may go out; with nothing to hand on it never returns. May be dropped at any point.
    pub async fn push(&mut self) {
        let Some(pieces) = self.pieces.as_ref().filter(|_| !self.pending.is_empty()) else {
            return std::future::pending().await;
        };
        if let Ok(place) = pieces.reserve().await {
            place.send(std::mem::take(&mut self.pending));
            return;
        }
        self.ended().await;
    }

    /// Waits until all has gone out, or until the run is aborted.
    pub async fn finish(&mut self) {
        let stop = self.stop.clone();
        let all = async {
            while self.pieces.is_some() && !self.pending.is_empty() {
                self.push().await;
            }
            self.pieces = None;
            self.ended().await;
        };
        tokio::select! {
            () = all => {}
            () = stop.aborting() => self.delivered = false,
        }
        // A thread that is left behind ends when its reader does something.
        self.pieces = None;
    }

    /// The thread has ended: by itself, or as nothing more comes.
    async fn ended(&mut self) {
        let Some(written) = &mut self.written else { return };
        let written = written.await.unwrap_or_else(|_| Err(io::Error::other("the thread that writes them failed")));
        self.written = None;
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.end(StopReason::OutputClosed, None),
            Err(error) => self.end(StopReason::Failed, Some(stream_error(error))),
        }
    }

    fn end(&mut self, reason: StopReason, error: Option<SinkError>) {
        self.pieces = None;
        self.fresh.clear();
        self.pending.clear();
        self.error = self.error.take().or(error);
        self.stop.drain(reason);
    }
}

fn write_all(mut out: ResultStream, mut pieces: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(piece) = pieces.blocking_recv() {
        out.write_all(&piece)?;
        out.flush()?;
    }
    Ok(())
}

/// Rows that were done before: whoever reads along gets all of them, in the order of the input.
pub(super) struct DoneBefore {
    pub plan: Arc<Plan>,
    pub input: Arc<Input>,
    pub selection: Arc<Selection>,
    pub matching: Matching,
    pub log: LogReader,
}

impl DoneBefore {
    /// Writes them, until the run stops.
    pub async fn write(mut self, stream: &mut Stream) -> Result<(), RunError> {
        let stop = stream.stop.clone();
        for record in self.input.records()? {
            let record = record?;
            if record.number > self.selection.limit() {
                break;
            }
            if self.selection.takes(&self.plan, &record) {
                self.put(stream, &record)?;
            }
            while !stream.has_room() {
                tokio::select! {
                    () = stream.push() => {}
                    () = stop.draining() => {}
                }
            }
            if stop.phase() != Phase::Running {
                break;
            }
        }
        Ok(())
    }

    fn put(&mut self, stream: &mut Stream, record: &Record) -> Result<(), RunError> {
        let (end, _) = self.matching.find(&self.plan, record)?;
        if let Some(end) = end.filter(|end| end.failure.is_none()) {
            let outcome = self.log.outcome_at(end.offset)?;
            stream.add(with_row(&self.plan, record, &outcome, |row| result_line(row, &self.plan.job.output)));
            stream.logged();
        }
        Ok(())
    }
}
